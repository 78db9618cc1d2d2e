from __future__ import annotations

import sys
from types import ModuleType

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.spatial.distance import cdist

import pellucid as pld
from pellucid import networks

METHODS = ("euclidean", "correlation", "clr", "mrnet", "aracne")


@pytest.fixture
def adata(counts):
    random = np.random.default_rng(0)
    counts.X = counts.X.log1p()
    counts.varm["sivae_loadings"] = random.normal(size=(30, 3)).astype(np.float32)
    return counts


def weights_of(adata, key="gene_neighbors"):
    return adata.varp[f"{key}_connectivities"].toarray()


def test_euclidean(adata):
    assert pld.tl.gene_neighbors(adata, n_neighbors=4) is None
    points = adata.varm["sivae_loadings"].astype(float)
    distance = cdist(points, points)
    np.fill_diagonal(distance, np.inf)
    table = pld.get.gene_neighbors(adata)
    assert len(table) == 30 * 4
    for gene, rows in table.groupby("gene", sort=False):
        expected = distance[adata.var_names.get_loc(gene)]
        order = np.argsort(expected)[:4]
        assert rows["neighbor"].tolist() == adata.var_names[order].tolist()
        assert rows["rank"].tolist() == [1, 2, 3, 4]
        np.testing.assert_allclose(rows["distance"], expected[order], rtol=1e-6)
    record = adata.uns["gene_neighbors"]
    assert record["distances_key"] == "gene_neighbors_distances"
    assert record["params"]["loadings_key"] == "sivae_loadings"


@pytest.mark.parametrize(
    ("method", "weigh"),
    [
        ("correlation", lambda x: np.abs(networks.correlation(x))),
        ("clr", lambda x: networks.clr(networks.mutual_information(x))),
        ("mrnet", lambda x: networks.mrnet(networks.mutual_information(x))),
        ("aracne", lambda x: networks.aracne(networks.mutual_information(x))),
    ],
)
def test_networks(adata, method, weigh):
    pld.tl.gene_neighbors(adata, method=method, n_neighbors=3)
    weights = weigh(adata.X)
    weights = weights / (1 if method == "correlation" else weights.max())
    table = pld.get.gene_neighbors(adata)
    places = [adata.var_names.get_indexer(table[name]) for name in ("gene", "neighbor")]
    np.testing.assert_allclose(table["weight"], weights[tuple(places)])
    np.testing.assert_allclose(table["distance"], 1 - table["weight"])
    heaviest = -np.sort(-weights, axis=1)[:, :3]
    for gene, rows in table.groupby("gene", sort=False):
        expected = heaviest[adata.var_names.get_loc(gene)]
        np.testing.assert_allclose(rows["weight"], expected[expected > 0])


@pytest.mark.parametrize("form", ["dense", "view", "layer", "backed"])
@pytest.mark.parametrize("method", ["correlation", "clr"])
def test_forms_of_expression(adata, method, form, tmp_path):
    pld.tl.gene_neighbors(adata, method=method, n_neighbors=3)
    arguments = {}
    if form == "dense":
        other = ad.AnnData(adata.X.toarray(), var=adata.var)
    elif form == "view":
        other = ad.concat([adata, adata], join="outer")[:90]
    elif form == "layer":
        other = ad.AnnData(np.ones((90, 30)), var=adata.var, layers={"log": adata.X})
        arguments = {"layer": "log"}
    else:
        ad.AnnData(adata.X, var=adata.var).write_h5ad(tmp_path / "adata.h5ad")
        other = ad.read_h5ad(tmp_path / "adata.h5ad", backed="r")
    pld.tl.gene_neighbors(other, method=method, n_neighbors=3, **arguments)
    np.testing.assert_allclose(weights_of(other), weights_of(adata), atol=1e-6)


def test_reads_what_was_sampled(adata, unchanged):
    sampled = ad.AnnData(
        np.random.default_rng(1).normal(size=(50, 30)).astype(np.float32), var=adata.var
    )
    with unchanged(adata), unchanged(sampled):
        found = pld.tl.gene_neighbors(
            adata, method="correlation", sampled=sampled, key_added="mine", copy=True
        )
    pld.tl.gene_neighbors(sampled, method="correlation", key_added="mine")
    np.testing.assert_array_equal(weights_of(found, "mine"), weights_of(sampled, "mine"))
    assert found.uns["mine"]["params"]["sampled"]


def test_estimator(adata):
    pld.tl.gene_neighbors(adata, method="clr", estimator="spearman", n_neighbors=3)
    information = networks.mutual_information(adata.X, estimator="spearman")
    expected = networks.clr(information)
    np.testing.assert_allclose(weights_of(adata).max(), 1)
    np.testing.assert_allclose(
        weights_of(adata)[0].max(), expected[0].max() / expected.max(), rtol=1e-6
    )
    assert adata.uns["gene_neighbors"]["params"]["estimator"] == "spearman"


def test_constant_gene_has_no_neighbours(adata):
    adata.X = sparse.csr_matrix(adata.X)
    adata.X = adata.X.toarray()
    adata.X[:, 5] = 1
    pld.tl.gene_neighbors(adata, method="correlation", n_neighbors=3)
    table = pld.get.gene_neighbors(adata)
    assert "gene5" not in set(table["gene"]) | set(table["neighbor"])


def test_get_puts_the_nearest_first_where_distances_are_0(adata):
    adata.varm["sivae_loadings"][7] = adata.varm["sivae_loadings"][3]
    pld.tl.gene_neighbors(adata, n_neighbors=2)
    table = pld.get.gene_neighbors(adata).set_index("gene")
    first = table.loc["gene3"].iloc[0]
    assert (first["neighbor"], first["distance"], first["weight"]) == ("gene7", 0, 1)
    with pytest.raises(KeyError, match=r"tl\.gene_neighbors"):
        pld.get.gene_neighbors(adata, key="other")


def test_grnboost2(adata, monkeypatch):
    """Links that arboreto gives become weights; which it gives is its own."""
    asked = []

    def links(*, tf_matrix, target_gene_name, target_gene_expression, seed, **_):
        gene = int(target_gene_name)
        np.testing.assert_array_equal(tf_matrix[:, gene], target_gene_expression)
        asked.append(seed)
        return pd.DataFrame({"TF": [str((gene + 1) % 30)], "importance": [gene + 1.0]})

    core = ModuleType("arboreto.core")
    core.SGBM_KWARGS, core.infer_partial_network = {}, links
    for name, module in (("arboreto", ModuleType("arboreto")), ("arboreto.core", core)):
        monkeypatch.setitem(sys.modules, name, module)
    pld.tl.gene_neighbors(adata, method="grnboost2", n_neighbors=3, random_state=7)
    assert asked == [7] * 30
    assert weights_of(adata)[4, 5] == weights_of(adata)[5, 4] == 5 / 30
    assert adata.uns["gene_neighbors"]["params"]["random_state"] == 7


def test_grnboost2_is_not_installed(adata, unchanged, monkeypatch):
    monkeypatch.setitem(sys.modules, "arboreto", None)
    with unchanged(adata), pytest.raises(ImportError, match="pip install arboreto"):
        pld.tl.gene_neighbors(adata, method="grnboost2")


def with_nan(adata):
    adata.varm["sivae_loadings"][3, 1] = np.nan
    return {}


def with_many_fits(adata):
    adata.varm["populations_loadings"] = np.zeros((30, 3, 2))
    return {"loadings_key": "populations_loadings"}


def with_layer(adata):
    adata.layers["log"] = adata.X
    sampled = ad.AnnData(adata.X.copy(), var=adata.var)
    return {"method": "correlation", "sampled": sampled, "layer": "log"}


def with_nan_in_x(adata):
    adata.X.data[5] = np.nan
    return {"method": "clr"}


FAILS = {
    "method": (lambda a: {"method": "wgcna"}, ValueError, "'wgcna' is unknown"),
    "estimator": (lambda a: {"estimator": "knn"}, ValueError, "'knn' is unknown"),
    "neighbours": (lambda a: {"n_neighbors": 30}, ValueError, "expected 1 to 29"),
    "no neighbour": (lambda a: {"n_neighbors": 0}, ValueError, "expected 1 to 29"),
    "no loadings": (lambda a: {"loadings_key": "other"}, KeyError, r"tl\.loadings"),
    "loadings are NaN": (with_nan, ValueError, "NaN or infinite loadings"),
    "loadings of many fits": (with_many_fits, ValueError, r"shape \(30, 3, 2\).*\[:, 0\]"),
    "expression is NaN": (with_nan_in_x, ValueError, "NaN or infinite values"),
    "no layer": (lambda a: {"method": "clr", "layer": "x"}, KeyError, "layer 'x' not found"),
    "sampled unread": (lambda a: {"sampled": a.copy()}, TypeError, "leave out sampled"),
    "no layer of what was sampled": (with_layer, KeyError, "not found in sampled.layers"),
    "other genes": (
        lambda a: {"method": "clr", "sampled": a[:, 1:].copy()},
        ValueError,
        "sampled has 29 genes, of which 29",
    ),
}


@pytest.mark.parametrize("case", FAILS)
def test_bad_input(adata, case, unchanged):
    arrange, error, message = FAILS[case]
    arguments = {"n_neighbors": 5, **arrange(adata)}
    with unchanged(adata), pytest.raises(error, match=message):
        pld.tl.gene_neighbors(adata, **arguments)
