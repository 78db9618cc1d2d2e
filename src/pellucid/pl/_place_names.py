from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from matplotlib.patheffects import withStroke

from ._heatmap import widest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

logger = logging.getLogger("pellucid")

# Points.
_FONT = 6.0
_HEIGHT = 1.05 * _FONT
_APART = 1.5  # between names
_AWAY = (3.0, 6.0, 10.0, 15.0, 21.0, 28.0, 36.0, 45.0, 55.0, 66.0)  # from the gene to its name
_NEAR = 21.0  # no farther from its gene is a name that may as well be another
_LINE_FROM = 6.0  # from this distance on, a line leads to the gene
_N_ANGLES = 24
# What a point under a name costs, and a name that stands on the far side, in points of distance.
_COVERED = 4.0
_BACKWARDS = 5.0
_STEPS = 8  # at which a line is tried against names
_LINE = {"arrowstyle": "-", "linewidth": 0.4, "color": "0.4", "shrinkA": 0, "shrinkB": 1}
_HALO = withStroke(linewidth=1.5, foreground="white", alpha=0.8)


def place_names(
    ax: Axes,
    xy: np.ndarray,
    which: np.ndarray,
    names: Sequence[str],
    *,
    n_required: int,
    n_more: int,
    radius: float = 0.0,
) -> None:
    """Write names beside points so that none covers another, a line leading to those farther off.

    Parameters
    ----------
    ax
        Axes whose limits and place in the figure are final.
    xy
        All points of the axes, in data units.
    which
        Positions of the points that are named, the most important first.
    names
        Their names.
    n_required
        So many of them, the first, are written wherever there is room; the log names those for
        which there is none.
    n_more
        So many of the others are written, the first for which there is room nearby.
    radius
        Of the points, as far as names are to stay off them beyond what suits small ones.
    """
    if not len(which):
        return
    figure = cast("Figure", ax.figure)
    figure.draw_without_rendering()
    scale = 72 / figure.dpi
    points = ax.transData.transform(xy) * scale
    frame = ax.get_window_extent()
    low, high = np.array([frame.x0, frame.y0]) * scale, np.array([frame.x1, frame.y1]) * scale
    origin = ax.transData.transform((0, 0)) * scale
    angles = np.arange(_N_ANGLES) * 2 * np.pi / _N_ANGLES
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    away = np.repeat(_AWAY, _N_ANGLES) + radius
    directions = np.tile(directions, (len(_AWAY), 1))

    centres = np.zeros((0, 2))  # of the names that are placed
    halves = np.zeros((0, 2))  # half their width and height
    lines = np.zeros((0, 2))
    no_room = []
    for rank, (place, name) in enumerate(zip(which, names, strict=True)):
        required = rank < n_required
        if not required and n_more == 0:
            break
        point = points[place]
        half = np.array([widest([name], _FONT), _HEIGHT / 72]) * 36
        tried = point + directions * (away[:, None] + half)
        outward = point - origin
        outward = outward / (np.linalg.norm(outward) or 1)
        cost = away - _BACKWARDS * directions @ outward
        cost = cost + _COVERED * _inside(points, tried, half).sum(axis=1)
        reach = half + _APART
        ends = np.clip(point, tried - half, tried + half)
        steps = np.linspace(0, 1, _STEPS)[:, None, None]
        led = point + steps * (ends - point)
        taken = ((tried - half < low) | (tried + half > high)).any(axis=1)
        if required:
            taken |= _inside(points[which[:n_required]], tried, half + 1).any(axis=1)
        else:
            taken |= (away > _NEAR) | _inside(points[[place]], tried, half + 1).any(axis=1)
        taken |= (np.abs(tried[:, None] - centres) < reach + halves).all(axis=2).any(axis=1)
        taken |= (np.abs(led[:, :, None] - centres) < halves).all(axis=3).any(axis=(0, 2))
        taken |= _inside(lines, tried, half).any(axis=1)
        if taken.all():
            no_room += [name] * required
            continue
        n_more -= not required
        best = np.where(taken, np.inf, cost).argmin()
        centres = np.vstack([centres, tried[best]])
        halves = np.vstack([halves, half])
        if away[best] >= _LINE_FROM:
            lines = np.vstack([lines, led[:, best]])
            end = led[-1, best] - point
            _annotate(ax, "", xy[place], end, arrowprops=_LINE)
        _annotate(ax, name, xy[place], tried[best] - point, path_effects=[_HALO])
    if no_room:
        logger.warning(
            "No room for the names of %d genes (%s); draw larger axes, or label fewer.",
            len(no_room),
            ", ".join(no_room),
        )


def _annotate(ax: Axes, text: str, xy: np.ndarray, offset: np.ndarray, **kwargs: Any) -> None:
    written = ax.annotate(
        text,
        (xy[0], xy[1]),
        xytext=(offset[0], offset[1]),
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=_FONT,
        **kwargs,
    )
    written.set_in_layout(False)


def _inside(points: np.ndarray, centres: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Whether each point lies in the box about each centre, boxes x points."""
    return (np.abs(points - centres[:, None]) < half).all(axis=2)
