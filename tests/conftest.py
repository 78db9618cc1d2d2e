"""Fixtures that more than one room's tests use."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from copy import deepcopy

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import pellucid as pld

SLOTS = ("obs", "var", "uns", "layers", "obsm", "varm", "obsp", "varp")


def _contents(adata) -> dict:
    contents = {slot: getattr(adata, slot) for slot in SLOTS}
    contents |= {slot: dict(contents[slot]) for slot in SLOTS[2:]}
    contents["layers"].pop(None, None)  # anndata 0.13 lists X among the layers
    contents["X"] = adata.X[:] if adata.isbacked else adata.X
    if adata.raw is not None:
        contents["raw"] = {"X": adata.raw.X, "var": adata.raw.var, "varm": dict(adata.raw.varm)}
    return contents


def _assert_same(found, expected, where: str) -> None:
    if isinstance(expected, Mapping):
        assert set(found) == set(expected), where
        for key in expected:
            _assert_same(found[key], expected[key], f"{where}[{key!r}]")
    elif isinstance(expected, pd.DataFrame):
        pd.testing.assert_frame_equal(found, expected, obj=where)
    elif sparse.issparse(expected):
        assert sparse.issparse(found), where
        assert found.format == expected.format, where
        _assert_same(found.toarray(), expected.toarray(), where)
    elif isinstance(expected, np.ndarray | pd.api.extensions.ExtensionArray):
        found, expected = np.asarray(found), np.asarray(expected)
        # A string array comes back from a file as one of objects, or of another length.
        if expected.dtype.kind in "OUT":
            assert found.dtype.kind in "OUT", where
        else:
            assert found.dtype == expected.dtype, where
        np.testing.assert_array_equal(found, expected, err_msg=where)
    else:
        assert found == expected, where


@pytest.fixture(scope="session")
def assert_same():
    """Assert that two AnnData objects hold the same in every slot."""

    def check(found: ad.AnnData, expected: ad.AnnData) -> None:
        _assert_same(_contents(found), _contents(expected), "adata")

    return check


@pytest.fixture(scope="session")
def unchanged():
    """Context in which an AnnData must not change: `with unchanged(adata), pytest.raises(...)`."""

    @contextmanager
    def context(adata: ad.AnnData):
        before, was_view = deepcopy(_contents(adata)), adata.is_view
        yield
        assert adata.is_view == was_view
        _assert_same(_contents(adata), before, "adata")

    return context


@pytest.fixture(params=["h5ad", "zarr"])
def round_trip(request, tmp_path):
    """Write an AnnData and read it again."""

    def write_and_read(adata: ad.AnnData) -> ad.AnnData:
        path = tmp_path / f"adata.{request.param}"
        getattr(adata, f"write_{request.param}")(path)
        return getattr(ad, f"read_{request.param}")(path)

    return write_and_read


@pytest.fixture(scope="session")
def real_data():
    """Load a data set by the name of its function, or skip where it cannot be had."""

    def load(name: str, *arguments: str):
        try:
            return getattr(pld.datasets, name)(*arguments)
        except FileNotFoundError as error:
            pytest.skip(str(error))

    return load
