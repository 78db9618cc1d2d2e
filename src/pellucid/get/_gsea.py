from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from pellucid import _keys

if TYPE_CHECKING:
    from anndata import AnnData


def gsea(adata: AnnData, *, key: str = _keys.GSEA) -> pd.DataFrame:
    """Gene sets at the top and bottom of each unit's genes; each list's most significant first.

    Parameters
    ----------
    adata
        With a result of :func:`pellucid.tl.gsea`.
    key
        Key of the result in `adata.uns`.

    Returns
    -------
    pandas.DataFrame
        `group` (if grouped), `unit`, `gene_set`, `set_size`, `es`, `nes`, `pvalue`, `padj` and
        `leading_edge`, as :func:`pellucid.tl.gsea` says. Groups and units are in their order, the
        sets of a list by rising `pvalue`, then by falling size of the normalised score.

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
    >>> pld.tl.gsea(adata, pld.datasets.blood_markers(), min_genes=5)
    >>> best = pld.get.gsea(adata).groupby("unit", sort=False).head(1)
    """
    table = _keys.require(adata, "uns", key, "tl.gsea")["results"]
    by = [column for column in ("group", "unit") if column in table]
    helpers = {f"_{column}": pd.factorize(table[column])[0] for column in by}
    helpers["_size"] = -table["nes"].abs()
    return (
        table.assign(**helpers)
        .sort_values([*(f"_{column}" for column in by), "pvalue", "_size"], kind="stable")
        .drop(columns=list(helpers))
        .reset_index(drop=True)
    )
