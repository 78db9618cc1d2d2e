"""The co-expression network that Choi et al. 2023 simulate: hubs with their spokes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Network(NamedTuple):
    """Expression and the network it was drawn from."""

    x: np.ndarray
    """Cells x genes, float32; every gene standard normal."""
    community: np.ndarray
    """Of each gene; -1 of an isolated one."""
    is_hub: np.ndarray
    """Whether a gene is its community's hub."""


def network(
    seed: int,
    *,
    n_cells: int = 5000,
    n_communities: int = 5,
    n_genes: int = 50,
    n_isolated: int = 50,
    correlation: float = 0.6,
) -> Network:
    """Draw cells from a normal distribution whose conditional independences are the network's.

    A spoke is `correlation` times its hub plus noise of its own, which gives the edge that
    correlation, two spokes its square, and no other pair any: the covariance matrix that
    qpgraph's `qpG2Sigma` completes, with each edge at the correlation itself.

    Parameters
    ----------
    seed
        Of the draw.
    n_cells, n_communities, n_isolated
        How many.
    n_genes
        Of a community, its hub among them.
    correlation
        Of a hub with a spoke.
    """
    random = np.random.default_rng(seed)
    total = n_communities * n_genes + n_isolated
    x = random.standard_normal((n_cells, total), dtype=np.float32)
    community = np.repeat(np.arange(n_communities), n_genes)
    community = np.concatenate([community, np.full(n_isolated, -1)])
    is_hub = np.zeros(total, dtype=bool)
    is_hub[: n_communities * n_genes : n_genes] = True
    for of in range(n_communities):
        spokes = (community == of) & ~is_hub
        hub = x[:, (community == of) & is_hub]
        x[:, spokes] = correlation * hub + np.sqrt(1 - correlation**2) * x[:, spokes]
    return Network(x, community, is_hub)
