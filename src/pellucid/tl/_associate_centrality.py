from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from pellucid import _keys
from pellucid._validate import check_writable
from pellucid.enrichment import prerank
from pellucid.networks import rank_sum, spearman

from ._population_networks import of_fits, read_phenotype, read_populations
from ._ranked_genes import enrichment_table, measured_sets

if TYPE_CHECKING:
    from collections.abc import Iterable

    from anndata import AnnData

    from pellucid.pp._read_gene_sets import GeneSets

    from ._population_networks import Phenotype

_RANKINGS = {"centrality": "", "mean": "mean_"}


def associate_centrality(
    adata: AnnData,
    phenotype: str,
    *,
    gene_sets: GeneSets | Iterable[GeneSets] | None = None,
    min_genes: int = 15,
    max_genes: int | None = 500,
    case_sensitive: bool = False,
    n_permutations: int = 1000,
    random_state: int = 0,
    key: str = _keys.POPULATIONS,
    key_added: str = _keys.CENTRALITY_ASSOCIATION,
    copy: bool = False,
) -> AnnData | None:
    """Genes whose place in the network goes with a phenotype (Fig. 6c of :cite:p:`Choi2023`).

    Over populations, the degree centrality of each gene is correlated with the phenotype. The same
    is done with its mean expression: a gene that is turned off goes with no other gene either, and
    what both tell is no news of the network.

    Parameters
    ----------
    adata
        With a result of :func:`pellucid.tl.fit_populations`.
    phenotype
        Column of `adata.obs` that is the same in all cells of a population: numbers, two groups
        (the second of the categories counts as the higher) or ordered categories. Two different
        numbers, such as 0 and 1, are two groups. Populations where it is missing, or of which
        `adata` has no cells, are left out.
    gene_sets
        Anything that :func:`pellucid.pp.read_gene_sets` reads. Sets are looked for at both ends of
        the genes' list by correlation, as in :func:`pellucid.tl.gsea`. `None`: none.
    min_genes, max_genes, case_sensitive, n_permutations
        As in :func:`pellucid.tl.gsea`.
    random_state
        Seed of the random sets.
    key
        Key of the fits in `adata.uns`.
    key_added
        Key in `adata.uns`.
    copy
        Whether to return a copy of `adata` rather than write to it; not of a backed one.

    Returns
    -------
    `None`, or an AnnData if `copy=True`. Sets `adata.uns[key_added]`, a :class:`dict` of

    `results` : :class:`~pandas.DataFrame`
        One row a gene: `gene`; `correlation`, Spearman's of centrality with the phenotype,
        `pvalue` and `padj` (Benjamini-Hochberg); `mean_correlation`, `mean_pvalue` and
        `mean_padj`, the same of mean expression. A gene that has one value in all populations has
        NaN for correlation and p values of 1.
    `enrichment` : :class:`~pandas.DataFrame`
        With `gene_sets`, one row a set for each `ranking`, `"centrality"` and `"mean"`; other
        columns as in :func:`pellucid.tl.gsea`.
    `populations`, `phenotype`
        Names and values of the populations that were compared, and `groups`, the names of the
        values 0 and 1, if there are two groups.
    `params`
        The arguments.

    Raises
    ------
    KeyError
        If `adata` lacks the fits or the column.
    ValueError
        If the phenotype is not the same in all cells of a population, is known of fewer than 3, or
        has one value or unordered groups, or no set has a number of genes that is allowed. Nothing
        is written then.

    Notes
    -----
    Bins of a population are averaged: the population counts once.

    P values of two groups are those of Wilcoxon's rank-sum test, exact where nothing is tied and
    a group has 8 populations at most. Those of numbers are exact up to 9 populations, and
    beyond from Student's t, no less than two of all orders have. Below about 20 populations those
    are too small in the tail: do not take the smallest at their word. Student's t alone would give
    3 against 3 populations that are fully apart p = 0.02, where 1 in 10 divisions of 6 populations
    does as well.

    P values say that populations differ, not why: cells of other cycle phases or depths make
    networks differ too. Take such covariates out before, as the paper does.

    Examples
    --------
    >>> import numpy as np
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()[:, :60].copy()
    >>> adata.X = np.log1p(adata.X.toarray())
    >>> adata.obs["donor"] = (np.arange(700) // 234).astype(str)
    >>> adata.obs["age"] = 20.0 + np.arange(700) // 234
    >>> small = {"model_kwargs": {"n_hidden": (8, 4)}, "train_kwargs": {"max_epochs": 1}}
    >>> pld.tl.fit_populations(adata, "donor", n_cells_per_bin=200, n_latent=4, **small)
    >>> pld.tl.associate_centrality(adata, "age")
    >>> table = pld.get.centrality_association(adata)
    """
    check_writable(adata, copy=copy)
    populations = read_populations(adata, key)
    found = read_phenotype(adata, populations, phenotype)
    known = ~np.isnan(found.values)
    columns = {"gene": np.asarray(adata.var_names, dtype=object)}
    for what, prefix in _RANKINGS.items():
        values = populations.average(of_fits(adata, key, what))[:, known]
        columns |= _tested(values, found, known, prefix)
    results = pd.DataFrame(columns)
    written: dict[str, Any] = {
        "params": _keys.record(
            "tl.associate_centrality",
            phenotype=phenotype,
            min_genes=min_genes,
            max_genes=max_genes,
            case_sensitive=case_sensitive,
            n_permutations=n_permutations,
            random_state=random_state,
            key=key,
            key_added=key_added,
        ),
        "results": results.set_axis(results.index.astype(str), axis=0),
        "populations": populations.names[known],
        "phenotype": found.values[known],
    }
    if found.groups is not None:
        written["groups"] = _keys.string_array(found.groups)
    if gene_sets is not None:
        members, set_names = measured_sets(
            adata,
            gene_sets,
            min_genes=min_genes,
            max_genes=max_genes,
            case_sensitive=case_sensitive,
        )
        ranked = [np.nan_to_num(results[f"{prefix}correlation"]) for prefix in _RANKINGS.values()]
        enriched = prerank(
            np.column_stack(ranked),
            members,
            n_permutations=n_permutations,
            random_state=random_state,
        )
        rankings = _keys.string_array(_RANKINGS)
        table = enrichment_table(
            enriched, members, adata.var_names, np.array([""]), rankings, set_names
        )
        written["enrichment"] = table.drop(columns="group").rename(columns={"unit": "ranking"})

    adata = adata.copy() if copy else adata
    adata.uns[key_added] = written
    return adata if copy else None


def _tested(
    values: np.ndarray, phenotype: Phenotype, known: np.ndarray, prefix: str
) -> dict[str, np.ndarray]:
    correlation, pvalue = spearman(values, phenotype.values[known])
    if phenotype.groups is not None:
        pvalue = rank_sum(values, phenotype.values[known] == 1)
    padj = np.ones(len(values))
    varies = ~np.isnan(correlation)
    if varies.any():
        padj[varies] = false_discovery_control(pvalue[varies])
    return {
        f"{prefix}correlation": correlation,
        f"{prefix}pvalue": pvalue,
        f"{prefix}padj": padj,
    }
