from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse, stats

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def over_representation_test(
    selected: ArrayLike, gene_sets: ArrayLike | sparse.sparray | sparse.spmatrix
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""Test whether more of a set's genes were selected than of all genes.

    Of N measured genes n are selected and m stand in the set. If genes were selected at random,
    the number of selected genes in the set is hypergeometric; with k of them found,

    .. math:: p = \sum_{i=k}^{\min(n, m)} \binom{m}{i} \binom{N - m}{n - i} \Big/ \binom{N}{n}

    which is the one-sided exact test of Fisher. The background is what is measured: a gene that
    could not be selected is not counted, neither in a set nor outside.

    Parameters
    ----------
    selected
        Whether gene i is among the selected genes of unit k, (n_genes, n_units) bool.
    gene_sets
        Whether gene i stands in set j: (n_genes, n_sets), dense or sparse.

    Returns
    -------
    tuple of numpy.ndarray
        Overlap k (int), odds ratio and p, each (n_sets, n_units). The odds ratio has one half
        added to each of the four counts (Haldane and Anscombe), as gseapy's has, so that it is
        finite.

    Examples
    --------
    >>> import numpy as np
    >>> from pellucid.enrichment import over_representation_test
    >>> first_two = np.arange(20)[:, None] < 2
    >>> overlap, odds_ratio, p = over_representation_test(first_two, first_two)
    >>> bool(np.isclose(p.item(), 1 / 190))  # one of 20 x 19 / 2 pairs
    True
    """
    selected = np.asarray(selected, dtype=bool)
    members = sparse.csr_array(sparse.csr_array(gene_sets).T, dtype=np.int64)
    if selected.ndim != 2 or members.shape[1] != len(selected):
        raise ValueError(
            f"selected has shape {selected.shape} and gene_sets {members.shape[::-1]}; expected "
            "(n_genes, n_units) and (n_genes, n_sets) with the same genes."
        )
    n_genes = len(selected)
    overlap = members @ selected.astype(np.int64)
    sizes = np.broadcast_to(members.sum(axis=1)[:, None], overlap.shape)
    n_selected = np.broadcast_to(selected.sum(axis=0), overlap.shape)
    # Few of the tables differ: a tail is summed once for all that are alike.
    tables = np.stack([overlap, sizes, n_selected]).reshape(3, -1)
    (found, size, n), place = np.unique(tables, axis=1, return_inverse=True)
    p = stats.hypergeom.sf(found - 1, n_genes, size, n)[place.ravel()].reshape(overlap.shape)
    neither = n_genes - sizes - n_selected + overlap
    odds_ratio = (overlap + 0.5) * (neither + 0.5)
    odds_ratio /= (sizes - overlap + 0.5) * (n_selected - overlap + 0.5)
    return overlap, odds_ratio, np.clip(p, 0, 1)
