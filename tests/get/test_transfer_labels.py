from __future__ import annotations

import pandas as pd
import pytest

import pellucid as pld


def test_a_copy_of_what_was_written(counts, round_trip):
    counts.obsm["X_ae"] = counts.X[:, :12].toarray()
    pld.tl.transfer_labels(
        counts.copy(), counts, labels_key="population", use_rep="X_ae", k=[3, 5]
    )
    table = pld.get.transfer_labels(counts)
    assert table.columns.to_list() == ["use_rep", "k", "metric", "score", "majority"]
    assert table.shape == (6, 5)
    pd.testing.assert_frame_equal(pld.get.transfer_labels(round_trip(counts)), table)
    table["score"] = 0.0
    assert pld.get.transfer_labels(counts)["score"].min() > 0


def test_missing(counts):
    with pytest.raises(KeyError, match=r"written by tl\.transfer_labels"):
        pld.get.transfer_labels(counts)
