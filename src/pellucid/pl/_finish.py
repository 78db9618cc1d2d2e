"""How every figure begins and ends: its style, and what becomes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from scanpy import settings

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Sizes for print, whatever sc.set_figure_params was told: the layouts are measured in them.
_STYLE: dict[Any, Any] = {
    "axes.grid": False,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 9,
    "figure.facecolor": "white",
    "font.size": 8,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "text.parse_math": False,  # "$" in a name is a "$"
    "xtick.labelsize": 7,
    "xtick.major.size": 2.5,
    "xtick.major.width": 0.6,
    "ytick.labelsize": 7,
    "ytick.major.size": 2.5,
    "ytick.major.width": 0.6,
}
# Text stays text in vector files, so that a journal's editor can change it.
_FILE: dict[Any, Any] = {"pdf.fonttype": 42, "ps.fonttype": 42, "svg.fonttype": "none"}

style = mpl.rc_context(_STYLE)


def finish(
    figure: Figure,
    axes: Axes | list[Axes],
    *,
    show: bool | None,
    save: str | Path | None,
    return_fig: bool,
) -> Any:
    """Save, show and return a figure as scanpy does; `save` is the path of the file to write."""
    try:
        if save is not None:
            with mpl.rc_context(_FILE):
                figure.savefig(save, dpi=300, bbox_inches="tight")
        if return_fig:
            return figure
        if show is False or (show is None and not settings.autoshow):
            return axes
        plt.show()
        if not mpl.is_interactive():
            plt.close(figure)
        return None
    finally:
        if save is not None:
            plt.close(figure)
