from __future__ import annotations

from typing import TYPE_CHECKING

from pellucid import _keys

from ._ranked import ranked

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData


def enrichment(adata: AnnData, *, key: str = _keys.ENRICHMENT) -> pd.DataFrame:
    """Gene sets that each unit's foremost genes are rich in; each unit's most significant first.

    Parameters
    ----------
    adata
        With a result of :func:`pellucid.tl.enrich`.
    key
        Key of the result in `adata.uns`.

    Returns
    -------
    pandas.DataFrame
        `unit`, `gene_set`, `overlap`, `set_size`, `n_top`, `odds_ratio`, `pvalue`, `padj` and
        `genes`, as :func:`pellucid.tl.enrich` says. Units are in the model's order, the sets of a
        unit by rising `pvalue`, then by falling odds ratio.

    Raises
    ------
    KeyError
        If there is no result under `key`.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> model = pld.tl.orthogonal_ae(adata, n_latent=8, max_epochs=2)
    >>> pld.tl.attribute(adata, model)
    >>> pld.tl.enrich(adata, pld.datasets.blood_markers())
    >>> best = pld.get.enrichment(adata).groupby("unit", sort=False).head(1)
    """
    table = _keys.require(adata, "uns", key, "tl.enrich")["results"]
    return ranked(table, {"pvalue": True, "odds_ratio": False}, within="unit")
