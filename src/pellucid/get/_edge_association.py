from __future__ import annotations

from typing import TYPE_CHECKING

from pellucid import _keys

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData


def edge_association(adata: AnnData, *, key: str = _keys.EDGE_ASSOCIATION) -> pd.DataFrame:
    """Edges between genes that go with a phenotype, the most significant first.

    Parameters
    ----------
    adata
        With a result of :func:`pellucid.tl.associate_edges`.
    key
        Key of the result in `adata.uns`.

    Returns
    -------
    pandas.DataFrame
        `gene_1`, `gene_2`, `n_populations`, `share_0` and `share_1` (of two groups), `auroc`,
        `pvalue` and `padj`, as :func:`pellucid.tl.associate_edges` says, by rising `pvalue`.

    Raises
    ------
    KeyError
        If there is no result under `key`.

    Examples
    --------
    >>> import numpy as np
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()[:, :60].copy()
    >>> adata.X = np.log1p(adata.X.toarray())
    >>> adata.obs["donor"] = (np.arange(700) // 234).astype(str)
    >>> adata.obs["age"] = 20.0 + np.arange(700) // 234
    >>> small = {"model_kwargs": {"n_hidden": (8, 4)}, "train_kwargs": {"max_epochs": 1}}
    >>> pld.tl.fit_populations(adata, "donor", n_cells_per_bin=200, n_latent=4, **small)
    >>> pld.tl.associate_edges(adata, "age", min_populations=1, min_centrality=-1)
    >>> table = pld.get.edge_association(adata)
    """
    found = _keys.require(adata, "uns", key, "tl.associate_edges")["results"]
    return found.sort_values("pvalue", kind="stable").reset_index(drop=True)
