from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from pellucid import _keys

if TYPE_CHECKING:
    from anndata import AnnData


def loadings(adata: AnnData, *, key: str | None = None) -> pd.DataFrame:
    """Loadings of each gene on each latent unit: what a factor adds to it, or where it lies.

    Parameters
    ----------
    adata
        With loadings from :func:`pellucid.tl.loadings`.
    key
        Key of the loadings in `adata.varm` and of their record in `adata.uns`. `None` for the
        first of `"annotated_ae_loadings"`, `"sivae_loadings"` and `"linearscvi_loadings"` that is
        there.

    Returns
    -------
    pandas.DataFrame
        Genes x units (or factors), by their names.

    Raises
    ------
    KeyError
        If there are no loadings under `key`.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> pld.pp.add_gene_sets(adata, pld.datasets.blood_markers())
    >>> model = pld.tl.annotated_ae(adata, likelihood="nb", max_epochs=2)
    >>> pld.get.loadings(adata).shape
    (765, 21)
    """
    key = _keys.found_loadings(adata, key)
    values = _keys.require(adata, "varm", key, "tl.loadings")
    names = _keys.require(adata, "uns", key, "tl.loadings")["latent_names"]
    return pd.DataFrame(values, index=adata.var_names, columns=_keys.string_array(names))
