from __future__ import annotations

import logging

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex

import pellucid as pld

GREY, BLACK = "#cccccc", "#000000"
# Colours of seaborn's colour-blind palette.
FIRST, SECOND = "#0173b2", "#de8f05"
SETS = ["B/CELL é", "T_CELL"]


def names(ax) -> list[str]:
    return [text.get_text() for text in ax.texts if text.get_text()]


def legend(ax) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def colors(adata, ax, components=(0, 1)) -> dict[str, str]:
    """Colour of each gene, found by its place."""
    (points,) = ax.collections
    xy = np.asarray(points.get_offsets())
    loadings = adata.varm["sivae_loadings"][:, list(components)].astype(float)
    assert len(xy) == len(loadings)
    by_place = dict(zip(map(tuple, xy), map(to_hex, points.get_facecolors()), strict=True))
    return dict(zip(adata.var_names, (by_place[tuple(one)] for one in loadings), strict=True))


def by_distance(adata, genes=slice(None)) -> list[str]:
    subset = adata[:, genes]
    distance = np.linalg.norm(subset.varm["sivae_loadings"][:, :2].astype(float), axis=1)
    return subset.var_names[np.argsort(-distance)].to_list()


def test_genes_lie_at_their_loadings(read_sivae, assert_legible):
    ax = pld.pl.gene_embedding(read_sivae, label=5, show=False)
    assert len(set(colors(read_sivae, ax).values())) == 1
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Z_0", "Z_1")
    assert ax.get_legend() is None
    assert len(names(ax)) == 5
    # No farther down the list than it takes to find room.
    assert set(names(ax)) <= set(by_distance(read_sivae)[:15])
    assert_legible(ax.figure)


def test_the_origin_and_one_scale(read_sivae):
    read_sivae.varm["sivae_loadings"] += 3
    ax = pld.pl.gene_embedding(read_sivae, show=False)
    (x_low, x_high), (y_low, y_high) = ax.get_xlim(), ax.get_ylim()
    assert x_low < 0
    assert y_low < 0
    assert x_high - x_low == pytest.approx(y_high - y_low)
    assert ax.get_box_aspect() == 1
    assert [line.get_xdata() for line in ax.lines][1] == [0, 0]


def test_sets_on_grey(read_sivae, assert_legible):
    ax = pld.pl.gene_embedding(read_sivae, gene_sets=SETS, show=False)
    found = colors(read_sivae, ax)
    expected = [BLACK] + [FIRST] * 19 + [SECOND] * 20 + [GREY] * 80
    assert list(found.values()) == expected
    assert legend(ax) == ["B/CELL é", "T CELL", "in several sets", "other genes"]
    # Sets take turns, and only their genes are named.
    named = [int(name.removeprefix("GENE")) for name in names(ax)]
    of_first = sum(1 <= one < 20 for one in named)
    assert of_first + sum(20 <= one < 40 for one in named) == len(named) == 12
    assert 4 <= of_first <= 8
    (points,) = ax.collections
    grey = np.array([to_hex(color) == GREY for color in points.get_facecolors()])
    assert grey[:80].all()
    assert points.get_sizes()[:80].max() < points.get_sizes()[80:].min()
    # No set covers another.
    assert np.any(np.diff(points.get_facecolors()[80:], axis=0), axis=1).sum() > 10
    assert_legible(ax.figure)


def test_sets_of_a_dictionary(read_sivae):
    genes = {"mine": ["GENE3", "GENE5", "absent"], "other": "GENE7"}
    ax = pld.pl.gene_embedding(read_sivae, gene_sets=genes, show=False)
    found = {gene: color for gene, color in colors(read_sivae, ax).items() if color != GREY}
    assert found == {"GENE3": FIRST, "GENE5": FIRST, "GENE7": SECOND}
    assert legend(ax) == ["mine", "other", "other genes"]
    assert set(names(ax)) == set(found)


def test_many_sets_have_colours_of_their_own(read_sivae, assert_legible):
    genes = {f"SET {i}": [f"GENE{i}"] for i in range(14)}
    ax = pld.pl.gene_embedding(read_sivae, gene_sets=genes, label=0, show=False)
    found = list(colors(read_sivae, ax).values())
    assert len(set(found[:14])) == 14
    assert set(found[14:]) == {GREY}
    assert_legible(ax.figure)


def test_no_set_is_grey(read_sivae):
    genes = {f"SET {i}": [f"GENE{i}"] for i in range(10)}
    ax = pld.pl.gene_embedding(read_sivae, gene_sets=genes, show=False)
    found = list(colors(read_sivae, ax).values())
    assert len(set(found)) == 11
    # The palette's own grey comes last.
    assert found.index("#949494") == 9


def test_a_column_of_var(read_sivae, assert_legible):
    ax = pld.pl.gene_embedding(read_sivae, color="mean", components=(2, 1), show=False)
    (points,) = ax.collections
    by_place = dict(
        zip(map(tuple, np.asarray(points.get_offsets())), points.get_array(), strict=True)
    )
    loadings = read_sivae.varm["sivae_loadings"][:, [2, 1]].astype(float)
    assert [by_place[tuple(one)] for one in loadings] == list(read_sivae.var["mean"])
    assert ax.get_xlabel() == "Z_2"
    assert_legible(ax.figure)
    other = pld.pl.gene_embedding(read_sivae, color="chosen", show=False)
    assert legend(other) == ["False", "True"]
    found = list(colors(read_sivae, other).values())
    assert found == np.where(read_sivae.var["chosen"], SECOND, FIRST).tolist()


def test_genes_that_were_asked_for(read_sivae, assert_legible, caplog):
    wanted = ["GENE119", "GENE3", "GENE60", "GENE3"]
    ax = pld.pl.gene_embedding(read_sivae, label=wanted, show=False)
    assert names(ax) == wanted[:3]
    for text in ax.texts:
        if not text.get_text():  # a line that leads to a gene
            continue
        place = read_sivae.var_names.get_loc(text.get_text())
        assert tuple(text.xy) == tuple(read_sivae.varm["sivae_loadings"][place, :2].astype(float))
    assert_legible(ax.figure)
    assert not names(pld.pl.gene_embedding(read_sivae, label=0, show=False))
    assert not caplog.records


def test_names_without_room_are_in_the_log(read_sivae, assert_legible, caplog):
    read_sivae.varm["sivae_loadings"][:, :2] *= 1e-3
    read_sivae.varm["sivae_loadings"][:2, :2] = [[5, 5], [-5, -5]]
    with caplog.at_level(logging.WARNING, "pellucid"):
        ax = pld.pl.gene_embedding(read_sivae, label=read_sivae.var_names, show=False)
    (record,) = caplog.records
    missing = set(read_sivae.var_names) - set(names(ax))
    assert 10 < len(missing) < 110
    assert record.args[0] == len(missing)
    assert set(record.args[1].split(", ")) == missing
    assert_legible(ax.figure)


def test_in_axes_of_ones_own(read_sivae, assert_legible):
    figure, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
    for ax, color in zip(axes, ("mean", None), strict=True):
        assert pld.pl.gene_embedding(read_sivae, color=color, ax=ax, show=False) is ax
    assert len(plt.get_fignums()) == 1
    assert_legible(figure)


def test_loadings_of_an_annotated_model(factors, assert_legible):
    """The first default key that is there, and names longer than an axis."""
    ax = pld.pl.gene_embedding(factors, show=False)
    xy = np.asarray(ax.collections[0].get_offsets())
    loadings = factors.varm["annotated_ae_loadings"][:, :2].astype(float)
    assert {tuple(one) for one in xy} == {tuple(one) for one in loadings}
    assert_legible(ax.figure)


def test_from_a_file(read_sivae, round_trip, unchanged):
    with unchanged(read_sivae):
        before = pld.pl.gene_embedding(read_sivae, gene_sets=SETS, show=False)
    after = pld.pl.gene_embedding(round_trip(read_sivae), gene_sets=SETS, show=False)
    assert colors(read_sivae, after) == colors(read_sivae, before)
    assert names(after) == names(before)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"key": "other"}, KeyError, r"'other'.*tl\.loadings"),
        ({"color": "gc"}, KeyError, r"color='gc' not found in adata\.var, .*'mean'"),
        ({"color": "mean", "gene_sets": SETS}, ValueError, "both given"),
        ({"gene_sets": ["T_CEL"]}, ValueError, "'T_CEL' is none of the 3 sets.*'T_CELL'"),
        ({"gene_sets": []}, ValueError, "no name is none"),
        ({"gene_sets": {}}, ValueError, "no gene of any set"),
        ({"gene_sets": {"a": ["GENE1"], "b": ["gene1"]}}, ValueError, "no gene of 'b' is in"),
        ({"gene_sets": ["a"], "gene_sets_key": "mine"}, KeyError, r"pp\.add_gene_sets"),
        ({"label": ["GENE1", "GENE1000"]}, KeyError, "'GENE1000' not found in adata.var_names"),
        ({"label": -1}, ValueError, "label=-1"),
        ({"components": (0, 3)}, ValueError, r"components=\(0, 3\).*3 units"),
        ({"components": (1, 1)}, ValueError, r"components=\(1, 1\)"),
        ({"components": (0, 1, 2)}, ValueError, "two different positions"),
    ],
)
def test_bad_input(arguments, error, message, read_sivae):
    with pytest.raises(error, match=message):
        pld.pl.gene_embedding(read_sivae, **arguments)
    assert not plt.get_fignums()


def test_loadings_that_are_not_finite(read_sivae):
    read_sivae.varm["sivae_loadings"][4, 1] = np.nan
    with pytest.raises(ValueError, match="NaN or infinite loadings"):
        pld.pl.gene_embedding(read_sivae)
    pld.pl.gene_embedding(read_sivae, components=(0, 2), show=False)


def test_no_loadings(cells):
    with pytest.raises(KeyError, match=r"'sivae_loadings'.*tl\.loadings"):
        pld.pl.gene_embedding(cells)


def test_colours_follow_the_order_of_the_sets(read_sivae):
    """No gene stands in two sets here, and the names are not in alphabetical order."""
    sets = {"z": ["GENE1"], "other": ["GENE30"], "a": ["GENE50"]}
    ax = pld.pl.gene_embedding(read_sivae, gene_sets=sets, show=False)
    assert legend(ax) == ["z", "other", "a", "other genes"]
    colors = [to_hex(handle.get_color()) for handle in ax.get_legend().legend_handles]
    assert colors[:2] == [FIRST, SECOND]
    assert colors[3] == GREY
