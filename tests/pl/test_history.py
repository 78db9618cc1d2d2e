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


def test_stages_of_a_training(make_read, assert_legible):
    """Each begins a row, and says what it is; the last has columns without a suffix."""
    adata = make_read()
    names = [
        f"{quantity}_{part}{stage}"
        for stage, of in (("", ("cells", "genes")), ("_genes", ("genes",)), ("_cells", ("cells",)))
        for part in ("train", "validation")
        for quantity in ("reconstruction_loss", *(f"kl_{one}" for one in of))
    ]
    names += [
        f"{part}_loss{s}" for part in ("train", "validation") for s in ("", "_cells", "_genes")
    ]
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(12, len(names))), columns=names)
    frame.loc[5:, [name for name in names if name.endswith("_cells")]] = np.nan
    adata.uns["X_sivae"] = {"history": frame}
    axes = pld.pl.history(adata, use_rep="X_sivae", show=False)
    assert [(ax.get_title(loc="left"), ax.get_ylabel()) for ax in axes] == [
        ("1. Cells", "Loss"),
        ("1. Cells", "Reconstruction loss"),
        ("1. Cells", "KL divergence of cells"),
        ("2. Genes", "Loss"),
        ("2. Genes", "Reconstruction loss"),
        ("2. Genes", "KL divergence of genes"),
        ("3. Cells and genes", "Loss"),
        ("3. Cells and genes", "Reconstruction loss"),
        ("3. Cells and genes", "KL divergence of cells"),
        ("3. Cells and genes", "KL divergence of genes"),
    ]
    assert set(lines(axes[3])) == {"training genes", "validation genes"}
    for place, column in ((2, "kl_cells_train_cells"), (8, "kl_cells_train")):
        drawn = lines(axes[place])["training cells"]
        np.testing.assert_array_equal(drawn[:, 1], frame[column].dropna())
    assert_legible(axes[0].figure)


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
