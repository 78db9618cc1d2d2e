from __future__ import annotations

import numba
import numpy as np

from ._threads import over_genes


def mrnet(information: np.ndarray) -> np.ndarray:
    r"""Maximum relevance, minimum redundancy (Meyer et al. 2007).

    For each gene, others are chosen one after the other: next the one whose information about the
    gene, less its mean information about those already chosen, is the largest. This difference is
    its weight. An edge has the larger of the weights that its two genes give each other.

    Parameters
    ----------
    information
        Mutual information, genes x genes.

    Returns
    -------
    Weights of the edges, genes x genes; 0 from where the next weight would not be positive.
    """
    information = np.ascontiguousarray(information, dtype=np.float64)
    chosen = np.zeros_like(information)
    over_genes(len(information), lambda part: _choose(part, information, chosen))
    return np.maximum(chosen, chosen.T)


@numba.njit(cache=True, nogil=True)
def _choose(part, information, chosen):
    """Weights that these genes give to others, a row each."""
    n_genes = len(information)
    for gene in part:
        relevance = information[gene]
        redundancy = np.zeros(n_genes)
        free = np.ones(n_genes, dtype=np.bool_)
        free[gene] = False
        for n_chosen in range(n_genes - 1):
            best, weight = -1, 0.0
            for other in range(n_genes):
                if free[other]:
                    score = relevance[other] - redundancy[other] / max(n_chosen, 1)
                    if score > weight:
                        best, weight = other, score
            if best < 0:
                break
            chosen[gene, best] = weight
            free[best] = False
            redundancy += information[best]
