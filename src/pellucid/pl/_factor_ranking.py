from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from .. import _keys
from ._finish import finish, style
from ._names import ADDED, IN_SET, NO_SET, Rows, note

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

_PANEL = 1.7
_LISTED = 12


@style
def factor_ranking(
    adata: AnnData,
    *,
    n_factors: int = 20,
    key: str = _keys.FACTORS,
    show: bool | None = None,
    save: str | Path | None = None,
    return_fig: bool = False,
) -> Any:
    """Factors by what they explain, and how much of each is still its gene set.

    Left: standard deviation of the factor's score times the norm of its loadings; the bar of an
    annotated factor is divided by the share of its squared loadings that lies in its set and
    outside of it. Right: genes of the set with a loading, genes that were added, and, to the left
    of zero, genes of the set that were removed. Deactivated factors are not drawn; a note names
    them.

    Parameters
    ----------
    adata
        With factors from :func:`pellucid.tl.rank_factors`.
    n_factors
        Number of factors, from the first rank.
    key
        Key of the factors in `adata.uns`.
    show
        Whether to show the figure; scanpy's `settings.autoshow` if `None`.
    save
        Path of a file to write the figure to; its ending gives the format. The figure is closed
        then.
    return_fig
        Whether to return the figure rather than show it.

    Returns
    -------
    The :class:`~matplotlib.figure.Figure` if `return_fig`, a list of the two
    :class:`~matplotlib.axes.Axes` if `show=False`, `None` otherwise.

    Raises
    ------
    KeyError
        If there are no factors under `key`.
    ValueError
        If all factors are deactivated, or `n_factors` is below 1.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> pld.pp.add_gene_sets(adata, pld.datasets.blood_markers())
    >>> model = pld.tl.annotated_ae(adata, likelihood="nb", max_epochs=2)
    >>> pld.tl.loadings(adata, model)
    >>> pld.tl.rank_factors(adata)
    >>> axes = pld.pl.factor_ranking(adata, show=False)
    """
    if n_factors < 1:
        raise ValueError(f"n_factors={n_factors} leaves nothing to draw; it must be at least 1.")
    table = _keys.require(adata, "uns", key, "tl.rank_factors")["results"].sort_values("rank")
    active = table["active"].to_numpy(dtype=bool)
    if not active.any():
        raise ValueError(
            f"All {len(table)} factors of adata.uns[{key!r}] are deactivated; there is nothing to "
            "draw. Train with smaller penalties."
        )
    rows = table[active].head(n_factors)
    shown = [str(name) for name in rows.index]
    names = Rows(shown)
    figure, (explained, genes) = plt.subplots(
        1,
        2,
        figsize=(names.width + 2 * _PANEL + 0.5, names.heights(shown).sum() + 1.1),
        sharey=True,
        layout="constrained",
    )
    places, thick = names.label(explained, shown)
    has_set = rows["n_set"].to_numpy() > 0
    added_color = np.where(has_set, ADDED, NO_SET)
    total = rows["explained"].to_numpy(dtype=float)
    outside = np.where(has_set, rows["replaced"].to_numpy(dtype=float), 1)
    explained.barh(places, total * (1 - outside), height=thick, color=IN_SET)
    explained.barh(
        places, total * outside, left=total * (1 - outside), height=thick, color=added_color
    )
    explained.set_xlabel("Explained (s.d. of score × norm)")

    kept, added, removed = (
        rows[column].to_numpy(dtype=float) for column in ("n_in_set", "n_added", "n_removed")
    )
    # A dense factor has every gene: the axis is that of the others, and its number is written.
    widest = (kept + added)[has_set if has_set.any() else slice(None)].max()
    genes.barh(places, kept, height=thick, color=IN_SET)
    genes.barh(places, added, left=kept, height=thick, color=added_color)
    genes.barh(places, -removed, height=thick, facecolor="white", edgecolor="0.5", linewidth=0.6)
    genes.axvline(0, color="black", linewidth=0.6)
    genes.set_xlim(-1.08 * removed.max() if removed.any() else 0, 1.08 * widest)
    for row in np.flatnonzero(kept + added > 1.08 * widest):
        text = f"{kept[row] + added[row]:,.0f} →"
        genes.text(widest, places[row], text, color="white", fontsize=7, ha="right", va="center")
    genes.tick_params(axis="y", length=0)
    genes.spines["left"].set_visible(False)
    genes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    genes.xaxis.set_major_formatter(lambda value, _: f"{abs(value):,.0f}")
    genes.set_xlabel("Genes")
    labels = {
        "in the set": Patch(facecolor=IN_SET),
        "added": Patch(facecolor=ADDED),
        "removed": Patch(facecolor="white", edgecolor="0.5", linewidth=0.6),
        "factor without set": Patch(facecolor=NO_SET),
    }
    if has_set.all():
        del labels["factor without set"]
    if not has_set.any():
        labels = {}
    if labels:
        figure.legend(
            labels.values(), labels.keys(), loc="outside upper right", ncols=4, columnspacing=1
        )
    notes = []
    if len(rows) < active.sum():
        notes.append(f"{len(rows)} of {active.sum()} active factors.")
    notes += names.notes
    if not active.all():
        gone = [names.short(str(name)) for name in table.index[~active]]
        listed = ", ".join(gone[:_LISTED]) + (
            ", …: see get.factors" if len(gone) > _LISTED else ""
        )
        notes.append(f"Deactivated: {len(gone)} of {len(table)} factors ({listed}).")
    note(figure, notes)
    return finish(figure, [explained, genes], show=show, save=save, return_fig=return_fig)
