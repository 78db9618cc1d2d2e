"""Long names of factors, whole, in the room that a figure has."""

from __future__ import annotations

import textwrap
from math import ceil
from typing import TYPE_CHECKING

from ._arrange import display_names
from ._heatmap import widest, wrap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# What a factor's genes are coloured by.
IN_SET, ADDED, NO_SET = "#0072B2", "#D55E00", "0.55"

_FONT = 7.0
_LINE = 1.15
_BETWEEN = 0.055  # inches between rows
_LONGEST_LINE = 36


def in_lines(name: str, longest: int = _LONGEST_LINE) -> str:
    """A name in as few lines as possible, and those as even as possible; nothing is cut."""
    name = name.replace("_", " ")
    n_lines = len(textwrap.wrap(name, longest))
    for width in range(ceil(len(name) / max(n_lines, 1)), longest):
        if len(textwrap.wrap(name, width)) == n_lines:
            longest = width
            break
    return "\n".join(textwrap.wrap(name, longest))


class Rows:
    """Names of the rows of a figure in print: their lines, and the inches that these take."""

    def __init__(self, names: Sequence[str]):
        shown, self.prefix = display_names(names, whole=True)
        self.labels = dict(zip(names, map(in_lines, shown), strict=True))
        lines = [label.split("\n") for label in self.labels.values()]
        self.width = widest([line for label in lines for line in label], _FONT)
        self.height = max(map(len, lines)) * _FONT * _LINE / 72 + _BETWEEN

    def label(self, ax: Axes, names: Sequence[str]) -> None:
        """Name the rows of the axes, from the top."""
        labels = [self.labels[name] for name in names]
        ax.set_yticks(range(len(names)), labels, fontsize=_FONT, linespacing=_LINE * 0.87)
        ax.set_ylim(len(names) - 0.4, -0.6)
        ax.tick_params(axis="y", length=0)


def note(figure: Figure, texts: Sequence[str]) -> None:
    """Write what a reader must know of the figure below it, in as many lines as that takes."""
    if texts:
        lines = wrap(" ".join(texts), figure.get_figwidth() - 0.2)
        figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=_FONT, color="0.3")
