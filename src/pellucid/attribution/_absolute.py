"""Sums of absolute products, accumulated while they are in cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np
import torch

if TYPE_CHECKING:
    from concurrent.futures import Executor

# The products of 4 cells with 1,024 genes stay in the first cache, beside the 4 rows of the weight
# that they are made of; the 16 signals that make them stay in registers.
_CELLS = 4
_GENES = 1024
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
        for row in range(0, rows.size, 4):
            first = weight[rows[row], start:stop]
            second = weight[rows[row + 1], start:stop]
            third = weight[rows[row + 2], start:stop]
            fourth = weight[rows[row + 3], start:stop]
            by = signals[cell : cell + _CELLS, row : row + 4]
            for gene in range(stop - start):
                a, b, c, d = first[gene], second[gene], third[gene], fourth[gene]
                for i in range(_CELLS):
                    product = by[i, 0] * a + by[i, 1] * b + by[i, 2] * c + by[i, 3] * d
                    products[i, skipped + gene] += product
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
        Cells x hidden, float32. Rows and columns of zeros, of which ReLU and the clip of guided
        back-propagation make many, cost nothing.
    weight
        Hidden x genes, float32, contiguous.
    out
        Genes, float64.
    threads
        What works on the blocks of genes, on as many threads as PyTorch.
    """
    used = signals != 0
    cells, rows = np.flatnonzero(used.any(axis=1)), np.flatnonzero(used.any(axis=0))
    padded = np.zeros((_padded(cells.size, _CELLS), _padded(rows.size, 4)), np.float32)
    padded[: cells.size, : rows.size] = signals.take(cells, 0).take(rows, 1)
    # Padded columns hold zeros, whichever row of the weight they meet.
    rows = np.append(rows, np.zeros(padded.shape[1] - rows.size, rows.dtype))

    n_blocks = _padded(-(-out.size // _GENES), torch.get_num_threads())
    width = -(-out.size // n_blocks)

    def add(start: int) -> None:
        _add(padded, rows, weight, start, min(start + width, out.size), out)

    list(threads.map(add, range(0, out.size, width)))


def _padded(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple
