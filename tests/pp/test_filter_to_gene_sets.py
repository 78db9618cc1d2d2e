from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import pellucid as pld


@pytest.fixture
def adata():
    counts = sparse.random(5, 6, density=0.6, format="csr", dtype=np.float32, random_state=0)
    adata = ad.AnnData(counts, var=pd.DataFrame(index=list("ABCDEF")))
    adata.layers["log"] = adata.X.log1p()
    adata.raw = adata.copy()
    pld.pp.add_gene_sets(adata, {"x": ["A", "E"], "y": ["E", "B"]}, min_genes=1)
    return adata


def test_keeps_the_genes_of_sets_in_place(adata):
    expected = adata.X[:, [0, 1, 4]].toarray()
    assert pld.pp.filter_to_gene_sets(adata) is None
    assert list(adata.var_names) == ["A", "B", "E"]
    np.testing.assert_array_equal(adata.X.toarray(), expected)
    np.testing.assert_allclose(adata.layers["log"].toarray(), np.log1p(expected))
    assert adata.varm["gene_sets"].toarray().tolist() == [[1, 0], [0, 1], [1, 1]]
    assert adata.varm["gene_sets"].sum(axis=0).tolist() == [
        adata.uns["gene_sets"]["n_found"].tolist()
    ]
    assert adata.raw.n_vars == 6


def test_copy_and_round_trip(adata, unchanged, round_trip, assert_same):
    with unchanged(adata):
        filtered = pld.pp.filter_to_gene_sets(adata, copy=True)
    assert not filtered.is_view
    assert list(filtered.var_names) == ["A", "B", "E"]
    assert_same(round_trip(filtered), filtered)


def test_view(adata):
    view = adata[:3]
    pld.pp.filter_to_gene_sets(view)
    assert view.shape == (3, 3)
    assert adata.shape == (5, 6)


def test_without_gene_sets(adata, unchanged):
    with (
        unchanged(adata),
        pytest.raises(KeyError, match=r"varm\['other'\] not found.*pp.add_gene_sets"),
    ):
        pld.pp.filter_to_gene_sets(adata, key="other")


def test_no_gene_left(adata, unchanged):
    rest = adata[:, ["C", "D"]].copy()
    with unchanged(rest), pytest.raises(ValueError, match=r"None of the 2 genes .*add_gene_sets"):
        pld.pp.filter_to_gene_sets(rest)


@pytest.mark.parametrize("copy", [True, False])
def test_backed(adata, unchanged, tmp_path, copy):
    del adata.raw
    adata.write_h5ad(tmp_path / "adata.h5ad")
    backed = ad.read_h5ad(tmp_path / "adata.h5ad", backed="r")
    with unchanged(backed), pytest.raises(ValueError, match=r"backed AnnData cannot be filtered"):
        pld.pp.filter_to_gene_sets(backed, copy=copy)
    backed.file.close()
