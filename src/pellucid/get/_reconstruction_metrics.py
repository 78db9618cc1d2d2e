from __future__ import annotations

from typing import TYPE_CHECKING

from pellucid import _keys

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData


def reconstruction_metrics(
    adata: AnnData, *, key: str = _keys.RECONSTRUCTION_METRICS
) -> pd.DataFrame:
    """How well reconstructions agree with the original.

    Parameters
    ----------
    adata
        With the result of :func:`pellucid.tl.reconstruction_metrics`.
    key
        Key of the result in `adata.uns`.

    Returns
    -------
    pandas.DataFrame
        A row for each `reconstruction`: `pcc`, `spearman`, `em`, `mae`, `gene_pcc`, `cell_pcc`.

    Raises
    ------
    KeyError
        If there is no result under `key`.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> pld.tl.reconstruction_metrics(adata, adata.X.toarray() + 1)
    >>> pld.get.reconstruction_metrics(adata)["mae"].item()
    1.0
    """
    record = _keys.require(adata, "uns", key, "tl.reconstruction_metrics")
    return record["results"].reset_index(drop=True)
