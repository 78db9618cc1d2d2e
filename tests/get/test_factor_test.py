from __future__ import annotations

import pandas as pd
import pytest

import pellucid as pld


def test_most_significant_factors_first(factors):
    pld.tl.factor_test(factors, groupby="cell_type", n_permutations=20)
    table = pld.get.factor_test(factors)
    stored = factors.uns["factor_test"]["results"]
    assert table.columns.to_list() == stored.columns.to_list()
    assert table["group"].drop_duplicates().to_list() == stored["group"].unique().tolist()
    for _, rows in table.groupby("group"):
        assert rows["pvalue"].is_monotonic_increasing
        for _, ties in rows.groupby("pvalue"):
            assert ties["effect_size"].abs().is_monotonic_decreasing
    both = ["group", "factor"]
    pd.testing.assert_frame_equal(
        table.sort_values(both, ignore_index=True), stored.sort_values(both, ignore_index=True)
    )


def test_round_trip(factors, round_trip):
    pld.tl.factor_test(factors, groupby="condition", sample_key="donor")
    before = pld.get.factor_test(factors)
    pd.testing.assert_frame_equal(pld.get.factor_test(round_trip(factors)), before)


def test_missing(factors):
    with pytest.raises(KeyError, match=r"written by tl\.factor_test"):
        pld.get.factor_test(factors)
