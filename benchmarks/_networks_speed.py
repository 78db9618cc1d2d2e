"""Seconds and memory of each step on 2,000 genes, beside other packages and plain loops."""

from __future__ import annotations

from collections import Counter
from functools import partial
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ._measure import Contestant, Work, measure
from .peers._exchange import clock

if TYPE_CHECKING:
    from collections.abc import Callable

N_CELLS, N_GENES, N_POPULATIONS, N_LATENT = 2700, 2000, 20, 64
N_ITERATIONS, N_EPOCHS = 5, 40
N_PAIRS, N_TARGETS, N_QUERY = 300, 4, 8  # of which a peer's seconds are multiplied to all


def expression(n_genes: int) -> np.ndarray:
    """Made-up log counts with many zeros, and genes that share causes."""
    random = np.random.default_rng(0)
    rate = random.normal(size=(N_CELLS, 10)) @ random.normal(size=(10, n_genes)) / 3
    return np.log1p(random.poisson(np.exp(rate - 1.5))).astype(np.float32)


def embeddings(n_genes: int) -> np.ndarray:
    """Populations x genes x units."""
    random = np.random.default_rng(0)
    shared = random.normal(size=(n_genes, N_LATENT))
    return np.stack(
        [shared + 0.5 * random.normal(size=shared.shape) for _ in range(N_POPULATIONS)]
    )


def information(n_genes: int) -> Any:
    from pellucid.networks import mutual_information

    return partial(mutual_information, expression(n_genes))


def information_by_pairs(n_genes: int) -> Any:
    from sklearn.metrics import mutual_info_score

    from pellucid.networks._mutual_information import _binned

    codes = _binned(expression(n_genes), 14)
    pairs = np.random.default_rng(0).integers(0, n_genes, (N_PAIRS, 2))
    return lambda: [mutual_info_score(codes[i], codes[j]) for i, j in pairs]


def _some_information(n_genes: int) -> np.ndarray:
    half = np.random.default_rng(0).gamma(1, size=(n_genes, n_genes))
    return half + half.T


def mrnet(n_genes: int) -> Any:
    from pellucid import networks

    return partial(networks.mrnet, _some_information(n_genes))


def mrnet_by_numpy(n_genes: int) -> Any:
    table = _some_information(n_genes)

    def choose() -> None:
        for gene in range(N_TARGETS):
            relevance, redundancy = table[gene].copy(), np.zeros(n_genes)
            relevance[gene] = -np.inf
            for n_chosen in range(1, n_genes):
                score = relevance - redundancy / max(n_chosen - 1, 1)
                best = score.argmax()
                if score[best] <= 0:
                    break
                relevance[best] = -np.inf
                redundancy += table[best]

    return choose


def centrality(n_genes: int) -> Any:
    from pellucid.networks import true_centrality

    return partial(true_centrality, expression(n_genes))


def centrality_by_networks(n_genes: int) -> Any:
    from pellucid.networks import true_centrality

    return partial(true_centrality, expression(n_genes), query=range(N_QUERY), method="network")


def centrality_by_torch(n_genes: int) -> Any:
    """An epoch of one network on all rows, and its error on the cells that choose the epoch."""
    values = torch.from_numpy(expression(n_genes))
    values = (values - values.mean(dim=0)) / values.std(dim=0).clamp(min=1e-6)
    train, chosen = values[: int(0.72 * N_CELLS)], values[-int(0.08 * N_CELLS) :]

    layers: list[torch.nn.Module] = []
    for n_in, n_out in pairwise((1, 128, 512, 1024)):
        layers += [torch.nn.Linear(n_in, n_out), torch.nn.ELU()]
    network = torch.nn.Sequential(*layers, torch.nn.Linear(1024, n_genes))
    optimizer = torch.optim.Adam(network.parameters(), fused=True)

    def train_once() -> None:
        for batch in train.split(512):
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(network(batch[:, :1]), batch).backward()
            optimizer.step()
        with torch.no_grad():
            torch.nn.functional.mse_loss(network(chosen[:, :1]), chosen)

    return train_once


def neighbours(n_genes: int) -> Any:
    from pellucid.networks import nearest_by_distance

    points = embeddings(n_genes)
    return lambda: [nearest_by_distance(one, 20) for one in points]


def neighbours_by_sorting(n_genes: int) -> Any:
    from scipy.spatial.distance import cdist

    points = embeddings(n_genes)
    return lambda: [np.argsort(cdist(one, one), axis=1)[:, 1:21] for one in points]


def _graphs(n_genes: int) -> list[Any]:
    from pellucid.networks import adjacency

    return [adjacency(one) for one in embeddings(n_genes)]


def kernel(n_genes: int) -> Any:
    from pellucid.networks import weisfeiler_lehman

    return partial(weisfeiler_lehman, _graphs(n_genes), n_iterations=N_ITERATIONS)


def kernel_by_networkx(n_genes: int) -> Any:
    import networkx as nx

    graphs = [nx.from_scipy_sparse_array(one) for one in _graphs(n_genes)]

    def compute() -> np.ndarray:
        counts = []
        for graph in graphs:
            found = nx.weisfeiler_lehman_subgraph_hashes(graph, iterations=N_ITERATIONS)
            counts.append(
                Counter((step, name) for of in found.values() for step, name in enumerate(of))
            )
        return np.array(
            [[sum(n * other[key] for key, n in one.items()) for other in counts] for one in counts]
        )

    return compute


def kernel_by_grakel(n_genes: int) -> Any:
    from grakel import Graph
    from grakel.kernels import WeisfeilerLehman

    graphs = []
    for one in _graphs(n_genes):
        degrees = np.diff(one.indptr)
        edges = {tuple(pair) for pair in np.argwhere(one.toarray())}
        graphs.append(Graph(edges, node_labels=dict(enumerate(degrees.tolist()))))
    return lambda: WeisfeilerLehman(n_iter=N_ITERATIONS, normalize=True).fit_transform(graphs)


# What is done: by whom, and by how much the seconds are multiplied.
STEPS: dict[str, dict[str, tuple[Callable[[int], Any], float]]] = {
    "mutual information, all pairs": {
        "pellucid": (information, 1),
        "scikit-learn, a pair at a time": (
            information_by_pairs,
            N_GENES * (N_GENES - 1) / 2 / N_PAIRS,
        ),
    },
    "MRNET": {
        "pellucid": (mrnet, 1),
        "numpy, a gene at a time": (mrnet_by_numpy, N_GENES / N_TARGETS),
    },
    "true centrality": {
        "pellucid, regression": (centrality, 1),
        "pellucid, the paper's networks": (centrality_by_networks, N_GENES / N_QUERY),
        "torch, a network at a time": (centrality_by_torch, N_GENES * N_EPOCHS),
    },
    "20 neighbours, 20 populations": {
        "pellucid": (neighbours, 1),
        "scipy, all distances sorted": (neighbours_by_sorting, 1),
    },
    "Weisfeiler-Lehman kernel, 20 populations": {
        "pellucid": (kernel, 1),
        "networkx": (kernel_by_networkx, 1),
        "grakel": (kernel_by_grakel, 1),
    },
}


def prepare(build: Callable[[int], Any], threads: int) -> Work:
    """Compile on few genes, and time the work on all by `clock`."""
    now, work = clock(threads), build(N_GENES)

    def timed() -> float:
        start = now()
        work()
        return now() - start

    return Work(build(60), timed)


def speed(*, threads: int, repeats: int) -> list[dict[str, Any]]:
    """Each step by each contestant, one after the other."""
    table: list[dict[str, Any]] = []
    for step, contestants in STEPS.items():
        first = None
        for name, (build, times) in contestants.items():
            arguments = {"build": build, "threads": threads}
            (found,) = measure(
                [Contestant(name, prepare, arguments)],
                threads=threads,
                repeats=repeats if first is None else 1,
            )
            row: dict[str, Any] = {"step": step, "contestant": name}
            if found.missing is not None:
                table.append(row | {"seconds": None, "x ours": None, "MB": found.missing})
                continue
            seconds = median(found.answers) * times
            first = seconds if first is None else first
            table.append(
                row | {"seconds": seconds, "x ours": seconds / first, "MB": found.megabytes}
            )
    return table
