"""One representation of two data sets, in which their cells can be compared."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from sklearn.decomposition import PCA

from pellucid import _keys
from pellucid._validate import expression_matrix, expression_source, row_blocks

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger("pellucid")


def common_space(
    reference: AnnData,
    query: AnnData,
    use_rep: str,
    *,
    layer: str | None,
    n_comps: int,
    random_state: int,
) -> tuple[np.ndarray | sparse.csr_matrix, np.ndarray | sparse.csr_matrix]:
    """Cells x dimensions of both: of `obsm`, of all genes (`"X"`) or projected (`"pca"`)."""
    if use_rep in ("X", "pca"):
        if not np.array_equal(query.var_names, reference.var_names):
            n_shared = query.var_names.isin(reference.var_names).sum()
            raise ValueError(
                f"use_rep={use_rep!r} needs the same genes in the same order; reference has "
                f"{reference.n_vars:,}, query {query.n_vars:,}, and {n_shared:,} are shared. Take "
                "the shared ones of both, or pass pellucid.pp.align_genes(query, "
                "reference.var_names)."
            )
        first, second = (_expression(adata, layer) for adata in (reference, query))
        if use_rep == "pca":
            n_comps = min(n_comps, min(first.shape) - 1)
            # The one solver that takes sparse data as they are, and gives the same for a seed.
            pca = PCA(n_comps, svd_solver="arpack", random_state=random_state).fit(first)
            first, second = pca.transform(first), pca.transform(second)
    else:
        first, second = (_representation(adata, use_rep) for adata in (reference, query))
        if first.shape[1] != second.shape[1]:
            raise ValueError(
                f"obsm[{use_rep!r}] has {first.shape[1]} dimensions in reference and "
                f"{second.shape[1]} in query; write both by one model, with tl.latent."
            )
        if use_rep == "X_pca" and _other_axes(reference, query):
            raise ValueError(
                "obsm['X_pca'] of reference and of query are of two fits (their varm['PCs'] "
                "differ), so that their axes mean different things. Use use_rep='pca', which "
                "projects the query onto the reference's components."
            )
    for adata_name, values in (("reference", first), ("query", second)):
        if not np.isfinite(values.data if sparse.issparse(values) else values).all():
            raise ValueError(
                f"use_rep={use_rep!r} holds NaN or infinite values in {adata_name}; remove those "
                "cells, or see whether the model's training diverged (get.history)."
            )
    return first, second


def _representation(adata: AnnData, use_rep: str) -> np.ndarray | sparse.csr_matrix:
    values = _keys.require(adata, "obsm", use_rep, "tl.latent")
    return values.tocsr() if sparse.issparse(values) else np.asarray(values)


def _expression(adata: AnnData, layer: str | None) -> np.ndarray | sparse.csr_matrix:
    """The matrix in memory; a warning where it holds counts."""
    blocks = list(row_blocks(expression_matrix(adata, layer)))
    if sparse.issparse(blocks[0]):
        matrix = sparse.csr_matrix(sparse.vstack(blocks, format="csr"))
        values = matrix.data
    else:
        matrix = values = np.vstack(blocks)
    if not (values % 1).any():
        logger.warning(
            "%s holds whole numbers, as counts are: distances of counts are mostly those of "
            "sequencing depth. Pass layer= to name log-normalised data.",
            expression_source(layer),
        )
    return matrix


def _other_axes(reference: AnnData, query: AnnData) -> bool:
    axes = [adata.varm.get("PCs") for adata in (reference, query)]
    if any(one is None for one in axes):
        return False
    return np.shape(axes[0]) != np.shape(axes[1]) or not np.allclose(axes[0], axes[1])
