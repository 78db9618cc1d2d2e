from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
from anndata import AnnData

import pellucid as pld


@pytest.fixture(scope="module")
def measured_once():
    rng = np.random.default_rng(0)
    rates = rng.gamma(0.5, size=(60, 3)) @ rng.gamma(0.5, size=(3, 25))
    adata = AnnData(rng.poisson(4 * rates).astype(np.float32))
    pld.tl.compression_benchmark(
        adata,
        methods={"svd": "svd", "my/own $x$": "svd", "snmf": "snmf"},
        n_latent=[2, 10],
        transform=["log", "zscore"],
        n_repeats=2,
        train_size=0.3,
        enable_progress_bar=False,
    )
    return adata


@pytest.fixture
def measured(measured_once):
    return measured_once.copy()


def heights(ax) -> list[float]:
    return [bar.get_height() for bars in ax.containers for bar in getattr(bars, "patches", [])]


def test_bars_are_the_means(measured, assert_legible):
    figure = pld.pl.compression_benchmark(measured, return_fig=True)
    assert_legible(figure)
    assert len(figure.axes) == 4
    table = pld.get.compression_benchmark(measured).set_index(
        ["transform", "metric", "method", "n_latent"]
    )
    table = table.sort_index()
    panels = [(how, what) for how in ("log", "zscore") for what in ("pcc", "gene_pcc")]
    for ax, (how, what) in zip(figure.axes, panels, strict=True):
        means = table.loc[(how, what), "mean"]
        expected = [
            means[name, size] for name in ("svd", "my/own $x$", "snmf") for size in (2, 10)
        ]
        assert heights(ax) == pytest.approx(expected)
        floor = next(line for line in ax.lines if line.get_linestyle() == "--")
        assert floor.get_ydata()[0] == means["mean", 0]
        assert ax.get_ylim()[0] <= 0
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "SVD", "my/own $x$", "sNMF", "Gene means",
    ]  # fmt: skip


def test_whiskers_are_the_deviations(measured):
    axes = pld.pl.compression_benchmark(measured, metric="mae", transform="log", show=False)
    table = pld.get.compression_benchmark(measured).query(
        "metric == 'mae' and transform == 'log' and method == 'snmf'"
    )
    (whiskers,) = axes[0].containers[-1].errorbar.lines[2]
    drawn = [(top - bottom) / 2 for (_, bottom), (_, top) in whiskers.get_segments()]
    assert drawn == pytest.approx(table["std"].tolist())


def test_lines(measured, assert_legible):
    metrics = ["pcc", "spearman", "em", "mae", "gene_pcc", "cell_pcc", "seconds"]
    figure = pld.pl.compression_benchmark(
        measured, metric=metrics, kind="line", transform="log", methods=["snmf", "svd"],
        return_fig=True,
    )  # fmt: skip
    assert_legible(figure)
    assert len(figure.axes) == 7
    assert figure.axes[-1].get_yscale() == "log"
    first = figure.axes[0].containers[0].lines[0]
    expected = pld.get.compression_benchmark(measured, metric="pcc").loc[("log", "snmf"), "mean"]
    np.testing.assert_array_equal(first.get_xdata(), [2, 10])
    np.testing.assert_allclose(first.get_ydata(), expected[[2, 10]])


@pytest.mark.parametrize("kind", ["bar", "line"])
@pytest.mark.parametrize("failed", ["method == 'snmf' and n_latent == 2", "n_latent >= 0"])
def test_a_method_that_failed_in_a_split_is_not_drawn(measured, kind, failed):
    results = measured.uns["compression_benchmark"]["results"]
    results.loc[results.eval(f"repeat == 1 and ({failed})"), "pcc"] = np.nan
    figure = pld.pl.compression_benchmark(
        measured, metric="pcc", transform="log", kind=kind, return_fig=True
    )
    figure.canvas.draw()
    means = pld.get.compression_benchmark(measured, metric="pcc").loc[("log", "snmf"), "mean"]
    assert np.isnan(means[2])
    last = figure.axes[0].containers[-1]
    drawn = heights(figure.axes[0])[-2:] if kind == "bar" else last.lines[0].get_ydata()
    np.testing.assert_allclose(drawn, means[[2, 10]])


def test_one_k_and_one_repeat(counts, assert_legible):
    pld.tl.compression_benchmark(
        counts, methods="svd", n_latent=3, n_repeats=1, train_size=0.3, enable_progress_bar=False
    )
    for kind in ("bar", "line"):
        assert_legible(pld.pl.compression_benchmark(counts, kind=kind, return_fig=True))


def test_what_is_returned(measured, tmp_path, unchanged):
    path = tmp_path / "figure.pdf"
    with unchanged(measured):
        axes = pld.pl.compression_benchmark(measured, transform="log", show=False, save=path)
        assert pld.pl.compression_benchmark(measured, transform="log", show=True) is None
    assert path.stat().st_size
    assert all(isinstance(ax, mpl.axes.Axes) for ax in axes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "box"}, "kind='box' is unknown"),
        ({"metric": "r2"}, "metric: 'r2' is not in the result, which has 'pcc', 'spearman'"),
        ({"metric": []}, "metric: nothing is not in the result"),
        ({"transform": "raw"}, "transform: 'raw' is not in the result, which has 'log', 'zscore'"),
        ({"methods": ["svd", "pca"]}, "methods: 'pca' is not in the result"),
    ],
)
def test_bad_arguments(measured, arguments, message):
    with pytest.raises(ValueError, match=message):
        pld.pl.compression_benchmark(measured, **arguments)


def test_no_result(counts):
    with pytest.raises(KeyError, match=r"tl\.compression_benchmark"):
        pld.pl.compression_benchmark(counts)
