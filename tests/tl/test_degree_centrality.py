from __future__ import annotations

import numpy as np
import pytest
import scvi

import pellucid as pld
from pellucid.networks import reconstructed_variance

QUICK = {"max_epochs": 1, "accelerator": "cpu", "enable_progress_bar": False}


@pytest.fixture(scope="module")
def trained():
    cells = pld.datasets.pbmc68k_reduced()[:60, :12].copy()
    return cells, pld.tl.sivae(cells, likelihood="nb", n_hidden=(8, 4), **QUICK)


@pytest.fixture
def sivae(trained):
    cells, model = trained
    return cells.copy(), model


def test_is_written(sivae):
    adata, model = sivae
    assert pld.tl.degree_centrality(adata, model) is None
    found = reconstructed_variance(model)
    np.testing.assert_array_equal(adata.var["degree_centrality"], found.all_cells)
    np.testing.assert_array_equal(adata.var["degree_centrality_held_out"], found.held_out)
    record = adata.uns["degree_centrality"]
    assert record["n_held_out"] == 6
    assert record["params"]["model_class"] == "SIVAE"
    assert record["params"]["method"] == "reconstruction"


def test_by_distance_from_the_origin(sivae, unchanged):
    adata, model = sivae
    pld.tl.degree_centrality(adata, model)
    with unchanged(adata):
        found = pld.tl.degree_centrality(adata, method="embedding", copy=True)
    expected = np.linalg.norm(adata.varm["sivae_loadings"].astype(float), axis=1)
    np.testing.assert_allclose(found.var["degree_centrality"], expected)
    assert "degree_centrality_held_out" not in found.var
    assert found.uns["degree_centrality"]["params"]["loadings_key"] == "sivae_loadings"


def test_of_a_model_that_is_not_of_genes(counts):
    model = pld.tl.orthogonal_ae(counts, n_latent=3, **QUICK)
    pld.tl.degree_centrality(counts, model, key_added="mine")
    assert (counts.var["mine"] <= 1).all()
    assert counts.var["mine_held_out"].notna().all()


def fail_scvi(adata, model):
    scvi.model.SCVI.setup_anndata(adata)
    return adata, scvi.model.SCVI(adata, n_latent=2), {}


def fail_loadings(values):
    def arrange(adata, model):
        adata.varm["other"] = values
        return adata, None, {"method": "embedding", "loadings_key": "other"}

    return arrange


FAILS = {
    "no model": (lambda a, m: (a, None, {}), TypeError, "needs a trained model"),
    "no reconstruction": (fail_scvi, TypeError, "SCVI has no get_reconstruction"),
    "other genes": (lambda a, m: (a[:, ::-1].copy(), m, {}), ValueError, "align_genes"),
    "method": (lambda a, m: (a, m, {"method": "degree"}), ValueError, "'degree' is unknown"),
    "a model": (lambda a, m: (a, m, {"method": "embedding"}), TypeError, "leave out the model"),
    "loadings are NaN": (fail_loadings(np.full((12, 2), np.nan)), ValueError, "NaN or infinite"),
    "loadings of many fits": (
        fail_loadings(np.zeros((12, 3, 2))),
        ValueError,
        r"shape \(12, 3, 2\).*tl\.fit_populations",
    ),
    "no loadings": (
        lambda a, m: (a, None, {"method": "embedding", "loadings_key": "other"}),
        KeyError,
        r"tl\.loadings",
    ),
}


@pytest.mark.parametrize("case", FAILS)
def test_bad_input(sivae, case, unchanged):
    arrange, error, message = FAILS[case]
    adata, model, arguments = arrange(*sivae)
    with unchanged(adata), pytest.raises(error, match=message):
        pld.tl.degree_centrality(adata, model, **arguments)
