from __future__ import annotations

import numpy as np
import pytest

import pellucid as pld


def test_one_row_a_gene(attributed):
    table = pld.get.gene_sets(attributed)
    assert table.columns.to_list() == ["gene_set", "gene", "share_found"]
    assert table["gene_set"].unique().tolist() == ["S/1", "S 2", "S-3"]
    mask = attributed.varm["gene_sets"].toarray()
    for column, (_, rows) in enumerate(table.groupby("gene_set", sort=False)):
        assert rows["gene"].tolist() == attributed.var_names[mask[:, column]].tolist()
    shares = table.groupby("gene_set", sort=False)["share_found"].first()
    np.testing.assert_allclose(shares, [0.5, 1, 0.5])


def test_from_pp():
    adata = pld.datasets.pbmc68k_reduced()
    markers = {"one/a": ["CD3D", "NKG7", "ABSENT"], "two": ["cd79a"], "none": ["NOWHERE"]}
    pld.pp.add_gene_sets(adata, markers, min_genes=1, key_added="markers")
    table = pld.get.gene_sets(adata, key="markers")
    assert table["gene_set"].tolist() == ["one/a", "one/a", "two"]
    assert set(table["gene"]) == {"CD3D", "NKG7", "CD79A"}
    np.testing.assert_allclose(table["share_found"], [2 / 3, 2 / 3, 1])


def test_missing(attributed, unchanged):
    with unchanged(attributed), pytest.raises(KeyError, match=r"written by pp.add_gene_sets"):
        pld.get.gene_sets(attributed, key="hallmark")
