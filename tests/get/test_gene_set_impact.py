from __future__ import annotations

import numpy as np
import pytest

import pellucid as pld

UNITS = ["Z_0", "Z/1", "Z_2", "Z_3"]
SETS = ["S/1", "S 2", "S-3"]


def test_one_row_a_pair(attributed):
    pld.tl.gene_set_impact(attributed)
    result = attributed.uns["gene_set_impact"]
    table = pld.get.gene_set_impact(attributed)
    assert table.columns.to_list() == [
        *("unit", "gene_set", "impact", "z", "padj", "set_size", "silent")
    ]
    assert table.index.to_list() == list(range(12))
    for name in ("impact", "z", "padj"):
        wide = table.pivot(index="gene_set", columns="unit", values=name).loc[SETS, UNITS]
        np.testing.assert_array_equal(wide, result[name])
    assert table["unit"].unique().tolist() == UNITS
    for _, rows in table.groupby("unit"):
        assert rows["z"].is_monotonic_decreasing
    assert table.loc[table["unit"] == "Z_3", "silent"].all()
    assert table["silent"].sum() == 3
    assert dict(zip(table["gene_set"], table["set_size"], strict=True)) == dict(
        zip(SETS, (10, 5, 20), strict=True)
    )


def test_difference(attributed):
    pld.tl.gene_set_impact(attributed, group="c", key_added="c")
    table = pld.get.gene_set_impact(attributed, key="c")
    for name in ("difference", "difference_z", "difference_padj"):
        wide = table.pivot(index="gene_set", columns="unit", values=name).loc[SETS, UNITS]
        np.testing.assert_array_equal(wide, attributed.uns["c"][name])


def test_grouped(attributed):
    pld.tl.gene_set_impact(attributed)
    table = pld.get.gene_set_impact(attributed, grouped=True)
    assert table.columns.to_list() == [
        *("group", "unit", "gene_set", "impact", "set_size", "silent")
    ]
    assert table["group"].unique().tolist() == ["a/b", "c", "d"]
    for position, (_, rows) in enumerate(table.groupby("group", sort=False)):
        wide = rows.pivot(index="gene_set", columns="unit", values="impact").loc[SETS, UNITS]
        expected = attributed.uns["gene_set_impact"]["impact_groups"][position]
        np.testing.assert_array_equal(wide, expected)
    for _, rows in table.groupby(["group", "unit"]):
        assert rows["impact"].is_monotonic_decreasing


def test_missing(attributed, unchanged):
    with unchanged(attributed), pytest.raises(KeyError, match=r"written by tl.gene_set_impact"):
        pld.get.gene_set_impact(attributed)
    del attributed.uns["attribution"]["groups"]
    pld.tl.gene_set_impact(attributed)
    with unchanged(attributed), pytest.raises(KeyError, match=r"call tl.attribute with groupby="):
        pld.get.gene_set_impact(attributed, grouped=True)
