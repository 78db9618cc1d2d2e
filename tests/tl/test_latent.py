from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scvi

import pellucid as pld


def test_is_written(counts, model):
    assert pld.tl.latent(counts, model) is None
    latent = counts.obsm["X_orthogonal_ae"]
    assert latent.dtype == np.float32
    np.testing.assert_array_equal(latent, model.get_latent_representation())

    record = counts.uns["X_orthogonal_ae"]
    assert set(record) == {"params", "latent_names", "history"}
    assert record["latent_names"].dtype.kind == "U"
    assert record["latent_names"].tolist() == model.latent_names.tolist()
    params = record["params"]
    assert params["function"] == "tl.latent"
    assert params["model_class"] == "OrthogonalAE"
    assert params["pellucid_version"] == pld.__version__
    assert (params["n_hidden"], params["n_latent"]) == (12, 5)
    assert params["input_type"] == "library_scaled"
    assert params["orthogonality_weight"] == 0.05


def test_history_is_one_row_an_epoch(counts, model):
    pld.tl.latent(counts, model)
    history = counts.uns["X_orthogonal_ae"]["history"]
    assert isinstance(history, pd.DataFrame)
    assert history.index.name == "epoch"
    assert history.index.astype(int).tolist() == [0, 1]
    assert set(history.dtypes) == {np.dtype(float)}
    for name in (
        "train_loss",
        "validation_loss",
        "reconstruction_loss_train",
        "reconstruction_loss_validation",
        "orthogonality_penalty",
        "representation_norm",
    ):
        expected = model.history[name].iloc[:, 0].astype(float)
        np.testing.assert_array_equal(history[name], expected, err_msg=name)


def test_key_added_and_copy(counts, model, unchanged):
    with unchanged(counts):
        other = pld.tl.latent(counts, model, key_added="X_mine", copy=True)
    assert "X_orthogonal_ae" not in other.obsm
    np.testing.assert_array_equal(other.obsm["X_mine"], model.get_latent_representation())
    assert other.uns["X_mine"]["params"]["key_added"] == "X_mine"


def test_other_cells(counts, model):
    other = counts[10:15].copy()
    other.uns.clear()
    pld.tl.latent(other, model)
    expected = model.get_latent_representation()[10:15]
    np.testing.assert_allclose(other.obsm["X_orthogonal_ae"], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cls", [scvi.model.SCVI, scvi.model.LinearSCVI])
def test_scvi_tools_models(counts, cls):
    cls.setup_anndata(counts)
    model = cls(counts, n_latent=4, n_hidden=8)
    model.train(max_epochs=2, accelerator="cpu", enable_progress_bar=False)
    pld.tl.latent(counts, model)
    key = f"X_{cls.__name__.lower()}"
    np.testing.assert_array_equal(counts.obsm[key], model.get_latent_representation())
    record = counts.uns[key]
    assert record["latent_names"].tolist() == ["Z_0", "Z_1", "Z_2", "Z_3"]
    assert record["params"]["model_class"] == cls.__name__
    assert record["params"]["n_latent"] == 4
    assert len(record["history"]) == 2
    assert np.isfinite(record["history"]["elbo_train"]).all()


@pytest.mark.filterwarnings("ignore:.*untrained")
def test_untrained_model_has_no_history(counts):
    """A floor to compare with: the encoder as its weights were drawn."""
    pld.model.OrthogonalAE.setup_anndata(counts)
    model = pld.model.OrthogonalAE(counts, n_latent=3)
    pld.tl.latent(counts, model)
    assert counts.uns["X_orthogonal_ae"]["history"].shape == (0, 0)


def test_other_genes(counts, model, unchanged):
    other = counts[:, ::-1].copy()
    with unchanged(other), pytest.raises(ValueError, match="in another order"):
        pld.tl.latent(other, model)


def test_cells_that_the_model_cannot_read(counts, unchanged):
    """What was trained on counts does not read log expression in silence, nor the reverse."""
    log = counts.copy()
    log.X = log.X.log1p()
    arguments = {"n_latent": 2, "max_epochs": 1}
    of_counts = pld.tl.orthogonal_ae(counts, **arguments)
    of_log = pld.tl.orthogonal_ae(log, input_type="log", **arguments)
    missing = log[:5].copy()
    missing.X[2, 3] = np.nan
    for model, cells, message in (
        (
            of_counts,
            log[:5].copy(),
            r"X looks like log expression, but .* trained on counts",
        ),
        (of_log, counts[:5].copy(), r"adata\.X looks like counts, but .* trained on log expr"),
        (of_log, missing, r"adata\.X holds NaN or infinite values"),
        (of_log, log[:0].copy(), r"adata has no cells"),
    ):
        with unchanged(cells), pytest.raises(ValueError, match=message):
            pld.tl.latent(cells, model)
    with pytest.raises(ValueError, match=r"looks like log expression, but the model was"):
        pld.tl.attribute(log, of_counts)

    counts.layers["counts"] = counts.X.copy()
    of_layer = pld.tl.orthogonal_ae(counts, layer="counts", **arguments)
    with unchanged(log), pytest.raises(KeyError, match=r"layer 'counts' not found"):
        pld.tl.latent(log, of_layer)
