from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numba
import numpy as np
from scipy import sparse
from scipy.stats import rankdata

from ._correlation import correlation
from ._threads import over_genes

if TYPE_CHECKING:
    from collections.abc import Iterator

_GENES_AT_ONCE = 256
# minet's: correlations of 1 have no finite information.
_LARGEST_SQUARE = 0.999999


def mutual_information(
    x: Any,
    *,
    estimator: Literal["bins", "spearman"] = "bins",
    n_bins: int | None = None,
    miller_madow: bool = True,
) -> np.ndarray:
    r"""Mutual information of every pair of genes over cells, in nats.

    Parameters
    ----------
    x
        Cells x genes, an array or a sparse matrix.
    estimator
        * ``'bins'`` - of the counts of cells in bins that hold as many cells each. Equal values
          share a bin, so that zeros have one to themselves.
        * ``'spearman'`` - :math:`-\frac{1}{2} \log(1 - \rho^2)` of Spearman's correlation
          :math:`\rho`: the information of normal variables of that correlation. The default of the
          R package minet, with which the paper's authors ran CLR, MRNET and ARACNE.
    n_bins
        Number of bins; the cube root of the number of cells if `None`. The estimate for two
        independent genes exceeds 0 by :math:`(b - 1)^2 / 2n`: 1/2 nat at minet's
        :math:`b = \sqrt{n}` however many cells there are, and nothing, in the end, at the cube
        root.
    miller_madow
        Whether that excess is subtracted, as far as the numbers of bins that hold cells tell
        (Miller 1955). Without, genes of more distinct values look more connected.

    Returns
    -------
    Genes x genes, float32; 0 at least, and of a gene with itself.
    """
    if estimator == "spearman":
        ranks = np.concatenate(
            [rankdata(part, axis=0).astype(np.float32) for part in _columns(x)], axis=1
        )
        squared = np.minimum(correlation(ranks) ** 2, _LARGEST_SQUARE)
        return (-0.5 * np.log1p(-squared)).astype(np.float32)
    if n_bins is None:
        n_bins = max(2, round(x.shape[0] ** (1 / 3)))
    codes = np.concatenate([_binned(part, n_bins) for part in _columns(x)])
    return _of_codes(codes, miller_madow=miller_madow)


def _columns(x: Any) -> Iterator[np.ndarray]:
    """Some genes at a time, dense."""
    x = sparse.csc_array(x) if sparse.issparse(x) else np.asarray(x)
    for start in range(0, x.shape[1], _GENES_AT_ONCE):
        part = x[:, start : start + _GENES_AT_ONCE]
        yield part.toarray() if sparse.issparse(part) else part


def _binned(part: np.ndarray, n_bins: int) -> np.ndarray:
    """Bin of each value, genes x cells, counted from 0 without gaps."""
    n_cells = len(part)
    # The middle of the ranks of equal values, from 0 to 1.
    middle = (rankdata(part, axis=0) - 0.5) / n_cells
    bins = np.minimum((middle * n_bins).astype(np.int64), n_bins - 1).T
    return np.stack([np.unique(gene, return_inverse=True)[1] for gene in bins]).astype(np.int16)


def _of_codes(codes: np.ndarray, *, miller_madow: bool) -> np.ndarray:
    n_genes, n_cells = codes.shape
    n_bins = int(codes.max()) + 1
    sizes = np.stack([np.bincount(gene, minlength=n_bins) for gene in codes])
    commonest = sizes.argmax(axis=1)
    # Cells in the commonest bin are what is left of the others, and need not be counted.
    gene, cell = np.nonzero(codes != commonest[:, None])
    starts = np.searchsorted(gene, np.arange(n_genes + 1))
    order = np.argsort(np.diff(starts), kind="stable")
    count = np.arange(n_cells + 1, dtype=np.float64)
    x_log_x = count * np.log(np.maximum(count, 1))
    found = np.zeros((n_genes, n_genes), dtype=np.float32)

    def work(part: np.ndarray) -> None:
        _fill(part, order, codes, sizes, commonest, starts, cell, x_log_x, miller_madow, found)

    over_genes(n_genes, work)
    return found


@numba.njit(cache=True, nogil=True)
def _fill(part, order, codes, sizes, commonest, starts, cells, x_log_x, miller_madow, found):
    """Information of the genes at these places of the order with all that follow."""
    n_genes, n_cells = codes.shape
    n_bins = sizes.shape[1]
    alone = np.zeros(n_genes)
    n_held = np.zeros(n_genes)
    for gene in range(n_genes):
        for size in sizes[gene]:
            alone[gene] += x_log_x[size]
            n_held[gene] += size > 0
    table = np.zeros((n_bins, n_bins), dtype=np.int64)
    for place in part:
        first = order[place]
        for second in order[place + 1 :]:
            table[:] = 0
            for at in range(starts[first], starts[first + 1]):
                table[codes[first, cells[at]], codes[second, cells[at]]] += 1
            together = 0.0
            n_joint = 0
            for column in range(n_bins):
                left = sizes[second, column]
                for row in range(n_bins):
                    if row != commonest[first]:
                        size = table[row, column]
                        left -= size
                        together += x_log_x[size]
                        n_joint += size > 0
                together += x_log_x[left]
                n_joint += left > 0
            information = together - alone[first] - alone[second] + x_log_x[n_cells]
            if miller_madow:
                information -= (n_joint - n_held[first] - n_held[second] + 1) / 2
            information = max(information / n_cells, 0.0)
            found[first, second] = information
            found[second, first] = information
