"""Attributions of a network that is no chain, through automatic differentiation and captum."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch

from ._attributed import Attributed
from ._autograd import deep_lift, derivatives, gradients

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor, nn

    from ._path import Path


def through_autograd(
    network: nn.Module, path: Path, units: Sequence[int], *, guided: bool, secant: bool
) -> Iterator[Attributed]:
    """Attributions of genes to each of some units of an encoder, in turn.

    Parameters
    ----------
    network
        From genes, and covariates behind them, to units.
    path, units, guided, secant
        See :func:`~pellucid.attribution._through_chain.through_encoder`.
    """
    if secant:
        found = deep_lift(network, path.x, cast("Tensor", path.start)[0], units)
        sign = path.sign
        for unit, values in zip(units, found, strict=True):
            yield Attributed(unit, [(values[:, : path.n_read], None)], None, sign)
        return
    times, sign = path.times, path.sign
    found = gradients(network, path.points(path.start, path.x), units, guided=guided)
    for unit, values in zip(units, found, strict=True):
        mean = path.mean(values[:, : path.n_read], times)
        yield Attributed(unit, [(mean, None)], None, sign)


def through_derivatives(
    network: nn.Module, path: Path, units: Sequence[int], *, guided: bool, secant: bool
) -> Iterator[Attributed]:
    """Attributions of each of some units of a decoder to the genes, in turn.

    Forwards from each unit; what has no forward rule, backwards from each gene.
    """
    times, sign = path.times, path.sign
    x = path.points(path.start, path.x)
    if not (guided or secant):
        for unit, values in zip(units, derivatives(network, x, units), strict=True):
            each = None if times is None else times[..., unit, None]
            here = None if sign is None else sign[:, unit, None]
            yield Attributed(unit, [(path.mean(values, each), None)], None, here)
        return
    with torch.no_grad():
        genes = range(network(x[:1]).shape[1])
    if secant:
        found = deep_lift(network, x, cast("Tensor", path.start)[0], genes)
    else:
        found = gradients(network, x, genes, guided=True)
    chosen = torch.stack([values[:, list(units)].T for values in found], dim=2)
    for unit, values in zip(units, chosen, strict=True):
        here = None if sign is None else sign[:, unit, None]
        yield Attributed(unit, [(values, None)], None, here)
