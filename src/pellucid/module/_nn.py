"""Blocks that the networks share."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def fully_connected(
    sizes: Sequence[int], activation: Callable[[], nn.Module], *, bias: float
) -> nn.Sequential:
    """Linear layers of the given sizes, each followed by an activation.

    Weights are drawn by Xavier's normal rule and biases set to the constant `bias`.
    """
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        linear = nn.Linear(n_in, n_out)
        nn.init.xavier_normal_(linear.weight)
        nn.init.constant_(linear.bias, bias)
        layers += [linear, activation()]
    return nn.Sequential(*layers)
