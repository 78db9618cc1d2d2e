from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pandas as pd

from pellucid import _keys

if TYPE_CHECKING:
    from anndata import AnnData


def network_comparison(
    adata: AnnData,
    *,
    of: Literal["pcs", "kernel"] = "pcs",
    key: str = _keys.NETWORK_COMPARISON,
) -> pd.DataFrame:
    """Principal components of populations by their networks, or their similarity.

    Parameters
    ----------
    adata
        With a result of :func:`pellucid.tl.compare_networks`.
    of
        `"pcs"` for the components, `"kernel"` for the similarities.
    key
        Key of the result in `adata.uns`.

    Returns
    -------
    pandas.DataFrame
        Populations x components (`PC1`, `PC2`, ...), or populations x populations.

    Raises
    ------
    KeyError
        If there is no result under `key`.
    ValueError
        If `of` is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()[:, :60].copy()
    >>> adata.X = np.log1p(adata.X.toarray())
    >>> small = {"model_kwargs": {"n_hidden": (8, 4)}, "train_kwargs": {"max_epochs": 1}}
    >>> pld.tl.fit_populations(adata, "louvain", n_cells_per_bin=90, n_latent=4, **small)
    >>> pld.tl.compare_networks(adata)
    >>> first = pld.get.network_comparison(adata)["PC1"].sort_values()
    """
    if of not in ("pcs", "kernel"):
        raise ValueError(f"of={of!r} is unknown; choose 'pcs' or 'kernel'.")
    found = _keys.require(adata, "uns", key, "tl.compare_networks")
    names = pd.Index(_keys.string_array(found["populations"]), name="population")
    if of == "kernel":
        return pd.DataFrame(found["kernel"], index=names, columns=names)
    columns = [f"PC{number + 1}" for number in range(found["pcs"].shape[1])]
    return pd.DataFrame(found["pcs"], index=names, columns=columns)
