from __future__ import annotations

from itertools import product
from math import ceil
from typing import TYPE_CHECKING, Any, Literal

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from .. import _keys
from ..get import compression_benchmark as table_of
from ._compression_methods import TRANSFORMS, chosen, method_name
from ._finish import finish, style

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

_METRICS = {
    "pcc": "Pearson correlation",
    "spearman": "Spearman correlation",
    "em": "Euclidean metric",
    "mae": "Mean absolute error",
    "gene_pcc": "Pearson correlation\nper gene",
    "cell_pcc": "Pearson correlation\nper cell",
    "seconds": "Seconds",
}
_MEAN = "mean"
# Okabe and Ito's, which all eyes tell apart.
_COLORS = ("#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "#CC79A7", "#F0E442", "#000000")
_MARKERS = "os^Dv<>P"
# Inches.
_BAR = 0.075
_MOST_ACROSS = 3
_LINE_PANEL = 2.0
_HEIGHT = 1.7


@style
def compression_benchmark(
    adata: AnnData,
    *,
    metric: str | Sequence[str] = ("pcc", "gene_pcc"),
    kind: Literal["bar", "line"] = "bar",
    transform: str | Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
    key: str = _keys.COMPRESSION_BENCHMARK,
    show: bool | None = None,
    save: str | Path | None = None,
    return_fig: bool = False,
) -> Any:
    """How well each method rebuilds cells from K numbers (Figs. 2 to 4 of :cite:p:`Zhang2020`).

    The mean over splits, with the standard deviation as a whisker. A dashed line marks what the
    genes' means reach, which need no number of a cell: from there on a method knows something of
    cells. A row of panels for each transform, a column for each metric. A method that failed in a
    split, so that its reconstruction is not finite there, has no bar or point.

    Parameters
    ----------
    adata
        With the result of :func:`pellucid.tl.compression_benchmark`.
    metric
        One or more of `"pcc"`, `"spearman"`, `"em"`, `"mae"`, `"gene_pcc"`, `"cell_pcc"` and
        `"seconds"`. The paper shows `"pcc"`, `"em"` and `"mae"`.
    kind
        `"bar"`: bars that begin at 0, as in Figs. 2 and 3; `"line"`: a line for each method over
        K, whose axis begins where the values do.
    transform
        One or more of the transforms of the result; all if `None`.
    methods
        Methods of the result to draw, in this order; all if `None`.
    key
        Key of the result in `adata.uns`.
    show
        Whether to show the figure; scanpy's `settings.autoshow` if `None`.
    save
        Path of a file to write the figure to; its ending gives the format. The figure is closed
        then.
    return_fig
        Whether to return the figure rather than show it.

    Returns
    -------
    The :class:`~matplotlib.figure.Figure` if `return_fig`, a list of
    :class:`~matplotlib.axes.Axes`, row by row, if `show=False`, `None` otherwise.

    Raises
    ------
    KeyError
        If there is no result under `key`.
    ValueError
        If `kind` or a metric is unknown, or a transform or method is not in the result.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> pld.tl.compression_benchmark(
    ...     adata, methods=["svd", "snmf"], n_latent=[5, 10], n_repeats=2, train_size=0.1
    ... )
    >>> axes = pld.pl.compression_benchmark(adata, metric="gene_pcc", show=False)
    """
    if kind not in ("bar", "line"):
        raise ValueError(f"kind={kind!r} is unknown; choose 'bar' or 'line'.")
    metrics = chosen(metric, [*_METRICS], "metric")
    table = table_of(adata, key=key)
    transforms = chosen(transform, table["transform"].unique().tolist(), "transform")
    found = table["method"].unique().tolist()
    names = [name for name in chosen(methods, found, "methods") if name != _MEAN]
    sizes = sorted(set(table["n_latent"]) - {0})

    groups = len(sizes) * (len(names) + 1) * _BAR
    width = (max(groups, 1.2) if kind == "bar" else _LINE_PANEL) + 0.55
    labels = [method_name(name) for name in names]
    # A row for each transform; the metrics of a single one are wrapped.
    across = len(metrics) if len(transforms) > 1 else min(len(metrics), _MOST_ACROSS)
    panels = list(product(transforms, metrics))
    down = ceil(len(panels) / across)
    figure, grid = plt.subplots(
        down,
        across,
        figsize=(width * across + 1.15, _HEIGHT * down + 0.1),
        squeeze=False,
        layout="constrained",
    )
    axes = list(grid.ravel())
    for ax in axes[len(panels) :]:
        ax.remove()
    axes = axes[: len(panels)]
    for ax, (how, what) in zip(axes, panels, strict=True):
        rows = table[(table["transform"] == how) & (table["metric"] == what)]
        draw = _bars if kind == "bar" else _lines
        draw(ax, rows, names, sizes)
        floor = rows.loc[rows["method"] == _MEAN, "mean"].item()
        if what == "seconds":
            seconds = rows.loc[rows["method"].isin(names), "mean"]
            whole = np.floor(np.log10(seconds.min())), np.ceil(np.log10(seconds.max()))
            ax.set(yscale="log", ylim=(10 ** whole[0], 10 ** max(whole[1], whole[0] + 1)))
            ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            ax.yaxis.set_minor_formatter(NullFormatter())
        elif np.isfinite(floor):
            ax.axhline(floor, color="0.25", linestyle="--", linewidth=0.9, zorder=3)
        ax.set_ylabel(_METRICS[what])
        if len(transforms) > 1:
            ax.set_title(TRANSFORMS.get(how, how), loc="left")
    for ax in axes[-across:]:
        ax.set_xlabel("Numbers a cell (K)")
    handles = axes[0].get_legend_handles_labels()[0][: len(names)]
    handles.append(plt.Line2D([], [], color="0.25", linestyle="--", linewidth=0.9))
    figure.legend(
        handles, [*labels, method_name(_MEAN)], loc="outside right center", handlelength=1.4
    )
    return finish(figure, axes, show=show, save=save, return_fig=return_fig)


def _bars(ax: Axes, rows: pd.DataFrame, names: list[str], sizes: list[int]) -> None:
    step = 1 / (len(names) + 1)
    for place, name in enumerate(names):
        of = rows[rows["method"] == name].set_index("n_latent").reindex(sizes)
        ax.bar(
            np.arange(len(sizes)) + (place - (len(names) - 1) / 2) * step,
            of["mean"],
            width=step,
            yerr=of["std"].fillna(0),
            color=_COLORS[place % len(_COLORS)],
            hatch="////" if place >= len(_COLORS) else None,
            edgecolor="white",
            linewidth=0.3,
            error_kw={"elinewidth": 0.7, "ecolor": "black"},
            label=name,
        )
    ax.set_xticks(np.arange(len(sizes)), [str(size) for size in sizes])
    ax.tick_params(axis="x", length=0)


def _lines(ax: Axes, rows: pd.DataFrame, names: list[str], sizes: list[int]) -> None:
    for place, name in enumerate(names):
        of = rows[rows["method"] == name].sort_values("n_latent")
        ax.errorbar(
            of["n_latent"].to_numpy(),
            of["mean"].to_numpy(),
            yerr=of["std"].fillna(0).to_numpy(),
            color=_COLORS[place % len(_COLORS)],
            linestyle="-" if place < len(_COLORS) else ":",
            marker=_MARKERS[place % len(_MARKERS)],
            markersize=3,
            linewidth=1.1,
            elinewidth=0.7,
            label=name,
        )
    if len(sizes) > 1:
        ax.set_xscale("log")
    ax.set_xticks(sizes, [str(size) for size in sizes])
    ax.minorticks_off()
