"""Long names of factors, whole, in the room that a figure has."""

from __future__ import annotations

import re
import textwrap
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from ._arrange import display_names
from ._heatmap import widest, wrap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# What a factor's genes are coloured by.
IN_SET, ADDED, NO_SET = "#0072B2", "#D55E00", "#737373"

_FONT = 7.0
_LINE = 1.15
_BETWEEN = 0.07  # inches between rows
_THICK = 0.1  # inches of a bar
_LONGEST_LINE = 36
# Names that a model gives to factors without a set.
_UNANNOTATED = re.compile(r"(sparse|dense)_\d+")
# Names of units that have none, which are written as they are called.
_NUMBERED = re.compile(r"Z_\d+")


def in_lines(name: str, longest: int = _LONGEST_LINE) -> str:
    """A name in as few lines as possible, and those as even as possible; nothing is cut."""
    name = name if _NUMBERED.fullmatch(name) else name.replace("_", " ")
    n_lines = len(textwrap.wrap(name, longest))
    narrowest = max(ceil(len(name) / max(n_lines, 1)), *map(len, name.split(" ")), 1)
    for width in range(narrowest, longest):
        if len(textwrap.wrap(name, width)) == n_lines:
            longest = width
            break
    return "\n".join(textwrap.wrap(name, longest))


class Rows:
    """Names of the rows of a figure as they are printed, and the inches that they take."""

    def __init__(self, names: Sequence[str]):
        of_sets = [name for name in names if not _UNANNOTATED.fullmatch(name)]
        shown, prefix = display_names(of_sets, whole=True)
        labels = {name: name for name in names} | dict(zip(of_sets, shown, strict=True))
        self.labels = {name: in_lines(label) for name, label in labels.items()}
        self._prefix = prefix
        self.notes = [f"Names without {prefix}."] if prefix and of_sets else []
        lines = [line for label in self.labels.values() for line in label.split("\n")]
        self.width = widest(lines, _FONT)

    def short(self, name: str) -> str:
        """A name in running text, without what the names of the rows are without."""
        return name.removeprefix(self._prefix).replace("_", " ")

    def heights(self, names: Sequence[str]) -> np.ndarray:
        """Height of each row."""
        n_lines = np.array([self.labels[name].count("\n") + 1 for name in names])
        return n_lines * _FONT * _LINE / 72 + _BETWEEN

    def label(self, ax: Axes, names: Sequence[str]) -> tuple[np.ndarray, float]:
        """Name the rows of the axes, from the top; where they lie, and how thick a bar is."""
        heights = self.heights(names)
        places = heights.cumsum() - heights / 2
        labels = [self.labels[name] for name in names]
        ax.set_yticks(places, labels, fontsize=_FONT, linespacing=_LINE * 0.87)
        ax.set_ylim(heights.sum(), 0)
        ax.tick_params(axis="y", length=0)
        return places, _THICK


def note(figure: Figure, texts: Sequence[str]) -> None:
    """Write below a figure what a reader must know of it; the figure grows by what that takes."""
    if texts:
        lines = wrap(" ".join(texts), figure.get_figwidth() - 0.2)
        figure.set_figheight(figure.get_figheight() + len(lines) * _FONT * 1.25 / 72)
        figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=_FONT, color="0.3")
