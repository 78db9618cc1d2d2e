"""A network as a chain of matrices and slopes, and the signals that run along it.

With one gradient of 1 at one unit, back-propagation through linear layers and elementwise
activations is a product of matrices and diagonal slopes; so is the forward pass of a step of 1 at
one unit, by which a decoder is read. All that depends on the cell is the slopes, so the signals of
a unit that arrive at the matrix on the genes' side are one small array, cells x hidden, and the
attribution of the genes is one more product.
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

_RISING = tuple(x for x in ELEMENTWISE if x not in (nn.GELU, nn.Mish, nn.SiLU))

# Below this difference an activation's secant is its slope, to well below what float32 tells.
_TINY = 1e-6


class Chain(NamedTuple):
    """The layers of a network, without those that pass gradients unchanged."""

    lowest: nn.Linear
    """The layer that reads the input."""
    upper: list[nn.Module]
    """Those above it, from the bottom up."""

    @property
    def n_inner(self) -> int:
        """How many of the upper layers are not above the last linear layer."""
        linear = [place for place, x in enumerate(self.upper, 1) if isinstance(x, nn.Linear)]
        return max(linear, default=0)

    @property
    def n_sloped(self) -> int:
        """How many of the upper layers lie below the last activation: others need no input."""
        places = [place for place, x in enumerate(self.upper) if isinstance(x, ELEMENTWISE)]
        return max(places, default=0)

    @property
    def highest(self) -> nn.Linear:
        """The last linear layer."""
        return cast("nn.Linear", self.upper[self.n_inner - 1]) if self.n_inner else self.lowest

    @property
    def ends_in_norms(self) -> bool:
        """Whether nothing but batch normalisation stands above the last linear layer, if that."""
        return all(isinstance(x, nn.BatchNorm1d) for x in self.upper[self.n_inner :])

    @torch.no_grad()
    def last_weight(self, *, guided: bool) -> Tensor | None:
        """The last weight as a gradient passes it, hidden x outputs, with norms that follow it.

        Guided back-propagation clips at each activation what comes down from an output. Where the
        only activation is the next layer below, that is one row of the weight times a slope that
        is not negative, in every cell, so that the clip is one of the weight and the rest can run
        forwards; `None` where it is not so.
        """
        inner, above = self.upper[: max(self.n_inner - 1, 0)], self.upper[self.n_inner :]
        weight = self.highest.weight.detach().T
        if self.ends_in_norms:
            for layer in above:
                weight = weight * cast("Tensor", _slope_of_norm(layer, weight))
        if guided:
            clips = [isinstance(layer, ELEMENTWISE) for layer in inner]
            rising = all(isinstance(layer, _RISING) for layer in above)
            if any(clips[:-1]) or not (rising or self.ends_in_norms):
                return None
            if clips and clips[-1]:
                weight = weight.clamp(min=0)
        return weight.contiguous()


def as_chain(network: nn.Module) -> Chain | None:
    """The network as a chain, or `None` where it is not a plain stack of known layers."""
    layers = list(_flatten(network))
    known = (nn.Linear, nn.BatchNorm1d, *ELEMENTWISE)
    if not all(isinstance(layer, known) for layer in layers):
        return None
    if any(isinstance(x, nn.BatchNorm1d) and x.running_var is None for x in layers):
        return None  # normalises by the batch at hand, so that cells are not independent
    if not layers or not isinstance(layers[0], nn.Linear):
        return None  # something stands between the input and the lowest matrix
    return Chain(layers[0], layers[1:])


def _flatten(network: nn.Module) -> Iterator[nn.Module]:
    if isinstance(network, nn.Sequential):
        for layer in network:
            yield from _flatten(layer)
    elif not isinstance(network, nn.Dropout | nn.Identity):
        yield network


def slopes(chain: Chain, x: Tensor) -> list[Tensor | None]:
    """Derivative of every upper layer that acts on one element at a time, at the given cells.

    Parameters
    ----------
    chain
        The network.
    x
        What its lowest layer makes of the cells.

    Returns
    -------
    Cells x width for activations, 1 x width for batch normalisation, `None` for linear layers.
    """
    found: list[Tensor | None] = []
    for n_below, layer in enumerate(chain.upper):
        if isinstance(layer, nn.Linear | nn.BatchNorm1d):
            found.append(_slope_of_norm(layer, x))
            x = layer(x) if n_below < chain.n_sloped else x
        else:
            slope, x = _slope(layer, x)
            found.append(slope)
    return found


def secants(chain: Chain, x: Tensor, start: Tensor) -> list[Tensor | None]:
    """Slope of every such layer between what it reads of a baseline and of the cells.

    The rescale rule of DeepLIFT: (f(x) - f(start)) / (x - start), or the derivative where the two
    are alike. `x` and `start` are what the lowest layer makes of cells and baselines; see
    :func:`slopes`.
    """
    found: list[Tensor | None] = []
    for n_below, layer in enumerate(chain.upper):
        if isinstance(layer, nn.Linear | nn.BatchNorm1d):
            found.append(_slope_of_norm(layer, x))
            if n_below < chain.n_sloped:
                x, start = layer(x), layer(start)
            continue
        # In float64, as the difference of neighbours in float32 is mostly rounding.
        step = x.double() - start
        rise = layer(x.double()) - layer(start.double())
        alike = step.abs() < _TINY
        slope, above = _slope(layer, x)
        secant = rise / step.masked_fill(alike, 1)
        found.append(torch.where(alike, slope.double(), secant).to(x.dtype))
        x, start = above, layer(start)
    return found


def _slope_of_norm(layer: nn.Module, x: Tensor) -> Tensor | None:
    if not isinstance(layer, nn.BatchNorm1d):
        return None
    one = x.new_ones(1, layer.num_features)
    return layer(one) - layer(torch.zeros_like(one))


def _slope(layer: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Derivative of an activation, and its value."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        y = layer(x)
        (slope,) = torch.autograd.grad(y.sum(), x)
    return slope, y.detach()


def signals(
    chain: Chain, at: list[Tensor | None], n_cells: int, unit: int, *, guided: bool
) -> tuple[Tensor, slice]:
    """What arrives above the lowest linear layer when one unit's gradient is seeded with 1.

    Parameters
    ----------
    chain
        The network.
    at
        Its slopes at some cells, from :func:`slopes` or :func:`secants`.
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


def tangents(
    chain: Chain, at: list[Tensor | None], n_cells: int, unit: int
) -> tuple[Tensor, slice]:
    """What arrives below the last linear layer when one unit of the input takes a step of 1.

    Parameters are those of :func:`signals`; `unit` is one of the inputs.

    Returns
    -------
    Cells x inputs of the last linear layer, and which of its inputs these are: all of them, or
    the unit where that layer is the only one.
    """
    if not chain.n_inner:
        return chain.lowest.weight.new_ones(n_cells, 1), slice(unit, unit + 1)
    tangent = chain.lowest.weight.detach()[:, unit].expand(n_cells, -1)
    for layer, slope in zip(chain.upper[: chain.n_inner - 1], at, strict=False):
        if isinstance(layer, nn.Linear):
            tangent = tangent @ layer.weight.T
        else:
            tangent = tangent * cast("Tensor", slope)
    return tangent, slice(None)


def output_slope(chain: Chain, at: list[Tensor | None]) -> Tensor | None:
    """Slope of what stands above the last linear layer, cells x outputs; `None` where nothing."""
    slope = None
    for above in at[chain.n_inner :]:
        slope = above if slope is None else slope * cast("Tensor", above)
    return slope
