from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import pellucid as pld


def lines(ax) -> dict[str, np.ndarray]:
    return {line.get_label(): line.get_xydata() for line in ax.lines}


def test_every_quantity_has_a_panel(make_read, assert_legible):
    adata = make_read()
    history = adata.uns["X_orthogonal_ae"]["history"]
    axes = pld.pl.history(adata, show=False)
    assert [ax.get_ylabel().split("\n")[0] for ax in axes] == [
        "Loss",
        "Reconstruction loss",
        "Orthogonality penalty",
        "Norm of the representation",
        "Dead units",
    ]
    loss = lines(axes[0])
    np.testing.assert_array_equal(loss["training cells"][:, 1], history["train_loss"])
    # The loss of held-out cells is known in every other epoch.
    np.testing.assert_array_equal(loss["validation cells"][:, 0], np.arange(0, 25, 2))
    np.testing.assert_array_equal(
        loss["validation cells"][:, 1], history["validation_loss"].dropna()
    )
    assert [len(ax.lines) for ax in axes] == [2, 2, 1, 1, 1]
    assert_legible(axes[0].figure)


@pytest.mark.parametrize(
    "columns", [["train_loss"], ["elbo_train", "elbo_validation", "kl_local"]]
)
def test_what_another_model_logs_is_drawn(make_read, assert_legible, columns):
    adata = make_read()
    adata.uns["X_scvi"] = {
        "history": pd.DataFrame({name: [3.0, 2.0] for name in columns} | {"none": np.nan})
    }
    figure = pld.pl.history(adata, use_rep="X_scvi", return_fig=True)
    assert sum(len(ax.lines) for ax in figure.axes) == len(columns)
    assert_legible(figure)


def test_a_loss_that_is_reconstruction_alone_is_drawn_once(make_read, assert_legible):
    adata = make_read()
    history = adata.uns["X_orthogonal_ae"]["history"]
    for cells in ("train", "validation"):
        history[f"{cells}_loss"] = history[f"reconstruction_loss_{cells}"]
    history = history[[name for name in history if "loss" in name]].assign(
        n_active_factors=np.linspace(4, 2, len(history)).round(), penalty=1.5
    )
    adata.uns["X_orthogonal_ae"]["history"] = history
    axes = pld.pl.history(adata, show=False)
    assert [ax.get_ylabel() for ax in axes] == ["Loss", "Penalty", "Active factors"]
    assert all(place == round(place) for place in axes[-1].get_yticks())
    assert_legible(axes[0].figure)
    # The loss of other cells only is not the same.
    history["reconstruction_loss_validation"] += 1
    assert len(pld.pl.history(adata, show=False)) == 4


def test_one_epoch_can_be_seen(make_read):
    adata = make_read()
    record = adata.uns["X_orthogonal_ae"]
    record["history"] = record["history"].iloc[:1]
    axes = pld.pl.history(adata, show=False)
    assert all(line.get_marker() == "o" for ax in axes for line in ax.lines)


def test_from_a_file(make_read, round_trip):
    adata = make_read()
    ax, *_ = pld.pl.history(round_trip(adata), show=False)
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), np.arange(25))


def test_no_history(cells, make_read):
    with pytest.raises(KeyError, match=r"tl\.latent"):
        pld.pl.history(cells)
    adata = make_read()
    adata.uns["X_orthogonal_ae"]["history"] = pd.DataFrame()
    with pytest.raises(ValueError, match="holds no epoch"):
        pld.pl.history(adata)
