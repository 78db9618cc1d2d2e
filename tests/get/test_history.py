from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import pellucid as pld


@pytest.mark.parametrize("stored_as", [str, int])
def test_one_row_an_epoch(attributed, round_trip, stored_as):
    epochs = pd.Index([stored_as(epoch) for epoch in range(12)], name="epoch")
    losses = {"train_loss": np.linspace(2, 1, 12), "validation_loss": [np.nan, *range(11)]}
    attributed.uns["X_orthogonal_ae"] = {"history": pd.DataFrame(losses, index=epochs)}
    for adata in (attributed, round_trip(attributed)):
        table = pld.get.history(adata)
        pd.testing.assert_frame_equal(
            table,
            pd.DataFrame(losses, index=pd.RangeIndex(12, name="epoch")),
            check_index_type=False,
        )
        assert table.index.dtype == np.int64


def test_missing(attributed, unchanged):
    with unchanged(attributed), pytest.raises(KeyError, match=r"X_orthogonal_ae.*tl.latent"):
        pld.get.history(attributed)
