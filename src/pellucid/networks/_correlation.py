from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

_ROWS_AT_ONCE = 4096


def correlation(x: Any) -> np.ndarray:
    """Pearson's correlation of every pair of genes over cells.

    Parameters
    ----------
    x
        Cells x genes: an array, a sparse matrix, or one on disk, which is read in blocks of cells.

    Returns
    -------
    Genes x genes, float64. 0 with a gene that is constant, and 0 of a gene with itself.
    """
    n_cells, n_genes = x.shape
    blocks = [slice(start, start + _ROWS_AT_ONCE) for start in range(0, n_cells, _ROWS_AT_ONCE)]
    mean = sum((_dense(x[rows]).sum(axis=0) for rows in blocks), np.zeros(n_genes)) / n_cells
    products = np.zeros((n_genes, n_genes))
    for rows in blocks:
        centred = _dense(x[rows]) - mean
        products += centred.T @ centred
    variance = products.diagonal().copy()
    varies = variance > 1e-12 * n_cells * (mean**2 + 1e-12)
    scale = np.where(varies, 1 / np.sqrt(np.where(varies, variance, 1)), 0)
    found = np.clip(products * scale * scale[:, None], -1, 1)
    np.fill_diagonal(found, 0)
    return found


def _dense(block: Any) -> np.ndarray:
    dense = block.toarray() if sparse.issparse(block) else np.asarray(block)
    return dense.astype(np.float64)
