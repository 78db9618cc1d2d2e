from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pellucid import _keys

if TYPE_CHECKING:
    from anndata import AnnData


def latent(adata: AnnData, *, key: str | None = None) -> pd.DataFrame:
    """Latent representation, cells by units.

    Parameters
    ----------
    adata
        With a latent representation from :func:`pellucid.tl.latent` or a one-call fit.
    key
        Key of the representation in `adata.obsm` and `adata.uns`; `None` for
        the first of `"X_orthogonal_ae"`, `"X_annotated_ae"` and `"X_sivae"` that is there.

    Returns
    -------
    pandas.DataFrame
        (n_obs, n_latent), rows named by `adata.obs_names`, columns by unit.

    Raises
    ------
    KeyError
        If there is no representation under `key`.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> model = pld.tl.orthogonal_ae(adata, n_latent=8, max_epochs=2)
    >>> pld.get.latent(adata).shape
    (700, 8)
    """
    key = _keys.representation(adata, key)
    representation = np.asarray(_keys.require(adata, "obsm", key, "tl.latent"))
    record = _keys.require(adata, "uns", key, "tl.latent")
    names = pd.Index(_keys.string_array(record["latent_names"]), name="unit")
    return pd.DataFrame(representation, index=adata.obs_names, columns=names)
