"""Networks of populations side by side: what is compared, and what it shows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.spatial.distance import pdist, squareform
from sklearn.decomposition import PCA

import pellucid as pld
from pellucid.networks import weisfeiler_lehman

REWIRED = np.arange(16) % 2 == 1


def apart(values: np.ndarray) -> float:
    """AUROC of the rewired populations, whichever way the axis points."""
    auroc = (values[REWIRED][:, None] > values[~REWIRED]).mean()
    return max(auroc, 1 - auroc)


def test_is_the_kernel_averaged_over_bins(populations):
    genes = [f"gene{i}" for i in range(40)]
    options = {"percentile": 10, "min_centrality": 0, "labels": "degree", "n_iterations": 2}
    pld.tl.compare_networks(populations, genes=genes, **options)
    found = populations.uns["network_comparison"]
    graphs = []
    for fit in range(19):
        distance = pdist(populations.varm["populations_loadings"][:40, fit].astype(float))
        graphs.append(squareform(distance < np.quantile(distance, 0.1)))
    by_fit = weisfeiler_lehman(graphs, n_iterations=2)
    fits = populations.uns["populations"]["populations"]
    names = [f"donor/{i}" for i in range(16)]
    expected = [[by_fit[np.ix_(fits == a, fits == b)].mean() for b in names] for a in names]
    assert found["populations"].tolist() == names
    assert found["genes"].tolist() == genes
    np.testing.assert_allclose(found["kernel"], expected)
    pca = PCA(3).fit(expected)
    np.testing.assert_allclose(
        np.abs(found["pcs"][:, :3]), np.abs(pca.transform(expected)), atol=1e-9
    )
    np.testing.assert_allclose(found["variance_ratio"][:3], pca.explained_variance_ratio_)
    assert found["pcs"].shape == (16, 10)

    table = pld.get.network_comparison(populations)
    np.testing.assert_array_equal(table["PC2"], found["pcs"][:, 1])
    kernel = pld.get.network_comparison(populations, of="kernel")
    assert kernel.loc["donor/3", "donor/9"] == found["kernel"][3, 9]


@pytest.mark.parametrize("labels", ["degree", "gene"])
def test_the_first_component_tells_rewired_ones_apart(populations, labels):
    pld.tl.compare_networks(populations, n_central=50, n_neighbors=9, labels=labels)
    assert apart(populations.uns["network_comparison"]["pcs"][:, 0]) == 1


def test_genes_are_the_most_central_of_any_fit(populations):
    centrality = populations.varm["populations_centrality"]
    expected = np.unique(np.argsort(-centrality, axis=0)[:5])
    pld.tl.compare_networks(populations, n_central=5, n_neighbors=3, key_added="mine")
    found = populations.uns["mine"]
    assert found["genes"].tolist() == populations.var_names[expected].tolist()
    assert found["params"]["n_neighbors"] == 3
    assert "percentile" not in found["params"]


def test_networks_without_an_edge_are_told(populations, caplog):
    populations.varm["populations_centrality"][:, 3] = 0
    with caplog.at_level("WARNING", "pellucid"):
        pld.tl.compare_networks(populations)
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith("1 of 19 networks have no edge")


def test_neighbours_lead_both_ways(populations, monkeypatch):
    """From a gene to its nearest ones, and from those back."""
    seen = []

    def kernel(graphs, **kwargs):
        seen.extend(graphs)
        return weisfeiler_lehman(graphs)

    monkeypatch.setitem(pld.tl.compare_networks.__globals__, "weisfeiler_lehman", kernel)
    populations.varm["populations_centrality"][[2, 30], 7] = 0
    pld.tl.compare_networks(populations, genes=populations.var_names, n_neighbors=4)
    distance = squareform(pdist(populations.varm["populations_loadings"][:, 7].astype(float)))
    np.fill_diagonal(distance, np.inf)
    alone = populations.varm["populations_centrality"][:, 7] < 0.05
    assert set(np.flatnonzero(alone)) >= {2, 30, 50, 59}
    distance[alone] = distance[:, alone] = np.inf
    near = np.zeros((60, 60), dtype=bool)
    np.put_along_axis(near, np.argsort(distance, axis=1)[:, :4], True, axis=1)
    near[alone] = False
    assert sparse.issparse(seen[7])
    np.testing.assert_array_equal(seen[7].toarray(), near | near.T)


FAILS = {
    "key": ({"key": "other"}, KeyError, "written by tl.fit_populations"),
    "labels": ({"labels": "none"}, ValueError, "labels='none' is unknown"),
    "iterations": ({"n_iterations": -1}, ValueError, "n_iterations=-1"),
    "percentile": ({"percentile": 100}, ValueError, "percentile=100"),
    "neighbours": ({"n_neighbors": 60}, ValueError, "expected 1 to 59"),
    "central": ({"n_central": 1}, ValueError, "n_central=1"),
    "gene": ({"genes": ["gene1", "TP53"]}, KeyError, "1 of 2 genes .* 'TP53'"),
    "one name": ({"genes": "gene1"}, TypeError, "expected a list"),
    "few genes": ({"genes": ["gene1", "gene2"]}, ValueError, "2 genes make no network"),
}


@pytest.mark.parametrize(("arguments", "error", "message"), FAILS.values(), ids=FAILS)
def test_failure_leaves_no_trace(populations, unchanged, arguments, error, message):
    arguments = {"genes": populations.var_names, **arguments}
    if "n_central" in arguments:
        del arguments["genes"]
    with unchanged(populations), pytest.raises(error, match=message):
        pld.tl.compare_networks(populations, **arguments)


def test_two_populations_are_too_few(populations, unchanged):
    record = populations.uns["populations"]
    record["populations"] = np.where(record["populations"] == "donor/0", "a", "b")
    with unchanged(populations), pytest.raises(ValueError, match=r"has 2 populations; .* 3"):
        pld.tl.compare_networks(populations)


def test_get_of_what_there_is_not(populations):
    pld.tl.compare_networks(populations)
    with pytest.raises(ValueError, match="of='kernels' is unknown; choose 'pcs' or 'kernel'"):
        pld.get.network_comparison(populations, of="kernels")
