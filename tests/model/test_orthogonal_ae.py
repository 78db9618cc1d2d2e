"""What only OrthogonalAE does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

import pellucid as pld
from pellucid.model import OrthogonalAE

QUIET = {"accelerator": "cpu", "enable_progress_bar": False}
SMALL = {"n_hidden": 12, "n_latent": 5}


@pytest.fixture
def log_cpm(counts):
    """log(CPM + 1), as in Kinalis 2022."""
    cpm = counts.X.toarray() / counts.X.sum(1) * 1e6
    counts.X = sparse.csr_matrix(np.log1p(cpm).astype(np.float32))
    return counts


def build(adata, **kwargs) -> OrthogonalAE:
    OrthogonalAE.setup_anndata(adata)
    with pld.train.seeded(0):
        return OrthogonalAE(adata, **{**SMALL, **kwargs})


@pytest.mark.filterwarnings("ignore:.*untrained")
def test_depth_is_no_part_of_a_library_scaled_code(counts):
    model = build(counts)
    deeper = counts.copy()
    deeper.X = deeper.X * 3
    np.testing.assert_allclose(
        model.get_latent_representation(deeper), model.get_latent_representation(), rtol=1e-5
    )
    np.testing.assert_allclose(
        model.get_reconstruction(deeper), 3 * model.get_reconstruction(), rtol=1e-5
    )
    np.testing.assert_allclose(
        model.get_normalized_expression(deeper), model.get_normalized_expression(), rtol=1e-5
    )


@pytest.mark.filterwarnings("ignore:.*untrained")
def test_depth_is_part_of_the_papers_code(counts):
    model = build(counts, input_type="counts")
    deeper = counts.copy()
    deeper.X = deeper.X * 3
    found, expected = model.get_latent_representation(deeper), model.get_latent_representation()
    assert np.abs(found - expected).max() > 0.1


def test_reference_library_is_the_median(counts):
    counts.X[:5] = 0
    model = build(counts)
    assert model.module.reference_library.item() == np.median(counts.X.toarray().sum(1))


@pytest.mark.filterwarnings("ignore:.*untrained")
def test_cells_without_counts_are_encoded(counts):
    matrix = counts.X.toarray()
    matrix[:60] = 0
    counts.X = sparse.csr_matrix(matrix)
    model = build(counts)
    assert model.module.reference_library.item() == 1
    assert np.isfinite(model.get_latent_representation()).all()
    assert np.isfinite(model.get_normalized_expression()).all()


def test_log_expression_has_no_library(log_cpm):
    model = build(log_cpm, input_type="log")
    model.train(max_epochs=1, **QUIET)
    with pytest.raises(ValueError, match=r"input_type='log' does not model counts.*get_recon"):
        model.get_normalized_expression()
    assert np.isfinite(model.get_reconstruction()).all()


@pytest.mark.parametrize("input_type", ["library_scaled", "counts"])
def test_counts_are_due(log_cpm, input_type):
    with pytest.raises(ValueError, match=r"adata\.X holds values that are not whole numbers"):
        build(log_cpm, input_type=input_type)


def test_unknown_input_type(counts):
    with pytest.raises(ValueError, match=r"input_type='raw' is unknown; choose 'library_scaled'"):
        build(counts, input_type="raw")


@pytest.mark.parametrize(
    ("name", "n_hidden", "n_latent", "input_type"),
    [("kinalis2019", 128, 64, "counts"), ("kinalis2022", 95, 55, "log")],
)
def test_presets(name, n_hidden, n_latent, input_type, request):
    """The papers' settings, as they stand, train a few epochs."""
    adata = request.getfixturevalue("counts" if input_type == "counts" else "log_cpm")
    preset = OrthogonalAE.preset(name)
    OrthogonalAE.setup_anndata(adata)
    model = OrthogonalAE(adata, **preset.model_kwargs)
    assert [layer.out_features for layer in model.module.encoder[::2]] == [n_hidden, n_latent]
    assert model.module.input_type == input_type
    assert preset.train_kwargs["batch_size"] == 1
    assert preset.train_kwargs["early_stopping_patience"] == 10
    model.train(**{**preset.train_kwargs, "max_epochs": 2}, **QUIET)
    loss = model.history["train_loss"].iloc[:, 0].astype(float)
    assert loss.iloc[1] < loss.iloc[0]
    assert np.isfinite(model.get_latent_representation()).all()


def test_presets_cannot_be_changed_by_their_reader():
    OrthogonalAE.preset("kinalis2019").model_kwargs["n_latent"] = 3
    OrthogonalAE.preset("kinalis2019").train_kwargs["plan_kwargs"]["lr"] = 3
    assert OrthogonalAE.preset("kinalis2019").model_kwargs["n_latent"] == 64
    assert OrthogonalAE.preset("kinalis2019").train_kwargs["plan_kwargs"]["lr"] == 1e-3


def test_unknown_preset():
    with pytest.raises(KeyError, match=r"preset 'kinalis' not found; OrthogonalAE has: \["):
        OrthogonalAE.preset("kinalis")


def test_unknown_optimizer(counts):
    with pytest.raises(ValueError, match=r"optimizer='Lion' is unknown; choose 'SGD' or 'Adam'"):
        build(counts).train(max_epochs=1, plan_kwargs={"optimizer": "Lion"}, **QUIET)


def test_summary_names_the_parameters(counts, capsys):
    repr(build(counts, n_layers=2, l1_weight=0.5))
    summary = capsys.readouterr().out
    for part in ("n_hidden: 12", "n_latent: 5", "n_layers: 2", "l1_weight: 0.5"):
        assert part in summary.replace("\n", "")


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_layers_stand_on_either_side(counts, n_layers):
    model = build(counts, n_layers=n_layers)
    for side in (model.module.encoder, model.module.decoder):
        assert sum(isinstance(layer, torch.nn.Linear) for layer in side) == n_layers + 1
    model.train(max_epochs=1, **QUIET)
    assert np.isfinite(model.get_latent_representation()).all()


@pytest.mark.parametrize("batch_size", [1, 16], ids=["online", "mini_batch"])
def test_dropout_acts_in_training_alone(counts, batch_size):
    """And again in a second training, which scvi-tools hands a module in evaluation mode."""

    def fit(dropout_rate: float) -> OrthogonalAE:
        model = build(counts.copy(), dropout_rate=dropout_rate)
        with pld.train.seeded(0):
            model.train(
                max_epochs=1, early_stopping=False, train_size=0.9, batch_size=batch_size, **QUIET
            )
        return model

    def distance(one: OrthogonalAE, other: OrthogonalAE) -> float:
        pairs = zip(one.module.parameters(), other.module.parameters(), strict=True)
        return max(float((a - b).abs().max()) for a, b in pairs)

    with_dropout, without = fit(0.7), fit(0.0)
    assert distance(with_dropout, without) > 1e-4
    np.testing.assert_array_equal(
        with_dropout.get_latent_representation(), with_dropout.get_latent_representation()
    )
    without.module.load_state_dict(with_dropout.module.state_dict())
    for model in (with_dropout, without):
        with pld.train.seeded(0):
            model.train(
                max_epochs=1, early_stopping=False, train_size=0.9, batch_size=batch_size, **QUIET
            )
    assert distance(with_dropout, without) > 1e-4


def test_units_that_carry_nothing_are_counted(counts, caplog):
    """A unit whose incoming weights are zero and whose bias is far below zero is silent."""
    model = build(counts)
    *_, code = (layer for layer in model.module.encoder if isinstance(layer, torch.nn.Linear))
    with torch.no_grad():
        code.weight[[1, 3]] = 0
        code.bias[[1, 3]] = -100
    with caplog.at_level("WARNING", "pellucid"):
        model.train(2, plan_kwargs={"lr": 1e-6}, **QUIET)
    (message,) = [r.getMessage() for r in caplog.records if r.name == "pellucid"]
    assert message.startswith("2 of 5 latent units are dead")
    assert "(Z_1, Z_3)" in message


def test_no_warning_where_every_unit_lives(counts, caplog):
    model = build(counts)
    with caplog.at_level("WARNING", "pellucid"):
        model.train(2, **QUIET)
    assert not [r for r in caplog.records if r.name == "pellucid"]
