from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from .._keys import GENE_SETS, require

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger("pellucid")


def filter_to_gene_sets(
    adata: AnnData, *, key: str = GENE_SETS, copy: bool = False
) -> AnnData | None:
    """Keep the genes that stand in at least one gene set, as the papers train on.

    Parameters
    ----------
    adata
        Cells x genes, with gene sets from :func:`pellucid.pp.add_gene_sets`.
    key
        Key of the gene sets in `adata.varm`.
    copy
        Whether to return a new AnnData instead of filtering this one.

    Returns
    -------
    AnnData or None
        `None`, or the new AnnData if `copy`. As with :func:`scanpy.pp.filter_genes`, `adata` is
        subset in place with all that is aligned to its genes; `adata.raw` keeps every gene.

    Raises
    ------
    KeyError
        If there are no gene sets under `key`.
    ValueError
        If no gene stands in a set, or `adata` is backed.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> pld.pp.add_gene_sets(adata, pld.datasets.blood_markers())
    >>> pld.pp.filter_to_gene_sets(adata)
    >>> adata.n_vars
    101
    """
    if adata.isbacked:
        raise ValueError("A backed AnnData cannot be filtered; use adata.to_memory() first.")
    mask = require(adata, "varm", key, "pp.add_gene_sets")
    kept = np.asarray(mask.sum(axis=1)).ravel() > 0
    if not kept.any():
        raise ValueError(
            f"None of the {adata.n_vars:,} genes of adata stands in a set of adata.varm[{key!r}]; "
            "call pp.add_gene_sets again with the sets that are meant."
        )
    logger.info("Kept %d of %d genes: those in a gene set.", kept.sum(), adata.n_vars)
    if copy:
        return adata[:, kept].copy()
    adata._inplace_subset_var(kept)
    return None
