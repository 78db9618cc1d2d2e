from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from scipy import sparse

import pellucid as pld
from pellucid.pl._network_drawing import place_nodes

GENES = ["GENE1", "GENE2", "GENE3", "GENE21", "GENE22", "GENE41", "GENE100"]
SETS = {"one": ["GENE1", "GENE2", "GENE3"], "two": ["GENE21", "GENE22"]}


@pytest.fixture
def adata(read_sivae):
    pld.tl.gene_neighbors(read_sivae, n_neighbors=12)
    return read_sivae


def edges(ax):
    (lines,) = (found for found in ax.collections if isinstance(found, LineCollection))
    return lines


def test_edges_are_those_of_the_chosen_genes(adata):
    ax = pld.pl.gene_network(adata, GENES, layout="circular", show=False)
    places = adata.var_names.get_indexer(GENES)
    weights = adata.varp["gene_neighbors_connectivities"].toarray()[np.ix_(places, places)]
    angle = np.pi / 2 - 2 * np.pi * np.arange(len(GENES)) / len(GENES)
    xy = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    np.testing.assert_allclose(ax.collections[0].get_offsets(), xy, atol=1e-6)
    found = {
        tuple(sorted(np.abs(xy - end).sum(axis=1).argmin() for end in line)): width
        for line, width in zip(edges(ax).get_segments(), edges(ax).get_linewidths(), strict=True)
    }
    expected = {tuple(pair): weights[tuple(pair)] for pair in np.argwhere(np.triu(weights, 1))}
    assert set(found) == set(expected)
    assert len(found) == 3
    pairs = list(found)
    assert (
        np.argsort([found[pair] for pair in pairs]).tolist()
        == np.argsort([expected[pair] for pair in pairs]).tolist()
    )


def test_every_gene_is_named_once(adata):
    ax = pld.pl.gene_network(adata, [*GENES, GENES[0]], show=False)
    assert sorted(text.get_text() for text in ax.texts if text.get_text()) == sorted(GENES)


def test_parts_lie_apart():
    blocks = [np.ones((4, 4)) - np.eye(4), np.ones((3, 3)) - np.eye(3), np.zeros((1, 1))]
    xy = place_nodes(sparse.block_diag(blocks), "spring")
    assert np.abs(xy).max() == pytest.approx(1)
    part = np.repeat([0, 1, 2], [4, 3, 1])
    distance = np.linalg.norm(xy[:, None] - xy, axis=2)
    within = distance[(part[:, None] == part) & ~np.eye(8, dtype=bool)]
    assert within.min() > 0
    assert distance[part[:, None] != part].min() > 0.2
    np.testing.assert_array_equal(xy, place_nodes(sparse.block_diag(blocks), "spring"))


def test_coloured_by_set_or_number(adata):
    ax = pld.pl.gene_network(adata, GENES, gene_sets=SETS, show=False)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["one", "two", "other genes"]
    ax = pld.pl.gene_network(adata, GENES[:5], gene_sets=SETS, show=False)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["one", "two"]
    ax = pld.pl.gene_network(adata, GENES, color="mean", show=False)
    drawn = np.sort(ax.collections[0].get_array())
    np.testing.assert_allclose(drawn, np.sort(adata.var.loc[GENES, "mean"]))


def test_no_edge_at_all(adata):
    ax = pld.pl.gene_network(adata, ["GENE1", "GENE21"], show=False)
    assert not any(isinstance(found, LineCollection) for found in ax.collections)


FAILS = {
    "layout": ({"layout": "force"}, ValueError, "'force' is unknown"),
    "one gene": ({"genes": "GENE1"}, ValueError, "names 1 gene"),
    "unknown gene": ({"genes": ["GENE1", "X"]}, KeyError, "'X' not found in adata.var_names"),
    "color": ({"color": "other"}, KeyError, "color='other' not found"),
    "both": ({"color": "mean", "gene_sets": SETS}, ValueError, "both given"),
    "set": ({"gene_sets": "other"}, ValueError, "'other' is none of the 3 sets"),
    "key": ({"key": "other"}, KeyError, r"tl\.gene_neighbors"),
}


@pytest.mark.parametrize("case", FAILS)
def test_bad_input(adata, case, unchanged):
    arguments, error, message = FAILS[case]
    with unchanged(adata), pytest.raises(error, match=message):
        pld.pl.gene_network(adata, **{"genes": GENES, **arguments})


def test_names_that_stand_twice(adata):
    adata.var_names = ["GENE5", "GENE5", *adata.var_names[2:]]
    with pytest.raises(ValueError, match="1 gene names stand more than once"):
        pld.pl.gene_network(adata, GENES[2:], show=False)
