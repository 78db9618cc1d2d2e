"""What ranks the genes of each unit, and the gene sets that the ranks are read by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from anndata import AnnData
from scipy import sparse

from pellucid import _keys
from pellucid.pp import add_gene_sets

if TYPE_CHECKING:
    from collections.abc import Iterable

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
