from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba

import pellucid as pld

X, Y = "REACTOME_ANTIVIRAL_MECHANISM_BY_IFN_STIMULATED_GENES", "REACTOME/INTERFERON_SIGNALING"


def points(ax) -> np.ndarray:
    return np.asarray(ax.collections[0].get_offsets())


def test_scores_are_drawn_in_the_colours_of_their_groups(factors, assert_legible):
    factors.uns["condition_colors"] = ["#ff0000", "#00ff00"]
    ax = pld.pl.factor_scatter(factors, X, Y, color="condition", show=False)
    expected = {
        tuple(score): to_rgba("#00ff00" if name == "stim/1" else "#ff0000")
        for score, name in zip(
            factors.obsm["X_annotated_ae"][:, :2].astype(float).tolist(),
            factors.obs["condition"],
            strict=True,
        )
    }
    found = zip(points(ax).tolist(), ax.collections[0].get_facecolors().tolist(), strict=True)
    assert {tuple(point): tuple(color) for point, color in found} == expected
    assert ax.get_xlabel().replace("\n", " ") == X.replace("_", " ")
    assert ax.get_ylabel().replace("\n", " ") == Y.replace("_", " ")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["ctrl", "stim/1"]
    assert len(ax.get_xticks()) > 2
    assert_legible(ax.figure)


def test_no_group_covers_another(factors):
    """The order of the cells in the AnnData is not that in which they are drawn."""
    by_group = factors[np.argsort(factors.obs["condition"].to_numpy())].copy()
    ax = pld.pl.factor_scatter(by_group, X, Y, color="condition", show=False)
    colors = ax.collections[0].get_facecolors()
    assert np.any(np.diff(colors, axis=0), axis=1).sum() > 20


def test_numbers(factors, assert_legible):
    ax = pld.pl.factor_scatter(factors, X, Y, color="age", show=False)
    by_point = dict(zip(map(tuple, points(ax)), ax.collections[0].get_array(), strict=True))
    for score, age in zip(
        factors.obsm["X_annotated_ae"][:, :2].astype(float), factors.obs["age"], strict=True
    ):
        assert by_point[tuple(score)] == age
    assert_legible(ax.figure)


def test_many_categories_and_cells_without_a_label(factors, assert_legible):
    factors.obs.loc["cell3", "cell_type"] = np.nan
    ax = pld.pl.factor_scatter(factors, X, Y, color="cell_type", show=False)
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert len(legend) == 14
    assert legend[-1] == "no label"
    assert_legible(ax.figure)


def test_in_axes_of_ones_own(factors, assert_legible):
    figure, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
    for ax, color in zip(axes, ("condition", "age"), strict=True):
        assert pld.pl.factor_scatter(factors, X, Y, color=color, ax=ax, show=False) is ax
    assert len(plt.get_fignums()) == 1
    assert_legible(figure)


def test_nothing_is_written(factors, unchanged):
    with unchanged(factors):
        pld.pl.factor_scatter(factors, X, Y, color="donor")


def test_bad_input(factors):
    with pytest.raises(KeyError, match=r"color='state' not found in adata\.obs.*condition"):
        pld.pl.factor_scatter(factors, X, Y, color="state")
    with pytest.raises(KeyError, match=r"'X_scvi'.*tl\.latent"):
        pld.pl.factor_scatter(factors, X, Y, color="age", use_rep="X_scvi")
    # A part of the name is enough for a hint.
    with pytest.raises(ValueError, match=r"'bcr' is none of the 6 factors, such as '.*_BCR'\."):
        pld.pl.factor_scatter(factors, X, "bcr", color="age")
    with pytest.raises(ValueError, match=rf"'{Y}S' is none of .*'{Y}'"):
        pld.pl.factor_scatter(factors, f"{Y}S", X, color="age")
