from __future__ import annotations

from functools import cache

import numpy as np
from scipy.stats import norm, rankdata

# As scipy's `method="auto"`: the smaller side's size up to which the null is counted out.
_EXACT = 8


def rank_sum(values: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Two-sided p values of Wilcoxon's rank-sum test (Mann and Whitney's U), many at once.

    Parameters
    ----------
    values
        (n_tests, n) or, the same in all tests, (1, n).
    members
        Which of them stand on one side, (n_tests, n) or (1, n) bool; one at least on each side.

    Returns
    -------
    (n_tests,), equal to those of :func:`scipy.stats.mannwhitneyu`: exact where no values are tied
    and a side has 8 at most, else by the normal distribution, for ties and for continuity
    corrected. 1 where all values are the same.
    """
    values, members = np.atleast_2d(values), np.atleast_2d(members)
    n = values.shape[1]
    ranks = rankdata(values, axis=1)
    n_in = members.sum(axis=1)
    pairs = n_in * (n - n_in)
    # One row is ranked once, and no tests x n of numbers are held.
    of_members = members @ ranks[0] if len(ranks) == 1 else (ranks * members).sum(axis=1)
    u = of_members - n_in * (n_in + 1) / 2
    u = np.maximum(u, pairs - u)
    shared = np.array([_tie_term(row) for row in ranks])
    u, n_in, pairs, shared = np.broadcast_arrays(u, n_in, pairs, shared)
    n_out = n - n_in
    variance = pairs / 12 * (n + 1 - shared / (n * (n - 1)))
    with np.errstate(divide="ignore", invalid="ignore"):
        pvalue = 2 * norm.sf((u - pairs / 2 - 0.5) / np.sqrt(variance))
    pvalue = np.where(variance > 0, np.minimum(pvalue, 1), 1)
    exact = (np.minimum(n_in, n_out) <= _EXACT) & (shared == 0)
    for place in np.flatnonzero(exact):
        pvalue[place] = _exact(int(n_in[place]), int(n_out[place]), int(u[place]))
    return pvalue


def _tie_term(ranks: np.ndarray) -> float:
    _, count = np.unique(ranks, return_counts=True)
    return float((count**3 - count).sum())


@cache
def _exact(n_in: int, n_out: int, u: int) -> float:
    return float(min(1.0, 2 * _survival(*sorted((n_in, n_out)))[u]))


@cache
def _survival(n_few: int, n_many: int) -> np.ndarray:
    """Share of all ways to choose, by the least U that they give."""
    # Polynomials in U: choosing i of m gives f(i, m) = f(i, m - 1) + x^(m - i) f(i - 1, m - 1).
    ways = [np.zeros(n_few * n_many + 1) for _ in range(n_few + 1)]
    ways[0][0] = 1
    for m in range(1, n_few + n_many + 1):
        for i in range(min(n_few, m), 0, -1):
            shift = m - i
            if shift <= n_few * n_many:
                ways[i][shift:] += ways[i - 1][: len(ways[i]) - shift]
    counts = ways[n_few]
    return counts[::-1].cumsum()[::-1] / counts.sum()
