from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import sparse
from seaborn import color_palette

from .. import _keys
from ._finish import finish, style
from ._network_drawing import LAYOUTS, draw_edges, find_genes, frame_network, place_nodes
from ._place_names import place_names

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ._network_drawing import Layout

_NODE = 30.0  # square points


@style
def gene_network_difference(
    adata: AnnData,
    genes: Sequence[str],
    *,
    min_share: float = 0.2,
    layout: Layout = "spring",
    key: str = _keys.EDGE_ASSOCIATION,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
    return_fig: bool = False,
) -> Any:
    """Edges between genes that two groups of populations share, and those that one has alone.

    The two networks of Fig. 6f of :cite:p:`Choi2023` in one: a group has an edge if a share of its
    populations has it.

    Parameters
    ----------
    adata
        With a result of :func:`pellucid.tl.associate_edges` for a phenotype of two groups.
    genes
        Names of the genes, two at least, of those whose edges were tested. Some dozens can be
        read.
    min_share
        Share of a group's populations that must have an edge; the paper's.
    layout
        ``'spring'``: joined genes lie near each other. ``'circular'``: in the order given.
    key
        Key of the result in `adata.uns`.
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
        If there is no result under `key`, or a gene is not in `adata`.
    ValueError
        If the phenotype was not two groups, there are fewer than two genes, one of them was not
        tested, `min_share` is not above 0 and at most 1, or `layout` is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()[:, :60].copy()
    >>> adata.X = np.log1p(adata.X.toarray())
    >>> adata.obs["donor"] = (np.arange(700) // 234).astype(str)
    >>> adata.obs["is_old"] = np.arange(700) // 234 == 2
    >>> small = {"model_kwargs": {"n_hidden": (8, 4)}, "train_kwargs": {"max_epochs": 1}}
    >>> pld.tl.fit_populations(adata, "donor", n_cells_per_bin=200, n_latent=4, **small)
    >>> pld.tl.associate_edges(adata, "is_old", min_populations=1, min_centrality=-1)
    >>> ax = pld.pl.gene_network_difference(adata, adata.var_names[:12], show=False)
    """
    if layout not in LAYOUTS:
        raise ValueError(f"layout={layout!r} is unknown; choose one of {LAYOUTS}.")
    if not 0 < min_share <= 1:
        raise ValueError(f"min_share={min_share}; expected a share above 0 and at most 1.")
    found = _keys.require(adata, "uns", key, "tl.associate_edges")
    if "groups" not in found:
        raise ValueError(
            f"adata.uns[{key!r}] is of {found['params']['phenotype']!r}, which is numbers; call "
            "tl.associate_edges with a column of two groups."
        )
    names = adata.var_names[find_genes(adata, genes)].to_list()
    tested = set(_keys.string_array(found["genes"]))
    if untested := [name for name in names if name not in tested]:
        raise ValueError(
            f"genes: {', '.join(map(repr, untested[:5]))} not among the {len(tested)} genes of "
            f"adata.uns[{key!r}], of whose edges alone it tells; pass them to tl.associate_edges "
            "as genes=, or leave them out."
        )
    rows, columns, has = _edges(found["edges"], names, min_share)
    n = len(names)
    weights = sparse.coo_array((np.ones(len(rows)), (rows, columns)), shape=(n, n))
    xy = place_nodes(sparse.csr_matrix(weights + weights.T), layout)
    first, second = _keys.string_array(found["groups"])
    if ax is None:
        size = float(np.clip(1 + 0.5 * np.sqrt(n), 2.4, 7))
        _, ax = plt.subplots(figsize=(size + 1.3, size), layout="constrained")
    blue, orange = color_palette("colorblind", 2).as_hex()
    kinds = (
        (has.all(axis=0), "both", "0.7", "-"),
        (has[0] & ~has[1], f"{first} alone", blue, "-"),
        (has[1] & ~has[0], f"{second} alone", orange, (0, (3, 1))),
    )
    for of, kind, color, linestyle in kinds:
        draw_edges(
            ax,
            xy,
            rows[of],
            columns[of],
            widths=1.0,
            color=color,
            linestyle=cast("str", linestyle),
            label=f"{kind} ({of.sum()})",
        )
    ax.scatter(xy[:, 0], xy[:, 1], s=_NODE, color="0.4", linewidths=0)
    frame_network(ax)
    ax.legend(
        loc="upper left",
        bbox_to_anchor=(1.02, 1),
        borderaxespad=0,
        handlelength=1.6,
        title=f"Edges by {found['params']['phenotype']}",
        alignment="left",
    )
    place_names(ax, xy, np.arange(n), names, n_required=n, n_more=0)
    return finish(cast("Figure", ax.figure), ax, show=show, save=save, return_fig=return_fig)


def _edges(
    table: pd.DataFrame, names: list[str], min_share: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both ends of each edge that a group has, and which group has it: 2 x edges."""
    order = pd.Index(names)
    rows, columns = (order.get_indexer(table[f"gene_{end}"]) for end in (1, 2))
    shares = table[["share_0", "share_1"]].to_numpy().T
    has = shares >= min_share
    kept = (rows >= 0) & (columns >= 0) & has.any(axis=0)
    return rows[kept], columns[kept], has[:, kept]
