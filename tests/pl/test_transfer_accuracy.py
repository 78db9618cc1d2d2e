from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import pellucid as pld

SPACES = ("X_orthogonal_ae", "X_untrained", "X", "pca")


@pytest.fixture
def make_scored():
    def make(spaces=SPACES, k=range(5, 26)) -> AnnData:
        rows = [
            (
                space,
                number,
                metric,
                0.9 - 0.1 * place - 0.002 * number - 0.01 * low,
                0.4 - 0.1 * low,
            )
            for place, space in enumerate(spaces)
            for number in k
            for low, metric in enumerate(("accuracy", "balanced_accuracy", "mean_f1"))
        ]
        adata = AnnData(np.ones((3, 2), dtype=np.float32))
        adata.uns["transfer_labels"] = {
            "params": {"function": "tl.transfer_labels"},
            "results": pd.DataFrame(rows, columns=["use_rep", "k", "metric", "score", "majority"]),
        }
        return adata

    return make


@pytest.mark.parametrize(
    ("metric", "label"),
    [
        ("accuracy", "Accuracy"),
        ("balanced_accuracy", "Balanced accuracy"),
        ("mean_f1", "Mean F1"),
    ],
)
def test_a_line_for_each_space(make_scored, assert_legible, metric, label, unchanged):
    adata = make_scored()
    with unchanged(adata):
        ax = pld.pl.transfer_accuracy(adata, metric=metric, show=False)
    *lines, floor = ax.get_lines()
    table = pld.get.transfer_labels(adata).query("metric == @metric")
    for line, space in zip(lines, SPACES, strict=True):
        rows = table[table["use_rep"] == space]
        np.testing.assert_array_equal(line.get_xdata(), rows["k"])
        np.testing.assert_array_equal(line.get_ydata(), rows["score"])
        assert line.get_linestyle() != "--"
    assert floor.get_linestyle() == "--"
    assert set(floor.get_ydata()) == set(table["majority"])
    low, high = ax.get_ylim()
    assert low < min(table["score"].min(), table["majority"].min())
    assert table["score"].max() < high
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Neighbours (k)", label)
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["OrthogonalAE", "untrained", "all genes", "PCA", "majority"]
    assert_legible(ax.figure)


def test_many_spaces_have_each_their_look(make_scored):
    ax = pld.pl.transfer_accuracy(make_scored([f"X_{seed}" for seed in range(15)]), show=False)
    looks = {(line.get_color(), line.get_linestyle()) for line in ax.get_lines()}
    assert len(looks) == 16


def test_keys_that_would_read_the_same_are_named_whole(make_scored):
    ax = pld.pl.transfer_accuracy(make_scored(["X_scvi", "scvi"]), show=False)
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["X_scvi", "scvi", "majority"]


def test_one_k(make_scored, assert_legible):
    ax = pld.pl.transfer_accuracy(make_scored(k=[15]), show=False)
    assert all(line.get_marker() != "None" for line in ax.get_lines()[:-1])
    assert_legible(ax.figure)


def test_panels_side_by_side(make_scored, tmp_path):
    figure, axes = plt.subplots(1, 2)
    for ax, metric in zip(axes, ("accuracy", "mean_f1"), strict=True):
        assert pld.pl.transfer_accuracy(make_scored(), metric=metric, ax=ax, show=False) is ax
    same = pld.pl.transfer_accuracy(
        make_scored(), ax=axes[0], return_fig=True, save=tmp_path / "figure.pdf"
    )
    assert same is figure
    assert (tmp_path / "figure.pdf").stat().st_size > 1000


def test_panels_that_share_their_axis_show_all_lines(make_scored):
    high, low = make_scored(SPACES[:1]), make_scored(SPACES)
    figure, axes = plt.subplots(1, 2, sharey=True)
    pld.pl.transfer_accuracy(low, metric="accuracy", ax=axes[0], show=False)
    expected = axes[0].get_ylim()
    pld.pl.transfer_accuracy(high, metric="accuracy", ax=axes[1], show=False)
    assert axes[0].get_ylim() == expected
    plt.close(figure)


def test_from_a_file(make_scored, round_trip):
    adata = make_scored()
    before, after = (
        pld.pl.transfer_accuracy(one, show=False).get_lines()[0].get_ydata()
        for one in (adata, round_trip(adata))
    )
    np.testing.assert_array_equal(before, after)


def test_bad_input(make_scored):
    adata = make_scored()
    with pytest.raises(ValueError, match="metric='f1' is unknown; choose one of"):
        pld.pl.transfer_accuracy(adata, metric="f1")
    del adata.uns["transfer_labels"]
    with pytest.raises(KeyError, match=r"written by tl\.transfer_labels"):
        pld.pl.transfer_accuracy(adata)
    assert not plt.get_fignums()
