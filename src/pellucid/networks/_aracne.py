from __future__ import annotations

import numba
import numpy as np

from ._threads import over_genes


def aracne(information: np.ndarray) -> np.ndarray:
    """Mutual information less the edges that a third gene explains (Margolin et al. 2006).

    By the data processing inequality what passes from one gene to another through a third is not
    more than either step tells: of three genes the edge of least information goes.

    Parameters
    ----------
    information
        Mutual information, genes x genes.

    Returns
    -------
    Weights of the edges, genes x genes: the information of those that stay, 0 of all others.
    """
    information = np.ascontiguousarray(information, dtype=np.float64)
    found = information.copy()
    np.fill_diagonal(found, 0)
    over_genes(len(information), lambda part: _remove(part, information, found))
    return found


@numba.njit(cache=True, nogil=True)
def _remove(part, information, found):
    """Set to 0 the edges of these genes that are the least of three."""
    n_genes = len(information)
    for gene in part:
        for other in range(n_genes):
            edge = information[gene, other]
            if other == gene:
                continue
            for third in range(n_genes):
                if third in (gene, other):
                    continue
                if information[gene, third] > edge and information[other, third] > edge:
                    found[gene, other] = 0.0
                    break
