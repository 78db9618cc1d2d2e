from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.neighbors import NearestNeighbors

_ROWS_AT_ONCE = 1024


class Neighbors(NamedTuple):
    """The nearest genes of each gene."""

    distances: sparse.csr_matrix
    """Genes x genes; a row holds the gene's neighbours, at most `n_neighbors`."""
    connectivities: sparse.csr_matrix
    """Genes x genes, symmetric: weights of the edges between genes of which one is the other's
    neighbour, 1 at most."""


def nearest_by_distance(points: np.ndarray, n_neighbors: int) -> Neighbors:
    r"""Nearest genes by Euclidean distance.

    Parameters
    ----------
    points
        Genes x dimensions.
    n_neighbors
        Number of neighbours of each gene.

    Returns
    -------
    Distances, and as connectivities :math:`\exp(-d_{ij}^2 / \sigma_i \sigma_j)`, with a gene's
    distance from its farthest neighbour for :math:`\sigma` (Zelnik-Manor and Perona 2004).
    """
    points = np.asarray(points, dtype=np.float64)
    distance, which = NearestNeighbors(n_neighbors=n_neighbors).fit(points).kneighbors()
    rows = np.repeat(np.arange(len(points)), n_neighbors)
    reach = np.maximum(distance[:, -1], np.finfo(np.float64).tiny ** 0.25)
    weight = np.exp(-(distance**2) / (reach[:, None] * reach[which]))
    # A gene far from all others would have weights of 0, which scipy takes for no edges.
    weight = np.maximum(weight, np.finfo(np.float64).tiny)
    return _neighbors(rows, which.ravel(), distance.ravel(), weight.ravel(), len(points))


def nearest_by_weight(weights: np.ndarray, n_neighbors: int) -> Neighbors:
    """Genes to which each has the heaviest edges.

    Parameters
    ----------
    weights
        Genes x genes, symmetric: 0 where there is no edge, 1 at most.
    n_neighbors
        Number of neighbours of each gene; fewer where fewer edges have a weight.

    Returns
    -------
    Connectivities are the weights, distances one less these.
    """
    n_genes = len(weights)
    rows, columns, found = [], [], []
    for start in range(0, n_genes, _ROWS_AT_ONCE):
        part = np.array(weights[start : start + _ROWS_AT_ONCE], dtype=np.float64)
        part[np.arange(len(part)), start + np.arange(len(part))] = 0
        which = np.argsort(-part, axis=1, kind="stable")[:, :n_neighbors]
        weight = np.take_along_axis(part, which, axis=1)
        row, place = np.nonzero(weight > 0)
        rows.append(start + row)
        columns.append(which[row, place])
        found.append(weight[row, place])
    weight = np.concatenate(found)
    return _neighbors(np.concatenate(rows), np.concatenate(columns), 1 - weight, weight, n_genes)


def _neighbors(
    rows: np.ndarray, columns: np.ndarray, distance: np.ndarray, weight: np.ndarray, n_genes: int
) -> Neighbors:
    shape = (n_genes, n_genes)
    directed = sparse.csr_matrix((weight, (rows, columns)), shape)
    return Neighbors(
        sparse.csr_matrix((distance, (rows, columns)), shape), directed.maximum(directed.T).tocsr()
    )
