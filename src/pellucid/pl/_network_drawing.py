"""Genes as nodes and their edges, where a figure shows a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import networkx as nx
import numpy as np
from matplotlib.collections import LineCollection
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from .._validate import check_unique

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes

Layout = Literal["spring", "circular"]
LAYOUTS = ("spring", "circular")
_LISTED = 5
_MARGIN = 0.6  # between parts of a network; a node alone takes 1


def find_genes(adata: AnnData, genes: Sequence[str]) -> np.ndarray:
    """Positions of the genes of a network, each once."""
    check_unique(adata.var_names, "adata.var_names")
    wanted = list(dict.fromkeys([genes] if isinstance(genes, str) else map(str, genes)))
    unknown = [name for name in wanted if name not in adata.var_names]
    if unknown:
        raise KeyError(
            f"genes: {', '.join(map(repr, unknown[:_LISTED]))} not found in adata.var_names, "
            f"which holds names such as {list(adata.var_names[:3])}."
        )
    if len(wanted) < 2:
        raise ValueError(
            f"genes names {len(wanted)} gene; a network has two at least. get.gene_neighbors "
            "lists the neighbours of each."
        )
    return adata.var_names.get_indexer(wanted)


def place_nodes(weights: sparse.spmatrix, layout: Layout) -> np.ndarray:
    """Where each node lies, nodes x 2, between -1 and 1.

    Parameters
    ----------
    weights
        Of the edges, nodes x nodes, symmetric.
    layout
        `"spring"`: joined nodes lie near each other, by the number of steps between them (Kamada
        and Kawai 1989); parts of the network that nothing joins lie side by side, the largest
        first. `"circular"`: in the order of the nodes, clockwise from the top.
    """
    n_nodes = weights.shape[0]
    if layout == "circular":
        angle = np.pi / 2 - 2 * np.pi * np.arange(n_nodes) / n_nodes
        return np.stack([np.cos(angle), np.sin(angle)], axis=1)
    edges = sparse.csr_array(weights, copy=True)
    edges.data[:] = 1
    _, part = connected_components(edges, directed=False)
    members = sorted((np.flatnonzero(part == one) for one in np.unique(part)), key=len)[::-1]
    boxes = np.sqrt([len(nodes) for nodes in members])
    corners = _shelves(boxes)
    xy = np.zeros((n_nodes, 2))
    for nodes, box, corner in zip(members, boxes, corners, strict=True):
        places = nx.kamada_kawai_layout(nx.from_scipy_sparse_array(edges[nodes][:, nodes]))
        inside = np.array([places[node] for node in range(len(nodes))])
        inside = inside - (inside.max(axis=0) + inside.min(axis=0)) / 2
        half = np.abs(inside).max() or 1
        xy[nodes] = corner + box / 2 + inside / half * (box - _MARGIN) / 2
    xy -= (xy.max(axis=0) + xy.min(axis=0)) / 2
    return xy / (np.abs(xy).max() or 1)


def _shelves(boxes: np.ndarray) -> np.ndarray:
    """Lower left corners of squares that fill shelves from the left, the largest first."""
    width = max(boxes[0], 1.3 * np.sqrt((boxes**2).sum()))
    corners = np.zeros((len(boxes), 2))
    x = y = shelf = 0.0
    for place, box in enumerate(boxes):
        if x > 0 and x + box > width + 1e-9:
            x, y, shelf = 0.0, y - shelf, 0.0
        shelf = max(shelf, box)
        corners[place] = x, y - box
        x += box
    return corners


def draw_edges(
    ax: Axes,
    xy: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    *,
    widths: np.ndarray | float = 0.8,
    color: str = "0.75",
    linestyle: str = "-",
    label: str | None = None,
) -> None:
    """Draw lines between nodes, beneath all else.

    Parameters
    ----------
    ax
        Axes.
    xy
        Where each node lies.
    rows, columns
        Positions of the two nodes of each edge.
    widths, color, linestyle, label
        Of the lines.
    """
    lines = LineCollection(
        list(np.stack([xy[rows], xy[columns]], axis=1)),
        linewidths=widths,
        colors=color,
        linestyles=linestyle,
        label=label,
        zorder=0,
    )
    ax.add_collection(lines, autolim=False)


def frame_network(ax: Axes) -> None:
    """Equal scales, no axes, and room for the names of the outermost nodes."""
    ax.set(xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), xlabel="", ylabel="")
    ax.set_aspect("equal")
    ax.set_axis_off()
