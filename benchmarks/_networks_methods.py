"""The contestants of `networks`: a centrality and the nearest genes of each gene, by each."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from anndata import AnnData
from scipy.stats import spearmanr

from ._sivae_fit import fit

if TYPE_CHECKING:
    from collections.abc import Callable

N_NEIGHBORS = 20
OF_MODELS = ("SIVAE", "SIVAE, scaled", "PCA")
OF_INFORMATION = ("CLR", "MRNET", "ARACNE")
INFERRED = (
    "correlation",
    "GraphicalLasso",
    "mutual information",
    *OF_INFORMATION,
    *(f"{name}, Spearman" for name in OF_INFORMATION),
)
BOOSTED = "GRNBoost2"  # where arboreto is installed
PENALTY = 0.05  # of GraphicalLasso

Found = dict[str, dict[str, Any]]


def of_model(name: str, adata: AnnData, *, n_latent: int, seed: int, **train: Any) -> Found:
    """What a model says of log expression, by each way to ask it, and the seconds of its training.

    `name` is its reconstruction and its embedding, `name, held out` the reconstruction of held-out
    cells, `name, distance` that from the origin of the embedding, and `name, drawn` networks of
    the cells that it draws.
    """
    import pellucid as pld
    from pellucid.networks import nearest_by_distance, reconstructed_variance

    fitted = fit(name, adata, n_latent=n_latent, seed=seed, **train)
    if name == "PCA":
        embedding = fitted.model.components_.T * np.sqrt(fitted.model.explained_variance_)
        scaled = _scaled(adata)
        left = scaled - fitted.model.inverse_transform(fitted.model.transform(scaled))
        centrality = {name: 1 - (left**2).mean(axis=0)}
        drawn = None
    else:
        embedding = fitted.model.get_loadings().to_numpy()
        explained = reconstructed_variance(fitted.model)
        centrality = {name: explained.all_cells, f"{name}, held out": explained.held_out}
        drawn = pld.tl.sample_expression(fitted.model.adata, fitted.model, random_state=seed).X
    centrality[f"{name}, distance"] = np.linalg.norm(embedding, axis=1)
    nearest = nearest_by_distance(embedding, N_NEIGHBORS).distances
    found: Found = {
        way: {"centrality": values.tolist(), "neighbors": None}
        for way, values in centrality.items()
    }
    found[name]["neighbors"] = _lists(nearest, nearest.shape[0])
    found[name]["seconds"] = fitted.seconds
    if drawn is not None:
        for network in ("correlation", "MRNET, Spearman"):
            of_drawn = inferred(network, AnnData(drawn))
            found[f"{name}, drawn, {network}"] = {**of_drawn, "centrality": None}
    return found


def inferred(name: str, adata: AnnData) -> dict[str, Any]:
    """What a network that is inferred from log expression says, and the seconds it takes."""
    from pellucid.networks import nearest_by_weight

    start = time.process_time()
    weights = _weights(name, adata)
    seconds = time.process_time() - start
    weights = weights / weights.max()
    n_genes = len(weights)
    return {
        # The paper's: mean weight of the edges to all other genes.
        "centrality": (weights.sum(axis=1) / (n_genes - 1)).tolist(),
        "neighbors": _lists(nearest_by_weight(weights, N_NEIGHBORS).distances, n_genes),
        "seconds": seconds,
    }


def _weights(name: str, adata: AnnData) -> np.ndarray:
    from pellucid import networks

    if name == "correlation":
        return np.abs(networks.correlation(adata.X))
    if name == BOOSTED:
        return networks.grnboost2(np.asarray(adata.X.todense()))
    if name == "GraphicalLasso":
        from sklearn.covariance import GraphicalLasso

        precision = GraphicalLasso(alpha=PENALTY).fit(_scaled(adata)).precision_
        scale = np.sqrt(precision.diagonal())
        partial = np.abs(precision / np.outer(scale, scale))
        np.fill_diagonal(partial, 0)
        return partial
    method, _, estimator = name.partition(", ")
    information = networks.mutual_information(
        adata.X, estimator="spearman" if estimator else "bins"
    ).astype(np.float64)
    ways: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "CLR": networks.clr,
        "MRNET": networks.mrnet,
        "ARACNE": networks.aracne,
    }
    return information if method not in ways else ways[method](information)


def _lists(nearest: Any, n_genes: int) -> list[list[int]]:
    """Neighbours of each gene, the nearest first."""
    bounds = nearest.indptr
    rows = [slice(bounds[gene], bounds[gene + 1]) for gene in range(n_genes)]
    return [
        nearest.indices[row][np.argsort(nearest.data[row], kind="stable")].tolist() for row in rows
    ]


def _scaled(adata: AnnData) -> np.ndarray:
    from sklearn.preprocessing import StandardScaler

    dense = np.asarray(adata.X.todense() if hasattr(adata.X, "todense") else adata.X)
    return StandardScaler().fit_transform(dense)


def agreement(values: Any, true: np.ndarray) -> tuple[float, int]:
    """Spearman's correlation over the genes that both know, and the number of these."""
    values = np.array(values, dtype=float)
    known = np.isfinite(values) & np.isfinite(true)
    return float(spearmanr(values[known], true[known]).statistic), int(known.sum())
