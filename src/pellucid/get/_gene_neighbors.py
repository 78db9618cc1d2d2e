from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from pellucid import _keys

if TYPE_CHECKING:
    from anndata import AnnData


def gene_neighbors(adata: AnnData, *, key: str = _keys.GENE_NEIGHBORS) -> pd.DataFrame:
    """Neighbours of each gene, the nearest first.

    Parameters
    ----------
    adata
        With neighbours from :func:`pellucid.tl.gene_neighbors`.
    key
        Key of the result in `adata.uns`.

    Returns
    -------
    pandas.DataFrame
        One row a gene and neighbour, genes in the order of `adata.var_names`: `gene`; `neighbor`;
        `rank`, 1 of the nearest; `distance`; `weight`, that of the edge.

    Raises
    ------
    KeyError
        If there is no result under `key`.

    Examples
    --------
    >>> import pellucid as pld
    >>> import scanpy as sc
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> sc.pp.normalize_total(adata)
    >>> sc.pp.log1p(adata)
    >>> pld.tl.gene_neighbors(adata, method="clr", n_neighbors=3)
    >>> neighbors = pld.get.gene_neighbors(adata)
    >>> neighbors[neighbors["gene"] == "CD79A"]["neighbor"].to_list()
    ['MS4A1', 'TNFRSF13B', 'IGJ']
    """
    record = _keys.require(adata, "uns", key, "tl.gene_neighbors")
    distances, weights = (
        sparse.csr_matrix(_keys.require(adata, "varp", str(record[name]), "tl.gene_neighbors"))
        for name in ("distances_key", "connectivities_key")
    )
    # Not by nonzero(): a distance may be 0.
    gene = np.repeat(np.arange(adata.n_vars), np.diff(distances.indptr))
    neighbor, distance = distances.indices, distances.data
    order = np.lexsort((neighbor, distance, gene))
    gene, neighbor, distance = gene[order], neighbor[order], distance[order]
    rank = np.arange(len(gene)) - distances.indptr[gene] + 1
    names = adata.var_names.to_numpy()
    return pd.DataFrame(
        {
            "gene": names[gene],
            "neighbor": names[neighbor],
            "rank": rank,
            "distance": distance,
            "weight": np.asarray(weights[gene, neighbor]).ravel(),
        }
    )
