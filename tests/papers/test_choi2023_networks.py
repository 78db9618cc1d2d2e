"""Gene networks of Choi et al. 2023: hubs and neighbours of the simulated network of Fig. 4a."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
from sklearn.covariance import GraphicalLasso

import pellucid as pld
from pellucid import networks

N_COMMUNITIES, N_GENES, N_NEIGHBORS = 5, 25, 20


@pytest.fixture(scope="module")
def truth():
    """Community of each gene, -1 of an isolated one, and whether it is its community's hub."""
    community = np.append(np.repeat(np.arange(N_COMMUNITIES), N_GENES), np.full(N_GENES, -1))
    is_hub = np.zeros(len(community), dtype=bool)
    is_hub[: N_COMMUNITIES * N_GENES : N_GENES] = True
    return community, is_hub


@pytest.fixture(scope="module")
def adata(truth):
    """800 cells: a hub's correlation with each of its spokes is 0.6, and no other gene's."""
    community, is_hub = truth
    x = np.random.default_rng(0).normal(size=(800, len(community)))
    for one in range(N_COMMUNITIES):
        spokes = (community == one) & ~is_hub
        x[:, spokes] = 0.6 * x[:, (community == one) & is_hub] + 0.8 * x[:, spokes]
    return ad.AnnData(x.astype(np.float32))


@pytest.fixture(scope="module")
def fitted(adata):
    adata = adata.copy()
    options = {"accelerator": "cpu", "enable_progress_bar": False, "plan_kwargs": {"lr": 3e-3}}
    model = pld.tl.sivae(adata, n_latent=10, n_hidden=(64, 32), max_epochs=30, **options)
    pld.tl.degree_centrality(adata, model)
    pld.tl.gene_neighbors(adata, n_neighbors=N_NEIGHBORS)
    return adata, model


def precision(adata, truth) -> float:
    """Share of the neighbours of genes of communities that are of the same one."""
    of_gene = dict(zip(adata.var_names, truth[0], strict=True))
    table = pld.get.gene_neighbors(adata)
    gene, neighbor = (table[name].map(of_gene) for name in ("gene", "neighbor"))
    return (gene == neighbor)[gene >= 0].sum() / (N_COMMUNITIES * N_GENES * N_NEIGHBORS)


def n_hubs(centrality, truth) -> int:
    return truth[1][np.argsort(-np.asarray(centrality))[:N_COMMUNITIES]].sum()


@pytest.mark.parametrize("column", ["degree_centrality", "degree_centrality_held_out"])
def test_hubs_are_the_most_central_genes(fitted, truth, column):
    centrality = fitted[0].var[column]
    assert n_hubs(centrality, truth) == N_COMMUNITIES
    spokes = centrality[(truth[0] >= 0) & ~truth[1]]
    assert spokes.min() > centrality[truth[0] < 0].max()


def test_neighbours_are_of_the_same_community(fitted, truth):
    adata, model = fitted
    assert precision(adata, truth) > 0.97
    sampled = pld.tl.sample_expression(adata, model)
    drawn = pld.tl.gene_neighbors(
        adata, method="correlation", n_neighbors=N_NEIGHBORS, sampled=sampled, copy=True
    )
    assert precision(drawn, truth) > 0.97


def test_networks_that_are_inferred(adata, truth):
    """The same of networks: this simulation does not tell them from the model."""
    estimated = GraphicalLasso(alpha=0.05, tol=1e-3).fit(adata.X.astype(float)).precision_
    partial = np.abs(estimated)
    np.fill_diagonal(partial, 0)
    information = networks.mutual_information(adata.X)
    for weights in (np.abs(networks.correlation(adata.X)), partial, information):
        assert n_hubs(weights.mean(axis=1), truth) == N_COMMUNITIES
    found = pld.tl.gene_neighbors(adata, method="correlation", n_neighbors=N_NEIGHBORS, copy=True)
    assert precision(found, truth) > 0.97


def test_true_centrality_is_that_of_hubs(adata, truth):
    """A hub explains 0.36 of each of its spokes, and a spoke 0.36 of its hub alone."""
    found = networks.true_centrality(adata.X)
    n_others = adata.n_vars - 1
    np.testing.assert_allclose(found[truth[1]], 24 * 0.36 / n_others, rtol=0.15)
    spokes = (truth[0] >= 0) & ~truth[1]
    assert found[spokes].mean() == pytest.approx((0.36 + 23 * 0.36**2) / n_others, rel=0.15)
    assert np.abs(found[truth[0] < 0]).max() < 3e-3


def test_neighbours_predict_their_hub(adata, truth):
    spokes = np.arange(1, 21)[None]
    isolated = np.flatnonzero(truth[0] < 0)[None, :20]
    found = networks.neighbor_prediction(adata.X, np.vstack([spokes, isolated]), query=[0, 0])
    # 20 spokes with noise of 0.8: 1 - 1 / (1 + 20 * 0.36 / 0.64) = 0.92.
    assert found[0] > 0.75
    assert found[1] < 0.05
