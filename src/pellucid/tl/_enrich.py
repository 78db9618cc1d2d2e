from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from pellucid import _keys
from pellucid._validate import check_writable
from pellucid.enrichment import over_representation_test

from ._ranked_genes import measured_sets, unit_scores

if TYPE_CHECKING:
    from collections.abc import Iterable

    from anndata import AnnData
    from scipy import sparse

    from pellucid.pp._read_gene_sets import GeneSets

logger = logging.getLogger("pellucid")


def enrich(
    adata: AnnData,
    gene_sets: GeneSets | Iterable[GeneSets],
    *,
    top: float = 0.1,
    key: str = _keys.ATTRIBUTION,
    min_genes: int = 5,
    max_genes: int | None = None,
    case_sensitive: bool = False,
    key_added: str = _keys.ENRICHMENT,
    copy: bool = False,
) -> AnnData | None:
    """Gene sets that the foremost genes of each unit are rich in :cite:p:`Zhang2020`.

    Genes are ranked by the absolute attribution or loading of each unit. The share `top` of them
    is held against each gene set by the hypergeometric test (Fisher's exact test, one-sided),
    with the genes of `adata` as background.

    Parameters
    ----------
    adata
        With attributions from :func:`pellucid.tl.attribute` or loadings from
        :func:`pellucid.tl.loadings`.
    gene_sets
        Anything that :func:`pellucid.pp.read_gene_sets` reads: a mapping, the path of a GMT file,
        a table, the name of an Enrichr library, or a list of these.
    top
        Share of all genes that is taken of each unit, those of the largest absolute value. The
        paper's is a tenth.
    key
        Key in `adata.varm` and `adata.uns` of what ranks the genes.
    min_genes, max_genes
        Leave out sets with fewer or more genes than this in `adata`.
    case_sensitive
        Whether `"Actb"` and `"ACTB"` are different genes.
    key_added
        Key in `adata.uns`.
    copy
        Whether to return a copy of `adata` rather than write to it; not of a backed one.

    Returns
    -------
    `None`, or an AnnData if `copy=True`. Sets `adata.uns[key_added]`, a :class:`dict` of

    `results` : :class:`~pandas.DataFrame`
        One row a unit and set that share a gene, in the units' order: `unit`; `gene_set`;
        `overlap`, how many of the unit's foremost genes stand in the set; `set_size`, the genes
        of the set in `adata`; `n_top`, how many genes of the unit were taken; `odds_ratio`, with
        one half added to each of the four counts; `pvalue`; `padj`, Benjamini-Hochberg over all
        sets of the unit, those it shares no gene with included; `genes`, the shared ones, the
        unit's foremost first, joined by ";".
    `latent_names`, `n_top` : string and int arrays, shape `(n_latent,)`
        All units, and how many genes were taken of each.
    `set_names`, `set_sizes` : string and int arrays, shape `(n_sets,)`
        All sets that were tested, and how many of their genes are in `adata`.
    `params`
        The arguments.

    Raises
    ------
    KeyError
        If `adata` lacks the attributions or loadings, or their record.
    ValueError
        If `top` is not above 0 and below 1, a value is not finite, or no set has a number of
        genes in `adata` that `min_genes` and `max_genes` allow. Nothing is written then.

    Notes
    -----
    *The background.* A set is compared with the genes that could have been found, which are those
    of `adata`: sets are cut to them and so is the number of all genes. Against the whole genome,
    every set that is well measured would look enriched, whatever the unit. Where `adata` was cut
    to variable genes or to those of gene sets, the question is about those.

    *Which genes.* A gene of value 0 is never taken, so that a sparse factor may have fewer. Of
    equal genes at the threshold, the first in `adata.var_names` are taken. A unit whose genes all
    have the same value ranks none and has no results; a warning names it.

    *What q values say.* The test takes genes as exchangeable. Those of a pathway are not, so that
    q values are too small: read them as an order. Units of one model that read the same genes find
    the same sets. gseapy's `enrich`, whose p values and odds ratios these are, adjusts over the
    sets with an overlap only.

    *What the paper leaves open.* It sorts "the weight" of each gene in descending order, which may
    mean with its sign. A unit's sign is arbitrary, so the absolute value is taken here.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> model = pld.tl.orthogonal_ae(adata, n_latent=8, max_epochs=2)
    >>> pld.tl.attribute(adata, model)
    >>> pld.tl.enrich(adata, pld.datasets.blood_markers())
    >>> table = pld.get.enrichment(adata)
    >>> significant = table[table["padj"] < 0.05]
    """
    check_writable(adata, copy=copy)
    if not 0 < top < 1:
        raise ValueError(
            f"top={top}; expected a share of the genes above 0 and below 1, such as 0.1."
        )
    scores, units = unit_scores(adata, key)
    members, set_names = measured_sets(
        adata, gene_sets, min_genes=min_genes, max_genes=max_genes, case_sensitive=case_sensitive
    )
    foremost = [_foremost(column, top) for column in np.abs(scores).T]
    selected = np.zeros(scores.shape, dtype=bool)
    for column, genes in zip(selected.T, foremost, strict=True):
        column[genes] = True
    n_top = selected.sum(axis=0)
    overlap, odds_ratio, p = over_representation_test(selected, members)
    padj = stats.false_discovery_control(p, axis=0)
    unit, found = np.nonzero(overlap.T)
    table = pd.DataFrame(
        {
            "unit": units[unit].astype(object),
            "gene_set": set_names[found].astype(object),
            "overlap": overlap[found, unit],
            "set_size": members.sum(axis=0)[found],
            "n_top": n_top[unit],
            "odds_ratio": odds_ratio[found, unit],
            "pvalue": p[found, unit],
            "padj": padj[found, unit],
            "genes": np.concatenate(
                [_shared(genes, members, adata.var_names) for genes in foremost]
            ),
        }
    )
    if (n_top == 0).any():
        logger.warning(
            "Units whose genes all have the same value in adata.varm[%r], so that none ranks: %s.",
            key,
            ", ".join(map(repr, units[n_top == 0].tolist())),
        )
    adata = adata.copy() if copy else adata
    adata.uns[key_added] = {
        "params": _keys.record(
            "tl.enrich",
            top=top,
            key=key,
            min_genes=min_genes,
            max_genes=max_genes,
            case_sensitive=case_sensitive,
            key_added=key_added,
        ),
        # The index is text: that is how a file holds it.
        "results": table.set_axis(table.index.astype(str), axis=0),
        "latent_names": units,
        "n_top": n_top,
        "set_names": set_names,
        "set_sizes": members.sum(axis=0),
    }
    return adata if copy else None


def _foremost(magnitudes: np.ndarray, top: float) -> np.ndarray:
    """Indices of a unit's genes of the largest magnitude, the largest first."""
    if np.ptp(magnitudes) == 0:
        return np.empty(0, dtype=int)
    n_top = max(1, round(top * len(magnitudes)))
    order = np.argsort(-magnitudes, kind="stable")[:n_top]
    return order[magnitudes[order] > 0]


def _shared(genes: np.ndarray, members: sparse.csc_array, var_names: pd.Index) -> np.ndarray:
    """Names of the genes that each set has of these, in their order, for sets that have any."""
    names = np.asarray(var_names, dtype=object)[genes]
    among = members.tocsr()[genes].tocsc()
    among.sort_indices()
    parts = np.split(names[among.indices], among.indptr[1:-1])
    return np.array([";".join(part) for part in parts if len(part)], dtype=object)
