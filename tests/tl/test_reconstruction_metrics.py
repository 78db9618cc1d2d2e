from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import read_h5ad
from scipy import sparse

import pellucid as pld
from pellucid.compression import METRICS, Original


@pytest.fixture
def rebuilt(counts):
    rng = np.random.default_rng(0)
    noise = rng.normal(size=counts.shape).astype(np.float32)
    counts.layers["near"] = counts.X.toarray() + 0.5 * noise
    counts.layers["far"] = sparse.csr_matrix(np.maximum(noise, 0))
    return counts


def table(adata):
    return pld.get.reconstruction_metrics(adata).set_index("reconstruction")


def test_layers(rebuilt):
    pld.tl.reconstruction_metrics(rebuilt, ["near", "far"])
    found = table(rebuilt)
    assert [*found.index] == ["near", "far"]
    assert tuple(found) == METRICS
    original = Original(rebuilt.X.toarray())
    assert found.loc["near"].to_dict() == pytest.approx(original.compare(rebuilt.layers["near"]))
    assert found.loc["far"].to_dict() == pytest.approx(
        original.compare(rebuilt.layers["far"].toarray())
    )


def test_matrices(rebuilt):
    pld.tl.reconstruction_metrics(rebuilt, "near")
    expected = table(rebuilt)
    pld.tl.reconstruction_metrics(rebuilt, rebuilt.layers["near"], key_added="mine")
    assert (
        pld.get.reconstruction_metrics(rebuilt, key="mine")
        .drop(columns="reconstruction")
        .equals(expected.reset_index(drop=True))
    )
    both = {"a/b": rebuilt.layers["near"], "c": rebuilt.X.toarray()}
    result = pld.tl.reconstruction_metrics(rebuilt, both, copy=True)
    assert table(result).loc["c", "em"] == 0
    assert table(rebuilt).equals(expected)


@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_array, pd.DataFrame])
def test_forms_of_a_matrix(rebuilt, form):
    matrix = rebuilt.layers["near"]
    expected = pytest.approx(Original(rebuilt.X.toarray()).compare(matrix))
    pld.tl.reconstruction_metrics(rebuilt, {"a": form(matrix)})
    assert table(rebuilt).loc["a"].to_dict() == expected
    pld.tl.reconstruction_metrics(rebuilt, form(matrix))
    assert table(rebuilt).loc["reconstruction"].to_dict() == expected


def test_other_original(rebuilt):
    pld.tl.reconstruction_metrics(rebuilt, "far", layer="near")
    expected = Original(rebuilt.layers["near"]).compare(rebuilt.layers["far"].toarray())
    assert table(rebuilt).loc["far"].to_dict() == pytest.approx(expected)


def test_view_and_backed(rebuilt, tmp_path):
    view = pld.tl.reconstruction_metrics(rebuilt[10:40, :20], "near", copy=True)
    expected = Original(rebuilt.X[10:40, :20].toarray()).compare(
        rebuilt.layers["near"][10:40, :20]
    )
    assert table(view).loc["near"].to_dict() == pytest.approx(expected)
    rebuilt.write_h5ad(tmp_path / "a.h5ad")
    backed = read_h5ad(tmp_path / "a.h5ad", backed="r")
    pld.tl.reconstruction_metrics(backed, "near")
    pld.tl.reconstruction_metrics(rebuilt, "near")
    assert table(backed).equals(table(rebuilt))
    backed.file.close()


@pytest.mark.parametrize(
    ("reconstruction", "error", "message"),
    [
        ("none", KeyError, "layer 'none' not found"),
        (np.zeros((90, 29)), ValueError, r"shape \(90, 29\), adata \(90, 30\)"),
        (np.full((90, 30), np.nan), ValueError, "reconstruction 'reconstruction' holds NaN"),
        ([], ValueError, "No reconstruction"),
        ([3], TypeError, "reconstruction is a list; expected names of layers"),
    ],
)
def test_bad_input(rebuilt, unchanged, reconstruction, error, message):
    with unchanged(rebuilt), pytest.raises(error, match=message):
        pld.tl.reconstruction_metrics(rebuilt, reconstruction)
