from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import scanpy as sc
from matplotlib.colors import to_hex

import pellucid as pld


def legend(ax) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def by_place(ax, xy, values) -> list:
    points = map(tuple, np.asarray(ax.collections[0].get_offsets()))
    found = dict(zip(points, values, strict=True))
    return [found[tuple(one)] for one in xy.astype(float)]


def test_matched_components(read_sivae, assert_legible):
    cells, genes = pld.pl.cell_gene_embedding(
        read_sivae, color="cell_type", components=(2, 0), show=False
    )
    for ax, slot, key in ((cells, "obsm", "X_sivae"), (genes, "varm", "sivae_loadings")):
        xy = np.asarray(ax.collections[0].get_offsets())
        expected = getattr(read_sivae, slot)[key][:, [2, 0]].astype(float)
        assert {tuple(one) for one in xy} == {tuple(one) for one in expected}
        assert np.diff(ax.get_xlim()) == pytest.approx(np.diff(ax.get_ylim()))
    assert (cells.get_xlabel(), cells.get_ylabel()) == ("Z_2 (score)", "Z_0 (score)")
    assert (genes.get_xlabel(), genes.get_ylabel()) == ("Z_2 (loading)", "Z_0 (loading)")
    assert legend(cells) == list(read_sivae.obs["cell_type"].cat.categories)
    assert genes.get_legend() is None
    assert_legible(cells.figure)


def test_sets_named_like_groups_have_their_colours(read_sivae, assert_legible):
    groups = list(read_sivae.obs["cell_type"].cat.categories)
    read_sivae.uns["cell_type_colors"] = ["#ff0000", "#00ff00", "#0000ff"]
    of_groups = dict(zip(groups, read_sivae.uns["cell_type_colors"], strict=True))
    cells, genes = pld.pl.cell_gene_embedding(
        read_sivae, color="cell_type", gene_sets=["T_CELL", "B/CELL é"], show=False
    )
    colors = map(to_hex, genes.collections[0].get_facecolors())
    found = by_place(genes, read_sivae.varm["sivae_loadings"][:, :2], colors)
    assert found[1:40] == [of_groups["B/CELL é"]] * 19 + [of_groups["T_CELL"]] * 20
    assert found[0] == "#000000"
    assert set(found[40:]) == {"#cccccc"}
    of_cells = by_place(
        cells,
        read_sivae.obsm["X_sivae"][:, :2],
        map(to_hex, cells.collections[0].get_facecolors()),
    )
    assert of_cells == [of_groups[name] for name in read_sivae.obs["cell_type"]]
    assert_legible(cells.figure)


def test_other_sets_have_colours_of_their_own(read_sivae):
    read_sivae.uns["cell_type_colors"] = ["#ff0000", "#00ff00", "#0000ff"]
    _, genes = pld.pl.cell_gene_embedding(
        read_sivae, color="cell_type", gene_sets={"T_CELL": ["GENE3"], "x": ["GENE4"]}, show=False
    )
    found = set(map(to_hex, genes.collections[0].get_facecolors()))
    assert found == {"#0173b2", "#de8f05", "#cccccc"}


def test_a_gene_on_both_sides(read_sivae, assert_legible):
    cells, genes = pld.pl.cell_gene_embedding(read_sivae, color="GENE7", label=4, show=False)
    normalised = sc.pp.normalize_total(read_sivae, target_sum=1e4, copy=True)
    read_sivae.layers["log"] = np.log1p(normalised.X)
    expected = read_sivae[:, "GENE7"].layers["log"].ravel()
    found = by_place(cells, read_sivae.obsm["X_sivae"][:, :2], cells.collections[0].get_array())
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    (ring,) = [line for line in genes.lines if line.get_marker() == "o"]
    place = read_sivae.varm["sivae_loadings"][7, :2].astype(float)
    assert (ring.get_xdata()[0], ring.get_ydata()[0]) == tuple(place)
    named = [text.get_text() for text in genes.texts if text.get_text()]
    assert named[0] == "GENE7"
    assert len(named) == len(set(named)) == 5
    assert_legible(cells.figure)
    cells, _ = pld.pl.cell_gene_embedding(read_sivae, color="GENE7", layer="log", show=False)
    found = by_place(cells, read_sivae.obsm["X_sivae"][:, :2], cells.collections[0].get_array())
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_gene_that_was_asked_for_anyway(read_sivae):
    _, genes = pld.pl.cell_gene_embedding(
        read_sivae, color="GENE7", label=["GENE90", "GENE7"], show=False
    )
    assert [text.get_text() for text in genes.texts if text.get_text()] == ["GENE7", "GENE90"]


def test_a_unit(read_sivae):
    cells, _ = pld.pl.cell_gene_embedding(read_sivae, color="Z_2", show=False)
    found = by_place(cells, read_sivae.obsm["X_sivae"][:, :2], cells.collections[0].get_array())
    np.testing.assert_array_equal(found, read_sivae.obsm["X_sivae"][:, 2].astype(float))


def test_representation_of_the_model_whose_loadings_are_drawn(read_sivae, factors):
    """With results of another model beside, and under keys of one's own."""
    both = read_sivae.copy()
    both.obsm["X_orthogonal_ae"] = np.zeros((both.n_obs, 3), np.float32)
    both.uns["X_orthogonal_ae"] = both.uns["X_sivae"]
    expected = {tuple(one) for one in both.obsm["X_sivae"][:, :2].astype(float)}

    def drawn(**keys):
        cells, _ = pld.pl.cell_gene_embedding(both, color="Z_0", show=False, **keys)
        return {tuple(one) for one in np.asarray(cells.collections[0].get_offsets())}

    assert drawn() == expected
    for slot, key in (("obsm", "X_sivae"), ("varm", "sivae_loadings")):
        getattr(both, slot)[f"mine_{key}"] = getattr(both, slot).pop(key)
        both.uns[f"mine_{key}"] = both.uns.pop(key)
    assert drawn(use_rep="mine_X_sivae", key="mine_sivae_loadings") == expected
    cells, _ = pld.pl.cell_gene_embedding(factors, color="age", show=False)
    assert cells.get_xlabel().startswith("REACTOME ANTIVIRAL")


def test_from_a_file(read_sivae, round_trip, unchanged):
    with unchanged(read_sivae):
        before = pld.pl.cell_gene_embedding(read_sivae, color="GENE3", show=False)
    after = pld.pl.cell_gene_embedding(round_trip(read_sivae), color="GENE3", show=False)
    for one, other in zip(before, after, strict=True):
        for points, same in zip(one.collections, other.collections, strict=True):
            np.testing.assert_array_equal(points.get_offsets(), same.get_offsets())
            np.testing.assert_array_equal(points.get_array(), same.get_array())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"color": "sex"}, KeyError, r"color='sex' is not in adata\.obs"),
        ({"color": "Z_0", "use_rep": "X_scvi"}, KeyError, r"'X_scvi'.*tl\.latent"),
        ({"color": "Z_0", "key": "other"}, KeyError, r"'other'.*tl\.loadings"),
        ({"color": "Z_0", "components": (0, 7)}, ValueError, r"components=\(0, 7\)"),
        ({"color": "Z_0", "label": ["x"]}, KeyError, "'x' not found in adata.var_names"),
        ({"color": "GENE1", "layer": "counts"}, KeyError, "layer 'counts'"),
    ],
)
def test_bad_input(arguments, error, message, read_sivae):
    with pytest.raises(error, match=message):
        pld.pl.cell_gene_embedding(read_sivae, **arguments)
    assert not plt.get_fignums()


def test_units_of_two_models(read_sivae):
    read_sivae.uns["sivae_loadings"] = {"latent_names": np.array(["Z_0", "Z_1", "Z_4"])}
    with pytest.raises(ValueError, match="have other units and are not of one model"):
        pld.pl.cell_gene_embedding(read_sivae, color="Z_0", use_rep="X_sivae")
