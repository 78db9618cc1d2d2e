from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import pellucid as pld

SIVAE = pld.model.SIVAE
QUIET = {"accelerator": "cpu", "enable_progress_bar": False, "batch_size": 16}


@pytest.fixture
def log(counts):
    """Log expression with a batch and a number."""
    counts.X = np.log1p(counts.X.toarray())
    counts.obs["batch"] = np.repeat(["one", "two", "three"], 30)
    counts.obs["age"] = np.linspace(20, 60, 90)
    counts.obs["kind"] = np.repeat(["B", "T"], [60, 30])
    return counts


def build(adata, *, setup=None, **arguments):
    SIVAE.setup_anndata(adata, **(setup or {}))
    with pld.train.seeded(0):
        return SIVAE(adata, n_hidden=(16, 8), **arguments)


def fit(model, max_epochs=2, **arguments):
    with pld.train.seeded(0):
        model.train(max_epochs, **{"early_stopping": False, **QUIET, **arguments})
    return model


VARIANTS = {
    "gamma 0": {"gamma": 0.0},
    "linear": {"decoder": "linear"},
    "sample": {"gene_input": "sample", "labels_key": "kind"},
}


@pytest.mark.parametrize("arguments", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("covariates", [False, True])
def test_variants_train_and_answer(log, arguments, covariates):
    setup = {"batch_key": "batch", "continuous_covariate_keys": ["age"]} if covariates else None
    model = fit(build(log, setup=setup, n_latent=3, **arguments))
    loadings = model.get_loadings()
    assert loadings.shape == (30, 3)
    assert loadings.index.tolist() == log.var_names.tolist()
    assert loadings.columns.tolist() == ["Z_0", "Z_1", "Z_2"]
    assert loadings.to_numpy().std(0).min() > 0
    assert np.isfinite(model.get_reconstruction()).all()
    assert np.isfinite(model.sample(5)).all()


def test_one_hidden_layer(log):
    SIVAE.setup_anndata(log)
    with pld.train.seeded(0):
        model = fit(SIVAE(log, n_hidden=(8,)))
    assert model.get_loadings(layer=2).shape == (30, 8)


def test_plain_autoencoder(log):
    model = fit(build(log, gene_wise=False), 3)
    assert len(model.history["train_loss"]) == 3
    assert not any(name.endswith(("_cells", "_genes")) for name in model.history)
    with pytest.raises(ValueError, match=r"gene_wise=False.*tl\.attribute"):
        model.get_loadings()
    assert model.sample(4).shape == (4, 30)


def test_epochs_of_each_stage(log):
    model = fit(build(log), (3, 4, 2))
    assert len(model.history["train_loss_cells"]) == 3
    assert len(model.history["train_loss_genes"]) == 4
    assert len(model.history["train_loss"]) == 2
    fit(model, (1, 1, 2))
    assert model.history["train_loss"].index.tolist() == [0, 1, 2, 3]
    assert len(model.history["train_loss_cells"]) == 4


def test_each_stage_stops_early(log):
    model = fit(
        build(log),
        (30, 30, 30),
        early_stopping=True,
        early_stopping_patience=2,
        early_stopping_min_delta=1e6,
    )
    # The first epoch beats nothing by any amount, the next two do not beat it.
    for stage in ("_cells", "_genes", ""):
        assert len(model.history[f"train_loss{stage}"]) == 3, stage


def test_joint_training_starts_from_what_was_learned_before(log):
    """Genes have learned to write the weights of the first stage: its loss goes on from there."""
    model = fit(build(log), (30, 60, 1), plan_kwargs={"lr": 3e-3})
    cells = model.history["reconstruction_loss_train_cells"].iloc[:, 0].astype(float)
    joint = model.history["reconstruction_loss_train"].iloc[:, 0].astype(float)
    assert joint.iloc[0] < cells.iloc[0]


def test_layers_of_loadings(log):
    model = fit(build(log, n_latent=3))
    last = model.get_loadings(layer=3)
    assert last.shape == (30, 16)
    weights = model.module.genes().weights.detach().numpy()
    np.testing.assert_allclose(last.to_numpy(), weights, rtol=1e-5, atol=1e-6)
    hidden = model.get_loadings(layer=2)
    assert hidden.shape == (30, 8)
    assert (hidden.to_numpy() >= 0).all()
    assert hidden.columns[0] == "hidden2_0"
    for layer in (0, 4):
        with pytest.raises(ValueError, match=f"layer={layer}; expected 1 to 3"):
            model.get_loadings(layer=layer)


def test_scaled_data_pass(log):
    """Negative values are welcome where expression was scaled before."""
    log.X = ((log.X - log.X.mean(0)) / log.X.std(0)).astype(np.float32)
    model = build(log)
    assert abs(float(model.module.gene_scale) - 1) < 1e-3
    read = model.module.encoder_input(torch.from_numpy(log.X))
    np.testing.assert_allclose(read, log.X, rtol=1e-3, atol=1e-3)
    assert np.isfinite(fit(model).get_latent_representation()).all()


def test_reconstruction_is_in_the_unit_of_the_data(log):
    model = fit(build(log), 20, plan_kwargs={"lr": 1e-2})
    found = model.get_reconstruction()
    np.testing.assert_allclose(found.mean(0), log.X.mean(0), atol=0.2)
    residual = np.square(found - log.X).mean()
    assert residual < np.square(log.X.mean(0) - log.X).mean()


@pytest.mark.parametrize("prior", [False, True])
def test_sample(log, prior):
    model = fit(build(log))
    one, same, other = (model.sample(200, prior=prior, random_state=seed) for seed in (1, 1, 2))
    assert one.shape == (200, 30)
    assert one.dtype == np.float32
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    assert model.sample(prior=prior).shape == (90, 30)
    with pytest.raises(ValueError, match="n_cells=0"):
        model.sample(0)


@pytest.mark.parametrize("source", ["model", "folder"])
@pytest.mark.parametrize("gene_wise", [True, False])
def test_query(log, tmp_path, source, gene_wise):
    """Projection reads as the reference does; training leaves genes and known batches alone."""
    known, new = log[:60].copy(), log[60:].copy()
    model = fit(build(known, setup={"batch_key": "batch"}, gene_wise=gene_wise))
    model.save(tmp_path / "model")
    query = SIVAE.load_query_data(new, model if source == "model" else tmp_path / "model")
    weights = query.module.state_dict()
    before = {name: value.clone() for name, value in weights.items()}
    reads = query.module.covariate_weights
    assert set(reads) <= set(before)
    for name, start in reads.items():
        assert before[name].shape[1] == start + 3
        torch.testing.assert_close(before[name][:, -1], before[name][:, start:-1].mean(1))
    fit(query, 2)
    after = query.module.state_dict()
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert "cell_encoder.hidden.0.weight" in changed
    assert "cell_decoder.0.weight" in changed
    decoder = after["cell_decoder.0.weight"]
    assert torch.equal(decoder[:, :-1], before["cell_decoder.0.weight"][:, :-1])
    assert all(name.startswith("cell_encoder") or name in reads for name in changed)
    if gene_wise:
        pd.testing.assert_frame_equal(query.get_loadings(), model.get_loadings())
        assert len(query.history["train_loss_cells"]) == 2  # the reference's
        assert len(query.history["train_loss"]) == 4


def test_unseen_batch(log, unchanged):
    model = fit(build(log[:60].copy(), setup={"batch_key": "batch"}))
    new = log[60:].copy()
    with unchanged(new), pytest.raises(ValueError, match=r"\['three'\].*load_query_data"):
        model.get_latent_representation(new)


def test_missing_labels_are_named_before_training(log, tmp_path):
    model = build(log, gene_input="sample", labels_key="kind")
    del log.obs["kind"]
    with pytest.raises(KeyError, match="labels_key='kind' not found"):
        fit(model)
    assert not model.is_trained


BAD = {
    "more units than genes": ({"n_latent": 31}, {}, "n_latent=31, but adata has 30 genes"),
    "more inputs than cells": ({"n_gene_inputs": 91}, {}, "n_gene_inputs=91, but adata has 90"),
    "counts for logs": ({"likelihood": "normal"}, {"layer": "counts"}, "log expression is due"),
    "logs for counts": ({"likelihood": "nb"}, {}, "not whole numbers.*counts are due"),
    "likelihood": ({"likelihood": "zinb"}, {}, r"choose one of \('normal', 'nb'\)"),
    "decoder": ({"decoder": "deep"}, {}, r"choose one of \('nonlinear', 'linear'\)"),
    "gene input": ({"gene_input": "cells"}, {}, r"choose one of \('pca', 'sample'\)"),
}


@pytest.mark.parametrize(("arguments", "setup", "message"), BAD.values(), ids=BAD)
def test_bad_arguments(log, unchanged, arguments, setup, message):
    log.layers["counts"] = np.round(np.expm1(log.X)) + np.eye(90, 30) * 50
    SIVAE.setup_anndata(log, **setup)
    with unchanged(log), pytest.raises(ValueError, match=message):
        SIVAE(log, **arguments).train(**QUIET)


def test_scaled_data_are_no_counts(log, unchanged):
    log.X = log.X - log.X.mean(0)
    SIVAE.setup_anndata(log)
    with unchanged(log), pytest.raises(ValueError, match="holds negative values"):
        SIVAE(log, likelihood="nb")


BAD_SETUP = {
    "one cell per batch": ({"batch_key": "cell"}, ValueError, "one cell per level: 90 levels"),
    "no such batch": ({"batch_key": "absent"}, KeyError, "'absent' not found"),
    "a gap": ({"batch_key": "gap"}, ValueError, "has no value for 1 cells"),
    "not a number": ({"continuous_covariate_keys": ["batch"]}, ValueError, "not made of finite"),
}


@pytest.mark.parametrize(("setup", "error", "message"), BAD_SETUP.values(), ids=BAD_SETUP)
def test_bad_setup(log, unchanged, setup, error, message):
    log.obs["cell"] = log.obs_names
    log.obs["gap"] = log.obs["batch"].where(np.arange(90) > 0)
    with unchanged(log), pytest.raises(error, match=message):
        SIVAE.setup_anndata(log, **setup)


@pytest.mark.parametrize(
    ("likelihood", "arguments", "message"),
    [
        ("normal", {"max_epochs": (1, 2)}, "expected one number, or three"),
        ("normal", {"n_genes_per_step": 0}, "draws no gene"),
        ("nb", {"n_genes_per_step": 10}, "softmax of likelihood='nb'"),
    ],
)
def test_bad_training(counts, likelihood, arguments, message):
    if likelihood == "normal":
        counts.X = np.log1p(counts.X.toarray())
    model = build(counts, likelihood=likelihood)
    with pytest.raises(ValueError, match=message):
        fit(model, **arguments)
    assert not model.is_trained


def test_mixed_precision(counts):
    """Genes that a step drew, and those remembered, need not be of one type."""
    counts.X = counts.X.log1p()
    pld.model.SIVAE.setup_anndata(counts)
    model = pld.model.SIVAE(counts, n_hidden=(16, 8))
    model.train(max_epochs=3, n_genes_per_step=7, precision="bf16-mixed", **QUIET)
    assert model.get_latent_representation().dtype == np.float32
    assert np.isfinite(model.history["train_loss"].to_numpy(float)).all()
