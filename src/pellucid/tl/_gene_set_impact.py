from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import sparse, stats

from pellucid import _keys
from pellucid._validate import check_writable
from pellucid.enrichment import set_mean_test

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from anndata import AnnData

logger = logging.getLogger("pellucid")


def gene_set_impact(
    adata: AnnData,
    *,
    group: str | Sequence[str] | None = None,
    reference: str | Sequence[str] = "rest",
    scale: Literal["minmax"] | None = "minmax",
    gene_sets_key: str = _keys.GENE_SETS,
    attribution_key: str = _keys.ATTRIBUTION,
    key_added: str = _keys.GENE_SET_IMPACT,
    copy: bool = False,
) -> AnnData | None:
    r"""How strongly each gene set moves each latent unit :cite:p:`Kinalis2019`.

    With :math:`a_{gk}` the attribution of unit k to gene g, aggregated over cells by
    :func:`pellucid.tl.attribute`, the impact of set S is the arithmetic mean over its genes,

    .. math:: I_{Sk} = \frac{1}{|S|} \sum_{g \in S} a_{gk}

    scaled by the least and the largest impact of the whole matrix,
    :math:`(I_{Sk} - \min I) / (\max I - \min I)`. Two groups of cells are compared by the
    difference of their impacts before scaling, over the largest absolute difference,

    .. math:: D_{Sk} = \frac{I^\mathrm{group}_{Sk} - I^\mathrm{reference}_{Sk}}
                            {\max_{T, l} |I^\mathrm{group}_{Tl} - I^\mathrm{reference}_{Tl}|}

    so that D lies in [-1, 1] and is positive where the impact is larger in the group.

    Parameters
    ----------
    adata
        With gene sets (:func:`pellucid.pp.add_gene_sets`) and attributions
        (:func:`pellucid.tl.attribute`).
    group
        Group, or groups taken together, to compare with `reference`; names from the column that
        :func:`pellucid.tl.attribute` was given as `groupby`. Groups are taken together by the
        mean over their cells.
    reference
        Group or groups to compare with. `"rest"`: all groups but those in `group`, as in
        :func:`scanpy.tl.rank_genes_groups`. Read only where `group` is given.
    scale
        `"minmax"`, the paper's: impacts to [0, 1] and differences to [-1, 1]. `None`: both are
        left on the scale of the attribution.
    gene_sets_key
        Key of the gene sets in `adata.varm` and `adata.uns`.
    attribution_key
        Key of the attribution in `adata.varm` and `adata.uns`.
    key_added
        Key in `adata.uns`.
    copy
        Whether to return a copy of `adata` rather than write to it; not of a backed one.

    Returns
    -------
    `None`, or an AnnData if `copy=True`. Sets `adata.uns[key_added]`, a :class:`dict` of

    `impact` : float64, shape `(n_sets, n_latent)`
        Impact of each set on each unit over all cells.
    `z`, `padj` : float64, shape `(n_sets, n_latent)`
        z score of the impact against random sets of as many genes, and its Benjamini-Hochberg
        adjusted p value (not in the paper; see Notes).
    `set_names`, `latent_names` : string arrays
        Names of the rows and columns.
    `set_sizes` : int, shape `(n_sets,)`
        Number of genes of each set in `adata`.
    `silent` : bool, shape `(n_latent,)`
        Units on which no set has any impact. The paper omits them; here they are kept and flagged.
    `impact_groups` : float64, shape `(n_groups, n_sets, n_latent)`
        If the attribution was grouped: impact over the cells of each group, on the scale of
        `impact`, so that values may lie outside [0, 1]. Rows are named by `groups`.
    `difference`, `difference_z`, `difference_padj` : float64, shape `(n_sets, n_latent)`
        If `group` is given: difference from the reference, and the same test, two-sided, of the
        difference of the attributions.
    `params`
        The arguments.

    Raises
    ------
    KeyError
        If gene sets or attributions are missing, or those of each group when `group` is given.
    ValueError
        If a group is unknown or on both sides, no group is left for the reference, a set has no
        gene, an attribution is not finite, or `scale` is unknown. Nothing is written then.

    Notes
    -----
    *Significance.* Each impact is compared with the mean attribution of as many genes drawn
    without replacement from all genes of `adata`: z from the finite-population variance, p from
    the distribution of such means, which is computed, not drawn (`enrichment.set_mean_test`),
    one-sided, or two-sided where attributions are signed (`aggregate="mean"`). The whole matrix
    is read at once, so it is one family: p values are adjusted over all sets and all units that
    are not silent, separately for impacts and differences. The test asks whether a set stands out
    among the genes the model was trained on. It takes genes as exchangeable, which those of one
    pathway are not: read it as a ranking more than as proof. It has no scale, so that a unit which
    hardly moves can have significant sets: read it beside the impact.

    A unit that is steeper in one group for all genes alike has differences of one sign for all
    sets; `difference_z` tells which sets differ by more than the other genes do.

    *What the paper leaves open, and where its program differs.* A public copy of the authors'
    program takes the median over a set's genes, scales each set by itself, and subtracts the
    group from the reference. Here, as the paper's text says: the mean, one scale for the whole
    matrix, and the group first. "The maximum value of the difference" is read as the largest
    absolute one, without which the result would not lie in [-1, 1].

    A group of one cell is allowed, and logged as a warning: its attribution is that cell's alone.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> pld.pp.add_gene_sets(adata, pld.datasets.blood_markers())
    >>> model = pld.tl.orthogonal_ae(adata, n_latent=8, max_epochs=2)
    >>> pld.tl.attribute(adata, model, groupby="bulk_labels")
    >>> pld.tl.gene_set_impact(adata, group="CD19+ B")
    >>> adata.uns["gene_set_impact"]["difference"].shape[1]
    8
    """
    check_writable(adata, copy=copy)
    if scale not in ("minmax", None):
        raise ValueError(f"scale={scale!r} is unknown; choose 'minmax' or None.")
    if group is None and not (isinstance(reference, str) and reference == "rest"):
        raise ValueError(f"reference={reference!r} is given without group; pass group= too.")
    members, set_names = _gene_sets(adata, gene_sets_key)
    attributed = _keys.require(adata, "uns", attribution_key, "tl.attribute")
    attribution = _finite(adata, attribution_key)
    if "groups" in attributed:
        groups = _keys.string_array(attributed["groups"])
        group_sizes = np.asarray(attributed["group_sizes"])
        key = _keys.grouped(attribution_key, str(attributed["params"]["groupby"]))
        by_group = _finite(adata, key).transpose(1, 0, 2)
    elif group is not None:
        raise KeyError(
            f"group={group!r} is given, but adata.uns[{attribution_key!r}] holds no attribution "
            "of groups; call tl.attribute with groupby= first."
        )
    if group is not None:
        weights = _weights(groups, group_sizes, group, reference)

    impact = _set_means(members, attribution)
    silent = np.all(impact == 0, axis=0)
    low, span = 0.0, 1.0
    if scale == "minmax":
        low, span = impact.min(), np.ptp(impact) or 1.0
    signed = (attribution < 0).any()
    z, padj = _test(members, attribution, "two-sided" if signed else "greater", ~silent)
    result: dict[str, Any] = {
        "params": _keys.record(
            "tl.gene_set_impact",
            group=group,
            reference=None if group is None else reference,
            scale=scale,
            gene_sets_key=gene_sets_key,
            attribution_key=attribution_key,
            key_added=key_added,
        ),
        "impact": (impact - low) / span,
        "z": z,
        "padj": padj,
        "set_names": set_names,
        "latent_names": _keys.string_array(attributed["latent_names"]),
        "set_sizes": members.sum(axis=1).astype(np.int64),
        "silent": silent,
    }
    if "groups" in attributed:
        impact_groups = np.stack([_set_means(members, one) for one in by_group])
        result["groups"] = groups
        result["impact_groups"] = (impact_groups - low) / span
        if (group_sizes == 1).any():
            logger.warning(
                "Groups of one cell, whose impact is that cell's alone: %s.",
                ", ".join(map(repr, groups[group_sizes == 1].tolist())),
            )
    if group is not None:
        difference = np.tensordot(weights, by_group, axes=1)
        between = _set_means(members, difference)
        largest = np.abs(between).max() if scale == "minmax" else 1.0
        result["difference"] = between / (largest or 1.0)
        result["difference_z"], result["difference_padj"] = _test(
            members, difference, "two-sided", np.any(between != 0, axis=0)
        )
    if silent.any():
        logger.info("No gene set has an impact on %d of %d units.", silent.sum(), len(silent))
    adata = adata.copy() if copy else adata
    adata.uns[key_added] = result
    return adata if copy else None


def _gene_sets(adata: AnnData, key: str) -> tuple[sparse.csr_array, np.ndarray]:
    """Sets x genes, and the names of the sets."""
    mask = _keys.require(adata, "varm", key, "pp.add_gene_sets")
    names = _keys.string_array(_keys.require(adata, "uns", key, "pp.add_gene_sets")["names"])
    members = sparse.csr_array(sparse.csr_array(mask).T, dtype=np.float64)
    empty = names[members.sum(axis=1) == 0].tolist()
    if empty:
        raise ValueError(
            f"{len(empty)} of {len(names)} gene sets have no gene in adata (such as "
            f"{', '.join(map(repr, empty[:3]))}), as happens where genes were removed after "
            "pp.add_gene_sets; call pp.add_gene_sets again."
        )
    return members, names


def _finite(adata: AnnData, key: str) -> np.ndarray:
    attribution = np.asarray(_keys.require(adata, "varm", key, "tl.attribute"), dtype=np.float64)
    if not np.isfinite(attribution).all():
        raise ValueError(
            f"adata.varm[{key!r}] holds NaN or infinite values in "
            f"{(~np.isfinite(attribution)).any(axis=0).sum()} columns; see whether the model's "
            "training diverged (get.history), then call tl.attribute again."
        )
    return attribution


def _set_means(members: sparse.csr_array, attribution: np.ndarray) -> np.ndarray:
    return members @ attribution / members.sum(axis=1)[:, None]


def _weights(
    groups: np.ndarray,
    group_sizes: np.ndarray,
    group: str | Sequence[str],
    reference: str | Sequence[str],
) -> np.ndarray:
    """What each group counts in the difference between the two sides' means over cells."""
    in_group = _chosen(groups, group, "group")
    if isinstance(reference, str) and reference == "rest":
        in_reference = ~in_group
        if not in_reference.any():
            raise ValueError(
                f"group={group!r} is every group of the attribution, so that none is left for "
                "reference='rest'."
            )
    else:
        in_reference = _chosen(groups, reference, "reference")
    both = groups[in_group & in_reference].tolist()
    if both:
        raise ValueError(f"{both} stand in group and in reference; a group can be on one side.")
    of_group, of_reference = group_sizes * in_group, group_sizes * in_reference
    return of_group / of_group.sum() - of_reference / of_reference.sum()


def _chosen(groups: np.ndarray, names: str | Sequence[str], argument: str) -> np.ndarray:
    wanted = [names] if isinstance(names, str) else [str(name) for name in names]
    unknown = [name for name in wanted if name not in groups]
    if unknown or not wanted:
        raise ValueError(
            f"{argument}={names!r}: {unknown or 'no group'} not among the groups of the "
            f"attribution, which are {groups.tolist()}."
        )
    return np.isin(groups, wanted)


def _test(
    members: sparse.csr_array,
    attribution: np.ndarray,
    alternative: Literal["greater", "two-sided"],
    tested: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Standard score and adjusted p: one family of all sets and the units to be tested."""
    z, p = set_mean_test(attribution, members.T, alternative=alternative)
    padj = np.ones_like(p)
    family = np.broadcast_to(tested, p.shape)
    if tested.any():
        padj[family] = stats.false_discovery_control(p[family])
    return z, padj
