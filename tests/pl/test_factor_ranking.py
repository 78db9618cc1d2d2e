from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex

import pellucid as pld
from pellucid.pl._names import ADDED, IN_SET


def bars(ax) -> list[tuple[float, float, str]]:
    """Left end, width and colour of every bar."""
    return [(bar.get_x(), bar.get_width(), to_hex(bar.get_facecolor())) for bar in ax.patches]


def labels(ax) -> list[str]:
    return [label.get_text().replace("\n", " ") for label in ax.get_yticklabels()]


def test_draws_what_is_stored(factors, assert_legible):
    explained, genes = pld.pl.factor_ranking(factors, show=False)
    table = factors.uns["factors"]["results"].query("active")
    assert labels(explained) == [name.replace("_", " ") for name in table.index]
    own, outside = bars(explained)[:5], bars(explained)[5:]
    kept, added, removed = bars(genes)[:5], bars(genes)[5:10], bars(genes)[10:]
    for row, (_, factor) in enumerate(table.iterrows()):
        share = factor["replaced"] if factor["n_set"] else 1
        assert own[row][:2] == pytest.approx((0, factor["explained"] * (1 - share)))
        assert sum(outside[row][:2]) == pytest.approx(factor["explained"])
        assert kept[row][:2] == (0, factor["n_in_set"])
        assert added[row][:2] == (factor["n_in_set"], factor["n_added"])
        assert removed[row][:2] == (0, -factor["n_removed"])
        colors = (own[row][2], outside[row][2], kept[row][2], added[row][2])
        last = ADDED.lower() if factor["n_set"] else "#737373"
        assert colors == (IN_SET.lower(), last, IN_SET.lower(), last)
    assert_legible(explained.figure)


def test_a_dense_factor_does_not_set_the_scale(make_factors, assert_legible):
    adata = make_factors(n_vars=600)
    table = adata.uns["factors"]["results"]
    table["rank"] = table["rank"].to_numpy()[::-1]  # the dense factor is the last
    _, genes = pld.pl.factor_ranking(adata, show=False)
    widest = (table["n_in_set"] + table["n_added"])[table["n_set"] > 0].max()
    assert genes.get_xlim()[1] == pytest.approx(1.08 * widest)
    (number,) = genes.texts
    assert number.get_text() == "600 →"
    assert number.get_position()[1] == genes.get_yticks()[-1]
    assert_legible(genes.figure)


def test_deactivated_factors_are_named(factors, assert_legible):
    figure = pld.pl.factor_ranking(factors, n_factors=3, return_fig=True)
    note = figure.get_supxlabel().replace("\n", " ")
    assert note == "3 of 5 active factors. Deactivated: 1 of 6 factors (SET 2/$B$)."
    assert len(labels(figure.axes[0])) == 3
    assert_legible(figure)


@pytest.mark.parametrize("n_factors", [1, 60])
def test_long_names_are_whole(factors, assert_legible, n_factors):
    table = factors.uns["factors"]["results"]
    table = table.loc[table.index.repeat(20)].assign(rank=np.arange(120))
    name = "REACTOME_RESPIRATORY_ELECTRON_TRANSPORT_ATP_SYNTHESIS_BY_CHEMIOSMOTIC_COUPLING"
    table.index = [f"{name}_{i}" for i in range(120)]
    factors.uns["factors"]["results"] = table
    figure = pld.pl.factor_ranking(factors, n_factors=n_factors, return_fig=True)
    expected = [name.removeprefix("REACTOME_").replace("_", " ") + f" {i}" for i in range(120)]
    active = table["active"].to_numpy()
    assert labels(figure.axes[0]) == np.array(expected)[active][:n_factors].tolist()
    assert "Names without REACTOME_." in figure.get_supxlabel().replace("\n", " ")
    assert ", …: see get.factors)." in figure.get_supxlabel().replace("\n", " ")
    assert_legible(figure)


def test_without_sets(factors, assert_legible):
    """As of a model whose factors were not annotated."""
    table = factors.uns["factors"]["results"]
    table[["n_set", "n_in_set", "n_removed"]] = 0
    explained, genes = pld.pl.factor_ranking(factors, show=False)
    assert {color for _, width, color in bars(explained) + bars(genes) if width} == {"#737373"}
    assert not explained.figure.legends
    assert_legible(explained.figure)


def test_from_a_file(factors, round_trip):
    explained, _ = pld.pl.factor_ranking(round_trip(factors), show=False)
    assert len(labels(explained)) == 5


def test_bad_input(factors, cells):
    with pytest.raises(KeyError, match=r"tl\.rank_factors"):
        pld.pl.factor_ranking(cells)
    with pytest.raises(ValueError, match="n_factors=0"):
        pld.pl.factor_ranking(factors, n_factors=0)
    factors.uns["factors"]["results"]["active"] = False
    with pytest.raises(ValueError, match=r"All 6 factors .* are deactivated"):
        pld.pl.factor_ranking(factors)
