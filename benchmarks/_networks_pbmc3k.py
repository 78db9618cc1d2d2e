"""Hubs and neighbours of pbmc3k, beside what each gene and its neighbours truly explain."""

from __future__ import annotations

from functools import cache, partial
from importlib.util import find_spec
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import scanpy as sc
from scipy import sparse

from ._networks_methods import (
    BOOSTED,
    INFERRED,
    N_NEIGHBORS,
    OF_MODELS,
    agreement,
    inferred,
    of_model,
)
from ._rows import mean_and_range
from ._sivae_fit import log_normalised

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from ._networks_methods import Found
    from ._rows import Rows

N_GENES = 2000
TARGET = 1e4
# Genes that all methods count among so many of their most central ones are predicted from their
# neighbours.
FOREMOST = 500
TOP = (20, 50)
N_AT_ONCE = 25  # genes whose networks are one row
NETWORKS = tuple(name for name in INFERRED if name != "GraphicalLasso")  # hours at this size
HELD_OUT = {0.0: "learned from", 0.2: "held out"}
# Of the paper's networks. What they explain of cells that they learned from grows with each.
TRAINING = {"max_epochs": 40, "batch_size": 512}

Table = list[dict[str, Any]]


@cache
def expression() -> AnnData:
    """PBMC3k, log-normalised, its 2,000 most variable genes."""
    import pellucid as pld

    adata = log_normalised(pld.datasets.pbmc3k_raw(), TARGET)
    adata.obs["total"] = np.asarray(adata.layers["counts"].sum(axis=1)).ravel()
    sc.pp.filter_genes(adata, min_cells=3)
    sc.pp.highly_variable_genes(adata, n_top_genes=N_GENES, flavor="seurat")
    return adata[:, adata.var["highly_variable"]].copy()


def pbmc3k(
    rows: Rows,
    *,
    seeds: Sequence[int],
    n_latents: Sequence[int],
    precision: str | None,
    n_query: int,
) -> dict[str, Table]:
    """Tables of centrality, of neighbours and of how these overlap, over seeds of the models."""
    train = training(precision)
    about = {"part": "pbmc3k"}
    first, *others = n_latents
    of_seed = {
        seed: of_models(rows, about | {"seed": seed}, expression(), first, train) for seed in seeds
    }
    of_others = [
        with_units(rows, about | {"seed": seed}, expression(), others, train) for seed in seeds
    ]
    boosted = (BOOSTED,) if find_spec("arboreto") else ()
    networks = of_networks(rows, about, expression(), NETWORKS + boosted)
    mean = np.asarray(expression().X.mean(axis=0)).ravel()
    networks["mean expression"] = {"centrality": mean.tolist(), "neighbors": None}
    true = np.array(rows(about | {"true": "regression"}, _explained_by_regression)["centrality"])
    yardsticks = {"regression": true} | _yardsticks_of_networks(rows, about, true, n_query)
    return {
        "centrality": _centrality([*of_seed.values(), *of_others, networks], yardsticks),
        "yardsticks": _agreement(yardsticks),
        "neighbours": _neighbors(rows, about, of_seed, networks),
        "overlap": _overlap(of_seed, networks),
    }


def training(precision: str | None) -> dict[str, Any]:
    """Arguments of the training of SIVAE."""
    return {} if precision is None else {"precision": precision}


def of_models(
    rows: Rows, about: dict[str, Any], adata: AnnData, n_latent: int, train: dict[str, Any]
) -> Found:
    found: Found = {}
    for name in OF_MODELS:
        options = {} if name == "PCA" else train
        row = rows(
            about | {"model": name, "K": n_latent} | options,
            partial(of_model, name, adata, n_latent=n_latent, seed=about["seed"], **options),
        )
        model = {"seed": about["seed"], "K": n_latent} | options
        found |= {way: {**row[way], "model": model} for way in row if way.startswith(name)}
    return found


def with_units(
    rows: Rows,
    about: dict[str, Any],
    adata: AnnData,
    n_latents: Sequence[int],
    train: dict[str, Any],
) -> Found:
    """Reconstruction of models of other numbers of units than the paper's."""
    return {
        f"{name}, {n_latent} units": rows(
            about | {"model": name, "K": n_latent} | options,
            partial(of_model, name, adata, n_latent=n_latent, seed=about["seed"], **options),
        )[name]
        for name, options in (("SIVAE", train), ("PCA", {}))
        for n_latent in n_latents
    }


def of_networks(
    rows: Rows, about: dict[str, Any], adata: AnnData, names: Sequence[str] = NETWORKS
) -> Found:
    return {
        name: rows(about | {"network": name}, partial(inferred, name, adata)) for name in names
    }


def _explained_by_regression() -> dict[str, Any]:
    from pellucid.networks import true_centrality

    return {"centrality": true_centrality(expression().X).tolist()}


def _yardsticks_of_networks(
    rows: Rows, about: dict[str, Any], true: np.ndarray, n_query: int
) -> dict[str, np.ndarray]:
    """The paper's yardstick of genes spread evenly over all ranks; NaN of the others."""
    order = np.argsort(-np.nan_to_num(true, nan=-np.inf))
    query = order[np.linspace(0, len(order) - 1, n_query).astype(int)]
    found = {}
    for held_out, name in HELD_OUT.items() if n_query else ():
        values = np.full(len(true), np.nan)
        for genes in np.array_split(query, -(-n_query // N_AT_ONCE)):
            key = {"true": "network", "held out": held_out, "genes": genes.tolist()} | TRAINING
            values[genes] = rows(about | key, partial(_explained_by_network, genes, held_out))[
                "centrality"
            ]
        found[f"networks, {name}"] = values
    return found


def _explained_by_network(genes: np.ndarray, held_out: float) -> dict[str, Any]:
    from pellucid.networks import true_centrality

    share = true_centrality(
        expression().X, query=genes, method="network", held_out=held_out, **TRAINING
    )
    return {"centrality": share.tolist()}


def _agreement(yardsticks: dict[str, np.ndarray]) -> Table:
    """Yardsticks beside each other, of the genes that both know."""
    table = []
    for one, other in combinations(yardsticks, 2):
        a, b = yardsticks[one], yardsticks[other]
        spearman, n_genes = agreement(a, b)
        known = np.isfinite(a + b)
        table.append(
            {
                "yardstick": one,
                "and": other,
                "genes": n_genes,
                "Spearman": spearman,
                "mean of the first": float(a[known].mean()),
                "mean of the second": float(b[known].mean()),
            }
        )
    return table or [{"yardstick": "regression", "and": "none: see --query-genes"}]


def _centrality(every: Sequence[Found], yardsticks: dict[str, np.ndarray]) -> Table:
    true = yardsticks["regression"]
    table = []
    for found in every:
        for method, of in found.items():
            if of["centrality"] is None:
                continue
            values = np.array(of["centrality"], dtype=float)
            row: dict[str, Any] = {"method": method, "seconds": of.get("seconds")}
            for name, yardstick in yardsticks.items():
                row[name], row[f"genes, {name}"] = agreement(values, yardstick)
            order = np.argsort(-np.where(np.isfinite(values + true), values, -np.inf))
            table.append(row | {f"top {n}": float(true[order[:n]].mean()) for n in TOP})
    best = -np.sort(-true[np.isfinite(true)])
    tops = {f"top {n}": float(best[:n].mean()) for n in TOP}
    table.append({"method": "true centrality itself"} | tops)
    columns = (
        *(column for name in yardsticks for column in (name, f"genes, {name}")),
        *(f"top {n}" for n in TOP),
        "seconds",
    )
    return mean_and_range(table, ("method",), columns)


def _query(found: Found) -> np.ndarray:
    """Genes that every method with neighbours and a centrality has among its foremost."""
    foremost = [
        set(np.argsort(-np.nan_to_num(np.array(of["centrality"]), nan=-np.inf))[:FOREMOST])
        for of in found.values()
        if of["centrality"] is not None and of["neighbors"] is not None
    ]
    return np.array(sorted(set.intersection(*foremost)), dtype=int)


def _neighbors(
    rows: Rows, about: dict[str, Any], of_seed: dict[int, Found], networks: Found
) -> Table:
    """Variance of the query genes that 20 neighbours explain, and what of it is not counting."""
    table = []
    not_counting = _not_counting()
    for found in of_seed.values():
        query = _query(found | networks)
        if not len(query):
            continue
        for method, of in (found | networks).items():
            if of["neighbors"] is None:
                continue
            lists = np.full((len(query), N_NEIGHBORS), -1)
            for place, gene in enumerate(query):
                lists[place, : len(of["neighbors"][gene])] = of["neighbors"][gene]
            row: dict[str, Any] = {
                "method": method,
                "query genes": len(query),
                "neighbours a gene": float((lists >= 0).sum(axis=1).mean()),
            }
            for held_out, name in HELD_OUT.items():
                key = {"neighbours of": method, "held out": held_out, "genes": query.tolist()}
                row[name] = rows(
                    about | of.get("model", {}) | key,
                    partial(_explained_by_neighbors, lists, query=query, held_out=held_out),
                )["explained"]
            table.append(row)
        share = float(not_counting[query].mean())
        table.append({"method": "share that is not counting noise", "held out": share})
    columns = (*HELD_OUT.values(), "query genes", "neighbours a gene")
    return mean_and_range(table, ("method",), columns)


def _explained_by_neighbors(
    lists: np.ndarray, *, query: np.ndarray, held_out: float
) -> dict[str, Any]:
    from pellucid.networks import neighbor_prediction

    share = neighbor_prediction(expression().X, lists, query=query, held_out=held_out)
    return {"explained": float(np.nanmean(share))}


def _not_counting(seed: int = 0) -> np.ndarray:
    """Share of each gene's variance that is not counting noise, the most that can be explained.

    Every molecule goes to one of two halves by chance. The halves correlate at r, and two counts
    of all molecules would at 2r / (1 + r) (Spearman and Brown), which is the share they have in
    common. Logarithms of halves make it a little too high.
    """
    random = np.random.default_rng(seed)
    counts = sparse.csr_matrix(expression().layers["counts"])
    total = expression().obs["total"].to_numpy()
    rest = (total - np.asarray(counts.sum(axis=1)).ravel()).astype(int)
    one = counts.copy()
    one.data = random.binomial(counts.data.astype(int), 0.5).astype(float)
    of_rest = random.binomial(rest, 0.5)
    halves = []
    for half, others in ((one, of_rest), (counts - one, rest - of_rest)):
        size = np.asarray(half.sum(axis=1)).ravel() + others
        halves.append(np.log1p(half.toarray() / size[:, None] * TARGET))
    a, b = (half - half.mean(axis=0) for half in halves)
    correlation = (a * b).mean(axis=0) / np.maximum(a.std(axis=0) * b.std(axis=0), 1e-12)
    return np.asarray(2 * correlation / (1 + correlation))


def _overlap(of_seed: dict[int, Found], networks: Found) -> Table:
    """Jaccard index of the neighbours of the query genes, of every two methods."""
    values: dict[tuple[str, str], list[float]] = {}
    for found in of_seed.values():
        every = found | networks
        query = _query(every)
        sets = {
            method: [set(of["neighbors"][gene]) for gene in query]
            for method, of in every.items()
            if of["neighbors"] is not None
        }
        for one, other in combinations(sets, 2):
            pairs = zip(sets[one], sets[other], strict=True)
            share = float(np.mean([len(a & b) / max(len(a | b), 1) for a, b in pairs]))
            values.setdefault((one, other), []).append(share)
            values.setdefault((other, one), []).append(share)
    return [
        {"method": one}
        | {other: 1.0 if one == other else float(np.mean(values[one, other])) for other in sets}
        for one in sets
    ]
