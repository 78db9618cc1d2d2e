from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike


def weisfeiler_lehman(
    graphs: Sequence[ArrayLike | sparse.sparray | sparse.spmatrix],
    *,
    labels: Literal["degree", "gene"] = "degree",
    n_iterations: int = 5,
    normalize: bool = True,
) -> np.ndarray:
    r"""Weisfeiler-Lehman kernel of graphs over the same nodes.

    Every node has a label. In each iteration it gets a new one, made of its own and those of its
    neighbours as a multiset: equal labels after h iterations mean equal trees of walks of length
    h (Shervashidze et al. 2011, J Mach Learn Res 12:2539). The kernel is the product of counts of
    labels, summed over iterations,

    .. math:: k(G, G') = \sum_{h=0}^{H} \sum_{\sigma} c_h(G, \sigma) \, c_h(G', \sigma)

    Parameters
    ----------
    graphs
        Adjacency of each graph, nodes x nodes, dense or sparse, symmetric; what is not 0 is an
        edge. The diagonal is left out.
    labels
        * ``'degree'`` - a node's first label is how many neighbours it has, and nodes' labels are
          counted: graphs are compared by their shape, whichever gene has which place in it.
        * ``'gene'`` - a node's first label is itself, and edges' labels are counted, those of an
          edge's two ends (the kernel for edges of the same paper). Without iterations, this counts
          the edges that two graphs share. Nodes' labels would count genes whose neighbours are all
          the same, of which two networks that were estimated have none.
    n_iterations
        Number of iterations, H.
    normalize
        Whether to divide by the root of the product of each graph's kernel with itself.

    Returns
    -------
    Graphs x graphs, float64. A graph without an edge has a kernel of 0 with itself for
    ``labels='gene'``; divided, it is 0 as well.
    """
    edges = [_edges(graph) for graph in graphs]
    n_graphs, n_nodes = len(edges), edges[0].shape[0]
    whole = sparse.block_diag(edges, format="csr")
    graph = np.repeat(np.arange(n_graphs), n_nodes)
    source = np.repeat(np.arange(len(graph)), np.diff(whole.indptr))
    of_gene = np.tile(np.arange(n_nodes), n_graphs)
    label = np.diff(whole.indptr) if labels == "degree" else of_gene
    kernel = np.zeros((n_graphs, n_graphs))
    for iteration in range(n_iterations + 1):
        if iteration:
            label = _relabelled(label, whole)
        counted, of = label, graph
        if labels == "gene":
            once = source < whole.indices
            ends = np.sort(np.stack([label[source[once]], label[whole.indices[once]]]), axis=0)
            counted, of = ends[0] * (label.max() + 1) + ends[1], graph[source[once]]
        _, code = np.unique(counted, return_inverse=True)
        counts = sparse.csr_array(
            (np.ones(len(code)), (of, code)), shape=(n_graphs, code.max(initial=0) + 1)
        )
        kernel += (counts @ counts.T).toarray()
    if not normalize:
        return kernel
    own = np.sqrt(np.diag(kernel))
    return kernel / np.outer(*[np.where(own > 0, own, 1)] * 2)


def _edges(graph: ArrayLike | sparse.sparray | sparse.spmatrix) -> sparse.csr_array:
    edges = sparse.coo_array(sparse.csr_array(graph))
    kept = (edges.data != 0) & (edges.row != edges.col)
    where = (edges.row[kept], edges.col[kept])
    found = sparse.csr_array((np.ones(kept.sum(), np.int8), where), shape=edges.shape)
    if (found != found.T).nnz:
        raise ValueError(
            "A graph is not symmetric: there are edges from one node to another that do not lead "
            "back. Take graph + graph.T."
        )
    return found


def _relabelled(label: np.ndarray, whole: sparse.csr_array) -> np.ndarray:
    """A number for each pair of a label and the labels of the neighbours, in any order."""
    draws = np.random.default_rng(0).integers(2**64, size=label.max() + 1, dtype=np.uint64)
    own = draws[label]
    # Two multisets of random numbers of 64 bits have one sum once in 10^19 times.
    around = whole.astype(np.uint64) @ own
    _, found = np.unique(own * np.uint64(0x9E3779B97F4A7C15) + around, return_inverse=True)
    return found
