from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import PathCollection, QuadMesh
from scipy.cluster.hierarchy import leaves_list, linkage

import pellucid as pld

SIZES = pytest.mark.parametrize(
    ("n_sets", "n_latent", "silent"), [(8, 6, (1, 4)), (50, 64, ()), (50, 64, tuple(range(20)))]
)


def drawn(ax) -> np.ndarray:
    """Colour values of a heatmap, as they are seen: the first row on top."""
    (mesh,) = ax.findobj(QuadMesh)
    assert ax.yaxis_inverted()
    return np.asarray(mesh.get_array())


def dots(ax) -> set[tuple[int, int]]:
    (points,) = ax.findobj(PathCollection)
    return {(int(row), int(column)) for column, row in points.get_offsets()}


def labels(axis) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels()]


def places(names, stored) -> np.ndarray:
    stored = [str(name).replace("_", " ") for name in stored]
    return np.array([stored.index(name.replace("_", " ")) for name in names])


@SIZES
def test_draws_what_is_stored(make_read, n_sets, n_latent, silent):
    adata = make_read(n_sets, n_latent, silent=silent)
    record = adata.uns["gene_set_impact"]
    ax = pld.pl.gene_set_impact(adata, show=False)
    rows = places(labels(ax.yaxis), record["set_names"])
    columns = places(labels(ax.xaxis), record["latent_names"])
    np.testing.assert_array_equal(drawn(ax), record["impact"][np.ix_(rows, columns)])
    assert sorted(rows) == list(range(n_sets))
    assert sorted(columns) == sorted(set(range(n_latent)) - set(silent))
    significant = record["padj"][np.ix_(rows, columns)] < 0.05
    assert dots(ax) == set(zip(*np.nonzero(significant), strict=True))
    (mesh,) = ax.findobj(QuadMesh)
    assert mesh.get_clim() == (0, 1)


def test_rows_and_columns_are_clustered(make_read):
    adata = make_read(20, 12)
    record = adata.uns["gene_set_impact"]
    ax = pld.pl.gene_set_impact(adata, show=False)
    live = np.flatnonzero(~record["silent"])
    impact = record["impact"][:, live]
    for axis, names, vectors in (
        (ax.yaxis, record["set_names"], impact),
        (ax.xaxis, record["latent_names"][live], impact.T),
    ):
        order = leaves_list(linkage(vectors, "average", optimal_ordering=True))
        np.testing.assert_array_equal(places(labels(axis), names), order)


@pytest.mark.parametrize(
    ("n_sets", "n_latent", "silent"),
    [(8, 6, (1, 4)), (50, 64, ()), (1, 1, ()), (2, 2, ()), (1, 64, ()), (80, 3, ())],
)
def test_is_legible(make_read, assert_legible, n_sets, n_latent, silent):
    adata = make_read(n_sets, n_latent, silent=silent, prefix="HALLMARK_")
    figure = pld.pl.gene_set_impact(adata, n_top_sets=None, return_fig=True)
    assert_legible(figure)
    assert figure.get_size_inches().max() < 12
    # Every set and unit is named.
    ax = figure.axes[0]
    assert len(labels(ax.yaxis)) == n_sets
    assert len(labels(ax.xaxis)) == n_latent - len(silent)


def test_labels_are_thinned_where_they_cannot_fit(make_read, assert_legible):
    adata = make_read(200, 220, silent=())
    figure = pld.pl.gene_set_impact(adata, n_top_sets=None, return_fig=True)
    assert_legible(figure)
    assert figure.get_size_inches().max() < 20
    text = " ".join(text.get_text() for text in figure.texts).replace("\n", " ")
    ax = figure.axes[0]
    for axis, n, what in ((ax.yaxis, 200, "row"), (ax.xaxis, 220, "column")):
        step = -(-n // len(labels(axis)))
        assert step > 1
        assert f"One {what} in {step} is labelled." in text
    # A label stands at its own row.
    record = adata.uns["gene_set_impact"]
    rows = places(labels(ax.yaxis), record["set_names"])
    columns = places(labels(ax.xaxis), record["latent_names"])
    at = np.ix_(ax.get_yticks().astype(int), ax.get_xticks().astype(int))
    np.testing.assert_array_equal(drawn(ax)[at], record["impact"][np.ix_(rows, columns)])


def test_top_sets_are_those_of_the_largest_impact(make_read):
    adata = make_read(30, 10)
    record = adata.uns["gene_set_impact"]
    figure = pld.pl.gene_set_impact(adata, n_top_sets=7, return_fig=True)
    rows = places(labels(figure.axes[0].yaxis), record["set_names"])
    assert set(rows) == set(np.argsort(-record["impact"].max(axis=1))[:7])
    assert "7 of 30 gene sets" in figure.texts[-1].get_text()


def test_silent_units_are_named(make_read, caplog):
    caplog.set_level("INFO", logger="pellucid")
    figure = pld.pl.gene_set_impact(make_read(), return_fig=True)
    assert "2 silent of 6 units (Z_1, Z_4)" in figure.texts[-1].get_text()
    assert "2 of 6 units are silent and left out: ['Z_1', 'Z_4']" in caplog.text


def test_panels_of_groups(make_read, assert_legible):
    adata = make_read(8, 6, 3)
    record = adata.uns["gene_set_impact"]
    groups = [None, *record["groups"]]
    axes = pld.pl.gene_set_impact(adata, group=groups, show=False)
    assert [ax.get_title(loc="left") for ax in axes] == ["All cells", *record["groups"]]
    rows = places(labels(axes[0].yaxis), record["set_names"])
    columns = places(labels(axes[-1].xaxis), record["latent_names"])
    at = np.ix_(rows, columns)
    for ax, values in zip(axes, [record["impact"], *record["impact_groups"]], strict=True):
        np.testing.assert_array_equal(drawn(ax), values[at])
    limits = {ax.findobj(QuadMesh)[0].get_clim() for ax in axes}
    assert limits == {(0, record["impact_groups"][:, :, columns].max())}
    # Only all cells are tested.
    assert [len(ax.findobj(PathCollection)) for ax in axes] == [1, 0, 0, 0]
    assert_legible(axes[0].figure)


@pytest.mark.parametrize("n_panels", [2, 5])
def test_many_panels_are_legible(make_read, assert_legible, n_panels):
    adata = make_read(50, 64, 6, silent=())
    groups = list(adata.uns["gene_set_impact"]["groups"])[:n_panels]
    figure = pld.pl.gene_set_impact(adata, group=groups, n_top_sets=20, return_fig=True)
    assert_legible(figure)
    assert figure.get_size_inches().max() < 13


def test_titles_longer_than_panels_are_legible(make_read, assert_legible):
    adata = make_read(6, 4, silent=(1,))
    adata.uns["gene_set_impact"]["groups"] = names = [f"CD4+/CD45RA+/CD25- T {i}" for i in "abc"]
    assert_legible(pld.pl.gene_set_impact(adata, group=names, return_fig=True))


def test_one_group(make_read):
    adata = make_read()
    record = adata.uns["gene_set_impact"]
    ax = pld.pl.gene_set_impact(adata, group=record["groups"][1], show=False)
    rows = places(labels(ax.yaxis), record["set_names"])
    columns = places(labels(ax.xaxis), record["latent_names"])
    np.testing.assert_array_equal(drawn(ax), record["impact_groups"][1][np.ix_(rows, columns)])
    assert ax.figure.texts[0].get_text() == "group B/1"


def test_signed_impact_is_centred(make_read):
    adata = make_read()
    record = adata.uns["gene_set_impact"]
    del record["params"]["scale"]
    record["impact"] = record["impact"] - 0.4 * ~record["silent"]
    (mesh,) = pld.pl.gene_set_impact(adata, show=False).findobj(QuadMesh)
    low, high = mesh.get_clim()
    assert -low == high == np.abs(record["impact"]).max()


@pytest.mark.parametrize(
    ("names", "shown", "prefix"),
    [
        (["HALLMARK_DNA_REPAIR", "HALLMARK_HYPOXIA"], ["DNA REPAIR", "HYPOXIA"], "HALLMARK_"),
        (["T_HELPER", "T_REGULATORY"], ["T HELPER", "T REGULATORY"], ""),
        (["HALLMARK_HYPOXIA", "MINE"], ["HALLMARK HYPOXIA", "MINE"], ""),
        (["a/b", "$a$", "a b", "a_b"], ["a/b", "$a$", "a b", "a_b"], ""),
        (["X" * 60, "Y" * 55], ["X" * 54 + "…", "Y" * 55], ""),
        (["X" * 60, "X" * 61], ["X" * 60, "X" * 61], ""),
    ],
)
def test_names_are_shortened_for_display_only(make_read, names, shown, prefix):
    adata = make_read(len(names), 4, silent=())
    record = adata.uns["gene_set_impact"]
    record["set_names"] = np.array(names)
    figure = pld.pl.gene_set_impact(adata, return_fig=True)
    assert sorted(labels(figure.axes[0].yaxis)) == sorted(shown)
    text = " ".join(text.get_text() for text in figure.texts)
    assert (f"Names without {prefix}." in text) == bool(prefix)
    assert list(record["set_names"]) == names


def test_nothing_is_written(make_read, unchanged):
    adata = make_read()
    with unchanged(adata):
        pld.pl.gene_set_impact(adata, group=[None, "group A/0"], n_top_sets=3)


def test_missing_impact_names_the_call(cells, make_read):
    with pytest.raises(KeyError, match=r"tl\.gene_set_impact"):
        pld.pl.gene_set_impact(cells)
    adata = make_read()
    del adata.uns["gene_set_impact"]["impact_groups"], adata.uns["gene_set_impact"]["groups"]
    with pytest.raises(KeyError, match="groupby="):
        pld.pl.gene_set_impact(adata, group="group A/0")


@pytest.mark.parametrize("group", ["no such", ["group A/0", "no such"]])
def test_unknown_group_is_listed(make_read, group):
    with pytest.raises(ValueError, match=r"'no such' is unknown.*'group A/0', 'group B/1'"):
        pld.pl.gene_set_impact(make_read(), group=group)


def test_nothing_to_draw(make_read):
    adata = make_read()
    with pytest.raises(ValueError, match="n_top_sets=0"):
        pld.pl.gene_set_impact(adata, n_top_sets=0)
    with pytest.raises(ValueError, match="empty list"):
        pld.pl.gene_set_impact(adata, group=[])
    adata.uns["gene_set_impact"]["silent"][:] = True
    with pytest.raises(ValueError, match="All 6 units are silent"):
        pld.pl.gene_set_impact(adata)
