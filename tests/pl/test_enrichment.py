from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from anndata import AnnData

import pellucid as pld

NAMES = [
    "HALLMARK_EPITHELIAL_MESENCHYMAL_TRANSITION_AND_WHAT_ELSE_A_LONG_NAME_MAY_HOLD",
    *("HALLMARK_B/$CELL$", "HALLMARK_T_CELL", "HALLMARK_MYC"),
]


@pytest.fixture
def enriched():
    """Four sets of 20 genes; the first three units read one set each, "d" reads none."""
    random = np.random.default_rng(0)
    scores = random.gamma(0.5, size=(200, 4))
    sets = {}
    for place, name in enumerate(NAMES):
        sets[name] = [f"G{gene}" for gene in range(20 * place, 20 * place + 20)]
        if place < 3:
            scores[20 * place : 20 * place + 10 - place, place] += 10
    scores[60:70, 0] += 8
    scores[:, 3] = 1
    adata = AnnData(np.ones((2, 200), np.float32), varm={"attribution": scores})
    adata.var_names = [f"G{gene}" for gene in range(200)]
    adata.uns["attribution"] = {"latent_names": np.array(["Z_0", "b/1", "Z_2", "d"])}
    pld.tl.enrich(adata, sets)
    return adata


def labels(axis) -> list[str]:
    return [label.get_text().replace("\n", " ") for label in axis.get_ticklabels()]


def notes(ax) -> str:
    return " ".join(text.get_text() for text in ax.figure.texts).replace("\n", " ")


def test_dots(enriched, assert_legible):
    ax = pld.pl.enrichment(enriched, show=False)
    assert labels(ax.xaxis) == ["Z_0", "b/1", "Z_2"]
    shown = [name.removeprefix("HALLMARK_").replace("_", " ") for name in NAMES]
    assert labels(ax.yaxis) == [shown[0], shown[3], shown[1], shown[2]]
    table = pld.get.enrichment(enriched).query("padj < 0.05")
    (dots,) = ax.collections
    assert len(dots.get_offsets()) == len(table) == 4
    at = {}
    for (x, y), size, value in zip(
        dots.get_offsets(), dots.get_sizes(), dots.get_array(), strict=True
    ):
        row = int(np.abs(ax.get_yticks() - y).argmin())
        at[labels(ax.xaxis)[round(x)], labels(ax.yaxis)[row]] = size, value
    largest = table["overlap"].max()
    for row in table.itertuples():
        name = row.gene_set.removeprefix("HALLMARK_").replace("_", " ")
        size, value = at[row.unit, name]
        assert value == pytest.approx(-np.log10(row.padj))
        assert size / dots.get_sizes().max() == pytest.approx(row.overlap / largest)
    assert "Names without HALLMARK_." in notes(ax)
    assert "Left out: 1 not enriched of 4 units (d)." in notes(ax)
    assert_legible(ax.figure)


def test_best_sets_of_each_unit(enriched, assert_legible):
    ax = pld.pl.enrichment(enriched, n_sets=1, show=False)
    assert len(ax.get_yticks()) == 3
    assert "The best set of each unit: 3 of 4 significant ones." in notes(ax)
    assert_legible(ax.figure)


def test_chosen_units_in_their_order(enriched, assert_legible):
    ax = pld.pl.enrichment(enriched, units=["Z_2", "Z_0"], show=False)
    assert labels(ax.xaxis) == ["Z_2", "Z_0"]
    assert labels(ax.yaxis)[0] == "T CELL"
    assert_legible(ax.figure)
    ax = pld.pl.enrichment(enriched, units=["b/1"], show=False)
    assert len(ax.collections[0].get_offsets()) == 1
    assert_legible(ax.figure)


def test_as_many_sets_as_there_is_room_for(assert_legible):
    """Forty units of three sets each: one set of each is drawn, and no fewer."""
    scores = np.zeros((1200, 40))
    sets = {}
    for place in range(120):
        genes = slice(10 * place, 10 * place + 10)
        scores[genes, place // 3] = 3 - place % 3
        sets[f"S{place}"] = [f"G{gene}" for gene in range(genes.start, genes.stop)]
    adata = AnnData(np.ones((1, 1200), np.float32), varm={"loadings": scores})
    adata.var_names = [f"G{gene}" for gene in range(1200)]
    adata.uns["loadings"] = {"latent_names": np.array([f"Z_{unit}" for unit in range(40)])}
    pld.tl.enrich(adata, sets, top=0.02, key="loadings", key_added="mine")
    ax = pld.pl.enrichment(adata, key="mine", show=False)
    assert len(ax.get_yticks()) == 40
    assert_legible(ax.figure)
    some = [f"Z_{unit}" for unit in range(15)]
    ax = pld.pl.enrichment(adata, units=some, key="mine", show=False)
    assert len(ax.get_yticks()) == 30
    assert "The 2 best sets of each unit" in notes(ax)


def test_from_a_file(enriched, round_trip, unchanged):
    with unchanged(enriched):
        before = pld.pl.enrichment(enriched, return_fig=True)
    after = pld.pl.enrichment(round_trip(enriched), return_fig=True)
    found, expected = (figure.axes[0].collections[0] for figure in (after, before))
    np.testing.assert_array_equal(found.get_offsets(), expected.get_offsets())
    np.testing.assert_allclose(found.get_array(), expected.get_array())


def test_save_and_show(enriched, tmp_path):
    pld.pl.enrichment(enriched, save=tmp_path / "figure.pdf", show=False)
    assert (tmp_path / "figure.pdf").stat().st_size > 1000
    assert pld.pl.enrichment(enriched, show=True) is None
    assert not plt.get_fignums()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_sets": 0}, ValueError, "n_sets=0"),
        ({"units": ["Z_9"]}, ValueError, r"units: 'Z_9' is none of the 4"),
        ({"units": []}, ValueError, "units: no factor"),
        ({"units": ["d"]}, ValueError, r"in any of 1 units: none ranks"),
        ({"key": "mine"}, KeyError, r"'mine'.*tl\.enrich"),
    ],
)
def test_bad_input(arguments, error, message, enriched):
    with pytest.raises(error, match=message):
        pld.pl.enrichment(enriched, **arguments)
    assert not plt.get_fignums()


def test_nothing_significant(enriched):
    enriched.uns["enrichment"]["results"]["padj"] = 0.2
    with pytest.raises(ValueError, match=r"lowest q value is 0\.2.*get\.enrichment"):
        pld.pl.enrichment(enriched)
