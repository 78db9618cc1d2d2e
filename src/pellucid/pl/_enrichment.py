from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D

from .. import _keys
from .._scores import factor_positions
from ..get import enrichment as table_of
from ._arrange import SIGNIFICANT, left_out
from ._finish import finish, style
from ._heatmap import widest
from ._names import Rows, note

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData

_ROWS = 30
# Inches.
_COLUMNS = 6.0  # what the columns fill, between the sizes below
_NARROWEST, _WIDEST = 0.13, 0.26
_LARGEST_DOT = 0.15
_FONT = 7.0


@style
def enrichment(
    adata: AnnData,
    *,
    units: Sequence[str] | None = None,
    n_sets: int | None = None,
    key: str = _keys.ENRICHMENT,
    show: bool | None = None,
    save: str | Path | None = None,
    return_fig: bool = False,
) -> Any:
    """Dots for the gene sets that each unit's foremost genes are rich in.

    The area of a dot is the number of genes shared, its colour the q value. Rows are the most
    significant sets of each unit; whatever other unit has one of them has its dot too. Only q
    values below 0.05 have dots, and only units with one have a column.

    Parameters
    ----------
    adata
        With a result of :func:`pellucid.tl.enrich`.
    units
        Names of the units to draw; all if `None`.
    n_sets
        Number of sets that each unit brings in; if `None`, as many as keep to 30 rows, and one at
        least.
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
    The :class:`~matplotlib.figure.Figure` if `return_fig`, the :class:`~matplotlib.axes.Axes` if
    `show=False`, `None` otherwise.

    Raises
    ------
    KeyError
        If there is no result under `key`.
    ValueError
        If no set is significant, one of `units` is unknown, or `n_sets` is below 1.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> model = pld.tl.orthogonal_ae(adata, max_epochs=5)
    >>> pld.tl.attribute(adata, model)
    >>> pld.tl.enrich(adata, pld.datasets.blood_markers(), top=0.05)
    >>> ax = pld.pl.enrichment(adata, show=False)
    """
    if n_sets is not None and n_sets < 1:
        raise ValueError(f"n_sets={n_sets} leaves nothing to draw; it must be at least 1.")
    found = table_of(adata, key=key)
    record = adata.uns[key]
    all_units = _keys.string_array(record["latent_names"])
    drawn = list(all_units) if units is None else list(units)
    factor_positions(all_units, drawn, "units")
    found = found[found["unit"].isin(drawn)]
    table = found[found["padj"] < SIGNIFICANT]
    if table.empty:
        lowest = f"the lowest q value is {found['padj'].min():.2g}" if len(found) else "none ranks"
        raise ValueError(
            f"No gene set is significant (q < {SIGNIFICANT}) in any of {len(drawn)} units: "
            f"{lowest}. get.enrichment has all of them."
        )
    columns = [unit for unit in drawn if unit in set(table["unit"])]
    sets, n_sets = _rows(table, columns, n_sets)
    n_significant = table["gene_set"].nunique()
    table = table[table["gene_set"].isin(sets)]

    names = Rows(sets)
    width = float(np.clip(_COLUMNS / len(columns), _NARROWEST, _WIDEST))
    across = width * len(columns)
    height = names.heights(sets).sum()
    below = widest(columns, _FONT) + 0.35
    figure = plt.figure(
        figsize=(names.width + max(across, 1.2) + 1.2, max(height, 1.3) + below + 0.6),
        layout="constrained",
    )
    ax = figure.add_subplot()
    places, _ = names.label(ax, sets)
    column = table["unit"].map({unit: place for place, unit in enumerate(columns)})
    row = table["gene_set"].map(dict(zip(sets, places, strict=True)))
    overlap = table["overlap"].to_numpy()
    # Areas in square points; the smallest that shows is one in five of the width.
    area = (72 * min(width, _LARGEST_DOT)) ** 2 / overlap.max()
    least = 0.04 * area * overlap.max()
    log_q = -np.log10(np.maximum(table["padj"], np.finfo(float).tiny))
    dots = ax.scatter(
        column,
        row,
        s=np.maximum(area * overlap, least),
        c=log_q,
        cmap="YlGnBu",
        vmin=0,
        vmax=log_q.max(),
        edgecolors="0.3",
        linewidths=0.3,
        zorder=2,
    )
    ax.set_xticks(range(len(columns)), columns, fontsize=_FONT, rotation=90)
    ax.set_xlim(-0.5, len(columns) - 0.5)
    ax.set_xlabel("Latent unit")
    ax.tick_params(length=0)
    ax.grid(color="0.92", linewidth=0.6)
    ax.set_axisbelow(True)
    bar = figure.colorbar(
        dots, ax=ax, shrink=min(1, 1.3 / max(height, 1.3)), anchor=(0, 1), aspect=11
    )
    bar.outline.set_visible(False)
    bar.set_label("−log₁₀ q")
    shown = np.unique(np.linspace(overlap.min(), overlap.max(), 3).astype(int))
    sizes = [
        Line2D(
            [],
            [],
            linestyle="",
            marker="o",
            markersize=max(area * n, least) ** 0.5,
            markerfacecolor="0.8",
            markeredgecolor="0.3",
            markeredgewidth=0.3,
            label=f"{n}",
        )
        for n in shown
    ]
    figure.legend(
        handles=sizes,
        title="Genes shared",
        loc="outside upper right",
        ncols=len(sizes),
        columnspacing=1,
        handletextpad=0.3,
        title_fontsize=_FONT,
    )
    notes = []
    if len(sets) < n_significant:
        best = "The best set" if n_sets == 1 else f"The {n_sets} best sets"
        notes.append(f"{best} of each unit: {len(sets)} of {n_significant} significant ones.")
    notes += names.notes
    without = [unit for unit in drawn if unit not in columns]
    notes += left_out("not enriched", without, len(drawn))
    note(figure, notes)
    return finish(figure, ax, show=show, save=save, return_fig=return_fig)


def _rows(table: Any, columns: Sequence[str], n_sets: int | None) -> tuple[list[str], int]:
    """Best sets of each unit, the first unit's first, and how many each brought in."""
    best = {unit: rows["gene_set"].to_list() for unit, rows in table.groupby("unit")}

    def of(n: int) -> list[str]:
        return list(dict.fromkeys(name for unit in columns for name in best[unit][:n]))

    if n_sets is None:
        n_sets, most = 1, max(map(len, best.values()))
        while n_sets < most and len(of(n_sets + 1)) <= _ROWS:
            n_sets += 1
    return of(n_sets), n_sets
