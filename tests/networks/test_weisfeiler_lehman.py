"""The kernel against one made of plain dictionaries, and against networkx."""

from __future__ import annotations

from collections import Counter

import networkx as nx
import numpy as np
import pytest
from scipy import sparse

from pellucid.networks import weisfeiler_lehman


@pytest.fixture
def graphs() -> list[np.ndarray]:
    """Ten graphs of 12 nodes, sparse ones among them, so that neighbourhoods match."""
    rng = np.random.default_rng(0)
    found = []
    for share in np.linspace(0.05, 0.4, 10):
        upper = np.triu(rng.random((12, 12)) < share, 1)
        found.append(upper | upper.T)
    return found


def by_dictionaries(graphs, labels, n_iterations) -> np.ndarray:
    """Labels are nested tuples; nothing is renumbered."""
    n = len(graphs)
    kernel = np.zeros((n, n))
    around = [{i: np.flatnonzero(row).tolist() for i, row in enumerate(g)} for g in graphs]
    label = [{i: (len(a[i]) if labels == "degree" else i) for i in a} for a in around]
    for iteration in range(n_iterations + 1):
        if iteration:
            label = [
                {i: (of[i], tuple(sorted((of[j] for j in a[i]), key=repr))) for i in a}
                for of, a in zip(label, around, strict=True)
            ]
        counts = []
        for of, a in zip(label, around, strict=True):
            if labels == "degree":
                counts.append(Counter(of.values()))
            else:
                counts.append(Counter(frozenset((of[i], of[j])) for i in a for j in a[i] if i < j))
        for i in range(n):
            for j in range(n):
                kernel[i, j] += sum(c * counts[j][x] for x, c in counts[i].items())
    return kernel


@pytest.mark.parametrize("labels", ["degree", "gene"])
@pytest.mark.parametrize("n_iterations", [0, 1, 3])
def test_is_what_dictionaries_give(graphs, labels, n_iterations):
    expected = by_dictionaries(graphs, labels, n_iterations)
    options = {"labels": labels, "n_iterations": n_iterations}
    found = weisfeiler_lehman(graphs, normalize=False, **options)
    np.testing.assert_array_equal(found, expected)
    root = np.sqrt(np.diag(expected))
    assert root.min() > 0
    np.testing.assert_allclose(
        weisfeiler_lehman([sparse.csr_matrix(g) for g in graphs], **options),
        expected / np.outer(root, root),
    )


def test_counts_labels_as_networkx_does(graphs):
    counts = []
    for adjacency in graphs:
        graph = nx.from_numpy_array(adjacency)
        # networkx joins labels to one text, which must not run into each other.
        degree = {node: f"{count}|" for node, count in graph.degree}
        nx.set_node_attributes(graph, degree, "degree")
        # It hands out the labels of iterations 1 to n.
        found = nx.weisfeiler_lehman_subgraph_hashes(graph, node_attr="degree", iterations=2)
        labels = Counter(hashed for of_node in found.values() for hashed in of_node)
        counts.append(labels + Counter(degree.values()))
    expected = [[sum(a[x] * b[x] for x in a) for b in counts] for a in counts]
    found = weisfeiler_lehman(graphs, n_iterations=2, normalize=False)
    np.testing.assert_array_equal(found, expected)


def test_the_shape_of_a_graph_is_not_its_genes(graphs):
    order = np.random.default_rng(1).permutation(12)
    shuffled = graphs[5][np.ix_(order, order)]
    same = [graphs[5], shuffled]
    assert weisfeiler_lehman(same)[0, 1] == pytest.approx(1)
    shared = (graphs[5] & shuffled).sum() / graphs[5].sum()
    by_gene = weisfeiler_lehman(same, labels="gene", n_iterations=0)
    assert by_gene[0, 1] == pytest.approx(shared)
    assert shared < 0.6


def test_a_graph_without_edges():
    kernel = weisfeiler_lehman([np.zeros((3, 3)), 1 - np.eye(3)], labels="gene")
    np.testing.assert_allclose(kernel, [[0, 0], [0, 1]])


def test_one_way_edges_are_refused():
    with pytest.raises(ValueError, match=r"not symmetric.*graph \+ graph\.T"):
        weisfeiler_lehman([np.triu(np.ones((3, 3)))])
