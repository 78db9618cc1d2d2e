from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pellucid import _keys

if TYPE_CHECKING:
    from anndata import AnnData


def gsea_frequency(adata: AnnData, *, key: str = _keys.GSEA) -> pd.DataFrame:
    """In how many groups each gene set is significant in each unit (Fig. 5 of the paper).

    Parameters
    ----------
    adata
        With a result of :func:`pellucid.tl.gsea`.
    key
        Key of the result in `adata.uns`.

    Returns
    -------
    pandas.DataFrame
        Sets x units, numbers of groups. Of `table`, `(table > 0).sum()` is the number of sets that
        each unit claims, and `(table > 0).sum(axis=1)` the number of units that each set has.

    Raises
    ------
    KeyError
        If there is no result under `key`.

    Examples
    --------
    How many units have no significant set, one, two, ..., the paper's measure of how far units
    are disentangled :cite:p:`Kinalis2022`:

    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> model = pld.tl.orthogonal_ae(adata, n_latent=8, max_epochs=2)
    >>> pld.tl.attribute(adata, model)
    >>> pld.tl.gsea(adata, pld.datasets.blood_markers(), min_genes=5)
    >>> n_sets = (pld.get.gsea_frequency(adata) > 0).sum()
    >>> int(n_sets.value_counts().sum())
    8
    """
    record = _keys.require(adata, "uns", key, "tl.gsea")
    return pd.DataFrame(
        np.asarray(record["n_significant"]),
        index=pd.Index(_keys.string_array(record["set_names"]), name="gene_set"),
        columns=pd.Index(_keys.string_array(record["latent_names"]), name="unit"),
    )
