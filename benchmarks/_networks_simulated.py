"""Hubs and neighbours of the paper's simulated network, where both are known."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from anndata import AnnData

from ._network_data import Network, network
from ._networks_methods import INFERRED, N_NEIGHBORS, OF_MODELS, inferred, of_model
from ._rows import mean_and_range

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._rows import Rows


def simulated(
    rows: Rows, *, seeds: Sequence[int], n_latents: Sequence[int]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Hubs and neighbours of known communities; new cells and weights for each seed."""
    found: list[dict[str, Any]] = []
    for seed in seeds:
        truth = network(seed)
        adata = AnnData(truth.x)
        rest = {"part": "simulated", "seed": seed}
        for name in OF_MODELS:
            if name == "SIVAE, scaled":  # every gene has variance 1 already
                continue
            for n_latent in n_latents:
                about = rest | {"model": name, "K": n_latent}
                row = rows(about, partial(of_model, name, adata, n_latent=n_latent, seed=seed))
                found += [
                    rest | {"K": n_latent, "method": method} | _judge(row[method], truth)
                    for method in row
                    if method.startswith(name)
                ]
        for name in INFERRED:
            row = rows(rest | {"network": name}, partial(inferred, name, adata))
            found.append(rest | {"K": None, "method": name} | _judge(row, truth))
    values = ("hubs in the top five", "precision at 20", "of hubs", "seconds")
    return found, mean_and_range(found, ("K", "method"), values)


def _judge(found: dict[str, Any], truth: Network) -> dict[str, float | None]:
    """Hubs among the five most central genes, and neighbours of the gene's own community."""
    hubs = precision = of_hubs = None
    if found["centrality"] is not None:
        hubs = float(truth.is_hub[np.argsort(found["centrality"])[-truth.is_hub.sum() :]].sum())
    if found["neighbors"] is not None:
        connected = np.flatnonzero(truth.community >= 0)
        share = np.array(
            [
                np.sum(truth.community[found["neighbors"][gene]] == truth.community[gene])
                / N_NEIGHBORS
                for gene in connected
            ]
        )
        precision, of_hubs = float(share.mean()), float(share[truth.is_hub[connected]].mean())
    return {
        "hubs in the top five": hubs,
        "precision at 20": precision,
        "of hubs": of_hubs,
        "seconds": found.get("seconds"),
    }
