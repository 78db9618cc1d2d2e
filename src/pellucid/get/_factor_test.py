from __future__ import annotations

from typing import TYPE_CHECKING

from pellucid import _keys

from ._ranked import ranked

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData


def factor_test(adata: AnnData, *, key: str = _keys.FACTOR_TEST) -> pd.DataFrame:
    """Which factors differ between groups; each group's most significant factors first.

    Parameters
    ----------
    adata
        With a test from :func:`pellucid.tl.factor_test`.
    key
        Key of the test in `adata.uns`.

    Returns
    -------
    pandas.DataFrame
        `factor`, `group`, `reference`, `mean_difference`, `effect_size`, `auroc`, `pvalue`,
        `padj`, `redundancy`, `closest` and `closest_r`, as :func:`pellucid.tl.factor_test` says.
        Groups are in the order of their categories, the factors of a group by rising `pvalue`,
        then by falling size of the effect.

    Raises
    ------
    KeyError
        If there is no test under `key`.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> model = pld.tl.orthogonal_ae(adata, n_latent=8, max_epochs=2)
    >>> pld.tl.factor_test(adata, groupby="phase", use_rep="X_orthogonal_ae")
    >>> strongest = pld.get.factor_test(adata).groupby("group", sort=False).head(1)
    """
    record = _keys.require(adata, "uns", key, "tl.factor_test")
    table = record["results"].assign(size=record["results"]["effect_size"].abs())
    return ranked(table, {"pvalue": True, "size": False}).drop(columns="size")
