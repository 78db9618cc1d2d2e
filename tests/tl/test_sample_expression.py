from __future__ import annotations

import numpy as np
import pytest

import pellucid as pld

QUICK = {"max_epochs": 1, "accelerator": "cpu", "enable_progress_bar": False}


@pytest.fixture(scope="module")
def trained():
    cells = pld.datasets.pbmc68k_reduced()[:60, :12].copy()
    return cells, pld.tl.sivae(cells, likelihood="nb", n_hidden=(8, 4), **QUICK)


def test_cells_of_the_model(trained, unchanged):
    adata, model = trained
    with unchanged(adata):
        found = pld.tl.sample_expression(adata, model, random_state=3)
    assert found.shape == adata.shape
    np.testing.assert_array_equal(found.X, model.sample(random_state=3))
    assert found.var.equals(adata.var)
    assert found.obs_names.is_unique
    assert found.uns["sample_expression"]["params"]["n_cells"] == 60


def test_more_cells_of_the_prior(trained):
    adata, model = trained
    found = pld.tl.sample_expression(adata, model, n_cells=70, prior=True)
    np.testing.assert_array_equal(found.X, model.sample(70, prior=True))


def test_is_read_again(trained, round_trip, assert_same):
    found = pld.tl.sample_expression(*trained, n_cells=5)
    assert_same(round_trip(found), found)


def test_model_that_draws_none(counts):
    pld.model.OrthogonalAE.setup_anndata(counts)
    with pytest.raises(TypeError, match="OrthogonalAE draws no expression"):
        pld.tl.sample_expression(counts, pld.model.OrthogonalAE(counts))


def test_bad_input(trained, unchanged):
    adata, model = trained
    with unchanged(adata), pytest.raises(ValueError, match="n_cells=0; expected at least 1"):
        pld.tl.sample_expression(adata, model, n_cells=0)
    with pytest.raises(ValueError, match="align_genes"):
        pld.tl.sample_expression(adata[:, 1:].copy(), model)
