from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from pellucid import _keys

if TYPE_CHECKING:
    from anndata import AnnData


def gene_sets(adata: AnnData, *, key: str = _keys.GENE_SETS) -> pd.DataFrame:
    """Genes of each gene set, one row a gene of a set.

    Parameters
    ----------
    adata
        With gene sets from :func:`pellucid.pp.add_gene_sets`.
    key
        Key of the gene sets in `adata.varm` and `adata.uns`.

    Returns
    -------
    pandas.DataFrame
        `gene_set` and `gene`, sets in the order they were added, genes in that of
        `adata.var_names`; and `share_found`, the share of the set's genes, as it was given, that
        were in `adata.var_names` when the sets were added.

    Raises
    ------
    KeyError
        If there are no gene sets under `key`.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> pld.pp.add_gene_sets(adata, pld.datasets.blood_markers())
    >>> pld.get.gene_sets(adata).columns.to_list()
    ['gene_set', 'gene', 'share_found']
    """
    mask = _keys.require(adata, "varm", key, "pp.add_gene_sets")
    record = _keys.require(adata, "uns", key, "pp.add_gene_sets")
    gene, gene_set = sparse.csr_array(mask).nonzero()
    order = np.lexsort((gene, gene_set))
    gene, gene_set = gene[order], gene_set[order]
    share_found = np.asarray(record["n_found"]) / np.asarray(record["n_total"])
    return pd.DataFrame(
        {
            "gene_set": _keys.string_array(record["names"])[gene_set],
            "gene": _keys.string_array(adata.var_names)[gene],
            "share_found": share_found[gene_set],
        }
    )
