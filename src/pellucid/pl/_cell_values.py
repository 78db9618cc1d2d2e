"""What cells are coloured by: columns of `obs`, units of a representation, or genes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData
from scipy import sparse

from .._validate import expression_matrix
from ._scatter import numbers_or_categories

if TYPE_CHECKING:
    from collections.abc import Callable


def log_normalised(adata: AnnData, layer: str | None) -> AnnData:
    """The genes' log expression: counts are normalised first, other values are taken as such."""
    matrix = expression_matrix(adata, layer)
    original = AnnData(matrix[:].copy(), var=pd.DataFrame(index=adata.var_names))
    values = original.X.data if sparse.issparse(original.X) else original.X
    if np.all(values >= 0) and np.all(values == np.round(values)):
        sc.pp.normalize_total(original, target_sum=1e4)
        sc.pp.log1p(original)
    return original


def cell_values(
    adata: AnnData, name: str, use_rep: str, latent: np.ndarray, original: Callable[[], AnnData]
) -> Any:
    """What the cells are coloured by: numbers, or categories."""
    if name in adata.obs:
        return numbers_or_categories(adata.obs[name])
    units = [str(unit) for unit in adata.uns.get(use_rep, {}).get("latent_names", ())]
    if name in units:
        return latent[:, units.index(name)]
    if name in adata.var_names:
        return sc.get.obs_df(original(), [name])[name].to_numpy()
    raise KeyError(
        f"color={name!r} is not in adata.obs, which holds {list(adata.obs.columns)}; it is "
        f"none of the {adata.n_vars:,} genes in adata.var_names and of the {len(units)} units in "
        f"adata.uns[{use_rep!r}]."
    )
