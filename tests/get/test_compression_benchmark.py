from __future__ import annotations

import numpy as np
import pytest

import pellucid as pld


@pytest.fixture
def measured(counts):
    pld.tl.compression_benchmark(
        counts, methods=["snmf", "svd"], n_latent=[10, 2], transform=["raw", "log"], n_repeats=3,
        train_size=0.3, enable_progress_bar=False,
    )  # fmt: skip
    return counts


def test_long(measured):
    table = pld.get.compression_benchmark(measured)
    assert len(table) == 2 * 5 * 7
    of = ["transform", "method", "n_latent", "metric"]
    assert [*table] == [*of, "mean", "std", "n_repeats"]
    assert not table.duplicated(of).any()
    results = measured.uns["compression_benchmark"]["results"]
    for row in table.itertuples():
        values = results.query(
            "transform == @row.transform and method == @row.method and n_latent == @row.n_latent"
        )[row.metric]
        assert len(values) == row.n_repeats == 3
        assert row.mean == pytest.approx(values.mean())
        assert row.std == pytest.approx(np.std(values, ddof=1))


def test_wide(measured):
    table = pld.get.compression_benchmark(measured, metric="em")
    assert [*table.index] == [(t, m) for t in ("raw", "log") for m in ("mean", "snmf", "svd")]
    assert [*table.columns] == [(s, k) for s in ("mean", "std") for k in (0, 2, 10)]
    long = pld.get.compression_benchmark(measured).set_index(
        ["transform", "method", "n_latent", "metric"]
    )
    assert table.loc[("log", "svd"), ("std", 10)] == long.loc[("log", "svd", 10, "em"), "std"]
    assert table.loc[("raw", "mean"), ("mean", 0)] == long.loc[("raw", "mean", 0, "em"), "mean"]


def test_one_repeat_has_no_spread(counts):
    pld.tl.compression_benchmark(
        counts, methods="svd", n_latent=2, n_repeats=1, train_size=0.3, enable_progress_bar=False
    )
    assert pld.get.compression_benchmark(counts)["std"].isna().all()


def test_a_metric_that_is_not_finite_in_a_repeat_has_no_mean(measured):
    results = measured.uns["compression_benchmark"]["results"]
    failed = results.eval("method == 'svd' and n_latent == 2 and transform == 'log'")
    expected = pld.get.compression_benchmark(measured)
    results.loc[failed & (results["repeat"] == 1), ["pcc", "em"]] = np.nan
    table = pld.get.compression_benchmark(measured)
    of_failed = table.eval(
        "method == 'svd' and n_latent == 2 and transform == 'log' and metric in ['pcc', 'em']"
    )
    assert of_failed.sum() == 2
    assert table.loc[of_failed, ["mean", "std"]].isna().all(axis=None)
    assert (table["n_repeats"] == 3).all()
    assert table[~of_failed].equals(expected[~of_failed])
    wide = pld.get.compression_benchmark(measured, metric="em")
    assert np.isnan(wide.loc[("log", "svd"), ("mean", 2)])


def test_nothing_there(counts, measured):
    with pytest.raises(ValueError, match="metric='r2' is unknown; choose from pcc, spearman"):
        pld.get.compression_benchmark(measured, metric="r2")
    with pytest.raises(KeyError, match=r"tl\.compression_benchmark"):
        pld.get.compression_benchmark(counts, key="other")
    with pytest.raises(KeyError, match=r"tl\.reconstruction_metrics"):
        pld.get.reconstruction_metrics(counts)
