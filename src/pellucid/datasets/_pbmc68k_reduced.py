from __future__ import annotations

from importlib.metadata import version

import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData
from scipy import sparse

_LARGEST_RESIDUAL = 0.1


def pbmc68k_reduced() -> AnnData:
    """700 human blood cells with their counts, from the file that scanpy carries.

    scanpy's :func:`~scanpy.datasets.pbmc68k_reduced` holds scaled values in `X` and, in `raw`,
    log1p of counts per 10,000. As the total count of each cell is kept in
    `obs["n_counts"]`, the counts are `expm1(raw.X) * n_counts / 10,000`, up to rounding:
    before it, 99% of the values are within 0.007 of a whole number and none is further than 0.082
    (a count of 213), the error of the file's float32.

    Everything that was computed from the scaled matrix (`raw`, principal components,
    neighbours, gene ranking, moments of the genes) is left out, for it does not describe
    these counts. No network is needed.

    Returns
    -------
    AnnData
        700 cells x 765 genes.

        - `X`: counts (CSR, float32)
        - `obs`: `bulk_labels` (10 populations, by correlation with sorted cells), `louvain`
          (11 clusters), `phase`, `S_score`, `G2M_score`, `percent_mito`, `n_genes` and
          `n_counts`. The last two are over all genes that were measured, not these 765.
        - `obsm["X_umap"]`: the UMAP that came with the file
        - `uns`: scanpy's colours of `bulk_labels` and `louvain`

    Raises
    ------
    RuntimeError
        If the counts cannot be recovered to within 0.1: scanpy's file is not the known one.

    Notes
    -----
    A subset of the fresh 68k PBMCs (donor A) of Zheng et al. 2017, Nature Communications 8:14049,
    published by 10x Genomics (CC BY 4.0). Gene names are those of its 2016 annotation.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> adata.shape
    (700, 765)
    """
    source = sc.datasets.pbmc68k_reduced()
    logged = sparse.csr_matrix(source.raw.X, dtype=np.float64)
    totals = sparse.diags_array(source.obs["n_counts"].to_numpy(dtype=np.float64) / 1e4)
    counts = sparse.csr_matrix(totals @ logged.expm1())
    rounded = np.round(counts.data)
    residual = np.abs(counts.data - rounded).max(initial=0)
    if residual > _LARGEST_RESIDUAL:
        raise RuntimeError(
            "The counts of scanpy's pbmc68k_reduced could not be recovered: "
            f"expm1(raw.X) * n_counts / 10,000 is up to {residual:.2g} from a whole number, where "
            f"at most {_LARGEST_RESIDUAL} was expected. scanpy {version('scanpy')} seems to carry "
            "another file than the one this was written for."
        )
    counts.data = rounded.astype(np.float32)
    counts.eliminate_zeros()
    return AnnData(
        counts.astype(np.float32),
        obs=source.obs.copy(),
        var=pd.DataFrame(index=source.raw.var_names.copy()),
        obsm={"X_umap": source.obsm["X_umap"].copy()},
        uns={key: source.uns[key] for key in ("bulk_labels_colors", "louvain_colors")},
    )
