from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn


def hooked_gradient(network: nn.Module, x: torch.Tensor, unit: int, *, guided: bool) -> np.ndarray:
    """Gradient of one unit, cells x genes, by hooks on the tensors that activations return."""

    def clip_what_arrives(module, inputs, output):
        if guided:
            output.register_hook(lambda gradient: gradient.clamp(min=0))

    handles = [
        module.register_forward_hook(clip_what_arrives)
        for module in network.modules()
        if not list(module.children())
        and not isinstance(
            module, nn.Linear | nn.BatchNorm1d | nn.LayerNorm | nn.Dropout | nn.Identity
        )
    ]
    x = x.clone().requires_grad_()
    network(x)[:, unit].sum().backward()
    for handle in handles:
        handle.remove()
    return x.grad.numpy()


@pytest.fixture(scope="session")
def by_hooks() -> Callable:
    """Sum over cells of every unit's gradient, units x genes, one unit at a time."""

    def compute(network, x, *, guided, absolute=True) -> np.ndarray:
        n_units = network(x[:2]).shape[1]
        each = [hooked_gradient(network, x, unit, guided=guided) for unit in range(n_units)]
        return np.stack([(np.abs(g) if absolute else g).sum(0, dtype=float) for g in each])

    return compute
