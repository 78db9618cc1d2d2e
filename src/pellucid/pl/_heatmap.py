"""One layout for every heatmap, measured in inches so that labels fit at any number of cells."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Colormap, Normalize
from matplotlib.textpath import TextPath
from scipy.cluster.hierarchy import dendrogram

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

    from ._arrange import Arrangement

# Inches.
_MARGIN = 0.1
_GAP = 0.06
_TREE = 0.35
_PANEL_GAP = 0.2
_BAR = 0.12
_SHORTEST_BAR = 1.3
_LONGEST_BAR = 2.4
_LARGEST_CELL = 0.3
_SMALLEST_CELL = (0.055, 0.096)  # width, height: every row is labelled, columns may not be
_LONGEST_SIDE = 2.2  # of a cell, over the other one
_BODY = (6.2, 5.5)  # what the cells of all panels fill, between the sizes above
_LARGEST_BODY = 14.5
_PAGE = (5.2, 9.0)  # of a journal, less the names of the rows
# Points.
_SMALLEST_FONT = 5.5
_LARGEST_FONT = 9.0
_SMALL = 7.0
_TITLE = 9.0
_LINE = 1.25  # line height over font size
_DOT = (2.2, 0.5)  # at least so large, if that is no more than this share of the cell
# A tree of more leaves is a smear, and scipy's recursion would end.
MOST_LEAVES = 150


@dataclass
class Panel:
    """One heatmap of a figure: values, rows x columns, and which of them to mark with a dot."""

    values: np.ndarray
    title: str = ""
    marked: np.ndarray | None = None


def heatmap(
    panels: Sequence[Panel],
    arrangement: Arrangement,
    *,
    cmap: str | Colormap,
    limits: tuple[float, float],
    colorbar_label: str,
    row_label: str = "",
    notes: Sequence[str] = (),
) -> tuple[Figure, list[Axes]]:
    """Draw heatmaps that share rows, columns and colours, in the order they are given.

    `panels` are in the order of the AnnData; `arrangement` says which rows and columns of them
    are drawn, and in which order.
    """
    n_rows, n_columns = len(arrangement.rows), len(arrangement.columns)
    n_across = _panels_across(len(panels), n_rows, n_columns)
    n_down = ceil(len(panels) / n_across)
    width, height = _cell(n_rows * n_down, n_columns * n_across)
    row_font, row_step = _font(height)
    column_font, column_step = _font(width)
    row_names = arrangement.row_names[::row_step]
    column_names = arrangement.column_names[::column_step]
    single = len(panels) == 1
    title = panels[0].title if single else ""
    row_tree = arrangement.row_tree if single and n_rows <= MOST_LEAVES else None
    column_tree = arrangement.column_tree if single and n_columns <= MOST_LEAVES else None
    for step, what in ((row_step, "row"), (column_step, "column")):
        if step > 1:
            notes = [*notes, f"One {what} in {step} is labelled."]

    # From left to right.
    left = _MARGIN + widest(row_names, row_font) + _GAP + (0.2 if row_label else 0)
    across = n_columns * width
    titles = [] if single else [panel.title for panel in panels]
    step_across = max(across, widest(titles, _TITLE)) + _PANEL_GAP
    right_of_panels = left + n_across * step_across - _PANEL_GAP
    bar_left = right_of_panels + _GAP + (_TREE if row_tree is not None else 0) + 0.12
    total_width = bar_left + _BAR + 0.85
    title = "\n".join(wrap(title, total_width - 2 * _MARGIN, _TITLE))

    # From the top down.
    note = "\n".join(wrap(" ".join(notes), total_width - 2 * _MARGIN))
    panel_title = max((_height(title, _TITLE) for title in titles), default=0.0)
    above = _MARGIN + _height(title, _TITLE)
    above += _TREE + _GAP if column_tree is not None else 0
    down = n_rows * height
    step_down = panel_title + down + _PANEL_GAP
    column_labels = widest(column_names, column_font) + _GAP
    bottom_of_panels = above + n_down * step_down - _PANEL_GAP
    body = bottom_of_panels - above
    bar_height = min(max(body, _SHORTEST_BAR), _LONGEST_BAR)
    bottom = max(bottom_of_panels + column_labels + 0.22, above + bar_height + _GAP)
    total_height = bottom + _height(note, _SMALL) + _MARGIN

    figure = plt.figure(figsize=(total_width, total_height))

    def axes_at(x: float, y: float, w: float, h: float) -> Axes:
        return figure.add_axes(
            (x / total_width, 1 - (y + h) / total_height, w / total_width, h / total_height)
        )

    def text_at(x: float, y: float, text: str, size: float, **kwargs: Any) -> None:
        figure.text(x / total_width, 1 - y / total_height, text, fontsize=size, va="top", **kwargs)

    norm = Normalize(*limits)
    axes = []
    for place, panel in enumerate(panels):
        row, column = divmod(place, n_across)
        x = left + column * step_across
        y = above + row * step_down + panel_title
        ax = axes_at(x, y, across, down)
        _draw(ax, panel, arrangement, cmap, norm, cell=min(width, height))
        if not single:
            ax.set_title(panel.title, fontsize=_TITLE, loc="left", pad=4)
        if column == 0:
            _label(ax.yaxis, n_rows, row_step, row_names, row_font)
            ax.set_ylabel(row_label)
        if place + n_across >= len(panels):
            _label(ax.xaxis, n_columns, column_step, column_names, column_font, rotation=90)
            ax.set_xlabel("Latent unit", labelpad=3)
        axes.append(ax)
    if row_tree is not None:
        draw_tree(axes_at(right_of_panels + _GAP / 2, above, _TREE, body), row_tree, "right")
    if column_tree is not None:
        draw_tree(axes_at(left, above - _TREE - _GAP / 2, across, _TREE), column_tree, "top")

    bar = axes_at(bar_left, above + panel_title, _BAR, bar_height - panel_title)
    figure.colorbar(ScalarMappable(norm, cmap), cax=bar).outline.set_visible(False)
    bar.tick_params(labelsize=_SMALL, length=2)
    bar.set_ylabel("\n".join(wrap(colorbar_label, bar_height, size=8)), fontsize=8)
    if title:
        text_at(_MARGIN, _MARGIN, title, _TITLE)
    if note:
        text_at(_MARGIN, bottom + _GAP, note, _SMALL, color="0.3", linespacing=_LINE)
    return figure, axes


def _cell(n_rows: int, n_columns: int) -> tuple[float, float]:
    """Width and height in inches of one of so many cells."""
    width, height = (
        min(float(np.clip(body / n, smallest, _LARGEST_CELL)), _LARGEST_BODY / n)
        for body, n, smallest in zip(_BODY, (n_columns, n_rows), _SMALLEST_CELL, strict=True)
    )
    return min(width, _LONGEST_SIDE * height), min(height, _LONGEST_SIDE * width)


def _panels_across(n_panels: int, n_rows: int, n_columns: int) -> int:
    """Number of panels side by side with which the figure fits a page best."""

    def excess(n_across: int) -> float:
        n_down = ceil(n_panels / n_across)
        width, height = _cell(n_rows * n_down, n_columns * n_across)
        total_width = n_across * (n_columns * width + _PANEL_GAP)
        total_height = n_down * (n_rows * height + 2 * _PANEL_GAP)
        return max(total_width / _PAGE[0], total_height / _PAGE[1])

    return min(range(1, n_panels + 1), key=excess)


def _font(cell: float) -> tuple[float, int]:
    """Font size in points for labels `cell` inches apart, and how many of them share one label."""
    size = float(np.clip(cell * 72 / _LINE, _SMALLEST_FONT, _LARGEST_FONT))
    return size, ceil(size * _LINE / (cell * 72) - 1e-9)


def widest(texts: Sequence[str], size: float) -> float:
    """Width in inches of the widest of the texts."""
    paths = (TextPath((0, 0), text, size=size) for text in texts if text)
    return max((path.get_extents().x1 for path in paths), default=0) / 72


def _height(text: str, size: float) -> float:
    """Height in inches of lines of text and of the gap after them; 0 where there is no text."""
    return (text.count("\n") + 1) * size * _LINE / 72 + _GAP if text else 0.0


def wrap(text: str, width: float, size: float = _SMALL) -> list[str]:
    """Lines of a text that keep to about so many inches."""
    characters = int(width / widest([text], size) * len(text)) if text else 0
    lines = textwrap.wrap(text, max(characters - 2, 12))
    # Letters differ: of a narrow text, a line may be wider than its share.
    while characters > 14 and widest(lines, size) > width:
        characters -= 1
        lines = textwrap.wrap(text, characters - 2)
    return lines


def _draw(
    ax: Axes,
    panel: Panel,
    arrangement: Arrangement,
    cmap: str | Colormap,
    norm: Normalize,
    *,
    cell: float,
) -> None:
    drawn = np.ix_(arrangement.rows, arrangement.columns)
    values = np.asarray(panel.values)[drawn]
    ax.pcolormesh(values, cmap=cmap, norm=norm, edgecolors="white", linewidth=min(2 * cell, 0.4))
    ax.invert_yaxis()
    ax.tick_params(length=0, pad=2)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    if panel.marked is not None:
        row, column = np.nonzero(np.asarray(panel.marked)[drawn])
        size = max(0.28 * cell, min(_DOT[0] / 72, _DOT[1] * cell)) * 72
        # A rim, because no one colour shows on all.
        ax.scatter(
            column + 0.5, row + 0.5, s=size**2, color="white", edgecolors="black", linewidths=0.4
        )


def _label(
    axis: Axis, n: int, step: int, names: Sequence[str], size: float, rotation: int = 0
) -> None:
    axis.set_ticks(np.arange(n)[::step] + 0.5, names, fontsize=size, rotation=rotation)


def draw_tree(ax: Axes, tree: np.ndarray, side: str) -> None:
    """Draw a dendrogram that lies on this side of a heatmap, so that its leaves meet the cells."""
    drawn = dendrogram(tree, no_plot=True)
    along, away = np.asarray(drawn["icoord"]) / 10, np.asarray(drawn["dcoord"])
    order = (along, away) if side == "top" else (away, along)
    lines = LineCollection(list(np.stack(order, axis=-1)), colors="0.45", linewidths=0.6)
    ax.add_collection(lines)
    n_leaves, top = len(tree) + 1, away.max() * 1.02 or 1
    if side == "top":
        ax.set(xlim=(0, n_leaves), ylim=(0, top))
    else:
        ax.set(xlim=(0, top) if side == "right" else (top, 0), ylim=(n_leaves, 0))
    ax.set_axis_off()
