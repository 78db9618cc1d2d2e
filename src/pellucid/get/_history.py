from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from pellucid import _keys

if TYPE_CHECKING:
    from anndata import AnnData


def history(adata: AnnData, *, key: str | None = None) -> pd.DataFrame:
    """How training went, one row an epoch.

    Parameters
    ----------
    adata
        With the record of :func:`pellucid.tl.latent` or a one-call fit.
    key
        Key of the record in `adata.uns`; `None` for
        the first of `"X_orthogonal_ae"`, `"X_annotated_ae"` and `"X_sivae"` that is there.

    Returns
    -------
    pandas.DataFrame
        Losses and what else the model recorded, in columns; the index `epoch` holds whole
        numbers from 0.

    Raises
    ------
    KeyError
        If there is no record under `key`.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> model = pld.tl.orthogonal_ae(adata, n_latent=8, max_epochs=2)
    >>> len(pld.get.history(adata))
    2
    """
    key = _keys.representation(adata, key)
    table = _keys.require(adata, "uns", key, "tl.latent")["history"]
    # Some versions of anndata hold an index as text.
    index = pd.Index(table.index.astype(str).astype("int64"), name="epoch")
    return table.set_axis(index, axis=0)
