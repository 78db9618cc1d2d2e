from __future__ import annotations

import numpy as np

from pellucid.networks import adjacency, nearest_by_distance, nearest_by_weight

LINE = np.array([0.0, 1.0, 3.0, 3.0, 10.0])


def test_by_distance():
    """Two genes at one place are each other's nearest, and no gene is its own."""
    found = nearest_by_distance(LINE[:, None], 2)
    assert np.diff(found.distances.indptr).tolist() == [2] * 5
    assert found.distances[2].indices.tolist() == [1, 3]
    assert found.distances[2].data.tolist() == [2.0, 0.0]
    assert found.distances[4].data.tolist() == [7.0, 7.0]
    # 0's neighbours are 1 and 2 or 3, at distances up to 3; 1's reach as far as 2.
    assert found.connectivities[0, 1] == np.exp(-1 / (3 * 2))
    assert (abs(found.connectivities - found.connectivities.T)).nnz == 0
    assert found.connectivities[2, 4] > 0
    assert not found.connectivities.diagonal().any()


def test_genes_at_one_place():
    found = nearest_by_distance(np.zeros((4, 2)), 2)
    assert (found.connectivities.data == 1).all()


def test_by_weight():
    weights = np.array([[9, 4, 2, 1], [4, 9, 0, 0], [2, 0, 9, 3], [1, 0, 3, 9]]) / 9
    found = nearest_by_weight(weights, 2)
    assert found.distances[0].indices.tolist() == [1, 2]
    np.testing.assert_allclose(found.distances[0].data, 1 - np.array([4, 2]) / 9)
    assert found.distances[1].indices.tolist() == [0]
    np.testing.assert_allclose(found.connectivities[3].toarray(), [[1 / 9, 0, 1 / 3, 0]])


def test_no_weight_at_all():
    found = nearest_by_weight(np.zeros((3, 3)), 2)
    assert found.distances.nnz == found.connectivities.nnz == 0


def test_a_gene_far_from_all_others_keeps_its_edges():
    """Its weights are less than any number, and an edge all the same."""
    points = np.vstack([np.random.default_rng(0).normal(0, 1e-3, (30, 3)), [[10, 0, 0]]])
    found = nearest_by_distance(points, 5)
    assert found.connectivities[30].nnz == found.connectivities[:, 30].nnz == 5
    assert found.connectivities[30].data.min() > 0
    assert adjacency(points, n_neighbors=5)[[30]].sum() == 5
