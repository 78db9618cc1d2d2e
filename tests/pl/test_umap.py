from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from matplotlib.colors import to_rgba

import pellucid as pld


@pytest.fixture
def embedded(make_read):
    """With both UMAPs stored."""
    adata = make_read()
    random = np.random.default_rng(1)
    adata.obsm["X_umap"] = random.normal(size=(adata.n_obs, 2))
    adata.obsm["X_orthogonal_ae_umap"] = random.normal(size=(adata.n_obs, 2))
    return adata


def points(ax) -> np.ndarray:
    return np.asarray(ax.collections[0].get_offsets())


def in_any_order(coordinates) -> np.ndarray:
    coordinates = np.asarray(coordinates)
    return coordinates[np.lexsort(coordinates.T)]


def test_stored_coordinates_are_drawn(embedded):
    original, latent = pld.pl.umap(embedded, show=False)
    np.testing.assert_array_equal(points(original), embedded.obsm["X_umap"])
    np.testing.assert_array_equal(points(latent), embedded.obsm["X_orthogonal_ae_umap"])
    assert [ax.get_title(loc="left") for ax in (original, latent)] == ["Original data", "Latent"]
    assert not original.get_title()


def test_coordinates_are_computed_and_not_kept(make_read, unchanged):
    adata = make_read()[:80].copy()
    with unchanged(adata):
        original, latent = pld.pl.umap(adata, color="cell_type", show=False)
    sc.pp.neighbors(adata, use_rep="X_orthogonal_ae")
    sc.tl.umap(adata)
    np.testing.assert_allclose(points(latent), adata.obsm["X_umap"], rtol=1e-5)
    # It is known that they are the latent's now: the original is computed, not taken for it.
    again, kept = pld.pl.umap(adata, show=False)
    np.testing.assert_array_equal(points(kept), adata.obsm["X_umap"])
    np.testing.assert_array_equal(points(again), points(original))
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    sc.pp.pca(adata)
    sc.pp.neighbors(adata)
    sc.tl.umap(adata)
    np.testing.assert_allclose(points(original), adata.obsm["X_umap"], rtol=1e-5)


def test_categories(embedded, assert_legible):
    values = embedded.obs["cell_type"]
    embedded.uns["cell_type_colors"] = ["#ff0000", "#00ff00", "#0000ff"]
    figure = pld.pl.umap(embedded, color="cell_type", return_fig=True)
    original, latent = figure.axes
    for ax in (original, latent):
        colors = ax.collections[0].get_facecolors()
        expected = [to_rgba(["#ff0000", "#00ff00", "#0000ff"][code]) for code in values.cat.codes]
        np.testing.assert_allclose(colors, expected)
    assert original.get_legend() is None
    legend = [text.get_text() for text in latent.get_legend().get_texts()]
    assert legend == list(values.cat.categories)
    assert_legible(figure)


@pytest.mark.parametrize("n_groups", [2, 13, 17])
def test_many_categories_are_legible(make_read, assert_legible, n_groups):
    adata = make_read(n_groups=n_groups)
    adata.obsm["X_umap"] = adata.obsm["X_orthogonal_ae_umap"] = adata.obsm["X_orthogonal_ae"][
        :, :2
    ]
    adata.obs.iloc[:9, adata.obs.columns.get_loc("cell_type")] = np.nan
    figure = pld.pl.umap(adata, color="cell_type", return_fig=True)
    assert_legible(figure)
    legend = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert legend[-1] == "no label"
    assert len(legend) == n_groups + 1


def test_numbers_genes_and_units(embedded, assert_legible):
    embedded.obs["flag"] = embedded.obs["percent_mito"] > 0.02
    names = ["percent_mito", "CD79A", "Z_2", "cell_type", "flag"]
    figure = pld.pl.umap(embedded, color=names, return_fig=True)
    assert_legible(figure)
    axes = figure.axes
    log = sc.pp.log1p(sc.pp.normalize_total(embedded, target_sum=1e4, copy=True), copy=True)
    for row, expected in enumerate(
        [
            embedded.obs["percent_mito"],
            sc.get.obs_df(log, ["CD79A"])["CD79A"],
            embedded.obsm["X_orthogonal_ae"][:, 2],
        ]
    ):
        for ax, basis in zip(axes[2 * row :], ("X_umap", "X_orthogonal_ae_umap"), strict=False):
            # scanpy draws the largest last.
            found = pd.Series(ax.collections[0].get_array(), [tuple(p) for p in points(ax)])
            where = [tuple(p) for p in embedded.obsm[basis]]
            np.testing.assert_allclose(found[where], expected, rtol=1e-6)


def test_nothing_is_written(embedded, unchanged):
    embedded.obs["text"] = ["a", "b"] * (embedded.n_obs // 2)
    with unchanged(embedded):
        pld.pl.umap(embedded, color=["cell_type", "text", "CD79A"])


def test_layer_has_no_stored_coordinates(embedded, monkeypatch):
    computed = []
    monkeypatch.setattr(
        "scanpy.pp.neighbors",
        lambda cells, *, use_rep, random_state: computed.append(cells.obsm[use_rep]),
    )
    monkeypatch.setattr(
        "scanpy.tl.umap",
        lambda cells, *, random_state: cells.obsm.update(X_umap=cells.obsm["X"][:, :2]),
    )
    embedded.layers["log"] = np.log1p(embedded.X.toarray())
    _, latent = pld.pl.umap(embedded, layer="log", show=False)
    assert len(computed) == 1
    # Values that are no counts are not normalised again.
    expected = sc.pp.pca(embedded.layers["log"])
    np.testing.assert_allclose(np.abs(computed[0]), np.abs(expected), atol=1e-3)
    np.testing.assert_array_equal(points(latent), embedded.obsm["X_orthogonal_ae_umap"])


def test_errors_name_what_is_missing(cells, embedded):
    with pytest.raises(KeyError, match=r"X_orthogonal_ae.*tl\.latent"):
        pld.pl.umap(cells)
    with pytest.raises(KeyError, match=r"'no such' is not in adata\.obs.*cell_type.*6 units"):
        pld.pl.umap(embedded, color=["cell_type", "no such"])
    with pytest.raises(KeyError, match="layer 'no such' not found"):
        pld.pl.umap(embedded, layer="no such")
