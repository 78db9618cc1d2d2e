"""A network as a chain of matrices and slopes, and the signals that run down it.

With one gradient of 1 at one unit, back-propagation through linear layers and elementwise
activations is a product of matrices and diagonal slopes. All that depends on the cell is the
slopes, so the signals of a unit that arrive above the lowest matrix are one small array, cells x
hidden, and the attribution of the genes is one more product.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

ELEMENTWISE = (
    nn.CELU,
    nn.ELU,
    nn.GELU,
    nn.Hardtanh,
    nn.LeakyReLU,
    nn.Mish,
    nn.ReLU,
    nn.ReLU6,
    nn.SELU,
    nn.Sigmoid,
    nn.SiLU,
    nn.Softplus,
    nn.Softsign,
    nn.Tanh,
)


class Chain(NamedTuple):
    """The layers of a network, without those that pass gradients unchanged."""

    lowest: nn.Linear
    """The layer that reads the genes."""
    upper: list[nn.Module]
    """Those above it, from the bottom up."""


def as_chain(network: nn.Module) -> Chain | None:
    """The network as a chain, or `None` where it is not a plain stack of known layers."""
    layers = list(_flatten(network))
    known = (nn.Linear, nn.BatchNorm1d, *ELEMENTWISE)
    if not all(isinstance(layer, known) for layer in layers):
        return None
    if any(isinstance(x, nn.BatchNorm1d) and x.running_var is None for x in layers):
        return None  # normalises by the batch at hand, so that cells are not independent
    if not layers or not isinstance(layers[0], nn.Linear):
        return None  # something stands between the genes and the lowest matrix
    return Chain(layers[0], layers[1:])


def _flatten(network: nn.Module) -> Iterator[nn.Module]:
    if isinstance(network, nn.Sequential):
        for layer in network:
            yield from _flatten(layer)
    elif not isinstance(network, nn.Dropout | nn.Identity):
        yield network


def slopes(chain: Chain, x: Tensor) -> list[Tensor | None]:
    """Derivative of every upper layer that acts on one element at a time, at the given cells.

    Cells x width for activations, 1 x width for batch normalisation, `None` for linear layers.
    """
    found: list[Tensor | None] = []
    x = chain.lowest(x)
    for layer in chain.upper:
        if isinstance(layer, nn.Linear):
            found.append(None)
            x = layer(x)
        elif isinstance(layer, nn.BatchNorm1d):
            one = torch.ones_like(x[:1])
            found.append(layer(one) - layer(torch.zeros_like(one)))
            x = layer(x)
        else:
            with torch.enable_grad():
                x = x.detach().requires_grad_()
                y = layer(x)
                (slope,) = torch.autograd.grad(y.sum(), x)
            found.append(slope)
            x = y.detach()
    return found


def signals(
    chain: Chain, at: list[Tensor | None], n_cells: int, unit: int, *, guided: bool
) -> tuple[Tensor, slice]:
    """What arrives above the lowest linear layer when one unit's gradient is seeded with 1.

    Parameters
    ----------
    chain
        The network.
    at
        Its slopes at some cells, from :func:`slopes`.
    n_cells
        The number of these cells.
    unit
        Which unit to seed.
    guided
        Whether to clip at 0 from below what arrives at an activation.

    Returns
    -------
    Cells x outputs of the lowest linear layer, and which of its outputs these are: all of them,
    or the seeded unit where that layer is the only one.
    """
    signal = chain.lowest.weight.new_ones(n_cells, 1)
    outputs = slice(unit, unit + 1)
    for layer, slope in zip(reversed(chain.upper), reversed(at), strict=True):
        if isinstance(layer, nn.Linear):
            signal = signal @ layer.weight[outputs]
            outputs = slice(None)
            continue
        if guided and isinstance(layer, ELEMENTWISE):
            signal = signal.clamp(min=0)
        signal = signal * cast("Tensor", slope)[:, outputs]
    return signal, outputs
