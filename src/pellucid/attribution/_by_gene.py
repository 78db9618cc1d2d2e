"""Guided back-propagation of a decoder, which has to start at each gene."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from torch import nn

from ._chain import ELEMENTWISE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from ._chain import Chain

# Genes whose signals are held at once: as many as a product is fast with.
_GENES = 512


def guided_backprop(
    chain: Chain, at: list[Tensor | None], n_cells: int, n_read: int
) -> Iterator[Tensor]:
    """For each of some cells in turn, guided gradient of every gene by every unit.

    What a clip takes differs between genes, so that every cell has a product of its own for each
    of the matrices, genes x hidden by hidden x hidden: one backward pass a gene and cell.

    Parameters
    ----------
    chain
        A decoder.
    at
        Its slopes at the cells.
    n_cells
        The number of cells.
    n_read
        Inputs that are units; those that follow are covariates.

    Yields
    ------
    Units x genes.
    """
    lowest, highest = chain.lowest.weight[:, :n_read], chain.highest.weight
    for cell in range(n_cells):
        # What is alike in all cells has one row.
        here = [None if slope is None else slope[min(cell, len(slope) - 1)] for slope in at]
        top = highest.new_ones(len(highest))
        for layer, slope in _downwards(chain.upper[chain.n_inner :], here[chain.n_inner :]):
            top = _pass(layer, slope, top)
        found = highest.new_empty(n_read, len(highest))
        for start in range(0, len(highest), _GENES):
            genes = slice(start, start + _GENES)
            signal = highest[genes] * top[genes, None]
            for layer, slope in _downwards(chain.upper[: chain.n_inner - 1], here):
                if isinstance(layer, nn.Linear):
                    signal = signal @ layer.weight
                else:
                    signal = _pass(layer, slope, signal)
            found[:, genes] = (signal @ lowest).T
        yield found


def _downwards(
    layers: list[nn.Module], at: list[Tensor | None]
) -> Iterator[tuple[nn.Module, Tensor | None]]:
    return zip(reversed(layers), reversed(at[: len(layers)]), strict=True)


def _pass(layer: nn.Module, slope: Tensor | None, signal: Tensor) -> Tensor:
    if isinstance(layer, ELEMENTWISE):
        signal = signal.clamp(min=0)
    return signal * cast("Tensor", slope)
