from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np

from .. import _keys
from .._scores import factor_positions
from ..get import factor_separation as table_of
from ._finish import finish, style
from ._names import IN_SET, Rows, note

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData

_ROWS = 20
_FEWEST_ROWS = 3
_PANEL = 2.5


@style
def factor_separation(
    adata: AnnData,
    *,
    group: str | None = None,
    factors: Sequence[str] | None = None,
    n_factors: int | None = None,
    key: str = _keys.FACTOR_SEPARATION,
    show: bool | None = None,
    save: str | Path | None = None,
    return_fig: bool = False,
) -> Any:
    """How well single factors tell groups of cells apart (Fig. 2 of :cite:p:`Rybakov2020`).

    The accuracy of each factor's logistic regression, on the training cells as in the paper
    and cross-validated; a line marks the share of the larger side, which is the accuracy of a
    factor that says nothing. A panel for each comparison; factors by falling cross-validated
    accuracy.

    Parameters
    ----------
    adata
        With a separation from :func:`pellucid.tl.factor_separation`.
    group
        Group to draw; every one that was compared if `None`.
    factors
        Names of the factors to draw; the best ones of each comparison if `None`.
    n_factors
        Number of factors of each comparison; if `None`, 20 rows are shared between the
        comparisons, at least 3 for each.
    key
        Key of the separation in `adata.uns`.
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
    :class:`~matplotlib.axes.Axes`, one for each comparison, if `show=False`, `None` otherwise.

    Raises
    ------
    KeyError
        If there is no separation under `key`.
    ValueError
        If `group` or one of `factors` is unknown, or `n_factors` is below 1.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> model = pld.tl.orthogonal_ae(adata, n_latent=8, max_epochs=2)
    >>> pld.tl.factor_separation(adata, groupby="phase", use_rep="X_orthogonal_ae")
    >>> axes = pld.pl.factor_separation(adata, show=False)
    """
    table = table_of(adata, key=key)
    groups = table["group"].unique().tolist()
    if group is not None:
        if group not in groups:
            raise ValueError(f"group={group!r} was not compared; choose one of {groups}.")
        table, groups = table[table["group"] == group], [group]
    n_all = table["factor"].nunique()
    if factors is not None:
        factor_positions(table["factor"].unique(), factors, "factors")
        table = table[table["factor"].isin(list(factors))]
    elif n_factors is None:
        n_factors = max(_FEWEST_ROWS, _ROWS // len(groups))
    elif n_factors < 1:
        raise ValueError(f"n_factors={n_factors} leaves nothing to draw; it must be at least 1.")
    panels = {name: rows.head(n_factors or n_all) for name, rows in table.groupby("group")}
    drawn = [panels[name] for name in groups]
    shown = [rows["factor"].astype(str).to_list() for rows in drawn]
    names = Rows(list(dict.fromkeys(name for one in shown for name in one)))
    heights = [names.heights(one).sum() for one in shown]
    figure, grid = plt.subplots(
        len(drawn),
        figsize=(names.width + _PANEL + 0.3, sum(heights) + 0.34 * len(drawn) + 0.8),
        height_ratios=heights,
        sharex=True,
        squeeze=False,
        layout="constrained",
    )
    axes = list(grid[:, 0])
    for ax, rows, factors_shown in zip(axes, drawn, shown, strict=True):
        places, _ = names.label(ax, factors_shown)
        first = rows.iloc[0]
        ax.axvline(first["majority"], color="0.4", linestyle="--", linewidth=0.8, label="majority")
        ax.hlines(places, *_sorted(rows["accuracy"], rows["cv_accuracy"]), color="0.7", lw=1)
        # One circle within the other, for the two often agree.
        for column, label, size, face in (
            ("accuracy", "training cells", 6, "white"),
            ("cv_accuracy", "cross-validated", 3, IN_SET),
        ):
            ax.plot(
                rows[column],
                places,
                linestyle="",
                marker="o",
                markersize=size,
                markeredgecolor=IN_SET,
                markeredgewidth=0.8,
                markerfacecolor=face,
                label=label,
                clip_on=False,
                zorder=3,
            )
        ax.set_title(f"{first['group']} against {first['reference']}", loc="left")
        ax.grid(axis="x", color="0.92", linewidth=0.6)
        ax.set_axisbelow(True)
    lowest = min(rows[["accuracy", "cv_accuracy", "majority"]].min(axis=None) for rows in drawn)
    axes[-1].set(xlabel="Accuracy", xlim=(np.floor(20 * lowest - 0.2) / 20, 1))
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=3, columnspacing=1)
    notes = []
    if factors is None and len(drawn[0]) < n_all:
        notes.append(
            f"The {len(drawn[0])} factors of the highest cross-validated accuracy, of {n_all}."
        )
    note(figure, notes + names.notes)
    return finish(figure, axes, show=show, save=save, return_fig=return_fig)


def _sorted(first: Any, second: Any) -> tuple[np.ndarray, np.ndarray]:
    return np.minimum(first, second), np.maximum(first, second)
