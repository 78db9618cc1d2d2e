"""Counts of a given shape."""

from __future__ import annotations

import numpy as np


def counts(n_cells: int, n_genes: int, data: str | None) -> np.ndarray:
    """Dense counts: real ones repeated or cut to the shape, or where there are none, made up.

    Parameters
    ----------
    n_cells, n_genes
        The shape.
    data
        `"pbmc3k_labelled"` or `"paul15"`, of which the genes of the Hallmark sets are taken, or
        `None` for Poisson counts of which 7% are not zero, as in pbmc3k.
    """
    if data is None:
        random = np.random.default_rng(0)
        rates = random.gamma(0.15, 0.6, n_genes) * random.lognormal(0, 0.4, (n_cells, 1))
        return random.poisson(rates).astype(np.float32)
    import pellucid as pld

    adata = getattr(pld.datasets, data)()
    sets = {"pbmc3k_labelled": "hallmark", "paul15": "hallmark_mouse"}[data]
    pld.pp.add_gene_sets(adata, pld.datasets.gene_sets(sets), min_genes=1)
    adata = pld.pp.filter_to_gene_sets(adata, copy=True)
    x = adata.X.toarray()
    tiles = (-(-n_cells // x.shape[0]), -(-n_genes // x.shape[1]))
    return np.tile(x, tiles)[:n_cells, :n_genes]


def available(data: str) -> str | None:
    """The name of a data set if it can be read here, or `None` for made-up counts."""
    import pellucid as pld

    try:
        getattr(pld.datasets, data)()
    except FileNotFoundError:
        return None
    return data
