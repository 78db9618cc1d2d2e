from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.spatial.distance import pdist, squareform

from ._nearest import nearest_by_distance


def adjacency(
    points: np.ndarray, *, n_neighbors: int = 20, percentile: float | None = None
) -> sparse.csr_array:
    """Which genes of an embedding have an edge.

    Parameters
    ----------
    points
        Genes x dimensions.
    n_neighbors
        Edges lead from a gene to so many nearest ones, and back.
    percentile
        If given, pairs of genes have an edge instead whose Euclidean distance lies below this
        percentile of the distances of all pairs.

    Returns
    -------
    Genes x genes, bool, symmetric, without diagonal.
    """
    if percentile is None:
        nearest = nearest_by_distance(points, n_neighbors).connectivities
        return sparse.csr_array(nearest).astype(bool)
    distance = pdist(np.asarray(points, dtype=np.float64))
    return sparse.csr_array(squareform(distance < np.percentile(distance, percentile)))
