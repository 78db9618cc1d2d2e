from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.spatial.distance import pdist, squareform

from ._nearest import nearest_by_distance


def adjacency(
    points: np.ndarray, *, n_neighbors: int | None = None, percentile: float = 1.0
) -> sparse.csr_array:
    """Which genes of an embedding have an edge.

    Parameters
    ----------
    points
        Genes x dimensions.
    n_neighbors
        Edges lead from a gene to so many nearest ones, and back.
    percentile
        If `n_neighbors` is `None`: pairs of genes have an edge whose Euclidean distance lies below
        this percentile of the distances of all pairs.

    Returns
    -------
    Genes x genes, bool, symmetric, without diagonal.
    """
    if n_neighbors is not None:
        nearest = sparse.csr_array(nearest_by_distance(points, n_neighbors).connectivities)
        # Of genes in one place the weight may be 0.
        nearest.data = np.ones(len(nearest.data))
        return nearest.astype(bool)
    distance = pdist(np.asarray(points, dtype=np.float64))
    return sparse.csr_array(squareform(distance < np.percentile(distance, percentile)))
