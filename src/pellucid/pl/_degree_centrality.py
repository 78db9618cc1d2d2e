from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from .. import _keys
from ._finish import finish, style
from ._place_names import place_names

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ALL, _HELD_OUT = "#0072B2", "#D55E00"
_LABELS = {
    "reconstruction": "Share of variance reconstructed",
    "embedding": "Distance from the origin",
}
_CANDIDATES = 4  # genes that are tried for each name to be written
_MOST_VECTOR_POINTS = 5000


@style
def degree_centrality(
    adata: AnnData,
    *,
    against: str | None = None,
    n_genes: int = 20,
    key: str = _keys.DEGREE_CENTRALITY,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
    return_fig: bool = False,
) -> Any:
    """The most central genes, or all beside another number (Fig. 5a of :cite:p:`Choi2023`).

    Without `against`, one row a gene, the most central at the top: its centrality over all cells,
    and over those that the model was not trained on, where there are such cells. Genes far apart
    in the two are reconstructed because they were seen in training.

    Parameters
    ----------
    adata
        With centralities from :func:`pellucid.tl.degree_centrality`.
    against
        Numeric column of `adata.var` for the horizontal axis of a scatter plot, such as mean
        expression, or a centrality of another method. Spearman's correlation stands above it.
    n_genes
        Number of genes in the ranking, or of names in the scatter plot, the most central first as
        far as there is room.
    key
        Key of the centralities in `adata.var` and `adata.uns`.
    ax
        Axes to draw in; a figure of their own if `None`.
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
        If `adata` lacks the centralities or the column.
    ValueError
        If `n_genes` is below 1, the column is not numeric, or no gene has a value.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> model = pld.tl.sivae(adata, likelihood="nb", n_hidden=(32, 16), max_epochs=1)
    >>> pld.tl.degree_centrality(adata, model)
    >>> ax = pld.pl.degree_centrality(adata, show=False)
    """
    if n_genes < 1:
        raise ValueError(f"n_genes={n_genes}; expected at least 1.")
    record = _keys.require(adata, "uns", key, "tl.degree_centrality")
    if key not in adata.var:
        raise KeyError(f"adata.var[{key!r}] not found; call tl.degree_centrality again.")
    label = _LABELS[str(record["params"]["method"])]
    table = pd.DataFrame({"centrality": adata.var[key].to_numpy(dtype=np.float64)})
    table["name"] = adata.var_names.to_numpy()
    held_out = f"{key}_held_out"
    if held_out in adata.var and int(record["n_held_out"]):
        table["held out"] = adata.var[held_out].to_numpy(dtype=np.float64)
    if against is not None:
        table["other"] = _numbers(adata, against)
    table = table.dropna(subset=[name for name in ("centrality", "other") if name in table])
    if table.empty:
        raise ValueError(f"adata.var[{key!r}] holds no value that can be drawn: all are NaN.")
    table = table.sort_values("centrality", ascending=False, kind="stable")
    if against is not None:
        ax = _scatter(table, against, label, n_genes, ax)
    else:
        ax = _ranking(table.head(n_genes), label, ax)
    return finish(cast("Figure", ax.figure), ax, show=show, save=save, return_fig=return_fig)


def _numbers(adata: AnnData, column: str) -> np.ndarray:
    if column not in adata.var:
        raise KeyError(
            f"against={column!r} not found in adata.var, which holds: {list(adata.var.columns)}."
        )
    if not pd.api.types.is_numeric_dtype(adata.var[column]):
        raise ValueError(f"adata.var[{column!r}] is not numeric; choose a column of numbers.")
    return adata.var[column].to_numpy(dtype=np.float64)


def _ranking(table: pd.DataFrame, label: str, ax: Axes | None) -> Axes:
    if ax is None:
        _, ax = plt.subplots(figsize=(2.9, 0.5 + 0.145 * len(table)), layout="constrained")
    places = np.arange(len(table))
    centrality = table["centrality"].to_numpy()
    if "held out" in table:
        held_out = table["held out"].to_numpy()
        ax.hlines(places, held_out, centrality, color="0.8", linewidth=1, zorder=0)
        ax.plot(held_out, places, "o", mfc="white", mec=_HELD_OUT, ms=4, label="held-out cells")
    ax.plot(centrality, places, "o", color=_ALL, ms=4, label="all cells")
    ax.set_yticks(places, table["name"].to_list())
    ax.set_ylim(len(table) - 0.5, -0.5)
    ax.set_xlabel(label)
    ax.tick_params(axis="y", length=0)
    if "held out" in table:
        handles, names = ax.get_legend_handles_labels()
        ax.legend(
            handles[::-1],
            names[::-1],
            loc="lower center",
            bbox_to_anchor=(0.5, 1),
            ncols=2,
            borderaxespad=0.2,
            handletextpad=0.1,
            columnspacing=1,
        )
    return ax


def _scatter(table: pd.DataFrame, against: str, label: str, n_genes: int, ax: Axes | None) -> Axes:
    if ax is None:
        _, ax = plt.subplots(figsize=(3.1, 2.9), layout="constrained")
    xy = table[["other", "centrality"]].to_numpy()
    ax.plot(*xy.T, "o", color=_ALL, ms=2, mew=0, rasterized=len(xy) > _MOST_VECTOR_POINTS)
    ax.margins(0.08)
    ax.set(xlabel=against.replace("_", " "), ylabel=label)
    if len(xy) > 2 and np.ptp(xy, axis=0).min() > 0:
        ax.set_title(f"Spearman's \N{GREEK SMALL LETTER RHO} = {spearmanr(*xy.T).statistic:.2f}")
    which = np.arange(min(_CANDIDATES * n_genes, len(xy)))
    place_names(ax, xy, which, table["name"].iloc[which].to_list(), n_required=0, n_more=n_genes)
    return ax
