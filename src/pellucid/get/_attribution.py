from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pellucid import _keys

if TYPE_CHECKING:
    from anndata import AnnData


def attribution(
    adata: AnnData, *, group: str | None = None, key: str = _keys.ATTRIBUTION
) -> pd.DataFrame:
    """Attribution of each unit to each gene, genes by units.

    Parameters
    ----------
    adata
        With attributions from :func:`pellucid.tl.attribute`.
    group
        Group of cells, of the column that :func:`pellucid.tl.attribute` was given as `groupby`;
        all cells if `None`.
    key
        Key of the attribution in `adata.varm` and `adata.uns`.

    Returns
    -------
    pandas.DataFrame
        (n_vars, n_latent), rows named by `adata.var_names`, columns by unit.

    Raises
    ------
    KeyError
        If there is no attribution under `key`, or none of groups when `group` is given.
    ValueError
        If `group` is unknown.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> model = pld.tl.orthogonal_ae(adata, n_latent=8, max_epochs=2)
    >>> pld.tl.attribute(adata, model, groupby="bulk_labels")
    >>> pld.get.attribution(adata, group="Dendritic").shape
    (765, 8)
    """
    values = _keys.require(adata, "varm", key, "tl.attribute")
    record = _keys.require(adata, "uns", key, "tl.attribute")
    if group is not None:
        if "groups" not in record:
            raise KeyError(
                f"group={group!r} is given, but adata.uns[{key!r}] holds no attribution of "
                "groups; call tl.attribute with groupby= first."
            )
        groups = _keys.string_array(record["groups"]).tolist()
        if group not in groups:
            raise ValueError(f"group={group!r} is unknown; choose one of {groups}.")
        grouped = _keys.grouped(key, str(record["params"]["groupby"]))
        values = _keys.require(adata, "varm", grouped, "tl.attribute")[:, groups.index(group)]
    names = pd.Index(_keys.string_array(record["latent_names"]), name="unit")
    return pd.DataFrame(np.asarray(values), index=adata.var_names, columns=names)
