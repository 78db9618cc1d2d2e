from __future__ import annotations

import numpy as np
import pytest

import pellucid as pld


def test_cells_by_units(attributed):
    values = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    attributed.obsm["X_new"] = values
    attributed.uns["X_new"] = {"latent_names": np.array(["Z/0", "Z_1"])}
    table = pld.get.latent(attributed, key="X_new")
    np.testing.assert_array_equal(table, values)
    assert table.index.equals(attributed.obs_names)
    assert table.columns.to_list() == ["Z/0", "Z_1"]


def test_missing(attributed, unchanged):
    with unchanged(attributed), pytest.raises(KeyError, match=r"X_orthogonal_ae.*tl.latent"):
        pld.get.latent(attributed)
