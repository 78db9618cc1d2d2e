"""The network of Zhang et al. 2020: its layers, its loss, and what is made of it."""

from __future__ import annotations

from itertools import pairwise

import anndata as ad
import numpy as np
import pytest
import torch
from scipy.stats import nbinom

import pellucid as pld

# Table 2, and the two deeper networks of the text: widths between 400 genes and 400 genes.
LAYERS = {
    1: [50],
    2: [256, 50, 256],
    3: [640, 256, 50, 256, 640],
    4: [1280, 640, 256, 50, 256, 640, 1280],
    5: [2580, 1280, 640, 256, 50, 256, 640, 1280, 2580],
    6: [2580, 1280, 640, 256, 128, 50, 128, 256, 640, 1280, 2580],
}


@pytest.fixture
def cells() -> ad.AnnData:
    """Z-scored values: of either sign."""
    return ad.AnnData(np.random.default_rng(0).normal(size=(12, 400)).astype(np.float32))


def build(adata: ad.AnnData, **arguments) -> pld.model.DeepAE:
    pld.model.DeepAE.setup_anndata(adata)
    with pld.train.seeded(0):
        return pld.model.DeepAE(adata, **arguments)


def linear(network: torch.nn.Module) -> list[torch.nn.Linear]:
    return [layer for layer in network if isinstance(layer, torch.nn.Linear)]


@pytest.mark.parametrize("depth", LAYERS)
def test_table_2(cells, depth):
    module = build(cells, depth=depth).module
    layers = linear(module.encoder) + linear(module.decoder)
    widths = [400, *LAYERS[depth], 400]
    assert [layer.in_features for layer in layers] == widths[:-1]
    assert [layer.out_features for layer in layers] == widths[1:]
    expected = sum(a * b + b for a, b in pairwise(widths))
    assert sum(weight.numel() for weight in module.parameters()) == expected


def test_default_is_the_fourth(cells):
    n_weights = [
        sum(w.numel() for w in build(cells, **a).module.parameters()) for a in ({}, {"depth": 4})
    ]
    assert n_weights[0] == n_weights[1] == 3_020_482


def test_by_hand(cells):
    """Equations 2 and 3: slope 0.2 after every layer but the code, the output included."""
    model = build(cells, depth=3, n_latent=7)
    x = cells.X.astype(np.float64)
    for part in (model.module.encoder, model.module.decoder):
        layers = linear(part)
        for place, layer in enumerate(layers):
            x = x @ layer.weight.detach().double().numpy().T + layer.bias.detach().double().numpy()
            if not (part is model.module.encoder and place == len(layers) - 1):
                x = np.where(x > 0, x, 0.2 * x)
        if part is model.module.encoder:
            assert x.shape == (12, 7)
            np.testing.assert_allclose(model.get_latent_representation(), x, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.get_reconstruction(), x, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("loss", ["mae", "mse"])
def test_equation_4(cells, loss):
    model = build(cells, depth=2, loss=loss)
    error = np.abs(cells.X - model.get_reconstruction())
    expected = (error if loss == "mae" else error**2).mean(1)
    _, _, found = model.module({"X": torch.from_numpy(cells.X)})
    np.testing.assert_allclose(
        found.reconstruction_loss["reconstruction_loss"].detach(), expected, rtol=1e-5
    )
    assert found.loss.item() == pytest.approx(expected.mean(), rel=1e-5)


def test_counts(counts):
    """The negative binomial of the package's count models, on what the decoder writes."""
    model = build(counts, depth=1, n_latent=3, loss="nb")
    x = counts.X.toarray()
    with torch.no_grad():
        model.module.log_inverse_dispersion += torch.linspace(-1, 1, x.shape[1])
    shape = model.module.log_inverse_dispersion.exp().detach().numpy()
    mean = model.get_reconstruction()
    expected = -nbinom.logpmf(x, shape, shape / (shape + mean))
    _, _, found = model.module({"X": torch.from_numpy(x)})
    # log x! is left out.
    left_out = torch.lgamma(torch.from_numpy(x) + 1).numpy()
    loss = found.reconstruction_loss["reconstruction_loss"].detach()
    np.testing.assert_allclose(loss, (expected - left_out).mean(1), rtol=1e-4)


def test_papers_training(cells):
    """All cells at once, for as many steps as there are epochs, by Adam at 0.0001."""
    preset = pld.model.DeepAE.preset("zhang2020")
    assert preset.train_kwargs["max_epochs"] == 1000
    model = build(cells, **preset.model_kwargs)
    reference = build(cells, **preset.model_kwargs).module
    model.train(
        **{**preset.train_kwargs, "max_epochs": 3}, accelerator="cpu", enable_progress_bar=False
    )
    optimizer = torch.optim.Adam(reference.parameters(), lr=1e-4, betas=(0.9, 0.999), eps=1e-8)
    for _ in range(3):
        optimizer.zero_grad()
        reference({"X": torch.from_numpy(cells.X)})[2].loss.backward()
        optimizer.step()
    for found, expected in zip(model.module.parameters(), reference.parameters(), strict=True):
        # Adam's first steps are signs, and a gradient of all but 0 has either.
        assert (found - expected).abs().mean() < 1e-6
    assert len(model.history["train_loss"]) == 3


def test_loadings_are_products_of_weights(cells):
    model = build(cells, depth=2, n_latent=3)
    first, second = (
        layer.weight.detach().double().numpy() for layer in linear(model.module.encoder)
    )
    table = model.get_loadings()
    np.testing.assert_allclose(table, (second @ first).T, rtol=1e-4, atol=1e-6)
    assert list(table.columns) == ["Z_0", "Z_1", "Z_2"]
    assert list(table.index) == list(cells.var_names)


def test_linear_encoder_reads_its_loadings(cells):
    """Of depth 1 the encoder is linear, so that its gradient is the product of weights."""
    model = build(cells, depth=1, n_latent=3)
    pld.tl.attribute(cells, model, method="saliency", aggregate="mean")
    np.testing.assert_allclose(cells.varm["attribution"], model.get_loadings(), rtol=1e-5)
