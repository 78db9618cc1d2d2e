"""Attributions of any network, one unit at a time, through autograd."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import torch

from ._chain import ELEMENTWISE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn


def _clip(module: nn.Module, gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(gradient.clamp(min=0) for gradient in gradients)


def gradients(network: nn.Module, x: Tensor, *, guided: bool) -> Iterator[Tensor]:
    """For each unit in turn, its gradient by what the network reads, cells x genes.

    Guided back-propagation clips what arrives at every activation module; an activation that is
    called as a function is out of a hook's reach.
    """
    with ExitStack() as hooks, torch.enable_grad():
        for layer in network.modules():
            if guided and isinstance(layer, ELEMENTWISE):
                hooks.callback(layer.register_full_backward_pre_hook(_clip).remove)
        x = x.detach().requires_grad_()
        units = network(x)
        for unit in range(units.shape[1]):
            (gradient,) = torch.autograd.grad(units[:, unit].sum(), x, retain_graph=True)
            yield gradient
