"""Whether the embedding of genes shows who goes with whom, and what the loadings agree with."""

from __future__ import annotations

from functools import partial
from itertools import chain, product
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import scanpy as sc
from anndata import AnnData

from ._network_data import Network, network
from ._rows import mean_and_range
from ._sivae_cells import N_GENES, labelled
from ._sivae_fit import fit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._rows import Rows

EMBEDDINGS = ("SIVAE", "SIVAE, gamma=0", "SIVAE, linear", "PCA")
N_NEAREST = 10
METHODS = ("deep_lift", "saliency", "grad_x_input", "integrated_gradients")
# Those that Fig. 3a of the paper holds the loadings against.
IN_FIGURE = METHODS[:3]


def communities(
    rows: Rows, *, models: Sequence[str], seeds: Sequence[int], n_latents: Sequence[int]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Where genes of the paper's simulated network lie; new cells and weights for each seed."""
    found = []
    for seed, n_latent, model in product(seeds, n_latents, models):
        if model in EMBEDDINGS:
            about = {"part": "communities", "K": n_latent, "model": model, "seed": seed}
            found.append(rows(about, partial(_communities, model, n_latent, seed)))
    values = [name for name in found[0] if name not in ("part", "K", "model", "seed")]
    return found, mean_and_range(found, ("K", "model"), values)


def _communities(model: str, n_latent: int, seed: int) -> dict[str, Any]:
    truth = network(seed)
    fitted = fit(model, AnnData(truth.x), n_latent=n_latent, seed=seed)
    if model == "PCA":
        embedding = fitted.model.components_.T * np.sqrt(fitted.model.explained_variance_)
    else:
        embedding = fitted.model.get_loadings().to_numpy()
    return geometry(embedding, truth) | {"seconds": fitted.seconds, "epochs": fitted.epochs}


def geometry(embedding: np.ndarray, truth: Network) -> dict[str, float]:
    """Where genes lie, genes x units.

    `silhouette` and `purity` (the share of the ten nearest of all genes that are of the same
    community) are of spokes. `isolated` is the area under the curve of the distance from the
    origin, the nearer the likelier isolated. `hub apart` is the distance of a hub from the mean of
    its spokes in units of the root mean square of theirs, and `hubs farthest` the area under the
    curve of the distance from the origin among the genes of communities, the farther the
    likelier a hub.
    """
    from sklearn.metrics import roc_auc_score, silhouette_score
    from sklearn.neighbors import NearestNeighbors

    spoke = (truth.community >= 0) & ~truth.is_hub
    _, nearest = (
        NearestNeighbors(n_neighbors=N_NEAREST + 1).fit(embedding).kneighbors(embedding[spoke])
    )
    same = truth.community[nearest[:, 1:]] == truth.community[spoke][:, None]
    distance = np.linalg.norm(embedding, axis=1)
    apart = []
    for of in range(truth.community.max() + 1):
        spokes = embedding[spoke & (truth.community == of)]
        hub = embedding[truth.is_hub & (truth.community == of)][0]
        centre = spokes.mean(0)
        radius = np.sqrt(((spokes - centre) ** 2).sum(1).mean())
        apart.append(float(np.linalg.norm(hub - centre) / max(radius, 1e-12)))
    connected = truth.community >= 0
    return {
        "silhouette": float(silhouette_score(embedding[spoke], truth.community[spoke])),
        "purity": float(same.mean()),
        "isolated": float(roc_auc_score(truth.community < 0, -distance)),
        "hub apart": median(apart),
        "hubs farthest": float(roc_auc_score(truth.is_hub[connected], distance[connected])),
    }


def loadings(
    rows: Rows, *, seeds: Sequence[int], n_latents: Sequence[int]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Spearman's correlation of loadings with attributions, one number a unit, on pbmc3k."""
    found: list[dict[str, Any]] = []
    for seed, n_latent in product(seeds, n_latents):
        about = {"part": "loadings", "K": n_latent, "seed": seed}
        row = rows(about, partial(_loadings, n_latent, seed))
        for side in ("decoder", "encoder"):
            per_method = {name: row[f"{side}, {name}"] for name in METHODS}
            per_method["the paper's three"] = [
                *chain.from_iterable(per_method[name] for name in IN_FIGURE)
            ]
            for method, values in per_method.items():
                known = [value for value in values if value is not None]
                found.append(
                    about
                    | {"side": side, "method": method, "by unit": values}
                    | {"median": median(known), "least": min(known)}
                    | {"median magnitude": median(map(abs, known))}
                )
    values = ("median", "least", "median magnitude")
    return found, mean_and_range(found, ("K", "side", "method"), values)


def _loadings(n_latent: int, seed: int) -> dict[str, Any]:
    import pellucid as pld

    adata = labelled("pbmc3k_labelled")
    sc.pp.highly_variable_genes(adata, n_top_genes=N_GENES, flavor="seurat")
    adata = adata[:, adata.var["highly_variable"]].copy()
    fitted = fit("SIVAE", adata, n_latent=n_latent, seed=seed)
    pld.tl.loadings(adata, fitted.model)
    result: dict[str, Any] = {"seconds": fitted.seconds, "epochs": fitted.epochs}
    for side, method in product(("decoder", "encoder"), METHODS):
        pld.tl.attribute(
            adata, fitted.model, method=method, side=side, aggregate="pca", key_added="attribution"
        )
        pld.tl.attribution_agreement(adata, ["sivae_loadings", "attribution"])
        table = pld.get.attribution_agreement(adata)
        between = table[(table["first"] != table["second"])].drop_duplicates("unit")
        result[f"{side}, {method}"] = [
            None if np.isnan(value) else float(value) for value in between["correlation"]
        ]
    return result
