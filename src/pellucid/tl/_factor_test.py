from __future__ import annotations

import logging
from math import comb
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.stats import false_discovery_control, rankdata

from pellucid import _keys
from pellucid._scores import factor_scores
from pellucid._validate import check_writable, group_labels

from ._comparisons import Comparison, auroc, comparisons, long_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData

logger = logging.getLogger("pellucid")

# Labels that are held at once: permutations x cells.
_AT_ONCE = 2**22
_LEVEL = 0.05


def factor_test(
    adata: AnnData,
    *,
    groupby: str,
    group: str | None = None,
    reference: str = "rest",
    sample_key: str | None = None,
    n_permutations: int = 1000,
    use_rep: str = _keys.LATENT["AnnotatedAE"],
    random_state: int = 0,
    key_added: str = _keys.FACTOR_TEST,
    copy: bool = False,
) -> AnnData | None:
    r"""Which factors differ between groups of cells, by permutation (not in the papers).

    The score of each factor is compared between the group and the reference by the sum of the
    ranks that the group's cells have among all cells of the two, with mid-ranks for ties. The p
    value is two-sided and comes from permuting the labels,

    .. math:: p = \frac{1 + \#\{i : |T_i| \ge |T|\}}{1 + m}

    with T the rank sum less its mean over permutations and m permutations, the same ones for all
    factors. It is uniform where the labels say nothing, at any size of the groups; ties, as of a
    sparse factor, can only make it larger.

    Parameters
    ----------
    adata
        With a latent representation from :func:`pellucid.tl.latent`.
    groupby
        Column of `adata.obs` that holds the labels. Cells without a label are left out.
    group
        Group to compare with `reference`; each group in turn if `None`.
    reference
        Group to compare with. `"rest"`: all other cells that have a label, as in
        :func:`scanpy.tl.rank_genes_groups`.
    sample_key
        Column of `adata.obs` that says which sample (donor, animal, well) a cell comes from; cells
        without one are left out. Samples, not cells, are compared and permuted then; see Notes.
        Pass it wherever there are replicates.
    n_permutations
        Number of permutations m. No p value is below 1 / (m + 1), and no adjusted one of a lone
        factor among K active ones below K / (m + 1): with hundreds of factors take 10,000 or more.
        If that is what keeps a factor from significance, a warning says so.
    use_rep
        Key of the representation in `adata.obsm`, and of its record in `adata.uns`.
    random_state
        Seed of the permutations.
    key_added
        Key in `adata.uns`.
    copy
        Whether to return a copy of `adata` rather than write to it; not of a backed one.

    Returns
    -------
    `None`, or an AnnData if `copy=True`. Sets `adata.uns[key_added]`, a :class:`dict` of

    `results` : :class:`~pandas.DataFrame`
        One row a comparison and factor, in the factors' order: `factor`, `group`, `reference`;
        `mean_difference`, group less reference; `effect_size`, the same in pooled standard
        deviations; `auroc`, the probability that a cell of the group has a higher score than one
        of the reference, with half of the ties; `pvalue`; `padj`, Benjamini-Hochberg over the
        active factors of one comparison; `redundancy`, the share of the variance of the factor's
        score, over all cells, that the scores of all other active factors explain together
        (:math:`R^2`); `closest`, the factor whose score it correlates with most, either way, and
        `closest_r`, that correlation.
        A deactivated factor, whose score is the same in every cell, has p values of 1, no
        `closest` (an empty text) and NaN for `redundancy` and `closest_r`.
    `params`
        The arguments.

    Raises
    ------
    KeyError
        If `adata` lacks the representation, its record, `groupby` or `sample_key`.
    ValueError
        If a group is unknown, on both sides or the only one, a side has fewer than two cells or
        samples, `n_permutations` is below 1, or a score is not finite. Nothing is written then.
        Where every group is compared, one that is too small is left out with a warning.

    Notes
    -----
    *Cells are not replicates.* Cells of one donor resemble each other: they share genotype, age,
    dissociation and sequencing run. A test that takes a thousand cells of each of two donors for
    two thousand independent observations finds that donor differs from donor, with a p value
    as small as the permutations allow, whatever was done to them; it would find so without any
    treatment, and more cells of the same donors make it more certain of nothing. (The same holds
    of any test of cells, the Bayes factors of other packages among them.) The number that
    counts is that of donors. With `sample_key` the scores are averaged over the cells of each
    sample in each group, and the averages are compared. Samples with cells in one of the two
    groups have their labels permuted. Samples with cells in both are their own controls: each pair
    of averages is centred, which takes the donor's own level away, and the two labels are
    exchanged or not; `pvalue` tests that no difference within a donor has a preferred sign. All
    columns from `mean_difference` to `padj` are then of averages.
    With few samples there are few ways to permute: four pairs have 16, so that no p value
    lies below 2 / 16. A warning says where significance cannot be reached.

    Without `sample_key` the p value speaks of these cells only: whether this
    label is linked to the score among them, not whether it would be in other donors.

    *Overlapping sets share credit.* Where two pathways have most genes in common, a model may give
    the signal to either, and a retrained one to the other. A factor with `redundancy` near 1 is
    not evidence by itself: report it with its `closest`.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> model = pld.tl.orthogonal_ae(adata, n_latent=8, max_epochs=2)
    >>> pld.tl.factor_test(adata, groupby="bulk_labels", use_rep="X_orthogonal_ae")
    >>> table = pld.get.factor_test(adata)
    >>> different = table[table["padj"] < 0.05]
    """
    check_writable(adata, copy=copy)
    if n_permutations < 1:
        raise ValueError(f"n_permutations={n_permutations}; at least 1 is needed.")
    scores, names = factor_scores(adata, use_rep)
    labels = group_labels(adata, groupby)
    samples = None
    if sample_key is not None:
        samples = group_labels(adata, sample_key, argument="sample_key").codes
        labels = labels.copy()
        labels[samples < 0] = np.nan
    found = comparisons(
        labels,
        groupby=groupby,
        group=group,
        reference=reference,
        fewest=2,
        because="a test needs two on each side",
    )
    active = np.ptp(scores, axis=0) > 0
    scores[:, ~active] = 0  # averages of a constant would differ by rounding errors
    shared = _shared_credit(scores, names, active)
    tables = []
    for comparison in found:
        values, in_group = scores[comparison.cells], comparison.in_group
        blocks = np.zeros(len(values), dtype=int)
        if samples is not None:
            values, in_group, blocks = _averages(values, in_group, samples[comparison.cells])
            _check_samples(comparison, in_group, blocks, sample_key)
        ranks = rankdata(values, axis=0)
        columns = _describe(values, ranks, in_group)
        if blocks.any():
            ranks = rankdata(_centred(values, blocks), axis=0)
        columns["pvalue"] = _permute(
            ranks, in_group, blocks, n_permutations, np.random.default_rng(random_state)
        )
        columns["padj"] = np.ones(len(names))
        if active.any():
            columns["padj"][active] = false_discovery_control(columns["pvalue"][active])
        lowest = 1 / (n_permutations + 1)
        if np.any((columns["pvalue"] == lowest) & (columns["padj"] > _LEVEL)):
            logger.warning(
                "%r against %r: factors that no permutation reached have adjusted p values above "
                "%s because n_permutations=%d is small for %d factors; take %d or more.",
                comparison.group,
                comparison.reference,
                _LEVEL,
                n_permutations,
                active.sum(),
                active.sum() / _LEVEL,
            )
        tables.append((comparison, columns | shared))
    adata = adata.copy() if copy else adata
    adata.uns[key_added] = {
        "params": _keys.record(
            "tl.factor_test",
            groupby=groupby,
            group=group,
            reference=reference,
            sample_key=sample_key,
            n_permutations=n_permutations,
            use_rep=use_rep,
            random_state=random_state,
            key_added=key_added,
        ),
        "results": long_table(names, tables),
    }
    return adata if copy else None


def _shared_credit(
    scores: np.ndarray, names: np.ndarray, active: np.ndarray
) -> dict[str, np.ndarray]:
    """How much of each active factor the others explain, and which of them most."""
    redundancy, closest_r = np.full((2, len(names)), np.nan)
    closest = np.full(len(names), "", dtype=object)
    live = np.flatnonzero(active)
    if len(live) == 1:
        redundancy[live] = 0
    if len(live) > 1:
        correlation = np.corrcoef(scores[:, live], rowvar=False)
        # R^2 is one less the inverse of the inverse's diagonal. Eigenvalues of nought, of factors
        # that others make up, are lifted to what rounding leaves of them.
        values, vectors = np.linalg.eigh(correlation)
        values = np.maximum(values, np.finfo(float).eps * len(live))
        redundancy[live] = np.clip(1 - 1 / (vectors**2 / values).sum(axis=1), 0, 1)
        np.fill_diagonal(correlation, 0)
        nearest = np.abs(correlation).argmax(axis=0)
        closest[live] = names[live][nearest]
        closest_r[live] = correlation[nearest, np.arange(len(live))]
    return {"redundancy": redundancy, "closest": closest, "closest_r": closest_r}


def _averages(
    values: np.ndarray, in_group: np.ndarray, samples: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Averages of each sample on each side, their sides, and the block each is permuted in.

    Block 0 holds the samples of one side; every other block is the pair of one sample.
    """
    sides, place, sizes = np.unique(
        2 * samples.astype(np.int64) + in_group, return_inverse=True, return_counts=True
    )
    members = sparse.csr_array((1 / sizes[place], (place, np.arange(len(place)))))
    sample = sides // 2
    _, which, n_sides = np.unique(sample, return_inverse=True, return_counts=True)
    return members @ values, sides % 2 == 1, np.where(n_sides[which] == 2, which + 1, 0)


def _check_samples(
    comparison: Comparison, in_group: np.ndarray, blocks: np.ndarray, sample_key: str | None
) -> None:
    sides = ((comparison.group, in_group), (comparison.reference, ~in_group))
    for name, members in sides:
        if members.sum() < 2:
            raise ValueError(
                f"{name!r} has cells of {members.sum()} sample of adata.obs[{sample_key!r}]; a "
                "test of samples needs two on each side. Pass group= to name another group, or "
                "set the labels of such cells to NaN to leave them out."
            )
    unpaired = in_group[blocks == 0]
    n_ways = 2 ** np.unique(blocks[blocks > 0]).size * comb(len(unpaired), int(unpaired.sum()))
    if 2 / n_ways > _LEVEL:
        logger.warning(
            "%r against %r: with so few samples there are %d ways to permute them, so that no p "
            "value can be below %.2g.",
            comparison.group,
            comparison.reference,
            n_ways,
            2 / n_ways,
        )


def _describe(
    values: np.ndarray, ranks: np.ndarray, in_group: np.ndarray
) -> dict[str, np.ndarray]:
    group, reference = values[in_group], values[~in_group]
    difference = group.mean(axis=0) - reference.mean(axis=0)
    squares = sum(((side - side.mean(axis=0)) ** 2).sum(axis=0) for side in (group, reference))
    with np.errstate(divide="ignore", invalid="ignore"):
        effect = difference / np.sqrt(squares / (len(values) - 2))
    # One that varies only between the sides has an effect without bound.
    effect[np.ptp(values, axis=0) == 0] = 0
    return {
        "mean_difference": difference,
        "effect_size": effect,
        "auroc": auroc(ranks, in_group),
    }


def _centred(values: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """Values less the mean of their block, which no permutation changes: it is noise in ranks."""
    _, block = np.unique(blocks, return_inverse=True)
    members = sparse.csr_array((np.ones(len(block)), (block, np.arange(len(block)))))
    return values - (members @ values / members.sum(axis=1)[:, None])[block]


def _permute(
    ranks: np.ndarray,
    in_group: np.ndarray,
    blocks: np.ndarray,
    n_permutations: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Two-sided p value of each column's rank sum, labels permuted within blocks."""
    # Twice the rank less its mean: whole numbers, whose sums are exact, so that ties are ties.
    ranks = 2 * ranks - (len(ranks) + 1)
    expected = np.empty(len(ranks))
    for block in np.unique(blocks):
        expected[blocks == block] = in_group[blocks == block].mean()
    centre = expected @ ranks if blocks.any() else 0.0
    observed = np.abs(in_group @ ranks - centre)
    n_reached = np.zeros(ranks.shape[1], dtype=int)
    for labels in _relabelled(in_group, blocks, n_permutations, rng):
        # The centre may be a fraction; sums differ by whole numbers or not at all.
        n_reached += (np.abs(labels @ ranks - centre) >= observed - 1e-6).sum(axis=0)
    return (1 + n_reached) / (1 + n_permutations)


def _relabelled(
    in_group: np.ndarray, blocks: np.ndarray, n_permutations: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Labels as numbers, permutations x cells (or averages), as many at once as memory takes."""
    alone = np.flatnonzero(blocks == 0)
    paired = np.flatnonzero(blocks > 0)
    # The two of a pair stand next to each other, the group's first.
    first, second = paired[np.lexsort((~in_group[paired], blocks[paired]))].reshape(-1, 2).T
    n_at_once = max(1, _AT_ONCE // len(in_group))
    for start in range(0, n_permutations, n_at_once):
        n = min(n_at_once, n_permutations - start)
        labels = np.empty((n, len(in_group)))
        labels[:, alone] = rng.permuted(np.tile(in_group[alone].astype(float), (n, 1)), axis=1)
        stays = rng.random((n, len(first))) < 0.5
        labels[:, first], labels[:, second] = stays, ~stays
        yield labels
