"""Cells as points in colours, with the legend beside them."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scanpy as sc
from matplotlib.lines import Line2D
from seaborn import color_palette

from ._heatmap import widest

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

MOST_COLORBLIND = 10  # colours of seaborn's colour-blind palette
_MOST_VECTOR_POINTS = 5000
_LONGEST_LEGEND = 14


def numbers_or_categories(values: pd.Series) -> pd.Series:
    """A column of `obs` as it is coloured: numbers as they are, all else as categories."""
    types = pd.api.types
    continuous = types.is_numeric_dtype(values) and not types.is_bool_dtype(values)
    return values if continuous else values.astype("category")


def scatter(drawn: AnnData, basis: str, name: str | None, ax: Axes) -> None:
    """Draw `drawn.obsm[basis]`, coloured by `drawn.obs[name]`; the colours go to `drawn.uns`."""
    palette = None
    if name is not None and isinstance(drawn.obs[name].dtype, pd.CategoricalDtype):
        n_categories = len(drawn.obs[name].cat.categories)
        if f"{name}_colors" not in drawn.uns and n_categories <= MOST_COLORBLIND:
            palette = color_palette("colorblind", n_categories).as_hex()
    sc.pl.embedding(
        drawn,
        basis,
        color=name,
        palette=palette,
        ax=ax,
        show=False,
        size=np.clip(2e4 / drawn.n_obs, 1, 12),
        legend_loc=None,
        colorbar_loc=None,
        title="",
        na_color="0.8" if name else "0.4",
    )
    for points in ax.collections:
        points.set_rasterized(drawn.n_obs > _MOST_VECTOR_POINTS)
    ax.set_box_aspect(1)


def legend_width(values: pd.Series | None) -> float:
    """Inches that the legend or colour bar takes beside the axes, about."""
    if values is None:
        return 0.0
    if not isinstance(values.dtype, pd.CategoricalDtype):
        return 0.7
    labels = [*map(str, values.cat.categories), *["no label"] * bool(values.isna().any())]
    lines = [line for label in labels for line in label.split("\n")]
    return max(ceil(len(labels) / _LONGEST_LEGEND) * (widest(lines, 7) + 0.35), 0.7)


def legend(drawn: AnnData, name: str, ax: Axes) -> None:
    """Legend or colour bar of what `scatter` drew, to the right of the axes."""
    values = drawn.obs[name]
    if not isinstance(values.dtype, pd.CategoricalDtype):
        bar = ax.figure.colorbar(ax.collections[0], cax=ax.inset_axes((1.05, 0.2, 0.05, 0.8)))
        bar.set_label(name)
        bar.outline.set_visible(False)
        return
    colors = dict(zip(map(str, values.cat.categories), drawn.uns[f"{name}_colors"], strict=False))
    if values.isna().any():
        colors["no label"] = "0.8"
    handles = [
        Line2D([], [], color=value, label=label, linestyle="", marker="o", markersize=4)
        for label, value in colors.items()
    ]
    ax.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(1.02, 1),
        borderaxespad=0,
        handletextpad=0.1,
        ncols=ceil(len(handles) / _LONGEST_LEGEND),
        title=name,
        alignment="left",
    )
