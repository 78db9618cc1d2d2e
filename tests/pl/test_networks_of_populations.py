"""Figures of populations and their networks: what is drawn where."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import LineCollection

import pellucid as pld

MODULE = [f"gene{i}" for i in range(10)]


@pytest.fixture
def compared(populations):
    pld.tl.compare_networks(populations, n_neighbors=9)
    pld.tl.associate_centrality(populations, "rewired")
    pld.tl.associate_edges(populations, "rewired", n_central=60, n_neighbors=7)
    return populations


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def texts(ax) -> list[str]:
    return [text.get_text() for text in ax.texts if text.get_text()]


def entries(ax) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_populations_lie_at_their_components(compared):
    compared.uns["rewired_colors"] = ["#ff0000", "#0000ff"]
    ax = pld.pl.network_embedding(compared, color="rewired", components=(1, 0), show=False)
    found = compared.uns["network_comparison"]
    points = ax.collections[0]
    np.testing.assert_allclose(points.get_offsets(), found["pcs"][:, [1, 0]])
    np.testing.assert_array_equal(points.get_facecolors()[:4, 0], [1, 0, 1, 0])
    assert ax.get_xlabel() == f"PC2 ({found['variance_ratio'][1]:.0%} of variance)"
    assert entries(ax) == ["as before", "re/wired"]
    assert len(texts(ax)) >= 1
    assert set(texts(ax)) <= set(found["populations"])
    numbers = pld.pl.network_embedding(compared, color="efficiency", show=False).collections[0]
    # scanpy draws the largest last.
    order = np.argsort(compared.obs["efficiency"].to_numpy()[::2])
    np.testing.assert_allclose(
        numbers.get_array(), compared.obs["efficiency"].to_numpy()[::2][order]
    )
    np.testing.assert_allclose(numbers.get_offsets(), found["pcs"][order, :2])


def test_genes_lie_at_their_correlations(compared):
    ax = pld.pl.centrality_association(compared, label=4, show=False)
    table = compared.uns["centrality_association"]["results"].set_index("gene")
    drawn = {
        entry: len(c.get_offsets())
        for c, entry in zip(ax.collections, entries(ax)[::-1], strict=True)
    }
    significant = table["padj"] < 0.05
    assert drawn[f"centrality ({significant.sum()})"] == significant.sum() == 10
    assert sum(drawn.values()) == 60
    expected = table.loc[significant, ["mean_correlation", "correlation"]]
    np.testing.assert_allclose(ax.collections[3].get_offsets(), expected)
    assert len(texts(ax)) == 4
    assert set(texts(ax)) <= set(MODULE)


def test_edges_of_both_groups_and_of_one(compared):
    genes = [*MODULE, *(f"gene{i}" for i in range(10, 16)), "gene55"]
    ax = pld.pl.gene_network_difference(compared, genes, show=False)
    table = compared.uns["edge_association"]["edges"]
    table = table[table["gene_1"].isin(genes) & table["gene_2"].isin(genes)]
    has = [(table[f"share_{group}"] >= 0.2).to_numpy() for group in (0, 1)]
    expected = [(has[0] & has[1]).sum(), (has[0] & ~has[1]).sum(), (has[1] & ~has[0]).sum()]
    lines = [found for found in ax.collections if isinstance(found, LineCollection)]
    assert [len(found.get_segments()) for found in lines] == expected
    assert expected[1] > 30
    assert expected[0] > 5
    names = ("both", "as before alone", "re/wired alone")
    assert entries(ax) == [f"{name} ({n})" for name, n in zip(names, expected, strict=True)]
    assert sorted(texts(ax)) == sorted(genes)


FAILS = {
    "component": ("network_embedding", {"components": (0, 10)}, ValueError, "two of 0 to 9"),
    "column": ("network_embedding", {"color": "age"}, KeyError, "'age' not found"),
    "cells differ": ("network_embedding", {"color": "cell_type"}, ValueError, "16 of 16"),
    "no result": ("network_embedding", {"key": "x"}, KeyError, "tl.compare_networks"),
    "level": ("centrality_association", {"alpha": 1}, ValueError, "alpha=1"),
    "label": ("centrality_association", {"label": -1}, ValueError, "label=-1"),
    "gene": ("gene_network_difference", {"genes": ["TP53", "x"]}, KeyError, "'TP53', 'x'"),
    "one gene": ("gene_network_difference", {"genes": MODULE[:1]}, ValueError, "names 1 gene"),
    "a name": ("gene_network_difference", {"genes": "gene1"}, ValueError, "names 1 gene"),
    "share": ("gene_network_difference", {"genes": MODULE, "min_share": 0}, ValueError, "=0"),
    "layout": ("gene_network_difference", {"genes": MODULE, "layout": "x"}, ValueError, "='x'"),
}  # fmt: skip


@pytest.mark.parametrize(("figure", "arguments", "error", "message"), FAILS.values(), ids=FAILS)
def test_failures_tell_what_to_do(compared, figure, arguments, error, message):
    with pytest.raises(error, match=message):
        getattr(pld.pl, figure)(compared, show=False, **arguments)
    assert not plt.get_fignums()


def test_a_difference_is_of_two_groups(compared):
    pld.tl.associate_edges(compared, "efficiency", n_central=60, n_neighbors=7)
    with pytest.raises(ValueError, match="is of 'efficiency', which is numbers"):
        pld.pl.gene_network_difference(compared, MODULE, show=False)


def test_genes_that_were_not_tested_have_no_edges_to_draw(compared):
    pld.tl.associate_edges(compared, "rewired", genes=MODULE, n_central=60, n_neighbors=7)
    with pytest.raises(ValueError, match=r"'gene12' not among the 10 genes .* genes="):
        pld.pl.gene_network_difference(compared, [*MODULE, "gene12"], show=False)
    assert not plt.get_fignums()
