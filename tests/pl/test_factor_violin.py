from __future__ import annotations

import numpy as np
import pytest

import pellucid as pld


def test_a_row_a_factor_and_a_violin_a_group(factors, assert_legible):
    names = factors.uns["X_annotated_ae"]["latent_names"].tolist()
    axes = pld.pl.factor_violin(factors, names, groupby="cell_type", show=False)
    groups = factors.obs["cell_type"].cat.categories
    scores = factors.obsm["X_annotated_ae"].astype(float)
    for ax, name, column in zip(axes, names, scores.T, strict=True):
        assert ax.get_ylabel().replace("\n", " ").replace("_", " ") == name.replace("_", " ")
        *violins, medians = ax.collections
        by_group = [column[factors.obs["cell_type"] == group] for group in groups]
        np.testing.assert_allclose(medians.get_offsets()[:, 1], [np.median(g) for g in by_group])
        if name == names[2]:  # deactivated: no density
            assert not violins
            continue
        for place, (violin, values) in enumerate(zip(violins, by_group, strict=True)):
            outline = violin.get_paths()[0].vertices
            assert outline[:, 0].mean() == pytest.approx(place, abs=0.05)
            np.testing.assert_allclose(
                (outline[:, 1].min(), outline[:, 1].max()), (values.min(), values.max())
            )
    assert [label.get_text() for label in axes[-1].get_xticklabels()] == groups.to_list()
    assert_legible(axes[0].figure)
    width, height = axes[0].figure.get_size_inches()
    assert max(width, height) < 8


def test_few_cells_are_drawn_one_by_one(factors, assert_legible):
    factors.obs["condition"] = factors.obs["condition"].cat.add_categories(["four", "five"])
    few, enough = factors.obs_names[:4], factors.obs_names[4:9]
    factors.obs.loc[few, "condition"] = "four"
    factors.obs.loc[enough, "condition"] = "five"
    (ax,) = pld.pl.factor_violin(factors, "dense_0", groupby="condition", show=False)
    *violins, medians = ax.collections
    assert len(violins) == len(medians.get_offsets()) - 1 == 3
    (cells,) = (line for line in ax.lines if line.get_marker() == ".")
    np.testing.assert_array_equal(cells.get_xdata(), [2] * 4)
    np.testing.assert_array_equal(cells.get_ydata(), factors.obsm["X_annotated_ae"][:4, 5])
    assert_legible(ax.figure)


def test_groups_without_density(factors, assert_legible):
    """One cell, or the same score in all."""
    factors.obs["condition"] = factors.obs["condition"].cat.add_categories("lone")
    factors.obs.loc["cell0", "condition"] = "lone"
    factors.obsm["X_annotated_ae"][factors.obs["condition"] == "ctrl", 1] = 3
    (ax,) = pld.pl.factor_violin(
        factors, "REACTOME/INTERFERON_SIGNALING", groupby="condition", show=False
    )
    *violins, medians = ax.collections
    assert len(violins) == 1
    expected = [3, factors.obsm["X_annotated_ae"][0, 1]]
    np.testing.assert_allclose(medians.get_offsets()[[0, 2], 1], expected)
    assert_legible(ax.figure)


def test_cells_without_a_label_are_left_out(factors):
    factors.obs.loc[factors.obs_names[:60], "condition"] = np.nan
    (ax,) = pld.pl.factor_violin(factors, "dense_0", groupby="condition", show=False)
    stim = (factors.obs["condition"] == "stim/1").to_numpy()
    assert ax.collections[-1].get_offsets()[1, 1] == pytest.approx(
        np.median(factors.obsm["X_annotated_ae"][stim, 5])
    )


def test_bad_input(factors):
    with pytest.raises(ValueError, match=r"factors: 'sparse_1' is none of .*'sparse_0'"):
        pld.pl.factor_violin(factors, "sparse_1", groupby="condition")
    with pytest.raises(ValueError, match="factors: no factor is none of the 6"):
        pld.pl.factor_violin(factors, [], groupby="condition")
    with pytest.raises(KeyError, match=r"groupby='state' not found"):
        pld.pl.factor_violin(factors, "sparse_0", groupby="state")
