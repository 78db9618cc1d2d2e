from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from anndata import AnnData

import pellucid as pld

SETS = [
    "HALLMARK_DNA_REPAIR",
    "HALLMARK_B/$CELL$",
    "HALLMARK_HYPOXIA",
    "HALLMARK_MYC",
    "HALLMARK_X",
]
UNITS = ["Z_0", "b/1", "Z_2", "Z_3", "Z_4", "Z_5"]
COUNTS = np.array(
    [[3, 0, 0, 3, 0, 1], [0, 1, 0, 0, 0, 1], [0, 0, 0, 0, 0, 2], [0, 1, 0, 0, 0, 1], [0] * 6]
)


@pytest.fixture
def tested():
    adata = AnnData(np.ones((2, 5), np.float32))
    adata.uns["gsea"] = {
        "params": {"function": "tl.gsea", "alpha": 0.05},
        "n_significant": COUNTS,
        "set_names": np.array(SETS),
        "latent_names": np.array(UNITS),
        "groups": np.array(["x", "y", "z"]),
    }
    return adata


def drawn(ax) -> dict:
    rows, columns = (
        [label.get_text() for label in axis.get_ticklabels()] for axis in (ax.yaxis, ax.xaxis)
    )
    values = np.asarray(ax.collections[0].get_array()).reshape(len(rows), len(columns))
    return {(r, c): values[i, j] for i, r in enumerate(rows) for j, c in enumerate(columns)}


def note(ax) -> str:
    return " ".join(text.get_text() for text in ax.figure.texts).replace("\n", " ")


def test_counts(tested, assert_legible):
    ax = pld.pl.gsea_frequency(tested, show=False)
    found = drawn(ax)
    names = [name.removeprefix("HALLMARK_").replace("_", " ") for name in SETS]
    expected = {
        (names[i], UNITS[j]): COUNTS[i, j]
        for i in range(4)  # the last set is in no unit
        for j in (0, 1, 3, 4, 5)
        if COUNTS[:, j].any()
    }
    assert found == expected
    # Units with the same sets stand together.
    order = [label.get_text() for label in ax.get_xticklabels()]
    assert abs(order.index("Z_0") - order.index("Z_3")) == 1
    text = note(ax)
    assert (
        "Significant sets of 6 units: none in 2, one in 2, two in 1, three in 0, more in 1."
        in text
    )
    assert "4 of 5 gene sets are significant." in text
    assert "Names without HALLMARK_." in text
    assert "Left out: 2 not enriched of 6 units (Z_2, Z_4)." in text
    bar = ax.figure.axes[-1]
    assert bar.get_yticks().tolist() == [0, 1, 2, 3]
    assert bar.get_ylabel().replace("\n", " ") == "Groups in which it is significant"
    assert_legible(ax.figure)


def test_each_number_has_its_colour(tested):
    ax = pld.pl.gsea_frequency(tested, show=False)
    mesh = ax.collections[0]
    colors = {tuple(mesh.cmap(mesh.norm(number))) for number in range(4)}
    assert len(colors) == 4
    assert mesh.norm(0) == pytest.approx(1 / 8)


def test_without_groups(tested, assert_legible):
    del tested.uns["gsea"]["groups"]
    tested.uns["gsea"]["n_significant"] = np.minimum(COUNTS, 1)
    ax = pld.pl.gsea_frequency(tested, show=False)
    assert ax.figure.axes[-1].get_yticks().tolist() == [0, 1]
    assert ax.figure.axes[-1].get_ylabel() == "Significant"
    assert_legible(ax.figure)


def test_one_set_of_one_unit_and_many_groups(tested, assert_legible):
    counts = np.zeros_like(COUNTS)
    counts[1, 1] = 40
    tested.uns["gsea"]["n_significant"] = counts
    ax = pld.pl.gsea_frequency(tested, show=False)
    assert drawn(ax) == {("B/$CELL$", "b/1"): 40}
    assert len(ax.figure.axes[-1].get_yticks()) <= 11
    assert_legible(ax.figure)


def test_from_a_file(tested, round_trip, unchanged):
    with unchanged(tested):
        before = pld.pl.gsea_frequency(tested, return_fig=True)
    after = pld.pl.gsea_frequency(round_trip(tested), return_fig=True)
    assert drawn(after.axes[0]) == drawn(before.axes[0])


def test_save_and_show(tested, tmp_path):
    pld.pl.gsea_frequency(tested, save=tmp_path / "figure.pdf", show=False)
    assert (tmp_path / "figure.pdf").stat().st_size > 1000
    assert pld.pl.gsea_frequency(tested, show=True) is None
    assert not plt.get_fignums()


def test_nothing_to_draw(tested):
    tested.uns["gsea"]["n_significant"] = 0 * COUNTS
    with pytest.raises(ValueError, match=r"q < 0\.05\) in any of 6 units.*get\.gsea"):
        pld.pl.gsea_frequency(tested)
    with pytest.raises(KeyError, match=r"'mine'.*tl\.gsea"):
        pld.pl.gsea_frequency(tested, key="mine")
    assert not plt.get_fignums()
