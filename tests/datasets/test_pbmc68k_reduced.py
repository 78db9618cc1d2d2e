from __future__ import annotations

import numpy as np
import pytest
import scanpy as sc
from scipy import sparse

import pellucid as pld


def test_counts_are_those_that_scanpys_values_were_made_of():
    adata = pld.datasets.pbmc68k_reduced()
    source = sc.datasets.pbmc68k_reduced()
    assert adata.shape == (700, 765)
    assert sparse.isspmatrix_csr(adata.X)
    assert adata.X.dtype == np.float32
    counts = adata.X.toarray().astype(np.float64)
    assert np.array_equal(counts, np.round(counts))
    # Each cell's counts stand in the ratios of scanpy's normalised values, and fit in its total.
    again = np.log1p(counts / adata.obs["n_counts"].to_numpy()[:, None] * 1e4)
    np.testing.assert_allclose(again, source.raw.X.toarray(), atol=2e-3)
    assert (counts.sum(axis=1) <= adata.obs["n_counts"]).all()
    assert adata.X.nnz == source.raw.X.nnz


def test_labels_stay_and_what_belongs_to_the_scaled_matrix_goes():
    adata = pld.datasets.pbmc68k_reduced()
    assert adata.obs["bulk_labels"].nunique() == 10
    assert {"louvain", "phase", "n_counts"} <= set(adata.obs)
    assert list(adata.obsm) == ["X_umap"]
    assert set(adata.uns) == {"bulk_labels_colors", "louvain_colors"}
    assert adata.raw is None
    assert adata.var.shape[1] == 0
    assert not adata.obsp
    assert not adata.varm


def test_raises_if_scanpy_carries_another_file(monkeypatch):
    other = sc.datasets.pbmc68k_reduced()
    other.obs["n_counts"] *= 1.1
    monkeypatch.setattr(sc.datasets, "pbmc68k_reduced", lambda: other)
    with pytest.raises(RuntimeError, match=r"could not be recovered.* at most 0.1 was expected"):
        pld.datasets.pbmc68k_reduced()


def test_round_trip(round_trip, assert_same):
    adata = pld.datasets.pbmc68k_reduced()
    assert_same(round_trip(adata), adata)
