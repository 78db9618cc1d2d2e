from __future__ import annotations

from itertools import permutations
from math import factorial

import numpy as np
from scipy.special import stdtr
from scipy.stats import rankdata

# Up to so many, all orders are counted out: 362,880 of them.
_EXACT = 9


def spearman(values: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spearman's correlation of each row with the same numbers, and its two-sided p value.

    Parameters
    ----------
    values
        (n_tests, n).
    other
        (n,).

    Returns
    -------
    Correlations, NaN of a row whose values are all the same, and p values: the share of all orders
    that correlate as much for n up to 9, else by Student's t, as in scipy, but no less than two of
    all orders have; 1 for NaN. Below about n = 20, Student's t is too small in the tail.
    """
    n = len(other)
    ranks = rankdata(values, axis=1)
    mine = rankdata(other)
    centred = ranks - (n + 1) / 2
    scale = np.sqrt((centred**2).sum(axis=1) * ((mine - (n + 1) / 2) ** 2).sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        rho = np.clip(centred @ mine / scale, -1, 1)
    defined = scale > 0
    rho[~defined] = np.nan
    pvalue = np.ones(len(ranks))
    if n > _EXACT:
        with np.errstate(divide="ignore"):
            t = np.abs(rho) * np.sqrt((n - 2) / (1 - rho**2))
        pvalue[defined] = np.maximum(2 * stdtr(n - 2, -t[defined]), 2 / factorial(n))
        return rho, pvalue
    orders = np.fromiter(permutations(mine), np.dtype((np.float64, n)), factorial(n))
    # What all orders give depends on the values by their ties alone.
    patterns, which = np.unique(np.sort(centred, axis=1), axis=0, return_inverse=True)
    found = np.abs(centred @ mine)
    for code, pattern in enumerate(patterns):
        null = np.sort(np.abs(orders @ pattern))
        rows = (which.ravel() == code) & defined
        # Sums of half ranks are exact but for rounding.
        reached = len(null) - np.searchsorted(null, found[rows] - 1e-6)
        pvalue[rows] = reached / len(null)
    return rho, pvalue
