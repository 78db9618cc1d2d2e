from __future__ import annotations

import numpy as np
import pytest

import pellucid as pld


def labels(ax) -> list[str]:
    return [label.get_text().replace("\n", " ") for label in ax.get_yticklabels()]


@pytest.fixture
def separated(factors):
    pld.tl.factor_separation(factors, groupby="condition", group="stim/1")
    pld.tl.factor_separation(factors, groupby="cell_type", n_folds=3, key_added="by_type")
    return factors


def test_draws_what_is_stored(separated, assert_legible):
    (ax,) = pld.pl.factor_separation(separated, show=False)
    table = pld.get.factor_separation(separated)
    shown = [name.replace("_", " ") for name in table["factor"]]
    assert [name.replace("_", " ") for name in labels(ax)] == shown
    majority, training, held_out = ax.lines
    assert set(majority.get_xdata()) == {0.6}
    np.testing.assert_array_equal(training.get_xdata(), table["accuracy"])
    np.testing.assert_array_equal(held_out.get_xdata(), table["cv_accuracy"])
    # From the top, at the names.
    assert ax.yaxis_inverted()
    np.testing.assert_allclose(held_out.get_ydata(), ax.get_yticks())
    assert ax.get_title(loc="left") == "stim/1 against rest"
    low, high = ax.get_xlim()
    assert low < min(table["cv_accuracy"].min(), table["accuracy"].min(), 0.6)
    assert high == 1
    assert_legible(ax.figure)


def test_a_panel_for_each_comparison(separated, assert_legible):
    axes = pld.pl.factor_separation(separated, key="by_type", show=False)
    assert [ax.get_title(loc="left") for ax in axes] == [
        f"{name} against rest" for name in separated.obs["cell_type"].cat.categories
    ]
    table = pld.get.factor_separation(separated, key="by_type")
    for ax, (_, rows) in zip(axes, table.groupby("group", sort=False), strict=True):
        assert len(labels(ax)) == 3
        np.testing.assert_array_equal(ax.lines[2].get_xdata(), rows["cv_accuracy"].iloc[:3])
    note = axes[0].figure.get_supxlabel().replace("\n", " ")
    assert note == "The 3 factors of the highest cross-validated accuracy, of 6."
    assert_legible(axes[0].figure)


def test_what_is_chosen(separated):
    (ax,) = pld.pl.factor_separation(separated, key="by_type", group="type 7", show=False)
    assert ax.get_title(loc="left") == "type 7 against rest"
    (ax,) = pld.pl.factor_separation(separated, n_factors=2, show=False)
    assert len(labels(ax)) == 2
    (ax,) = pld.pl.factor_separation(separated, factors=["dense_0", "SET 2/$B$"], show=False)
    assert sorted(labels(ax)) == ["SET 2/$B$", "dense 0"]


def test_collection_is_named_once(separated, assert_legible):
    results = separated.uns["factor_separation"]["results"]
    results["factor"] = [f"REACTOME_{name}" for name in ("A", "B_C", "D", "E")] + [
        "sparse_0",
        "dense_0",
    ]
    figure = pld.pl.factor_separation(separated, return_fig=True)
    assert set(labels(figure.axes[0])) == {"A", "B C", "D", "E", "sparse 0", "dense 0"}
    assert figure.get_supxlabel() == "Names without REACTOME_."
    assert_legible(figure)


def test_from_a_file(separated, round_trip):
    (ax,) = pld.pl.factor_separation(round_trip(separated), show=False)
    assert len(labels(ax)) == 6


def test_bad_input(factors, separated):
    with pytest.raises(ValueError, match=r"group='sham' was not compared; .*\['stim/1'\]"):
        pld.pl.factor_separation(separated, group="sham")
    with pytest.raises(ValueError, match=r"factors: 'set 3' is none of the 6 factors"):
        pld.pl.factor_separation(separated, factors=["set 3"])
    with pytest.raises(ValueError, match="n_factors=0"):
        pld.pl.factor_separation(separated, n_factors=0)
    del factors.uns["factor_separation"]
    with pytest.raises(KeyError, match=r"tl\.factor_separation"):
        pld.pl.factor_separation(factors)
