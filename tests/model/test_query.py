from __future__ import annotations

import numpy as np
import pytest
import torch

import pellucid as pld
from pellucid.model import OrthogonalAE

QUIET = {"accelerator": "cpu", "enable_progress_bar": False}


@pytest.fixture
def halves(counts):
    known, new = counts[::2].copy(), counts[1::2].copy()
    new.X = new.X * 3  # the library of what was trained on is another one
    return known, new


def trained(known, **kwargs) -> OrthogonalAE:
    OrthogonalAE.setup_anndata(known)
    with pld.train.seeded(0):
        model = OrthogonalAE(known, n_latent=4, n_hidden=8, **kwargs)
        model.train(max_epochs=2, **QUIET)
    return model


@pytest.mark.parametrize("source", ["model", "folder"])
def test_a_query_is_read_as_by_the_model(halves, source, tmp_path):
    known, new = halves
    model = trained(known)
    model.save(tmp_path / "model")
    expected = model.get_latent_representation(new.copy())
    query = OrthogonalAE.load_query_data(new, model if source == "model" else tmp_path / "model")
    np.testing.assert_array_equal(query.get_latent_representation(), expected)
    assert query.adata is new
    pld.tl.latent(new, query)
    assert new.obsm["X_orthogonal_ae"].shape == (45, 4)


@pytest.mark.parametrize(
    ("arguments", "training"),
    [
        ({}, {}),
        ({"l1_weight": 0.0}, {"batch_size": 1}),
        ({}, {"plan_kwargs": {"weight_decay": 0.1}}),
    ],
)
@pytest.mark.parametrize("unfrozen", [False, True])
def test_training_on_a_query_leaves_the_decoder(halves, arguments, training, unfrozen):
    known, new = halves
    query = OrthogonalAE.load_query_data(new, trained(known, **arguments), unfrozen=unfrozen)
    before = {name: value.clone() for name, value in query.module.state_dict().items()}
    query.train(max_epochs=1, **training, **QUIET)
    changed = {
        name.partition(".")[0]
        for name, value in query.module.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert changed == ({"encoder", "decoder"} if unfrozen else {"encoder"})


def test_other_genes_are_named(halves, unchanged):
    known, new = halves
    model = trained(known)
    fewer = new[:, :20].copy()
    with unchanged(fewer), pytest.raises(ValueError, match=r"20 genes, the model 30.*align_genes"):
        OrthogonalAE.load_query_data(fewer, model)
    aligned = pld.pp.align_genes(fewer, known.var_names)
    query = OrthogonalAE.load_query_data(aligned, model)
    assert query.get_latent_representation().shape == (45, 4)


def test_codes_of_a_deep_autoencoder(halves):
    """It has no covariates either, and takes any matrix."""
    known, new = halves
    known.X, new.X = known.X.log1p(), new.X.log1p()
    pld.model.DeepAE.setup_anndata(known)
    model = pld.model.DeepAE(known, n_latent=4, n_hidden=(8,), loss="mse", linear_path=True)
    model.train(max_epochs=2, **QUIET)
    query = pld.model.DeepAE.load_query_data(new, model)
    expected = model.get_latent_representation(new.copy())
    np.testing.assert_array_equal(query.get_latent_representation(), expected)
    np.testing.assert_array_equal(query.decode(expected), model.decode(expected))
