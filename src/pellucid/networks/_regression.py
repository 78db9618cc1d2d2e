from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

_MOST_KNOTS = 6
_CELLS_A_KNOT = 50
# A value that this share of the cells has gets a level of its own.
_SHARE_OF_A_LEVEL = 0.05
_GENES_AT_ONCE = 64


def explained_by_regression(x: Any, query: np.ndarray) -> np.ndarray:
    r"""Mean share of the variance of all other genes that a regression on each gene explains.

    Of the share :math:`R^2` what a shuffled gene would have, :math:`(p - 1) / (n - 1)` for p
    columns and n cells, is taken away: :math:`1 - (1 - R^2) (n - 1) / (n - p)`.

    Parameters
    ----------
    x
        Cells x genes, an array or a sparse matrix.
    query
        Positions of the query genes.

    Returns
    -------
    One number a query gene, float64; NaN of one that is constant.
    """
    n_cells = x.shape[0]
    x = sparse.csc_array(x) if sparse.issparse(x) else np.asarray(x)
    x = x.astype(np.float64)
    total = np.asarray(x.sum(axis=0)).ravel()
    squares = np.asarray((x.multiply(x) if sparse.issparse(x) else x**2).sum(axis=0)).ravel()
    spread = squares - total**2 / n_cells
    varies = spread > 1e-12 * (squares + 1e-12)
    found = np.full(len(query), np.nan)
    for start in range(0, len(query), _GENES_AT_ONCE):
        some = query[start : start + _GENES_AT_ONCE]
        columns = x[:, some].toarray() if sparse.issparse(x) else x[:, some]
        bases = [_basis(column) for column in columns.T]
        ends = np.cumsum([0, *(basis.shape[1] for basis in bases)])
        products = np.asarray(x.T @ np.hstack(bases))
        for place, (gene, basis) in enumerate(zip(some, bases, strict=True)):
            if not varies[gene]:
                continue
            gram, rank = _inverse(basis.T @ basis)
            of_genes = products[:, ends[place] : ends[place + 1]]
            explained = ((of_genes @ gram) * of_genes).sum(axis=1) - total**2 / n_cells
            others = varies.copy()
            others[gene] = False
            left = 1 - explained[others] / spread[others]
            if len(left):
                found[start + place] = 1 - left.mean() * (n_cells - 1) / max(n_cells - rank, 1)
    return found


def _basis(values: np.ndarray) -> np.ndarray:
    """Columns of the regression on a gene: a constant, levels, and a broken line for the rest."""
    distinct, counts = np.unique(values, return_counts=True)
    levels = distinct[counts >= _SHARE_OF_A_LEVEL * len(values)]
    at_a_level = np.isin(values, levels)
    columns = [np.ones(len(values)), *((values == level).astype(float) for level in levels)]
    rest = values[~at_a_level]
    if len(np.unique(rest)) > 1:
        n_knots = min(_MOST_KNOTS, len(rest) // _CELLS_A_KNOT)
        knots = np.unique(np.quantile(rest, np.arange(1, n_knots + 1) / (n_knots + 1)))
        line = np.where(at_a_level, 0, values - rest.min()) / np.ptp(rest)
        knots = (knots - rest.min()) / np.ptp(rest)
        columns += [line, *(np.maximum(line - knot, 0) for knot in knots)]
    return np.stack(columns, axis=1)


def _inverse(gram: np.ndarray) -> tuple[np.ndarray, int]:
    """Pseudo-inverse of a symmetric matrix, and its rank."""
    scale = np.sqrt(gram.diagonal())
    scale = np.where(scale > 0, scale, 1)
    values, vectors = np.linalg.eigh(gram / np.outer(scale, scale))
    kept = values > 1e-10 * values[-1]
    vectors = vectors[:, kept] / scale[:, None]
    return (vectors / values[kept]) @ vectors.T, int(kept.sum())
