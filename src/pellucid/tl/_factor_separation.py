from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit
from scipy.stats import rankdata
from sklearn.model_selection import StratifiedKFold

from pellucid import _keys
from pellucid._scores import factor_scores
from pellucid._validate import check_writable, group_labels

from ._comparisons import auroc, comparisons, long_table

if TYPE_CHECKING:
    from anndata import AnnData

# Numbers that are worked on at once, so that they stay in cache.
_AT_ONCE = 2**18
_MOST_STEPS = 100
_MOST_HALVINGS = 30


def factor_separation(
    adata: AnnData,
    *,
    groupby: str,
    group: str | None = None,
    reference: str = "rest",
    use_rep: str = _keys.LATENT["AnnotatedAE"],
    n_folds: int = 5,
    random_state: int = 0,
    key_added: str = _keys.FACTOR_SEPARATION,
    copy: bool = False,
) -> AnnData | None:
    r"""How well each factor alone tells a group of cells from the others :cite:p:`Rybakov2020`.

    A logistic regression of the label on the one factor's score (Fig. 2 of the paper),

    .. math:: P(\mathrm{group} \mid z_k) = \frac{1}{1 + \exp(-(b_k + w_k z_k))}

    and the share of cells that it assigns rightly: on the cells it was fitted to, as in the paper,
    and on cells held out.

    Parameters
    ----------
    adata
        With a latent representation from :func:`pellucid.tl.latent`.
    groupby
        Column of `adata.obs` that holds the labels. Cells without a label are left out.
    group
        Group to tell from `reference`; each group in turn if `None`.
    reference
        Group to tell it from. `"rest"`: all other cells that have a label, as in
        :func:`scanpy.tl.rank_genes_groups`.
    use_rep
        Key of the representation in `adata.obsm`, and of its record in `adata.uns`.
    n_folds
        Number of folds of the cross-validation, stratified by label and shuffled.
    random_state
        Seed of the folds.
    key_added
        Key in `adata.uns`.
    copy
        Whether to return a copy of `adata` rather than write to it; not of a backed one.

    Returns
    -------
    `None`, or an AnnData if `copy=True`. Sets `adata.uns[key_added]`, a :class:`dict` of

    `results` : :class:`~pandas.DataFrame`
        One row a comparison and factor, in the factors' order: `factor`, `group`, `reference`;
        `accuracy` on the training cells, `cv_accuracy`, the mean over the held-out folds; `auroc`,
        the probability that a cell of the group has a higher score than one of the reference, with
        half of the ties, below 0.5 where the group scores lower; `majority`, the share of the
        larger of the two sides, which is the accuracy of a factor that says nothing.
    `params`
        The arguments.

    Raises
    ------
    KeyError
        If `adata` lacks the representation, its record or `groupby`.
    ValueError
        If a group is unknown, on both sides or the only one, a side has fewer cells than folds,
        `n_folds` is below 2, or a score is not finite. Nothing is written then. Where every group
        is compared, one that is too small is left out with a warning.

    Notes
    -----
    The paper reports the accuracy on the training cells. With one variable that is close to the
    cross-validated one, but where one side is small neither says much: with 5% of cells in the
    group, a factor that tells nothing is right in 95%. Compare with `majority`, or read `auroc`.

    The scores are standardised (within the training folds) and the slope has scikit-learn's
    default penalty, :math:`w^2 / 2`, so that results do not depend on a factor's scale and stay
    finite where a factor separates the groups perfectly. All factors are fitted together, by
    Newton's method.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> model = pld.tl.orthogonal_ae(adata, n_latent=8, max_epochs=2)
    >>> pld.tl.factor_separation(
    ...     adata, groupby="bulk_labels", group="CD19+ B", use_rep="X_orthogonal_ae"
    ... )
    >>> pld.get.factor_separation(adata).shape
    (8, 7)
    """
    check_writable(adata, copy=copy)
    if n_folds < 2:
        raise ValueError(f"n_folds={n_folds}; cross-validation needs at least 2.")
    scores, names = factor_scores(adata, use_rep)
    found = comparisons(
        group_labels(adata, groupby),
        groupby=groupby,
        group=group,
        reference=reference,
        fewest=n_folds,
        because=f"n_folds={n_folds} needs one for each fold",
    )
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=random_state)
    tables = []
    for comparison in found:
        in_group = comparison.in_group
        n_at_once = max(1, _AT_ONCE // len(in_group))
        parts = []
        for start in range(0, len(names), n_at_once):
            x = scores[comparison.cells, start : start + n_at_once]
            held_out = [
                _accuracy(x[train], in_group[train], x[test], in_group[test])
                for train, test in folds.split(in_group, in_group)
            ]
            parts.append(
                {
                    "accuracy": _accuracy(x, in_group, x, in_group),
                    "cv_accuracy": np.mean(held_out, axis=0),
                    "auroc": auroc(rankdata(x, axis=0), in_group),
                }
            )
        columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        share = in_group.mean()
        tables.append((comparison, columns | {"majority": max(share, 1 - share)}))
    adata = adata.copy() if copy else adata
    adata.uns[key_added] = {
        "params": _keys.record(
            "tl.factor_separation",
            groupby=groupby,
            group=group,
            reference=reference,
            use_rep=use_rep,
            n_folds=n_folds,
            random_state=random_state,
            key_added=key_added,
        ),
        "results": long_table(names, tables),
    }
    return adata if copy else None


def _accuracy(x: np.ndarray, y: np.ndarray, x_new: np.ndarray, y_new: np.ndarray) -> np.ndarray:
    """Share of the new cells that each column's regression assigns rightly."""
    centre, spread = x.mean(axis=0), x.std(axis=0)
    # A column of one value has a standard deviation of rounding errors, or none.
    spread[np.ptp(x, axis=0) == 0] = np.inf
    intercept, slope = _logistic_regressions((x - centre) / spread, y)
    predicted = intercept + slope * (x_new - centre) / spread > 0
    return (predicted == y_new[:, None]).mean(axis=0)


def _logistic_regressions(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Intercept and slope of the regression of `y` on each column of `x` alone."""
    y = y[:, None]

    def loss(intercept: np.ndarray, slope: np.ndarray) -> np.ndarray:
        logit = intercept + slope * x
        return (np.logaddexp(0, logit) - y * logit).sum(axis=0) + slope**2 / 2

    slope = np.zeros(x.shape[1])
    intercept = np.full_like(slope, np.log(y.mean() / (1 - y.mean())))
    current = loss(intercept, slope)
    for _ in range(_MOST_STEPS):
        p = expit(intercept + slope * x)
        residual, weight = p - y, p * (1 - p)
        weight_x = weight * x
        gradient_intercept = residual.sum(axis=0)
        gradient_slope = (residual * x).sum(axis=0) + slope
        a, b, c = weight.sum(axis=0), weight_x.sum(axis=0), (weight_x * x).sum(axis=0) + 1
        determinant = a * c - b**2
        step_intercept = (c * gradient_intercept - b * gradient_slope) / determinant
        step_slope = (a * gradient_slope - b * gradient_intercept) / determinant
        # The loss is convex, but a whole Newton step may overshoot.
        length = np.ones_like(slope)
        for _ in range(_MOST_HALVINGS):
            proposed = loss(intercept - length * step_intercept, slope - length * step_slope)
            worse = proposed > current + 1e-12 * np.abs(current)
            if not worse.any():
                break
            length[worse] /= 2
        intercept -= length * step_intercept
        slope -= length * step_slope
        current = proposed
        # The error is about the square of the last step.
        if max(np.abs(step_intercept).max(), np.abs(step_slope).max()) < 1e-6:
            break
    return intercept, slope
