from __future__ import annotations

from typing import TYPE_CHECKING

from pellucid import _keys

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData


def tune(adata: AnnData, *, key: str = _keys.TUNE) -> pd.DataFrame:
    """Trials of a search for a model's settings, in the order in which they were proposed.

    Parameters
    ----------
    adata
        With a search from :func:`pellucid.tl.tune`.
    key
        Key of the search in `adata.uns`.

    Returns
    -------
    pandas.DataFrame
        `trial`, `status`, `loss`, `seconds`, and a column for each setting, as
        :func:`pellucid.tl.tune` says.

    Raises
    ------
    KeyError
        If there is no search under `key`.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> pld.model.OrthogonalAE.setup_anndata(adata)
    >>> model = pld.tl.tune(adata, pld.model.OrthogonalAE, n_trials=20)  # doctest: +SKIP
    >>> best = pld.get.tune(adata).nsmallest(3, "loss")  # doctest: +SKIP
    """
    return _keys.require(adata, "uns", key, "tl.tune")["results"].copy()
