"""Feature attributions of Choi et al. 2023, as `tl.attribute` writes them of trained models.

What is expected are Jacobians by autograd of what the models themselves compute when they encode
and decode, and not of the networks that the package takes out of them. Each method is held against
captum in tests/attribution.
"""

from __future__ import annotations

import numpy as np
import pytest
import scvi
import torch
from sklearn.decomposition import PCA
from torch.autograd.functional import jacobian

import pellucid as pld
from pellucid.train import seeded

N_LATENT = 3
METHODS = ("saliency", "grad_x_input", "integrated_gradients")


@pytest.fixture
def cells(counts):
    counts.obs["batch"] = np.where(np.arange(90) % 3 == 0, "one", "two")
    return counts


def fit(model):
    model.train(max_epochs=3, accelerator="cpu", enable_progress_bar=False)
    model.module.eval()
    return model


def orthogonal_ae(adata):
    pld.model.OrthogonalAE.setup_anndata(adata)
    return fit(pld.model.OrthogonalAE(adata, n_hidden=8, n_latent=N_LATENT, n_layers=2))


def annotated_ae(adata):
    adata.X = adata.X.log1p()
    pld.pp.add_gene_sets(adata, {f"set{i}": adata.var_names[8 * i :][:10] for i in range(3)})
    pld.model.AnnotatedAE.setup_anndata(adata, categorical_covariate_keys=["batch"])
    return fit(pld.model.AnnotatedAE(adata, n_hidden=8))


def sivae(adata):
    adata.X = adata.X.log1p()
    pld.model.SIVAE.setup_anndata(adata, batch_key="batch")
    return fit(pld.model.SIVAE(adata, n_hidden=(12, 8), n_latent=N_LATENT))


def sivae_of_counts(adata):
    pld.model.SIVAE.setup_anndata(adata)
    return fit(pld.model.SIVAE(adata, n_hidden=(12, 8), n_latent=N_LATENT, likelihood="nb"))


def scvi_of_batches(adata):
    scvi.model.SCVI.setup_anndata(adata, batch_key="batch")
    return fit(scvi.model.SCVI(adata, n_hidden=8, n_latent=N_LATENT))


def scvi_of_deep_batches(adata):
    scvi.model.SCVI.setup_anndata(adata, batch_key="batch")
    return fit(scvi.model.SCVI(adata, n_hidden=8, n_latent=N_LATENT, n_layers=2))


MODELS = {
    build.__name__: build
    for build in (
        orthogonal_ae, annotated_ae, sivae, sivae_of_counts, scvi_of_batches, scvi_of_deep_batches
    )
}  # fmt: skip


def as_run(model, side: str):
    """The model's own function from what is attributed to what it computes, and its input."""
    module, scvi_tools = model.module, isinstance(model, scvi.model.SCVI)
    (tensors,) = model._make_data_loader(model.adata, batch_size=100)
    if side == "encoder":
        if scvi_tools:
            z_encoder = module.z_encoder
            x = torch.log1p(tensors["X"])
            return lambda x: z_encoder.mean_encoder(z_encoder.encoder(x)), x
        return lambda x: module.encoder(x), module.encoder_reads(tensors).detach()
    library = tensors["X"].sum(1, keepdim=True)

    def decode(z: torch.Tensor) -> torch.Tensor:
        inputs = {"z": z, "library": library.log() if scvi_tools else library}
        found = module.generative(**module._get_generative_input(tensors, inputs))
        if scvi_tools:
            return found["px"].scale.log()
        if isinstance(model, pld.model.OrthogonalAE):
            return found["scale"]
        if module.likelihood == "nb":
            return found["mean"].log()
        return (found["mean"] - module.gene_mean) / module.gene_scale

    return decode, torch.from_numpy(model.get_latent_representation())


def expected_of(run, x: torch.Tensor, method: str, n_read: int, side: str) -> np.ndarray:
    """Attributions, units x cells x genes."""

    def each(x: torch.Tensor) -> torch.Tensor:
        return jacobian(lambda x: run(x).sum(0), x)[..., :n_read].detach().double()

    start = x.clone()
    start[:, :n_read] = 0
    if method == "saliency":
        found = each(x)
    elif method == "grad_x_input":
        found = each(x) * x[:, :n_read]
    else:
        nodes, weights = np.polynomial.legendre.leggauss(50)
        points = [start + float((node + 1) / 2) * (x - start) for node in nodes]
        mean = sum(each(point) * weight / 2 for point, weight in zip(points, weights, strict=True))
        found = mean * x[:, :n_read]
    return (found if side == "encoder" else found.permute(2, 1, 0)).numpy()


# A softmax over genes, below which decoders are read, takes a constant of the cell from each gene.
SHARES = ("sivae_of_counts", "scvi_of_batches", "scvi_of_deep_batches")


def check_close(found: np.ndarray, expected: np.ndarray, tolerance: float = 1e-4) -> None:
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("side", ["encoder", "decoder"])
@pytest.mark.parametrize("name", MODELS)
def test_attributions_are_those_of_the_model_as_it_runs(cells, name, side):
    with seeded(0):
        model = MODELS[name](cells)
    run, x = as_run(model, side)
    n_read = 30 if side == "encoder" else x.shape[1]
    for method in METHODS:
        expected = expected_of(run, x, method, n_read, side)
        pld.tl.attribute(cells, model, method=method, side=side, aggregate="mean")
        found = cells.varm["attribution"].T
        if side == "decoder" and name in SHARES:
            expected = expected.mean(1)
            centred = expected - expected.mean(1, keepdims=True)
            check_close(found - found.mean(1, keepdims=True), centred, 1e-3)
            continue
        check_close(found, expected.mean(1))
        pld.tl.attribute(cells, model, method=method, side=side)
        check_close(cells.varm["attribution"].T, np.abs(expected).mean(1))
        pld.tl.attribute(cells, model, method=method, side=side, aggregate="pca")
        for unit, attributions in zip(cells.varm["attribution"].T, expected, strict=True):
            pca = PCA(2, svd_solver="full").fit(attributions)
            if pca.explained_variance_[1] < 0.8 * pca.explained_variance_[0]:
                assert abs(unit @ pca.components_[0]) > 1 - 1e-4


@pytest.mark.parametrize("method", ["integrated_gradients", "deep_lift"])
@pytest.mark.parametrize("name", MODELS)
def test_what_units_do_adds_up_to_the_reconstruction(cells, name, method):
    """The baseline is 0 in every unit, and the covariates stay where they are."""
    with seeded(0):
        model = MODELS[name](cells)
    run, x = as_run(model, "decoder")
    with torch.no_grad():
        rise = (run(x) - run(torch.zeros_like(x))).mean(0).numpy()
    pld.tl.attribute(cells, model, method=method, side="decoder", aggregate="mean")
    total = cells.varm["attribution"].sum(axis=1)
    if name in SHARES:
        total, rise = total - total.mean(), rise - rise.mean()
    # 50 steps over the kinks of ReLU are near the integral.
    check_close(total, rise, 1e-2 if method == "integrated_gradients" else 1e-4)


def test_linear_decoders_have_their_loadings(cells):
    """Of a linear decoder every gradient is the loading, and so is every component."""
    scvi.model.LinearSCVI.setup_anndata(cells)
    model = fit(scvi.model.LinearSCVI(cells, n_hidden=8, n_latent=N_LATENT))
    loadings = model.get_loadings().to_numpy()
    for method in ("saliency", "guided_backprop"):
        pld.tl.attribute(cells, model, method=method, side="decoder", aggregate="mean")
        check_close(cells.varm["attribution"], loadings)
    for method in ("saliency", "guided_backprop", *METHODS, "deep_lift", "gradient_shap"):
        pld.tl.attribute(cells, model, method=method, side="decoder", aggregate="pca")
        check_close(cells.varm["attribution"], loadings / np.linalg.norm(loadings, axis=0))


def test_linear_sivae_has_its_loadings(cells):
    cells.X = cells.X.log1p()
    pld.model.SIVAE.setup_anndata(cells)
    model = fit(pld.model.SIVAE(cells, n_hidden=(12, 8), n_latent=N_LATENT, decoder="linear"))
    loadings = model.get_loadings().to_numpy()
    for method in METHODS:
        pld.tl.attribute(cells, model, method=method, side="decoder", aggregate="pca")
        check_close(cells.varm["attribution"], loadings / np.linalg.norm(loadings, axis=0))


def test_annotated_ae_has_its_loadings(cells):
    model = annotated_ae(cells)
    # The decoder writes what the encoder reads, in which expression has been divided.
    loadings = model.get_loadings().to_numpy() / model.module.gene_scale.numpy()
    pld.tl.attribute(cells, model, method="saliency", side="decoder", aggregate="mean")
    check_close(cells.varm["attribution"], loadings)
    pld.tl.attribute(cells, model, method="grad_x_input", side="decoder")
    size = np.abs(model.get_latent_representation()).mean(axis=0)
    check_close(cells.varm["attribution"], np.abs(loadings) * size)
