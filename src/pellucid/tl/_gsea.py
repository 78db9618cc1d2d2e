from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pellucid import _keys
from pellucid._validate import check_writable
from pellucid.enrichment import prerank
from pellucid.enrichment._gseapy import prerank_by_gseapy

from ._ranked_genes import enrichment_table, finite, measured_sets, unit_scores

if TYPE_CHECKING:
    from collections.abc import Iterable

    from anndata import AnnData

    from pellucid.pp._read_gene_sets import GeneSets

logger = logging.getLogger("pellucid")


def gsea(
    adata: AnnData,
    gene_sets: GeneSets | Iterable[GeneSets],
    *,
    groupby: str | None = None,
    subtract_global: bool = True,
    attribution_key: str = _keys.ATTRIBUTION,
    min_genes: int = 15,
    max_genes: int | None = 500,
    case_sensitive: bool = False,
    n_permutations: int = 1000,
    engine: Literal["batched", "gseapy", "multilevel"] = "batched",
    alpha: float = 0.05,
    random_state: int = 0,
    key_added: str = _keys.GSEA,
    copy: bool = False,
) -> AnnData | None:
    """Gene set enrichment analysis of each unit's attributions :cite:p:`Kinalis2022`.

    Each unit ranks the genes by its attribution, in each group of cells by the group's less that
    of all cells. Each of these lists goes through weighted enrichment analysis (gseapy's
    `prerank`, Subramanian et al. 2005), all at once. A set and a unit count the groups in which
    the set is significant. That tells how many sets a unit claims: few, if units are disentangled.

    Parameters
    ----------
    adata
        With attributions from :func:`pellucid.tl.attribute`, of groups if `groupby` is given.
        Without `groupby`, loadings from :func:`pellucid.tl.loadings` will do too.
    gene_sets
        Anything that :func:`pellucid.pp.read_gene_sets` reads: a mapping, the path of a GMT file,
        a table, the name of an Enrichr library, or a list of these.
    groupby
        Column of `adata.obs` that :func:`pellucid.tl.attribute` was given as `groupby`; each group
        has a list of its own. `None`: one list a unit, of all cells.
    subtract_global
        Whether the attribution over all cells is subtracted from that of each group, as in the
        paper: what the unit reads in this group more than elsewhere. Without, every group's list
        begins with the genes that the unit reads anyway.
    attribution_key
        Key of the attribution in `adata.varm` and `adata.uns`.
    min_genes, max_genes
        Leave out sets with fewer or more genes than this in `adata`. The defaults are gseapy's.
    case_sensitive
        Whether `"Actb"` and `"ACTB"` are different genes.
    n_permutations
        Number of random sets of each size that lists are compared with.
    engine
        `"batched"`: all lists and sets against shared random sets (`enrichment.prerank`).
        `"gseapy"`: :func:`gseapy.prerank`, a list at a time, with its p and q values; more than a
        hundred times slower. `"multilevel"`: the same with its multilevel p values, which go on
        below one over the number of permutations.
    alpha
        q value below which a set counts as significant.
    random_state
        Seed of the random sets.
    key_added
        Key in `adata.uns`.
    copy
        Whether to return a copy of `adata` rather than write to it; not of a backed one.

    Returns
    -------
    `None`, or an AnnData if `copy=True`. Sets `adata.uns[key_added]`, a :class:`dict` of

    `results` : :class:`~pandas.DataFrame`
        One row a list and set: `group` (if grouped); `unit`; `gene_set`; `set_size`, the genes of
        the set in `adata`; `es`, the enrichment score; `nes`, the same over the mean of random
        sets; `pvalue`; `padj`, adjusted over the sets of one list; `leading_edge`, the genes of
        the set up to the peak of the running sum, foremost first, joined by ";" (of a negative
        score: from the dip on, last first).
    `n_significant` : int, shape `(n_sets, n_latent)`
        Number of groups in which the set is significant in the unit's list (without `groupby`:
        1 or 0).
    `set_names`, `latent_names` : string arrays
        Names of the rows and columns.
    `set_sizes` : int, shape `(n_sets,)`
        Number of genes of each set in `adata`.
    `groups` : string array
        Names of the groups, if grouped.
    `params`
        The arguments.

    Raises
    ------
    KeyError
        If `adata` lacks the attributions, or those of the groups.
    ValueError
        If an argument is out of range, a value is not finite, or no set has a number of genes in
        `adata` that `min_genes` and `max_genes` allow. Nothing is written then.
    ImportError
        If gseapy is too old for `engine="multilevel"`.

    Notes
    -----
    *Which way.* A positive score says that the set's genes stand at the top of the list: the
    attribution is larger than elsewhere (or than of other genes). A negative one says that they
    stand at the bottom. Both count as significant.

    *What the paper leaves open.* It names neither the level of significance nor which of GSEA's
    values is meant; here q < `alpha`. A unit that reads nothing has equal attributions; it ranks
    nothing, has NaN for scores and p values of 1, and a warning names it.

    *P and q values.* Scores are divided by the mean score of random sets of the same size and
    sign. Of n random sets of that sign, and of 1/1.3 to 1.3 times the size, b have a normalised
    score as far from 0; p is (1 + b) / (1 + n), never 0, and uniform where a set says nothing.
    About twenty times `n_permutations` are drawn near each size (for few sets, as many times as
    there are sets). q is Benjamini and Hochberg's over the sets of one list. gseapy compares each
    set with n of its own size and pools normalised scores of all sizes for its q values. Where few
    genes have most of the weight, as in attributions, normalised scores of small sets have
    far longer tails than those of large ones, which can never be significant then; q values here
    are apart from gseapy's for that reason. Scores are the same.

    *How many sets count.* Every list is one family of sets. Over 64 units and ten groups there are
    640 families, and where nothing is there to be found one in twenty of them has a false
    positive: a set that one unit claims in one of many groups may be that one.
    P values take genes as exchangeable, which those of a pathway are not.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> model = pld.tl.orthogonal_ae(adata, n_latent=8, max_epochs=2)
    >>> pld.tl.attribute(adata, model, groupby="bulk_labels")
    >>> markers = pld.datasets.blood_markers()
    >>> pld.tl.gsea(adata, markers, groupby="bulk_labels", min_genes=5)
    >>> best = pld.get.gsea(adata).groupby(["group", "unit"], sort=False).head(1)
    """
    check_writable(adata, copy=copy)
    if engine not in ("batched", "gseapy", "multilevel"):
        raise ValueError(
            f"engine={engine!r} is unknown; choose 'batched', 'gseapy' or 'multilevel'."
        )
    if n_permutations < 1:
        raise ValueError(f"n_permutations={n_permutations}; at least 1 is needed.")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha={alpha}; expected a level above 0 and below 1, such as 0.05.")
    scores, units = unit_scores(adata, attribution_key)
    groups, lists = np.array([""]), scores
    if groupby is not None:
        groups, by_group = _of_groups(adata, attribution_key, groupby, scores.shape)
        if subtract_global:
            by_group -= scores[:, None]
        lists = by_group.reshape(adata.n_vars, -1)
    members, set_names = measured_sets(
        adata, gene_sets, min_genes=min_genes, max_genes=max_genes, case_sensitive=case_sensitive
    )
    if engine == "batched":
        found = prerank(lists, members, n_permutations=n_permutations, random_state=random_state)
    else:
        found = prerank_by_gseapy(
            lists,
            members,
            multilevel=engine == "multilevel",
            n_permutations=n_permutations,
            random_state=random_state,
        )
    table = enrichment_table(found, members, adata.var_names, groups, units, set_names)
    silent = units[np.isnan(found.es).all(axis=0).reshape(len(groups), -1).all(axis=0)]
    if len(silent):
        logger.warning(
            "Units whose genes all have the same value in adata.varm[%r], so that none ranks: %s.",
            attribution_key,
            ", ".join(map(repr, silent.tolist())),
        )
    significant = (found.padj < alpha).reshape(len(set_names), len(groups), len(units))
    result: dict[str, Any] = {
        "params": _keys.record(
            "tl.gsea",
            groupby=groupby,
            subtract_global=subtract_global,
            attribution_key=attribution_key,
            min_genes=min_genes,
            max_genes=max_genes,
            case_sensitive=case_sensitive,
            n_permutations=n_permutations,
            engine=engine,
            alpha=alpha,
            random_state=random_state,
            key_added=key_added,
        ),
        "results": table if groupby is not None else table.drop(columns="group"),
        "n_significant": significant.sum(axis=1),
        "set_names": set_names,
        "set_sizes": members.sum(axis=0),
        "latent_names": units,
    }
    if groupby is not None:
        result["groups"] = groups
    adata = adata.copy() if copy else adata
    adata.uns[key_added] = result
    return adata if copy else None


def _of_groups(
    adata: AnnData, key: str, groupby: str, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Names of the groups, and attributions, genes x groups x units."""
    record = adata.uns[key]
    found = record.get("params", {}).get("groupby")
    if "groups" not in record or found != groupby:
        by = "of all cells only" if "groups" not in record else f"of groups by {found!r}"
        raise KeyError(
            f"groupby={groupby!r}, but adata.uns[{key!r}] is of attributions {by}; call "
            f"tl.attribute with groupby={groupby!r} first."
        )
    groups = _keys.string_array(record["groups"])
    grouped = _keys.grouped(key, groupby)
    values = finite(adata, grouped)
    if values.shape != (shape[0], len(groups), shape[1]):
        raise ValueError(
            f"adata.varm[{grouped!r}] has shape {values.shape}; genes x groups x units, "
            f"{(shape[0], len(groups), shape[1])}, are due. Call tl.attribute again."
        )
    return groups, values.copy()
