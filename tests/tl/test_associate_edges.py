"""Edges and a phenotype over populations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import pdist, squareform

import pellucid as pld
from pellucid.tl._population_networks import Populations

ODD = np.arange(16) % 2 == 1
MODULE = [f"gene{i}" for i in range(10)]


def present_by_hand(adata, percentile: float) -> np.ndarray:
    """Genes x genes x populations: more than half of the bins have it."""
    fits = adata.uns["populations"]["populations"]
    graphs = []
    for fit in range(len(fits)):
        distance = pdist(adata.varm["populations_loadings"][:, fit].astype(float))
        graphs.append(squareform(distance < np.percentile(distance, percentile)))
    graphs = np.stack(graphs, axis=2)
    names = [f"donor/{i}" for i in range(16)]
    return np.stack([graphs[:, :, fits == name].mean(axis=2) > 0.5 for name in names], axis=2)


@pytest.mark.parametrize("phenotype", ["rewired", "efficiency"])
def test_is_scipys(populations, phenotype):
    options = {"percentile": 9, "min_centrality": 0}
    pld.tl.associate_edges(populations, phenotype, n_central=60, **options)
    found = populations.uns["edge_association"]
    table = found["results"]
    present = present_by_hand(populations, 9)
    n_with = np.triu(present.sum(axis=2), 1)
    expected = np.argwhere((n_with >= 3) & (n_with <= 13))
    edges = np.stack([populations.var_names.get_indexer(table[f"gene_{i}"]) for i in (1, 2)], 1)
    np.testing.assert_array_equal(edges, expected)
    values = found["phenotype"]
    for row, (a, b) in zip(table.itertuples(), expected, strict=True):
        has = present[a, b]
        assert row.n_populations == has.sum()
        with_it, without = values[has], values[~has]
        u = stats.mannwhitneyu(with_it, without)
        assert row.auroc == pytest.approx(u.statistic / (has.sum() * (~has).sum()))
        if phenotype == "efficiency":
            assert row.pvalue == pytest.approx(u.pvalue)
        else:
            cells = [[(has & of).sum(), (~has & of).sum()] for of in (ODD, ~ODD)]
            assert row.pvalue == pytest.approx(stats.fisher_exact(cells).pvalue)
            assert row.share_0 == has[~ODD].mean()
            assert row.share_1 == has[ODD].mean()
    np.testing.assert_allclose(table["padj"], stats.false_discovery_control(table["pvalue"]))
    assert len(found["edges"]) == (n_with > 0).sum()
    assert len(table) < len(found["edges"])


def test_edges_of_the_rewired_module_are_found(populations):
    pld.tl.associate_edges(populations, "rewired", n_central=60, n_neighbors=7)
    table = pld.get.edge_association(populations)
    within = table["gene_1"].isin(MODULE) & table["gene_2"].isin(MODULE)
    found = table["padj"] < 0.05
    assert (found & within).sum() > 15
    assert (table["auroc"][found & within] < 0.5).all()
    assert not (found & ~within).any()
    shares = populations.uns["edge_association"]["edges"].set_index(["gene_1", "gene_2"])
    apart = shares.loc[shares.index.isin([(a, b) for a in MODULE for b in MODULE])]
    assert apart["share_0"].mean() > 0.4
    assert (apart["share_1"] == 0).all()


def test_a_module_that_falls_apart_lies_together_at_the_origin(populations):
    """Why genes of which nothing is explained have no edges."""
    pld.tl.associate_edges(
        populations, "rewired", genes=MODULE, n_central=60, percentile=9, min_centrality=0
    )
    assert populations.uns["edge_association"]["edges"]["share_1"].mean() > 0.2


def test_only_edges_among_the_genes(populations):
    every = pld.tl.associate_edges(populations, "rewired", n_central=60, percentile=9, copy=True)
    pld.tl.associate_edges(populations, "rewired", genes=MODULE, n_central=60, percentile=9)
    table = populations.uns["edge_association"]["results"]
    assert set(table["gene_1"]) | set(table["gene_2"]) <= set(MODULE)
    whole = every.uns["edge_association"]["results"]
    same = whole[whole["gene_1"].isin(MODULE) & whole["gene_2"].isin(MODULE)]
    np.testing.assert_array_equal(table["pvalue"], same["pvalue"])
    assert 0 < len(table) < len(whole)
    np.testing.assert_allclose(table["padj"], stats.false_discovery_control(table["pvalue"]))


def test_genes_belong_to_the_network(populations):
    """Also those that are central nowhere."""
    genes = ["gene50", "gene51", "gene52"]
    options = {"percentile": 8, "min_populations": 1, "min_centrality": 0}
    pld.tl.associate_edges(populations, "rewired", genes=genes, n_central=5, **options)
    edges = populations.uns["edge_association"]["edges"]
    assert set(edges["gene_1"]) | set(edges["gene_2"]) == set(genes)


FAILS = {
    "key": ({"key": "other"}, KeyError, "written by tl.fit_populations"),
    "column": ({"phenotype": "age"}, KeyError, "'age' not found in adata.obs"),
    "gene": ({"genes": ["TP53"]}, KeyError, "1 of 1 genes .* 'TP53'"),
    "one name": ({"genes": "gene1"}, TypeError, "expected a list"),
    "populations": ({"min_populations": 0}, ValueError, "min_populations=0"),
    "nothing to test": ({"min_populations": 9}, ValueError, "None of .* edges is in 9 of 16"),
    "percentile": ({"percentile": 0}, ValueError, "percentile=0"),
}


@pytest.mark.parametrize(("arguments", "error", "message"), FAILS.values(), ids=FAILS)
def test_failure_leaves_no_trace(populations, unchanged, arguments, error, message):
    with unchanged(populations), pytest.raises(error, match=message):
        pld.tl.associate_edges(populations, **{"phenotype": "rewired", **arguments})


@pytest.mark.parametrize("n_bins", [2, 3, 49, 98, 150])
def test_more_than_half_of_the_bins(n_bins):
    """Counted in whole numbers: half is not more than half, however many there are."""
    member = np.array([1, 0] * n_bins)
    found = Populations("populations", "donor", np.array(["a", "b"]), member)
    rng = np.random.default_rng(0)
    half = n_bins // 2
    votes = np.stack([rng.permuted(np.arange(n_bins) < half + more) for more in (0, 1) * 20])
    has = np.zeros((len(votes), 2 * n_bins), dtype=bool)
    has[:, member == 1] = votes
    np.testing.assert_array_equal(found.majority(has)[:, 1], np.arange(len(votes)) % 2 == 1)
    assert not found.majority(has)[:, 0].any()


def test_two_numbers_are_two_groups(populations):
    populations.obs["dose"] = (populations.obs["rewired"] == "re/wired").astype(int)
    for phenotype in ("dose", "rewired"):
        pld.tl.associate_edges(populations, phenotype, percentile=9, key_added=phenotype)
    found, expected = populations.uns["dose"], populations.uns["rewired"]
    assert found["groups"].tolist() == ["0", "1"]
    assert found["results"].equals(expected["results"])


def test_genes_that_were_tested_are_told(populations, round_trip):
    options = {"n_central": 5, "percentile": 20, "min_populations": 1, "min_centrality": 0}
    pld.tl.associate_edges(populations, "rewired", **options)
    central = np.unique(np.argsort(-populations.varm["populations_centrality"], axis=0)[:5])
    found = round_trip(populations).uns["edge_association"]
    assert list(found["genes"]) == populations.var_names[central].tolist()
    options = {"n_central": 60, "n_neighbors": 7}
    by_list = pld.tl.associate_edges(populations, "rewired", genes=MODULE, copy=True, **options)
    by_list = by_list.uns["edge_association"]
    assert by_list["genes"].tolist() == by_list["params"]["genes"].tolist() == MODULE
    pld.tl.associate_edges(populations, "rewired", genes=(name for name in MODULE), **options)
    found = populations.uns["edge_association"]
    assert found["results"].equals(by_list["results"])
    assert found["params"]["genes"].tolist() == MODULE
