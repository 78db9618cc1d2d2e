from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import sparse

from ._mean_null import set_mean_tails

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def set_mean_test(
    scores: ArrayLike,
    gene_sets: ArrayLike | sparse.sparray | sparse.spmatrix,
    *,
    alternative: Literal["greater", "two-sided"] = "greater",
) -> tuple[np.ndarray, np.ndarray]:
    r"""Test the mean score of each gene set against drawing as many genes without replacement.

    For a unit with scores of mean :math:`\mu` and variance :math:`\sigma^2` over all N genes,
    the mean over n genes drawn without replacement has mean :math:`\mu` and variance
    (Cochran 1977, theorem 2.2)

    .. math:: \frac{\sigma^2}{n} \, \frac{N - n}{N - 1}

    which standardise the set's mean to z. The p value does not come from z: scores of genes have
    heavy tails, and the mean of a small set inherits them. Its tail is computed from the scores
    themselves, with every subset of n genes counted and none drawn, so the same call always gives
    the same answer, and it goes on below one over the number of permutations anyone would draw.

    Parameters
    ----------
    scores
        (n_genes, n_units), finite.
    gene_sets
        Whether gene i stands in set j: (n_genes, n_sets), dense or sparse; each set with one gene
        or more.
    alternative
        `"greater"`: the set's mean is larger than that of random sets, for scores that measure an
        amount. `"two-sided"`: larger or smaller, for signed scores and differences; twice the
        smaller tail.

    Returns
    -------
    tuple of numpy.ndarray
        z and p, each (n_sets, n_units) float64. p is at least 1e-12, the accuracy of the tail,
        and at least the probability of a single subset. Where nothing varies (a constant unit, a
        set of all genes) z is 0 and p is 1.

    Notes
    -----
    Computed p over the frequency among 1,000,000 random sets of 3,000 genes, where that frequency
    is 0.001 (itself known to 3%):

    =========================  ========  ======  ===========  ===========  ====
    scores                     set size  normal  Pearson III  saddlepoint  this
    =========================  ========  ======  ===========  ===========  ====
    lognormal                  5         0.00    0.94         0.99         1.00
    squared normal             5         0.00    1.19         0.99         0.98
    t, 3 degrees of freedom    5         0.00    0.01         0.62         0.96
    t, 3 degrees of freedom    50        0.23    0.48         1.05         1.05
    attributions, skewness 4   5         0.00    0.18         0.64         1.00
    attributions, skewness 4   15        0.00    0.40         0.90         1.01
    attributions, skewness 4   50        0.04    0.69         0.98         1.00
    largest error in p         5         0.11    0.07                      0.01
    =========================  ========  ======  ===========  ===========  ====

    "Normal" is the tail of z, Pearson III matches the third moment of the mean as well, the
    saddlepoint tail is Skovgaard's for sampling without replacement; the attributions are of the
    most skewed unit of an autoencoder trained on the counts of pbmc3k. The error that is left
    comes from rounding the scores.

    Examples
    --------
    >>> import numpy as np
    >>> from pellucid.enrichment import set_mean_test
    >>> scores = np.arange(20.0)[:, None]
    >>> last_three = np.arange(20)[:, None] >= 17
    >>> z, p = set_mean_test(scores, last_three)
    >>> bool(np.isclose(p.item(), 1 / 1140))  # the best of 20 x 19 x 18 / 6 subsets
    True
    """
    if alternative not in ("greater", "two-sided"):
        raise ValueError(
            f"alternative={alternative!r} is unknown; choose 'greater' or 'two-sided'."
        )
    scores = np.asarray(scores, dtype=np.float64)
    members = sparse.csr_array(sparse.csr_array(gene_sets).T, dtype=np.int64)
    if scores.ndim != 2 or members.shape[1] != len(scores):
        raise ValueError(
            f"scores has shape {scores.shape} and gene_sets {members.shape[::-1]}; expected "
            "(n_genes, n_units) and (n_genes, n_sets) with the same genes."
        )
    if not np.isfinite(scores).all():
        raise ValueError("scores holds NaN or infinite values; expected finite ones.")
    n_genes, n_units = scores.shape
    sizes = members.sum(axis=1)
    if not (sizes > 0).all():
        raise ValueError(f"{(sizes == 0).sum()} of {len(sizes)} gene sets have no gene.")

    z = np.zeros((len(sizes), n_units))
    p = np.ones((len(sizes), n_units))
    varies = np.flatnonzero(np.ptp(scores, axis=0) > 0)
    tested = np.flatnonzero(sizes < n_genes)
    members, sizes = members[tested], sizes[tested]
    means = members @ scores / sizes[:, None]
    shrinkage = np.sqrt((n_genes - sizes) / (n_genes - 1) / sizes)
    for unit in varies:
        column = scores[:, unit]
        z[tested, unit] = (means[:, unit] - column.mean()) / (column.std() * shrinkage)
        upper, lower = set_mean_tails(column, members, sizes)
        p[tested, unit] = (
            upper if alternative == "greater" else np.minimum(1, 2 * np.minimum(upper, lower))
        )
    return z, p
