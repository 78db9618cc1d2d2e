from __future__ import annotations

from typing import TYPE_CHECKING

from pellucid import _keys

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData


def transfer_labels(adata: AnnData, *, key: str = _keys.TRANSFER_LABELS) -> pd.DataFrame:
    """How well one data set named the cells of another, by representation, k and metric.

    Parameters
    ----------
    adata
        The query of :func:`pellucid.tl.transfer_labels`.
    key
        Key of the result in `adata.uns`.

    Returns
    -------
    pandas.DataFrame
        `use_rep`, `k`, `metric`, `score` and `majority`, as :func:`pellucid.tl.transfer_labels`
        says.

    Raises
    ------
    KeyError
        If there is no result under `key`.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> reference, query = adata[:400].copy(), adata[400:].copy()
    >>> pld.tl.transfer_labels(reference, query, labels_key="bulk_labels", use_rep="X_umap")
    >>> table = pld.get.transfer_labels(query)
    >>> table.pivot_table(index=["use_rep", "k"], columns="metric", values="score").shape
    (21, 3)
    """
    return _keys.require(adata, "uns", key, "tl.transfer_labels")["results"].copy()
