from __future__ import annotations

import pandas as pd
import pytest

import pellucid as pld


def test_best_factors_first(factors):
    pld.tl.factor_separation(factors, groupby="cell_type", n_folds=3)
    table = pld.get.factor_separation(factors)
    stored = factors.uns["factor_separation"]["results"]
    assert table.columns.to_list() == stored.columns.to_list()
    assert table["group"].drop_duplicates().to_list() == stored["group"].unique().tolist()
    for _, rows in table.groupby("group"):
        assert rows["cv_accuracy"].is_monotonic_decreasing
    both = ["group", "factor"]
    pd.testing.assert_frame_equal(
        table.sort_values(both, ignore_index=True), stored.sort_values(both, ignore_index=True)
    )


def test_round_trip(factors, round_trip):
    pld.tl.factor_separation(factors, groupby="condition")
    before = pld.get.factor_separation(factors)
    pd.testing.assert_frame_equal(pld.get.factor_separation(round_trip(factors)), before)


def test_missing(factors):
    with pytest.raises(KeyError, match=r"written by tl\.factor_separation"):
        pld.get.factor_separation(factors)
