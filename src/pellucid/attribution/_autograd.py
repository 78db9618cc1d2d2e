"""Attributions of any network, one unit at a time, through automatic differentiation."""

from __future__ import annotations

import warnings
from contextlib import ExitStack
from typing import TYPE_CHECKING

import torch

from ._chain import ELEMENTWISE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import Tensor, nn


def _clip(module: nn.Module, gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(gradient.clamp(min=0) for gradient in gradients)


def gradients(
    network: nn.Module, x: Tensor, outputs: Iterable[int], *, guided: bool
) -> Iterator[Tensor]:
    """For each of the outputs in turn, its gradient by what the network reads, cells x inputs.

    Guided back-propagation clips what arrives at every activation module; an activation that is
    called as a function is out of a hook's reach.
    """
    with ExitStack() as hooks, torch.enable_grad():
        for layer in network.modules():
            if guided and isinstance(layer, ELEMENTWISE):
                hooks.callback(layer.register_full_backward_pre_hook(_clip).remove)
        x = x.detach().requires_grad_()
        y = network(x)
        for output in outputs:
            (gradient,) = torch.autograd.grad(y[:, output].sum(), x, retain_graph=True)
            yield gradient


def derivatives(network: nn.Module, x: Tensor, inputs: Iterable[int]) -> Iterator[Tensor]:
    """For each of the inputs in turn, the derivative of every output by it, cells x outputs."""
    for place in inputs:
        step = torch.zeros_like(x)
        step[:, place] = 1
        with torch.no_grad():
            derivative = torch.func.jvp(network, (x,), (step,))[1]
        yield derivative


def deep_lift(
    network: nn.Module, x: Tensor, start: Tensor, outputs: Iterable[int]
) -> Iterator[Tensor]:
    """For each of the outputs in turn, what captum's DeepLIFT gives the inputs, cells x inputs."""
    from captum.attr import DeepLift

    method = DeepLift(network)
    for output in outputs:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Setting forward, backward hooks")
            with torch.enable_grad():
                found = method.attribute(x.detach().requires_grad_(), start, target=output)
        yield found.detach()
