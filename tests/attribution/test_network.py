"""Encoders and decoders are read as the models themselves run them."""

from __future__ import annotations

import numpy as np
import pytest
import scvi
import torch

import pellucid as pld
from pellucid.attribution import decoder_of, encoder_of
from pellucid.train import seeded

COVARIATES = {
    "batch_key": "batch",
    "categorical_covariate_keys": ["donor", "one_level"],
    "continuous_covariate_keys": ["age"],
}
SCANVI = {"labels_key": "population", "unlabeled_category": "unknown"}
SCVI_MODELS = {
    "SCVI": (scvi.model.SCVI, {}, {}),
    "SCVI_deep": (scvi.model.SCVI, {}, {"n_layers": 2}),
    "SCVI_covariates": (scvi.model.SCVI, COVARIATES, {}),
    "SCVI_deep_covariates": (scvi.model.SCVI, COVARIATES, {"n_layers": 3}),
    "SCVI_deep_covariates_first": (
        scvi.model.SCVI,
        COVARIATES,
        {"n_layers": 2, "deeply_inject_covariates": False},
    ),
    "SCVI_covariates_encoded": (scvi.model.SCVI, COVARIATES, {"encode_covariates": True}),
    "SCVI_deep_covariates_encoded": (
        scvi.model.SCVI,
        COVARIATES,
        {"encode_covariates": True, "n_layers": 2},
    ),
    "SCVI_embedded_batches": (
        scvi.model.SCVI,
        COVARIATES,
        {"batch_representation": "embedding", "encode_covariates": True},
    ),
    "SCVI_layer_norm": (scvi.model.SCVI, {}, {"use_layer_norm": "both", "use_batch_norm": "none"}),
    "SCVI_without_log": (scvi.model.SCVI, {}, {"log_variational": False}),
    "LinearSCVI": (scvi.model.LinearSCVI, {}, {}),
    "LinearSCVI_batches": (scvi.model.LinearSCVI, {"batch_key": "batch"}, {}),
    "SCANVI": (scvi.model.SCANVI, SCANVI, {}),
    "SCANVI_batches": (scvi.model.SCANVI, SCANVI | {"batch_key": "batch"}, {}),
}


@pytest.fixture
def cells(counts):
    rng = np.random.default_rng(0)
    counts.obs["batch"] = rng.choice(["one", "two", "three"], 90)
    counts.obs["donor"] = rng.choice(["a", "b"], 90)
    counts.obs["one_level"] = "only"
    counts.obs["age"] = rng.normal(size=90)
    return counts


def build(name: str, adata):
    cls, setup, arguments = SCVI_MODELS[name]
    cls.setup_anndata(adata, **setup)
    with seeded(0):
        model = cls(adata, n_latent=4, n_hidden=10, **arguments)
        model.train(max_epochs=2, accelerator="cpu", enable_progress_bar=False)
    model.module.eval()
    return model


def outputs(network: torch.nn.Module, read: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        return network(read).numpy()


def tensors_of(model) -> dict[str, torch.Tensor]:
    (tensors,) = model._make_data_loader(model.adata, batch_size=100)
    return tensors


@pytest.mark.parametrize("name", SCVI_MODELS)
def test_scvi_tools_models(cells, name):
    model = build(name, cells)
    tensors = tensors_of(model)
    encoder = encoder_of(model)
    read = encoder.read(tensors).detach()
    x = tensors["X"] if name.endswith("without_log") else torch.log1p(tensors["X"])
    assert encoder.n_read == 30
    np.testing.assert_array_equal(read[:, :30], x)
    assert (read.shape[1] == 30) == (not getattr(model.module, "encode_covariates", False))
    z = model.get_latent_representation()
    np.testing.assert_allclose(outputs(encoder.network, read), z, rtol=1e-4, atol=1e-5)

    decoder = decoder_of(model)
    read = decoder.read(tensors).detach()
    assert decoder.n_read == 4
    np.testing.assert_allclose(read[:, :4], z, rtol=1e-4, atol=1e-5)
    module = model.module
    inputs = module._get_generative_input(
        tensors, {"z": torch.from_numpy(z), "library": tensors["X"].sum(1, keepdim=True).log()}
    )
    with torch.no_grad():
        share = module.generative(**inputs)["px"].scale
        found = torch.softmax(decoder.network(read), dim=1)
    np.testing.assert_allclose(found, share, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("input_type", ["library_scaled", "counts"])
def test_orthogonal_ae(counts, input_type):
    model = pld.tl.orthogonal_ae(
        counts, n_latent=3, input_type=input_type, max_epochs=1, enable_progress_bar=False
    )
    model.module.eval()
    tensors = tensors_of(model)
    encoder, decoder = encoder_of(model), decoder_of(model)
    z = model.get_latent_representation()
    np.testing.assert_allclose(
        outputs(encoder.network, encoder.read(tensors)), z, rtol=1e-5, atol=1e-6
    )
    mean = (
        outputs(decoder.network, decoder.read(tensors))
        * model.module.library(tensors["X"]).numpy()
    )
    np.testing.assert_allclose(mean, model.get_reconstruction(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("likelihood", ["normal", "nb"])
@pytest.mark.parametrize("covariates", [{}, {"categorical_covariate_keys": ["batch"]}])
def test_annotated_ae(cells, likelihood, covariates):
    if likelihood == "normal":
        cells.X = cells.X.log1p()
    pld.pp.add_gene_sets(cells, {"A": cells.var_names[:9], "B": cells.var_names[9:20]})
    pld.model.AnnotatedAE.setup_anndata(cells, **covariates)
    with seeded(0):
        model = pld.model.AnnotatedAE(cells, n_hidden=8, likelihood=likelihood)
        model.train(max_epochs=2, enable_progress_bar=False, accelerator="cpu")
    module = model.module.eval()
    tensors = tensors_of(model)
    encoder, decoder = encoder_of(model), decoder_of(model)
    z = model.get_latent_representation()
    read = encoder.read(tensors).detach()
    np.testing.assert_allclose(outputs(encoder.network, read), z, rtol=1e-4, atol=1e-5)
    genes = outputs(decoder.network, decoder.read(tensors))
    np.testing.assert_allclose(genes, z @ module.loadings.detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("gene_wise", [True, False])
@pytest.mark.parametrize("decoder", ["nonlinear", "linear"])
@pytest.mark.parametrize("batch_key", [None, "batch"])
def test_sivae(cells, gene_wise, decoder, batch_key):
    cells.X = cells.X.log1p()
    pld.model.SIVAE.setup_anndata(cells, batch_key=batch_key)
    with seeded(0):
        model = pld.model.SIVAE(cells, n_hidden=(16, 8), decoder=decoder, gene_wise=gene_wise)
        model.train(max_epochs=2, enable_progress_bar=False, accelerator="cpu")
    model.module.eval()
    tensors = tensors_of(model)
    encoder, decode = encoder_of(model), decoder_of(model)
    z = model.get_latent_representation()
    np.testing.assert_allclose(
        outputs(encoder.network, encoder.read(tensors)), z, rtol=1e-4, atol=1e-5
    )
    genes = outputs(decode.network, decode.read(tensors))
    module = model.module
    if batch_key is None:
        mean = module.gene_mean.numpy() + module.gene_scale.numpy() * genes
        np.testing.assert_allclose(mean, model.get_reconstruction(), rtol=1e-4, atol=1e-4)
    assert genes.shape == (90, 30)


@pytest.mark.parametrize("part", [encoder_of, decoder_of])
def test_other_models_are_refused(counts, part):
    scvi.model.AmortizedLDA.setup_anndata(counts)
    with pytest.raises(TypeError, match=r"AmortizedLDA has no .*coder that can be read"):
        part(scvi.model.AmortizedLDA(counts, n_hidden=8))
