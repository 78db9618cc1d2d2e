"""Hubs and neighbours: of the paper's simulated network, where both are known, and of pbmc3k."""

from __future__ import annotations

from functools import cache, partial
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import scanpy as sc
from anndata import AnnData
from scipy.stats import spearmanr

from ._network_data import Network, network
from ._networks_methods import INFERRED, N_NEIGHBORS, OF_MODELS, inferred, of_model
from ._rows import mean_and_range
from ._sivae_fit import log_normalised

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._rows import Rows

N_GENES = 2000
# Genes that all methods count among so many of their most central ones are predicted from their
# neighbours.
FOREMOST = 500
TOP = (20, 50)
N_TRUE = 24  # query genes whose networks are trained, as in the paper
TRUE_EPOCHS = 15


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


@cache
def expression() -> AnnData:
    """PBMC3k, log-normalised, its 2,000 most variable genes."""
    import pellucid as pld

    adata = log_normalised(pld.datasets.pbmc3k_raw(), 1e4)
    sc.pp.filter_genes(adata, min_cells=3)
    sc.pp.highly_variable_genes(adata, n_top_genes=N_GENES, flavor="seurat")
    return adata[:, adata.var["highly_variable"]].copy()


def pbmc3k(
    rows: Rows, *, seed: int, n_latent: int, precision: str | None, with_networks: bool
) -> dict[str, list[dict[str, Any]]]:
    """Tables of centrality, of neighbours, of how neighbours overlap, and of the yardstick."""
    rest = {"part": "pbmc3k", "seed": seed}
    train = {} if precision is None else {"precision": precision}
    found: dict[str, dict[str, Any]] = {}
    for name in OF_MODELS:
        options = {} if name == "PCA" else train
        about = rest | {"model": name, "K": n_latent} | options
        row = rows(
            about,
            lambda name=name, options=options: of_model(
                name, expression(), n_latent=n_latent, seed=seed, **options
            ),
        )
        found |= {way: row[way] for way in row if way.startswith(name)}
    for name in INFERRED:
        if name != "GraphicalLasso":  # hours at this size
            found[name] = rows(
                rest | {"network": name}, lambda name=name: inferred(name, expression())
            )
    true = np.array(rows(rest | {"true": "regression"}, _true_by_regression)["centrality"])
    mean = np.asarray(expression().X.mean(axis=0)).ravel()
    found["mean expression"] = {"centrality": mean.tolist(), "neighbors": None}
    tables = {"centrality": _centrality(found, true)}
    neighbors = _neighbors(rows, found, rest)
    tables |= {"neighbours": neighbors, "overlap": _overlap(found)}
    if with_networks:
        tables["yardstick"] = _yardstick(rows, true, rest)
    return tables


def _true_by_regression() -> dict[str, Any]:
    from pellucid.networks import true_centrality

    return {"centrality": true_centrality(expression().X).tolist()}


def _centrality(found: dict[str, dict[str, Any]], true: np.ndarray) -> list[dict[str, Any]]:
    table = []
    for method, of in found.items():
        if of["centrality"] is None:
            continue
        values = np.array(of["centrality"], dtype=float)
        known = np.isfinite(values) & np.isfinite(true)
        order = np.argsort(-np.where(known, values, -np.inf))
        table.append(
            {
                "method": method,
                "Spearman": float(spearmanr(values[known], true[known]).statistic),
                **{f"mean of the top {n}": float(true[order[:n]].mean()) for n in TOP},
                "seconds": of.get("seconds"),
            }
        )
    best = -np.sort(-true[np.isfinite(true)])
    tops = {f"mean of the top {n}": float(best[:n].mean()) for n in TOP}
    return [*table, {"method": "true centrality itself", "Spearman": 1.0, **tops, "seconds": None}]


def _query(found: dict[str, dict[str, Any]]) -> np.ndarray:
    """Genes that every method with neighbours and a centrality has among its foremost."""
    foremost = [
        set(np.argsort(-np.nan_to_num(np.array(of["centrality"]), nan=-np.inf))[:FOREMOST])
        for of in found.values()
        if of["centrality"] is not None and of["neighbors"] is not None
    ]
    return np.array(sorted(set.intersection(*foremost)), dtype=int)


def _neighbors(
    rows: Rows, found: dict[str, dict[str, Any]], rest: dict[str, Any]
) -> list[dict[str, Any]]:
    from pellucid.networks import neighbor_prediction

    query = _query(found)
    table = []
    for method, of in found.items():
        if of["neighbors"] is None:
            continue
        lists = np.full((len(query), N_NEIGHBORS), -1)
        for place, gene in enumerate(query):
            lists[place, : len(of["neighbors"][gene])] = of["neighbors"][gene]

        def compute(lists: np.ndarray = lists) -> dict[str, Any]:
            share = neighbor_prediction(expression().X, lists, query=query)
            return {"explained": share.tolist()}

        about = rest | {"neighbours of": method, "genes": [int(gene) for gene in query]}
        share = np.array(rows(about, compute)["explained"])
        table.append(
            {
                "method": method,
                "query genes": len(query),
                "neighbours a gene": float((lists >= 0).sum(axis=1).mean()),
                "variance explained": float(np.nanmean(share)),
                "median": float(np.nanmedian(share)),
            }
        )
    return table


def _overlap(found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean Jaccard index of the neighbours of the query genes, of every two methods."""
    query = _query(found)
    sets = {
        method: [set(of["neighbors"][gene]) for gene in query]
        for method, of in found.items()
        if of["neighbors"] is not None
    }
    values = {}
    for one, other in combinations(sets, 2):
        shares = [len(a & b) / max(len(a | b), 1) for a, b in zip(sets[one], sets[other])]  # noqa: B905
        values[one, other] = values[other, one] = float(np.mean(shares))
    return [
        {"method": one} | {other: 1.0 if one == other else values[one, other] for other in sets}
        for one in sets
    ]


def _yardstick(rows: Rows, true: np.ndarray, rest: dict[str, Any]) -> list[dict[str, Any]]:
    """The paper's networks beside the regression, for genes spread over all ranks."""
    from pellucid.networks import true_centrality

    order = np.argsort(-np.nan_to_num(true, nan=-np.inf))
    query = order[np.linspace(0, len(order) // 2, N_TRUE).astype(int)]
    table = []
    for held_out in (0.2, 0.0):

        def compute(held_out: float = held_out) -> dict[str, Any]:
            found = true_centrality(
                expression().X,
                query=query,
                method="network",
                held_out=held_out,
                max_epochs=TRUE_EPOCHS,
            )
            return {"centrality": found.tolist()}

        found = np.array(
            rows(rest | {"true": "network", "held out": held_out}, compute)["centrality"]
        )
        table.append(
            {
                "held out": held_out,
                "query genes": len(query),
                "Spearman with the regression": float(spearmanr(found, true[query]).statistic),
                "mean, networks": float(found.mean()),
                "mean, regression": float(true[query].mean()),
            }
        )
    return table
