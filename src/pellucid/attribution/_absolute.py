"""Sums of absolute products, accumulated while they are in cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

if TYPE_CHECKING:
    from concurrent.futures import Executor

# The products of 8 cells with 512 genes, and the two rows of the weight that they are made of,
# stay in the first cache. The 16 signals that make them stay in registers.
_CELLS = 8
_GENES = 512
# Floats in a line of the cache.
_LINE = 16


# A loop over the genes and not BLAS, which would write every product to memory to take its
# absolute value; this keeps pace with it. Sums may be reordered, so that they vectorise.
@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _add(signals, rows, weight, start, stop, out):
    # The shape is a constant, for rows to be known apart: else the loop does not vectorise. Rows
    # begin with a line of the cache: else it takes up to twice as long.
    products = np.empty((_CELLS, _GENES + _LINE), np.float32)
    skipped = -(products.ctypes.data >> 2) % _LINE
    for cell in range(0, signals.shape[0], _CELLS):
        products[:] = 0.0
        for row in range(0, rows.size, 2):
            first = weight[rows[row], start:stop]
            second = weight[rows[row + 1], start:stop]
            pair = signals[cell : cell + _CELLS, row : row + 2]
            for gene in range(stop - start):
                one, other = first[gene], second[gene]
                for i in range(_CELLS):
                    products[i, skipped + gene] += pair[i, 0] * one + pair[i, 1] * other
        for gene in range(stop - start):
            total = np.float32(0.0)
            for i in range(_CELLS):
                total += abs(products[i, skipped + gene])
            out[start + gene] += total


def add_absolute_products(
    signals: np.ndarray, weight: np.ndarray, out: np.ndarray, threads: Executor
) -> None:
    """Add the sum over cells of `abs(signals @ weight)` to `out`.

    Parameters
    ----------
    signals
        Cells x hidden, float32. Columns of zeros, of which the clip of guided back-propagation
        makes many, cost nothing.
    weight
        Hidden x genes, float32, contiguous.
    out
        Genes, float64.
    threads
        What works on the blocks of genes.
    """
    rows = np.flatnonzero(signals.any(axis=0))
    n_cells = -(-len(signals) // _CELLS) * _CELLS
    padded = np.zeros((n_cells, rows.size + rows.size % 2), np.float32)
    padded[: len(signals), : rows.size] = signals.take(rows, axis=1)
    # The padded column holds zeros, whichever row of the weight it meets.
    rows = np.append(rows, rows[: rows.size % 2])

    def add(start: int) -> None:
        _add(padded, rows, weight, start, min(start + _GENES, out.size), out)

    list(threads.map(add, range(0, out.size, _GENES)))
