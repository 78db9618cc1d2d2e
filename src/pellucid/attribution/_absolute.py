"""Sums of absolute products, accumulated while they are in cache."""

from __future__ import annotations

import numba
import numpy as np
from threadpoolctl import threadpool_limits

# A block of products, 256 genes x 128 cells in float32, fits the second cache beside its factors.
_GENES = 256
_CELLS = 128
# Sums may be reordered, so that they vectorise.
_FAST = {"reassoc", "contract", "nsz"}


@numba.njit(cache=True, parallel=True, error_model="numpy", fastmath=_FAST)
def _add(weight, signals, out):
    n_genes = weight.shape[0]
    for block in numba.prange((n_genes + _GENES - 1) // _GENES):
        start = block * _GENES
        stop = min(start + _GENES, n_genes)
        products = np.empty((stop - start, _CELLS), np.float32)
        for chunk in range(signals.shape[0]):
            np.dot(weight[start:stop], signals[chunk], products)
            for gene in range(start, stop):
                total = np.float32(0.0)
                for cell in range(_CELLS):
                    total += abs(products[gene - start, cell])
                out[gene] += total


def add_absolute_products(signals: np.ndarray, weight: np.ndarray, out: np.ndarray) -> None:
    """Add the sum over cells of `abs(signals @ weight.T)` to `out`.

    Parameters
    ----------
    signals
        Cells x hidden, float32. Columns of zeros, of which the clip of guided back-propagation
        makes many, cost nothing.
    weight
        Genes x hidden, float32, contiguous.
    out
        Genes, float64.
    """
    used = np.flatnonzero(signals.any(axis=0))
    if used.size == 0:
        return
    n_chunks = -(-len(signals) // _CELLS)
    padded = np.zeros((n_chunks * _CELLS, used.size), np.float32)
    padded[: len(signals)] = signals[:, used]
    chunks = np.ascontiguousarray(padded.reshape(n_chunks, _CELLS, -1).transpose(0, 2, 1))
    if used.size < weight.shape[1]:
        weight = weight[:, used]
    # The gene blocks are the threads; BLAS threads of their own would fight them.
    with threadpool_limits(1, "blas"):
        _add(np.ascontiguousarray(weight), chunks, out)
