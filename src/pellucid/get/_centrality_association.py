from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pellucid import _keys

from ._ranked import ranked

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData


def centrality_association(
    adata: AnnData,
    *,
    of: Literal["genes", "gene_sets"] = "genes",
    key: str = _keys.CENTRALITY_ASSOCIATION,
) -> pd.DataFrame:
    """Genes, or gene sets, whose centrality goes with a phenotype; the most significant first.

    Parameters
    ----------
    adata
        With a result of :func:`pellucid.tl.associate_centrality`.
    of
        `"genes"`, or `"gene_sets"` if they were given.
    key
        Key of the result in `adata.uns`.

    Returns
    -------
    pandas.DataFrame
        As :func:`pellucid.tl.associate_centrality` says, by rising `pvalue`; gene sets so within
        each ranking.

    Raises
    ------
    KeyError
        If there is no result under `key`, or none of gene sets.
    ValueError
        If `of` is unknown.

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
    >>> pld.tl.associate_centrality(adata, "age")
    >>> table = pld.get.centrality_association(adata)
    >>> of_the_network = table[(table["padj"] < 0.05) & (table["mean_padj"] > 0.05)]
    """
    if of not in ("genes", "gene_sets"):
        raise ValueError(f"of={of!r} is unknown; choose 'genes' or 'gene_sets'.")
    found = _keys.require(adata, "uns", key, "tl.associate_centrality")
    if of == "genes":
        return found["results"].sort_values("pvalue", kind="stable").reset_index(drop=True)
    if "enrichment" not in found:
        raise KeyError(
            f"adata.uns[{key!r}] has no gene sets; pass gene_sets= to tl.associate_centrality."
        )
    return ranked(found["enrichment"], {"pvalue": True}, within="ranking")
