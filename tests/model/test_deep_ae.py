from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
from scipy import sparse

import pellucid as pld

QUIET = {"accelerator": "cpu", "enable_progress_bar": False}


def build(adata, **arguments):
    pld.model.DeepAE.setup_anndata(adata)
    with pld.train.seeded(0):
        return pld.model.DeepAE(adata, **{"n_latent": 4, "n_hidden": (8,), **arguments})


@pytest.mark.parametrize("loss", ["mae", "mse", "nb"])
def test_stored_codes_are_enough(counts, loss, round_trip):
    """What is rebuilt of codes that went through a file is what is rebuilt of the cells."""
    model = build(counts, loss=loss)
    model.train(max_epochs=2, **QUIET)
    pld.tl.latent(counts, model)
    expected = model.get_reconstruction()
    codes = round_trip(counts).obsm["X_deep_ae"]
    assert codes.shape == (90, 4)
    for batch_size in (None, 7):
        found = model.decode(codes, batch_size=batch_size)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert (expected >= 0).all() == (loss == "nb")


@pytest.mark.parametrize("codes", [np.zeros((3, 5)), np.zeros(4), np.full((2, 4), np.nan)])
def test_codes_that_are_none(counts, codes):
    with pytest.raises(ValueError, match=r"latent (has shape|holds NaN)"):
        build(counts).decode(codes)


@pytest.mark.parametrize(
    ("data", "loss"),
    [
        (lambda x: np.log1p(x.toarray()), "mse"),
        (lambda x: (x.toarray() - x.toarray().mean(0)) / 3, "mae"),
        (lambda x: np.arcsinh(x.toarray() / 5), "mae"),
    ],
    ids=["log", "scaled", "intensities"],
)
def test_any_matrix(counts, data, loss):
    counts.X = data(counts.X).astype(np.float32)
    model = build(counts, loss=loss)
    model.train(max_epochs=60, batch_size=None, plan_kwargs={"lr": 1e-2}, **QUIET)
    error = model.history["reconstruction_loss_validation"].iloc[:, 0].astype(float)
    assert error.min() < 0.95 * error.iloc[0]


def test_full_batch_is_one_step(counts, monkeypatch):
    steps = []
    model = build(counts)
    loss = model.module.loss
    monkeypatch.setattr(
        model.module,
        "loss",
        lambda *args, **kwargs: (steps.append(len(args[0]["X"])), loss(*args, **kwargs))[1],
    )
    model.train(max_epochs=1, batch_size=None, train_size=1.0, early_stopping=False, **QUIET)
    assert steps == [90]


def test_reduced_precision(counts):
    """Lightning's mixed precision goes through `train`."""
    counts.X = counts.X.log1p()
    model = build(counts, loss="mse")
    model.train(max_epochs=2, precision="bf16-mixed", **QUIET)
    assert model.get_reconstruction().dtype == np.float32


@pytest.mark.parametrize("loss", ["mae", "mse"])
def test_no_library_size_without_counts(counts, loss):
    with pytest.raises(
        ValueError, match=f"loss='{loss}' does not model counts.*get_reconstruction"
    ):
        build(counts, loss=loss).get_normalized_expression()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"loss": "poisson"}, "loss='poisson' is unknown; choose 'mae', 'mse' or 'nb'"),
        (
            {"n_hidden": None, "depth": 7},
            r"depth=7 is unknown; choose one of \[1, 2, 3, 4, 5, 6\]",
        ),
        ({"n_hidden": (8, 0)}, "every layer needs at least 1 unit"),
        ({"n_latent": 0}, "every layer needs at least 1 unit"),
    ],
)
def test_unknown_settings(counts, arguments, message):
    with pytest.raises(ValueError, match=message):
        build(counts, **arguments)


def test_counts_are_due(counts, unchanged):
    counts.X = counts.X.log1p()
    with unchanged(counts), pytest.raises(ValueError, match="not whole numbers"):
        pld.tl.deep_ae(counts, loss="nb", depth=1)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda adata: adata.X.__setitem__((0, 0), np.nan), "NaN"),
        (lambda adata: adata.X.__setitem__(slice(None), 0), "nothing but zeros"),
        (lambda adata: setattr(adata, "var_names", ["a"] * adata.n_vars), "more than once"),
    ],
)
def test_bad_data(counts, unchanged, spoil, message):
    adata = ad.AnnData(counts.X.toarray())
    spoil(adata)
    with unchanged(adata), pytest.raises(ValueError, match=message):
        pld.tl.deep_ae(adata, depth=1, max_epochs=1)


def test_preset(counts):
    model = pld.tl.deep_ae(counts, preset="zhang2020", max_epochs=1, **QUIET)
    assert model.module.n_latent == 50
    assert len(model.history["train_loss"]) == 1
    assert "validation_loss" not in model.history
    with pytest.raises(KeyError, match="preset 'zhang' not found"):
        pld.tl.deep_ae(counts, preset="zhang")


def test_metabolites_in_few_samples():
    """More columns than rows, dense and continuous."""
    values = np.random.default_rng(0).lognormal(size=(12, 300)).astype(np.float32)
    adata = ad.AnnData(sparse.csr_matrix(values))
    model = pld.tl.deep_ae(adata, n_latent=3, depth=1, max_epochs=2, train_size=0.7, **QUIET)
    assert model.get_reconstruction().shape == (12, 300)


def test_linear_path_starts_as_the_decomposition(counts):
    """By steps of almost no length it is that, with a soft bound at each gene's least."""
    counts.X = counts.X.log1p()
    x = counts.X.toarray().astype(np.float64)
    model = build(counts, loss="mse", linear_path=True)
    model.train(max_epochs=1, plan_kwargs={"lr": 1e-12}, train_size=0.7, **QUIET)
    # Of the cells it trains on, or those that are held out would be no judges.
    learned = x[model.train_indices]
    assert learned.shape == (63, 30)
    vectors = np.linalg.svd(learned)[2][:4]
    found = model.get_latent_representation()
    np.testing.assert_allclose(found @ found.T, x @ vectors.T @ vectors @ x.T, rtol=1e-4)
    softness = 0.2 * learned.std(0)
    lowest = learned.min(0)
    above = (x @ vectors.T @ vectors - lowest) / softness
    expected = lowest + softness * np.logaddexp(0, above)
    np.testing.assert_allclose(model.get_reconstruction(), expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(model.decode(found), expected, rtol=1e-3, atol=1e-3)
    # The layers add nothing yet, so that the weights of the linear path are all there is.
    loadings = model.get_loadings().to_numpy()
    np.testing.assert_allclose(loadings @ loadings.T, vectors.T @ vectors, atol=1e-4)


def test_linear_path_learns_what_a_line_misses():
    """A parabola in one number."""
    rng = np.random.default_rng(0)
    t = rng.uniform(-1, 1, size=(400, 1))
    values = np.hstack([t, 2 * t**2, -t, 1 - t**2]) + rng.normal(0, 0.01, size=(400, 4))
    adata = ad.AnnData(values.astype(np.float32))
    model = build(adata, n_latent=1, n_hidden=(32,), loss="mse", linear_path=True)
    model.train(max_epochs=1, plan_kwargs={"lr": 1e-12}, **QUIET)
    before = ((model.get_reconstruction() - values) ** 2).mean()
    # The line is a plateau, which early stopping has to bear.
    model.train(max_epochs=60, plan_kwargs={"lr": 1e-2}, **QUIET)
    assert ((model.get_reconstruction() - values) ** 2).mean() < 0.2 * before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"loss": "nb"}, "linear_path=True is not for loss='nb'"),
        (
            {"n_latent": 31},
            "n_latent=31 with linear_path=True: there are 81 cells to train on and 30 genes",
        ),
    ],
)
def test_no_linear_path(counts, arguments, message):
    with pytest.raises(ValueError, match=message):
        build(counts, linear_path=True, **{"loss": "mse", **arguments}).train(**QUIET)


@pytest.mark.parametrize("method", ["saliency", "integrated_gradients"])
@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_attributions_of_a_linear_path(counts, method, side):
    """Not a chain of layers, so that autograd and captum read it: the same in any chunks."""
    counts.X = counts.X.log1p()
    model = build(counts, loss="mse", linear_path=True)
    pld.tl.attribute(counts, model, method=method, side=side, aggregate="mean")
    found = counts.varm["attribution"]
    assert found.shape == (30, 4)
    if (method, side) == ("saliency", "encoder"):
        np.testing.assert_allclose(found, model.get_loadings(), atol=1e-5)
    assert np.isfinite(found).all()
    assert np.abs(found).sum() > 0
