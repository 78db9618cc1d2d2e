"""Attributions of a chain: backwards from a unit of an encoder, forwards from one of a decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch

from ._attributed import Attributed
from ._by_gene import guided_backprop
from ._chain import output_slope, secants, signals, slopes, tangents

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from ._chain import Chain
    from ._path import Path

# Numbers of units x cells x genes held at once where all units of a cell come together.
_CUBE = 1 << 24


def _slopes(chain: Chain, path: Path, *, secant: bool) -> list[Tensor | None]:
    # What the lowest layer makes of a path is a path, so that it reads the ends alone.
    x = chain.lowest(path.x)
    start = None if path.start is None else chain.lowest(path.start)
    if secant:
        return secants(chain, x, cast("Tensor", start)[0])
    return slopes(chain, path.points(start, x))


@torch.no_grad()
def through_encoder(
    chain: Chain,
    weight: Tensor,
    path: Path,
    units: Sequence[int],
    *,
    guided: bool,
    secant: bool,
) -> Iterator[Attributed]:
    """Attributions of genes to each of some units, in turn.

    Parameters
    ----------
    chain
        From genes, and covariates behind them, to units.
    weight
        Of its lowest layer, hidden x genes, contiguous.
    path
        Cells, and where the slopes are taken.
    units
        Which units.
    guided
        Whether to clip at 0 from below what arrives at an activation.
    secant
        Whether slopes are those of the rescale rule.
    """
    at = _slopes(chain, path, secant=secant)
    times, sign = path.times, path.sign
    n_points = len(path.weight)
    for unit in units:
        signal, outputs = signals(chain, at, n_points * len(path.x), unit, guided=guided)
        if times is None or len(times) == 1:
            terms = [(path.mean(signal), None if times is None else times[0])]
        else:
            each = signal.view(n_points, len(path.x), -1) * path.weight[:, None, None]
            terms = list(zip(each, times, strict=True))
        yield Attributed(unit, terms, weight[outputs], sign)


@torch.no_grad()
def through_decoder(
    chain: Chain,
    weight: Tensor | None,
    path: Path,
    units: Sequence[int],
    *,
    guided: bool,
    secant: bool,
) -> Iterator[Attributed]:
    """Attributions of each of some units to the genes, in turn.

    `chain` leads from units, and covariates behind them, to genes, and `weight` is its last one,
    `None` where `guided` has to start at each gene; the rest is as for :func:`through_encoder`.
    """
    at = _slopes(chain, path, secant=secant)
    times, sign = path.times, path.sign
    if weight is None:
        yield from _from_each_gene(chain, at, path, units)
        return
    factor = None if chain.ends_in_norms else output_slope(chain, at)
    n_points = len(path.weight)
    for unit in units:
        tangent, inputs = tangents(chain, at, n_points * len(path.x), unit)
        each = None if times is None else times[..., unit, None]
        if factor is None:
            terms: list[tuple[Tensor, Tensor | None]] = [(path.mean(tangent, each), None)]
        else:
            tangent = tangent.view(n_points, len(path.x), -1) * path.weight[:, None, None]
            tangent = tangent if each is None else tangent * each
            factors = factor.view(n_points, len(path.x), -1)
            terms = list(zip(tangent, factors, strict=True))
        yield Attributed(
            unit, terms, weight[inputs], None if sign is None else sign[:, unit, None]
        )


def _from_each_gene(
    chain: Chain, at: list[Tensor | None], path: Path, units: Sequence[int]
) -> Iterator[Attributed]:
    """The same where guided back-propagation has to start at each gene, for all units at once."""
    n_held = max(1, _CUBE // (path.n_read * chain.highest.out_features))
    cells = guided_backprop(chain, at, len(path.x), path.n_read)
    for start in range(0, len(path.x), n_held):
        n_here = min(n_held, len(path.x) - start)
        cube = torch.stack([next(cells) for _ in range(n_here)], dim=1)
        for unit in units:
            yield Attributed(unit, [(cube[unit], None)], None, None)
