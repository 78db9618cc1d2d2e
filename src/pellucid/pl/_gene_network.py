from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from .. import _keys
from ._finish import finish, style
from ._genes import by_set, set_members
from ._network_drawing import LAYOUTS, draw_edges, find_genes, frame_network, place_nodes
from ._place_names import place_names
from ._scatter import legend, legend_width, numbers_or_categories, scatter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.figure import Figure

    from ._network_drawing import Layout

_SET = "Gene set"
_CLOSE = 1.5  # points from a node to its name, less than of smaller points
_NODES, _LARGEST = 1200.0, 45.0  # square points: of all nodes together, and of one
_WIDTHS = (0.3, 1.8)  # points, of the lightest and the heaviest edge


@style
def gene_network(
    adata: AnnData,
    genes: Sequence[str],
    *,
    color: str | None = None,
    gene_sets: str | Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    layout: Layout = "spring",
    key: str = _keys.GENE_NEIGHBORS,
    gene_sets_key: str = _keys.GENE_SETS,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
    return_fig: bool = False,
) -> Any:
    """Chosen genes and the edges between them :cite:p:`Choi2023`.

    An edge joins two genes of which one is among the neighbours of the other; the heavier it is,
    the thicker. Edges to genes that are not drawn are left out.

    Parameters
    ----------
    adata
        With neighbours from :func:`pellucid.tl.gene_neighbors`.
    genes
        Names of the genes, two at least. Some dozens can be read.
    color
        Column of `adata.var`, such as `"degree_centrality"`: numbers by a colour map, all else as
        categories.
    gene_sets
        Sets whose genes are coloured: names of sets that :func:`pellucid.pp.add_gene_sets` wrote,
        or a dictionary of names and genes.
    layout
        ``'spring'``: joined genes lie near each other. ``'circular'``: in the order given.
    key
        Key of the neighbours in `adata.uns`.
    gene_sets_key
        Key of the sets in `adata.varm` and `adata.uns`.
    ax
        Axes to draw in; a figure of their own if `None`. The legend takes room to the right.
    show
        Whether to show the figure; scanpy's `settings.autoshow` if `None`.
    save
        Path of a file to write the figure to; its ending gives the format. The figure is closed
        then.
    return_fig
        Whether to return the figure rather than show it.

    Returns
    -------
    The :class:`~matplotlib.figure.Figure` if `return_fig`, the :class:`~matplotlib.axes.Axes` if
    `show=False`, `None` otherwise.

    Raises
    ------
    KeyError
        If `adata` lacks the neighbours, a gene, `color` or the sets.
    ValueError
        If there are fewer than two genes, both `color` and `gene_sets` are given, a set is unknown
        or has no gene here, or `layout` is unknown.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> pld.tl.gene_neighbors(adata, method="correlation", n_neighbors=5)
    >>> genes = ["CD79A", "CD79B", "MS4A1", "NKG7", "GNLY", "GZMB"]
    >>> ax = pld.pl.gene_network(adata, genes, show=False)
    """
    if layout not in LAYOUTS:
        raise ValueError(f"layout={layout!r} is unknown; choose one of {LAYOUTS}.")
    if color is not None and gene_sets is not None:
        raise ValueError(
            f"color={color!r} and gene_sets are both given; genes have one colour: choose one."
        )
    record = _keys.require(adata, "uns", key, "tl.gene_neighbors")
    slot = str(record["connectivities_key"])
    weights = sparse.csr_array(_keys.require(adata, "varp", slot, "tl.gene_neighbors"))
    places = find_genes(adata, genes)
    names = adata.var_names[places].to_list()
    weights = weights[places][:, places]
    obs, colors, color = _colors(adata, places, color, gene_sets, gene_sets_key)
    xy = place_nodes(weights, layout)
    drawn = AnnData(obs=obs, obsm={"X": xy})
    if colors is not None:
        drawn.uns[f"{color}_colors"] = colors
    if ax is None:
        values = None if color is None else obs[color]
        size = float(np.clip(1 + 0.5 * np.sqrt(len(names)), 2.4, 7))
        _, ax = plt.subplots(figsize=(size + legend_width(values), size), layout="constrained")
    node = min(_NODES / len(names), _LARGEST)
    scatter(drawn, "X", color, ax)
    cast("PathCollection", ax.collections[0]).set_sizes([node])
    rows, columns = sparse.triu(weights, 1).nonzero()
    if len(rows):
        share = np.asarray(weights[rows, columns]).ravel()
        share = share / share.max()
        draw_edges(ax, xy, rows, columns, widths=_WIDTHS[0] + (_WIDTHS[1] - _WIDTHS[0]) * share)
    frame_network(ax)
    if color is not None:
        legend(drawn, color, ax)
    place_names(
        ax,
        xy,
        np.arange(len(names)),
        names,
        n_required=len(names),
        n_more=0,
        radius=max(np.sqrt(node / np.pi) - _CLOSE, 0),
    )
    return finish(cast("Figure", ax.figure), ax, show=show, save=save, return_fig=return_fig)


def _colors(
    adata: AnnData,
    places: np.ndarray,
    color: str | None,
    gene_sets: str | Sequence[str] | Mapping[str, Sequence[str]] | None,
    key: str,
) -> tuple[pd.DataFrame, list[str] | None, str | None]:
    """What the genes are coloured by, the colours of categories, and their column."""
    obs = pd.DataFrame(index=adata.var_names[places])
    if gene_sets is not None:
        found, colors = by_set(set_members(adata, gene_sets, key))
        drawn = found[places].remove_unused_categories()
        known = dict(zip(found.categories, colors, strict=True))
        obs[_SET] = drawn
        return obs, [known[name] for name in drawn.categories], _SET
    if color is None:
        return obs, None, None
    if color not in adata.var:
        raise KeyError(
            f"color={color!r} not found in adata.var, which holds: {list(adata.var.columns)}."
        )
    title = color.replace("_", " ")
    obs[title] = numbers_or_categories(adata.var[color].iloc[places])
    return obs, None, title
