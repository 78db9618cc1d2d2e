"""Checks of what a user hands in; through the public calls in tests/tl."""

from __future__ import annotations

from inspect import signature

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import pellucid as pld
from pellucid import _validate


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x,
        sparse.csc_matrix,
        sparse.csr_array,
        lambda x: x.toarray(),
        lambda x: x.toarray().astype(np.int32),
        lambda x: x.toarray().astype(bool),
        lambda x: x.astype(np.float64),
    ],
    ids=["csr", "csc", "csr_array", "dense", "int", "bool", "float64"],
)
def test_counts_pass_in_every_form(counts, make):
    counts.X = make(counts.X)
    _validate.check_expression(counts, counts=True)


@pytest.mark.parametrize("counts_due", [True, False])
def test_log_expression_passes_where_counts_are_not_due(counts, counts_due):
    counts.layers["log"] = np.log1p(counts.X)
    if counts_due:
        with pytest.raises(ValueError, match=r"adata\.layers\['log'\] holds values that are not"):
            _validate.check_expression(counts, "log", counts=True)
    else:
        _validate.check_expression(counts, "log")


@pytest.fixture(params=["sparse", "dense"])
def backed(request, counts, tmp_path):
    """Counts on disk, of which the last block holds a fault."""

    def make(fault: float) -> ad.AnnData:
        matrix = counts.X.toarray()
        matrix[-1, -1] = fault
        counts.X = sparse.csr_matrix(matrix) if request.param == "sparse" else matrix
        counts.write_h5ad(tmp_path / "counts.h5ad")
        return ad.read_h5ad(tmp_path / "counts.h5ad", backed="r")

    return make


@pytest.mark.parametrize(
    ("fault", "message"),
    [(np.nan, "NaN or infinite"), (-1, "negative values"), (0.5, "not whole numbers")],
)
def test_files_are_read_to_the_end(backed, monkeypatch, fault, message):
    monkeypatch.setattr(_validate, "_ROWS_AT_ONCE", 40)
    with pytest.raises(ValueError, match=message):
        _validate.check_expression(backed(fault), counts=True)


def test_files_are_read_in_blocks(backed, monkeypatch):
    monkeypatch.setattr(_validate, "_ROWS_AT_ONCE", 40)
    adata = backed(1)
    _validate.check_expression(adata, counts=True)
    assert [block.shape for block in _validate.row_blocks(adata.X)] == [
        (40, 30),
        (40, 30),
        (10, 30),
    ]


def test_matrix_in_memory_is_one_block(counts):
    (block,) = _validate.row_blocks(counts.X)
    assert block is counts.X


def test_unknown_layer(counts):
    counts.layers["b"] = counts.layers["a"] = counts.X
    with pytest.raises(KeyError, match=r"layer 'c' not found.*which holds: \['a', 'b'\]"):
        _validate.expression_matrix(counts, "c")


def test_group_labels(counts):
    labels = _validate.group_labels(counts, "population")
    assert labels.categories.tolist() == ["B", "NK", "T"]
    assert np.bincount(labels.codes).tolist() == [30, 30, 30]


def test_group_labels_without_unused_categories_or_missing_labels(counts):
    counts.obs["group"] = pd.Categorical(
        ["x"] * 45 + [None] * 45, categories=["unused", "x"], ordered=True
    )
    labels = _validate.group_labels(counts, "group")
    assert labels.categories.tolist() == ["x"]
    assert np.unique(labels.codes).tolist() == [-1, 0]


@pytest.mark.parametrize(
    ("groupby", "error", "message"),
    [
        ("louvain", KeyError, r"groupby='louvain' not found in adata\.obs, .*\['population', 'no"),
        ("none", ValueError, r"adata\.obs\['none'\] holds no label"),
    ],
)
def test_bad_groups(counts, groupby, error, message):
    counts.obs["none"] = np.nan
    with pytest.raises(error, match=message):
        _validate.group_labels(counts, groupby)


WITH_COPY = {
    f"{room.__name__}.{name}": getattr(room, name)
    for room in (pld.pp, pld.tl)
    for name in room.__all__
    if "copy" in signature(getattr(room, name)).parameters
}


@pytest.mark.parametrize("form", ["copy", "view"])
@pytest.mark.parametrize("function", WITH_COPY.values(), ids=WITH_COPY)
def test_backed_is_refused_before_any_work(function, form, counts, tmp_path, unchanged):
    """Before the other arguments are as much as looked at."""
    counts.write_h5ad(tmp_path / "counts.h5ad")
    adata = whole = ad.read_h5ad(tmp_path / "counts.h5ad", backed="r")
    if form == "view":
        adata = whole[:40]
    required = {
        name: adata if argument.annotation == "AnnData" else None
        for name, argument in signature(function).parameters.items()
        if argument.default is argument.empty
    }
    with unchanged(adata), pytest.raises(ValueError, match=r"^A backed AnnData .*to_memory\(\)"):
        function(**required, copy=form == "copy")
    whole.file.close()
