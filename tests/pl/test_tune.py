from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import pellucid as pld

SETTINGS = ["lr", "n_hidden", "n_latent", "orthogonality_weight"]


@pytest.fixture
def searched() -> AnnData:
    """Forty trials, of which one failed and one diverged."""
    rng = np.random.default_rng(0)
    lr = 10 ** rng.uniform(-5, -3, 40)
    results = pd.DataFrame(
        {
            "trial": np.arange(40),
            "status": ["complete"] * 40,
            "loss": 0.2 * (np.log10(lr) + 3.6) ** 2 + rng.normal(0, 0.02, 40) - 0.1,
            "seconds": rng.uniform(20, 30, 40),
            "lr": lr,
            "n_hidden": rng.integers(50, 141, 40),
            "n_latent": rng.integers(35, 76, 40),
            "orthogonality_weight": 10 ** rng.uniform(-25, -5, 40),
        }
    )
    results.loc[3, ["status", "loss"]] = ["failed", np.nan]
    results.loc[7, "loss"] = np.inf
    adata = AnnData(np.ones((3, 2), dtype=np.float32))
    adata.uns["tune"] = {
        "params": {"function": "tl.tune"},
        "results": results,
        "settings": np.array(SETTINGS),
        "logarithmic": np.array([True, False, False, True]),
    }
    return adata


def test_a_panel_for_each_setting(searched, assert_legible, unchanged):
    with unchanged(searched):
        axes = pld.pl.tune(searched, show=False)
    drawn = pld.get.tune(searched).drop([3, 7])
    best = drawn["loss"].argmin()
    for ax, column in zip(axes, ["trial", *SETTINGS], strict=True):
        points = ax.collections[0].get_offsets()
        values = drawn[column] + (column == "trial")
        order = np.r_[np.delete(np.arange(38), best), best]
        np.testing.assert_allclose(points[:, 0], values.to_numpy()[order])
        np.testing.assert_allclose(points[:, 1], drawn["loss"].to_numpy()[order])
        colors = ax.collections[0].get_facecolors()
        assert (colors[:-1] != colors[-1]).any(axis=1).all()
    assert [ax.get_xscale() for ax in axes] == ["linear", "log", "linear", "linear", "log"]
    (line,) = axes[0].get_lines()
    np.testing.assert_allclose(line.get_ydata(), np.minimum.accumulate(drawn["loss"]))
    assert [ax.get_xlabel() for ax in axes][-1] == "orthogonality_weight"
    (text,) = [text.get_text() for text in axes[0].figure.texts if "Failed" in text.get_text()]
    assert text == "Failed, and not drawn: 2 of 40."
    ticks = [label.get_text() for label in axes[-1].get_xticklabels()]
    assert {"1e-20", "1e-5"} <= set(ticks)
    assert_legible(axes[0].figure)


def test_choices_by_name(searched, assert_legible):
    record = searched.uns["tune"]
    record["results"] = record["results"].drop([3, 7])
    record["results"]["likelihood"] = np.where(np.arange(38) % 3, "nb", "normal")
    record["settings"], record["logarithmic"] = np.array(["likelihood"]), np.array([False])
    trials, by_choice = pld.pl.tune(searched, show=False)
    assert [label.get_text() for label in by_choice.get_xticklabels()] == ["nb", "normal"]
    assert set(by_choice.collections[0].get_offsets()[:, 0]) == {0, 1}
    assert not any("Failed" in text.get_text() for text in trials.figure.texts)
    assert_legible(trials.figure)


def test_short_ranges_have_ticks(searched, assert_legible):
    results = searched.uns["tune"]["results"]
    results["lr"] = np.geomspace(0.0012, 0.0027, 40)
    results["n_latent"] = np.resize([18, 21, 23], 40)
    axes = pld.pl.tune(searched, show=False)
    axes[0].figure.canvas.draw()
    labels = [
        [
            label.get_text()
            for at, label in zip(ax.get_xticks(), ax.get_xticklabels(), strict=True)
            if ax.get_xlim()[0] <= at <= ax.get_xlim()[1]
        ]
        for ax in axes
    ]
    assert labels[1] == ["1.5e-3", "2e-3"]
    assert len(labels[3]) > 1
    assert all(float(label).is_integer() for label in labels[3])
    assert_legible(axes[0].figure)


def test_from_a_file(searched, round_trip, tmp_path):
    before, after = (
        pld.pl.tune(adata, show=False)[1].collections[0].get_offsets()
        for adata in (searched, round_trip(searched))
    )
    np.testing.assert_array_equal(before, after)
    pld.pl.tune(searched, save=tmp_path / "figure.pdf")
    assert (tmp_path / "figure.pdf").stat().st_size > 1000


def test_no_search(searched):
    del searched.uns["tune"]
    for call in (pld.pl.tune, pld.get.tune):
        with pytest.raises(KeyError, match=r"written by tl\.tune"):
            call(searched)
    assert not plt.get_fignums()
