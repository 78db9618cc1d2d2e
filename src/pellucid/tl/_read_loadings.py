from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pellucid import _keys

if TYPE_CHECKING:
    from anndata import AnnData


def read_loadings(adata: AnnData, key: str) -> np.ndarray:
    """Loadings of one model as points, genes x units, in double precision."""
    values = np.asarray(_keys.require(adata, "varm", key, "tl.loadings"), dtype=np.float64)
    if values.ndim != 2:
        raise ValueError(
            f"adata.varm[{key!r}] has shape {values.shape}; expected genes x units. That of "
            "tl.fit_populations holds the loadings of many fits: put those of one, "
            f"adata.varm[{key!r}][:, 0], under a key of their own."
        )
    if not np.isfinite(values).all():
        raise ValueError(
            f"adata.varm[{key!r}] holds NaN or infinite loadings; see whether the model's "
            "training diverged (get.history), then call tl.loadings again."
        )
    return values
