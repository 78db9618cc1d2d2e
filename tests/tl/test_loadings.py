from __future__ import annotations

import numpy as np
import pytest
import scvi
from scipy import sparse

import pellucid as pld

QUICK = {"max_epochs": 2, "accelerator": "cpu", "enable_progress_bar": False}
SETS = {
    name: [f"gene{gene}" for gene in range(start, start + 8)]
    for name, start in (("B/1", 0), ("T", 10))
}


@pytest.fixture
def annotated(counts):
    model = pld.tl.annotated_ae(counts, gene_sets=SETS, n_sparse=1, likelihood="nb", **QUICK)
    return counts, model


def test_is_written(annotated):
    adata, model = annotated
    assert pld.tl.loadings(adata, model) is None
    found = adata.varm["annotated_ae_loadings"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, model.get_loadings().to_numpy(np.float32))
    in_set = adata.varm["annotated_ae_loadings_annotated"]
    assert sparse.issparse(in_set)
    assert in_set.dtype == bool
    for place, genes in enumerate(SETS.values()):
        assert adata.var_names[in_set[:, [place]].toarray().ravel()].tolist() == genes
    assert in_set[:, [2]].nnz == 0
    record = adata.uns["annotated_ae_loadings"]
    assert record["latent_names"].tolist() == ["B/1", "T", "sparse_0"]
    assert record["kinds"].tolist() == ["annotated", "annotated", "sparse"]
    assert record["params"]["model_class"] == "AnnotatedAE"


def test_key_added_and_copy(annotated, unchanged):
    adata, model = annotated
    with unchanged(adata):
        other = pld.tl.loadings(adata, model, key_added="mine", copy=True)
    assert {"mine", "mine_annotated"} <= set(other.varm)
    assert "mine" in other.uns


def test_get(annotated):
    adata, _ = annotated
    table = pld.get.loadings(adata)
    assert table.columns.tolist() == ["B/1", "T", "sparse_0"]
    assert table.index.tolist() == adata.var_names.tolist()
    np.testing.assert_array_equal(table, adata.varm["annotated_ae_loadings"])
    with pytest.raises(KeyError, match=r"tl\.loadings"):
        pld.get.loadings(adata, key="other")


def test_get_reads_what_is_there(annotated):
    adata, _ = annotated
    for slot in (adata.varm, adata.uns):
        slot["sivae_loadings"] = slot.pop("annotated_ae_loadings")
    assert pld.get.loadings(adata).columns.tolist() == ["B/1", "T", "sparse_0"]


def test_linear_scvi(counts):
    scvi.model.LinearSCVI.setup_anndata(counts)
    model = scvi.model.LinearSCVI(counts, n_latent=3)
    model.train(**QUICK)
    pld.tl.loadings(counts, model)
    found = counts.varm["linearscvi_loadings"]
    np.testing.assert_allclose(found, model.get_loadings(), rtol=1e-6)
    assert "kinds" not in counts.uns["linearscvi_loadings"]
    assert "linearscvi_loadings_annotated" not in counts.varm
    pld.tl.latent(counts, model)
    pld.tl.rank_factors(counts, loadings_key="linearscvi_loadings", use_rep="X_linearscvi")
    ranked = pld.get.factors(counts)
    assert ranked["kind"].tolist() == ["dense"] * 3
    assert ranked["rank"].tolist() == [1, 2, 3]


def test_model_without_loadings(counts, unchanged):
    pld.model.OrthogonalAE.setup_anndata(counts)
    model = pld.model.OrthogonalAE(counts, n_latent=3)
    with unchanged(counts), pytest.raises(TypeError, match=r"OrthogonalAE has no load.*tl\.attr"):
        pld.tl.loadings(counts, model)


def test_other_genes(annotated, unchanged):
    adata, model = annotated
    other = adata[:, ::-1].copy()
    with unchanged(other), pytest.raises(ValueError, match="align_genes"):
        pld.tl.loadings(other, model)


@pytest.fixture
def sivae(counts):
    model = pld.tl.sivae(counts, n_hidden=(8, 4), likelihood="nb", **QUICK)
    return counts, model


def test_hidden_layers_of_sivae(sivae):
    adata, model = sivae
    pld.tl.loadings(adata, model, layer=3)
    np.testing.assert_array_equal(adata.varm["sivae_loadings_3"], model.get_loadings(layer=3))
    record = adata.uns["sivae_loadings_3"]
    assert record["latent_names"].tolist() == [f"hidden3_{unit}" for unit in range(8)]
    assert record["params"]["layer"] == 3
    assert adata.varm["sivae_loadings"].shape == (30, 2)


def test_only_sivae_has_hidden_layers(annotated, unchanged):
    adata, model = annotated
    with unchanged(adata), pytest.raises(TypeError, match="layer=2: the loadings of AnnotatedAE"):
        pld.tl.loadings(adata, model, layer=2)


def test_no_such_layer(sivae, unchanged):
    adata, model = sivae
    with unchanged(adata), pytest.raises(ValueError, match="layer=4; expected 1 to 3"):
        pld.tl.loadings(adata, model, layer=4)
