from __future__ import annotations

from typing import TYPE_CHECKING

from pellucid import _keys

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData


def factors(adata: AnnData, *, key: str = _keys.FACTORS) -> pd.DataFrame:
    """What each factor explains, and what training changed in its gene set.

    Parameters
    ----------
    adata
        With ranked factors from :func:`pellucid.tl.rank_factors`.
    key
        Key of the ranking in `adata.uns`.

    Returns
    -------
    pandas.DataFrame
        One row a factor by its name, the first-ranked first; columns as
        :func:`pellucid.tl.rank_factors` lists them.

    Raises
    ------
    KeyError
        If there is no ranking under `key`.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> pld.pp.add_gene_sets(adata, pld.datasets.blood_markers())
    >>> model = pld.tl.annotated_ae(adata, likelihood="nb", max_epochs=2)
    >>> pld.tl.rank_factors(adata)
    >>> pld.get.factors(adata).index.name
    'factor'
    """
    return _keys.require(adata, "uns", key, "tl.rank_factors")["results"].copy()
