from __future__ import annotations

import numpy as np
import pytest

import pellucid as pld


def test_genes_by_units(attributed):
    table = pld.get.attribution(attributed)
    np.testing.assert_array_equal(table, attributed.varm["attribution"])
    assert table.index.equals(attributed.var_names)
    assert table.columns.to_list() == ["Z_0", "Z/1", "Z_2", "Z_3"]


@pytest.mark.parametrize(("group", "position"), [("a/b", 0), ("d", 2)])
def test_group(attributed, group, position):
    table = pld.get.attribution(attributed, group=group)
    np.testing.assert_array_equal(table, attributed.varm["attribution_cell_type"][:, position])
    assert table.columns.to_list() == ["Z_0", "Z/1", "Z_2", "Z_3"]


def test_bad_input(attributed, unchanged):
    with unchanged(attributed):
        with pytest.raises(KeyError, match=r"written by tl.attribute"):
            pld.get.attribution(attributed, key="saliency")
        with pytest.raises(ValueError, match=r"group='e' is unknown; .*\['a/b', 'c', 'd'\]"):
            pld.get.attribution(attributed, group="e")
    del attributed.uns["attribution"]["groups"]
    with pytest.raises(KeyError, match=r"call tl.attribute with groupby="):
        pld.get.attribution(attributed, group="c")
