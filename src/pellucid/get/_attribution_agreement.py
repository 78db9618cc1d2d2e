from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pellucid import _keys

if TYPE_CHECKING:
    from anndata import AnnData


def attribution_agreement(
    adata: AnnData, *, key: str = _keys.ATTRIBUTION_AGREEMENT
) -> pd.DataFrame:
    """Correlation of every two attributions or loadings, unit by unit.

    Parameters
    ----------
    adata
        With the result of :func:`pellucid.tl.attribution_agreement`.
    key
        Key of the result in `adata.uns`.

    Returns
    -------
    pandas.DataFrame
        A row for each pair of results and each unit: `first`, `second`, `unit`, `correlation`
        (Spearman's), `pvalue` (two-sided) and `magnitude`, whether absolute values were compared.

    Raises
    ------
    KeyError
        If there is no result under `key`.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> model = pld.tl.orthogonal_ae(adata, n_latent=8, max_epochs=2)
    >>> for method in ("saliency", "guided_backprop"):
    ...     pld.tl.attribute(adata, model, method=method, key_added=method)
    >>> pld.tl.attribution_agreement(adata)
    >>> median = pld.get.attribution_agreement(adata).groupby("first")["correlation"].median()
    """
    record = _keys.require(adata, "uns", key, "tl.attribution_agreement")
    names = _keys.string_array(record["names"])
    units = _keys.string_array(record["latent_names"])
    first, second = np.triu_indices(len(names), 1)
    n_units = len(units)
    return pd.DataFrame(
        {
            "first": np.repeat(names[first], n_units),
            "second": np.repeat(names[second], n_units),
            "unit": np.tile(units, len(first)),
            "correlation": np.asarray(record["correlation"])[:, first, second].T.ravel(),
            "pvalue": np.asarray(record["pvalue"])[:, first, second].T.ravel(),
            "magnitude": np.repeat(np.asarray(record["magnitude"])[first, second], n_units),
        }
    )
