from __future__ import annotations

from typing import TYPE_CHECKING

from pellucid import _keys

from ._ranked import ranked

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData


def factor_separation(adata: AnnData, *, key: str = _keys.FACTOR_SEPARATION) -> pd.DataFrame:
    """How well each factor alone tells groups apart; each group's best factors first.

    Parameters
    ----------
    adata
        With a separation from :func:`pellucid.tl.factor_separation`.
    key
        Key of the separation in `adata.uns`.

    Returns
    -------
    pandas.DataFrame
        `factor`, `group`, `reference`, `accuracy`, `cv_accuracy`, `auroc` and `majority`, as
        :func:`pellucid.tl.factor_separation` says. Groups are in the order of their categories,
        the factors of a group by falling `cv_accuracy`, then `accuracy`.

    Raises
    ------
    KeyError
        If there is no separation under `key`.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> model = pld.tl.orthogonal_ae(adata, n_latent=8, max_epochs=2)
    >>> pld.tl.factor_separation(adata, groupby="phase", use_rep="X_orthogonal_ae")
    >>> best = pld.get.factor_separation(adata).groupby("group", sort=False).head(1)
    """
    record = _keys.require(adata, "uns", key, "tl.factor_separation")
    return ranked(record["results"], {"cv_accuracy": False, "accuracy": False})
