"""What ranks the genes of each unit, and the gene sets that the ranks are read by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from pellucid import _keys
from pellucid.pp import add_gene_sets

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pellucid.enrichment import Enrichment
    from pellucid.pp._read_gene_sets import GeneSets

_MADE_BY = "tl.attribute or tl.loadings"


def unit_scores(adata: AnnData, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Attributions or loadings, genes x units, finite, and the names of the units."""
    scores = finite(adata, key)
    names = _keys.string_array(_keys.require(adata, "uns", key, _MADE_BY)["latent_names"])
    if scores.shape != (adata.n_vars, len(names)):
        raise ValueError(
            f"adata.varm[{key!r}] has shape {scores.shape}; genes x units, "
            f"{(adata.n_vars, len(names))}, are due."
        )
    return scores, names


def finite(adata: AnnData, key: str) -> np.ndarray:
    """`adata.varm[key]` in double precision, or an error if not all of it is finite."""
    scores = np.asarray(_keys.require(adata, "varm", key, _MADE_BY), dtype=np.float64)
    if not np.isfinite(scores).all():
        raise ValueError(
            f"adata.varm[{key!r}] holds {(~np.isfinite(scores)).sum():,} NaN or infinite values; "
            "see whether the model's training diverged (get.history), then call "
            f"{_MADE_BY} again."
        )
    return scores


def measured_sets(
    adata: AnnData,
    gene_sets: GeneSets | Iterable[GeneSets],
    *,
    min_genes: int,
    max_genes: int | None,
    case_sensitive: bool,
) -> tuple[sparse.csc_array, np.ndarray]:
    """Whether gene i stands in set j, genes x sets, and the names of the sets.

    Sets are cut to the genes of `adata`; matching and messages are those of `pp.add_gene_sets`.
    """
    genes = AnnData(var=adata.var)
    add_gene_sets(
        genes,
        gene_sets,
        min_genes=min_genes,
        max_genes=max_genes,
        case_sensitive=case_sensitive,
    )
    return sparse.csc_array(genes.varm[_keys.GENE_SETS]), genes.uns[_keys.GENE_SETS]["names"]


def enrichment_table(
    found: Enrichment,
    members: sparse.csc_array,
    var_names: pd.Index,
    groups: np.ndarray,
    units: np.ndarray,
    set_names: np.ndarray,
) -> pd.DataFrame:
    """One row a list and set, lists in the order of groups and units."""
    n_sets, n_lists = found.es.shape
    of_list, of_set = np.divmod(np.arange(n_sets * n_lists), n_sets)
    group, unit = np.divmod(of_list, len(units))
    names, rows = np.asarray(var_names, dtype=object), members.tocsr()
    leading: list[str] = []
    for order, es, edge in zip(found.order.T, found.es.T, found.edge.T, strict=True):
        # Genes of each set as positions in the list, from first to last.
        ranked = rows[order].tocsc()
        ranked.sort_indices()
        in_order = names[order]
        for one in range(n_sets):
            places = ranked.indices[ranked.indptr[one] : ranked.indptr[one + 1]]
            if es[one] > 0:
                lead = places[places <= edge[one]]
            else:  # none where the score is NaN
                lead = places[places >= edge[one]][::-1] if es[one] <= 0 else places[:0]
            leading.append(";".join(in_order[lead]))
    table = pd.DataFrame(
        {
            "group": groups[group].astype(object),
            "unit": units[unit].astype(object),
            "gene_set": set_names[of_set].astype(object),
            "set_size": members.sum(axis=0)[of_set],
            "es": found.es.T.ravel(),
            "nes": found.nes.T.ravel(),
            "pvalue": found.pvalue.T.ravel(),
            "padj": found.padj.T.ravel(),
            "leading_edge": np.array(leading, dtype=object),
        }
    )
    # The index is text: that is how a file holds it.
    return table.set_axis(table.index.astype(str), axis=0)
