from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pellucid import _keys

if TYPE_CHECKING:
    from anndata import AnnData


def populations(adata: AnnData, *, key: str = _keys.POPULATIONS) -> pd.DataFrame:
    """Centrality and mean expression of each gene in each population.

    Parameters
    ----------
    adata
        With a result of :func:`pellucid.tl.fit_populations`.
    key
        Key of the result in `adata.uns`.

    Returns
    -------
    pandas.DataFrame
        One row a fit and gene: `population`, `bin`, `n_cells`, `gene`, `centrality`,
        `mean_expression`. Fits and genes are in their order.

    Raises
    ------
    KeyError
        If there is no result under `key`.

    Examples
    --------
    >>> import numpy as np
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()[:, :60].copy()
    >>> adata.X = np.log1p(adata.X.toarray())
    >>> small = {"model_kwargs": {"n_hidden": (8, 4)}, "train_kwargs": {"max_epochs": 1}}
    >>> pld.tl.fit_populations(adata, "phase", n_cells_per_bin=180, n_latent=4, **small)
    >>> hubs = pld.get.populations(adata).nlargest(10, "centrality")
    """
    found = _keys.require(adata, "uns", key, "tl.fit_populations")
    n_fits, n_genes = len(found["populations"]), adata.n_vars
    columns = {"centrality": "centrality", "mean_expression": "mean"}
    return pd.DataFrame(
        {
            "population": np.repeat(_keys.string_array(found["populations"]), n_genes),
            "bin": np.repeat(found["bins"], n_genes),
            "n_cells": np.repeat(found["n_cells"], n_genes),
            "gene": np.tile(np.asarray(adata.var_names, dtype=str), n_fits),
            **{
                column: np.asarray(adata.varm[f"{key}_{slot}"]).T.ravel()
                for column, slot in columns.items()
            },
        }
    )
