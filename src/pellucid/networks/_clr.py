from __future__ import annotations

import numpy as np


def clr(information: np.ndarray) -> np.ndarray:
    r"""Context likelihood of relatedness (Faith et al. 2007).

    An edge counts for as much as it exceeds the other edges of its two genes:
    :math:`\sqrt{z_i^2 + z_j^2}` with :math:`z_i = \max(0, (I_{ij} - \mu_i) / \sigma_i)`, of
    the mean and the standard deviation of gene i's information about all other genes.

    Parameters
    ----------
    information
        Mutual information, genes x genes.

    Returns
    -------
    Weights of the edges, genes x genes; 0 of a gene with itself.
    """
    n_others = len(information) - 1
    others = information.astype(np.float64)
    np.fill_diagonal(others, 0)
    mean = others.sum(axis=1) / n_others
    variance = np.maximum((others**2).sum(axis=1) / n_others - mean**2, 0)
    deviation = np.where(variance > 0, np.sqrt(variance), np.inf)
    z = np.maximum((others - mean[:, None]) / deviation[:, None], 0)
    found = np.sqrt(z**2 + z.T**2)
    np.fill_diagonal(found, 0)
    return found
