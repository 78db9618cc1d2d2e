from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pellucid import _keys
from pellucid._validate import check_cells, check_writable

if TYPE_CHECKING:
    from anndata import AnnData

    from pellucid._compat import BaseModelClass


def latent(
    adata: AnnData, model: BaseModelClass, *, key_added: str | None = None, copy: bool = False
) -> AnnData | None:
    """Write a model's latent representation of each cell, and how it was trained.

    Parameters
    ----------
    adata
        Cells to encode, with the genes of the model's AnnData.
    model
        A trained model of :mod:`pellucid.model` or of scvi-tools.
    key_added
        Key under which the result is added; `"X_orthogonal_ae"` and the like if `None`, `"X_scvi"`
        and the like for a model of scvi-tools.
    copy
        Whether to return a copy of `adata` rather than write to it; not of a backed one.

    Returns
    -------
    `None`, or an AnnData if `copy=True`. Sets the following fields:

    `adata.obsm[key_added]` : :class:`numpy.ndarray`, float32, shape `(n_obs, n_latent)`
        Latent representation.
    `adata.uns[key_added]` : :class:`dict`
        `params`, `latent_names`, and `history`: a DataFrame, one row an epoch.

    Raises
    ------
    KeyError
        If `adata` lacks the layer that the model reads.
    ValueError
        If `adata` has other genes than the model, holds log expression where the model was trained
        on counts or the reverse, or holds NaN.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> pld.model.OrthogonalAE.setup_anndata(adata)
    >>> model = pld.model.OrthogonalAE(adata, n_latent=8)
    >>> model.train(max_epochs=2)
    >>> pld.tl.latent(adata, model)
    >>> adata.obsm["X_orthogonal_ae"].shape
    (700, 8)
    """
    check_writable(adata, copy=copy)
    check_cells(adata, model)
    representation = np.asarray(model.get_latent_representation(adata), dtype=np.float32)
    adata = adata.copy() if copy else adata
    key = _keys.latent(model) if key_added is None else key_added
    adata.obsm[key] = representation
    adata.uns[key] = {
        "params": _keys.record("tl.latent", model=model, key_added=key, **_model_params(model)),
        "latent_names": _keys.latent_names(model, representation.shape[1]),
        "history": _history(model),
    }
    return adata if copy else None


def _model_params(model: BaseModelClass) -> dict[str, object]:
    """The model's own arguments, as scvi-tools keeps them, where a file can hold them."""
    arguments = model.init_params_["non_kwargs"]
    return {
        name: value for name, value in arguments.items() if isinstance(value, str | int | float)
    }


def _history(model: BaseModelClass) -> pd.DataFrame:
    epochs = {
        name: frame.iloc[:, 0].astype(float)
        for name, frame in (model.history or {}).items()
        if frame.index.name == "epoch"
    }
    history = pd.DataFrame(epochs)
    history.index = history.index.astype(str)
    history.index.name = "epoch"
    return history
