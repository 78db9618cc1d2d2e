from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator

from .. import _keys
from .._scores import factor_positions, factor_scores
from .._validate import group_labels
from ._finish import finish, style
from ._names import IN_SET, Rows, note

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData
    from matplotlib.axes import Axes

# Inches.
_GROUP = 0.3
_NARROWEST = 1.2
_ROW = 0.6
_FEWEST_CELLS = 5  # that a density may be drawn of


@style
def factor_violin(
    adata: AnnData,
    factors: str | Sequence[str],
    *,
    groupby: str,
    use_rep: str = _keys.LATENT["AnnotatedAE"],
    show: bool | None = None,
    save: str | Path | None = None,
    return_fig: bool = False,
) -> Any:
    """Scores of factors in groups of cells: a row for each factor, a violin for each group.

    A dot marks the median. Groups of fewer than five cells are drawn cell by cell, and groups
    whose scores are all the same as the dot alone.

    Parameters
    ----------
    adata
        With a latent representation from :func:`pellucid.tl.latent`.
    factors
        Name or names of the factors, from the top.
    groupby
        Column of `adata.obs`. Cells without a label are left out.
    use_rep
        Key of the representation in `adata.obsm`, and of its record in `adata.uns`.
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
    :class:`~matplotlib.axes.Axes`, one for each factor, if `show=False`, `None` otherwise.

    Raises
    ------
    KeyError
        If `adata` lacks the representation, its record or `groupby`.
    ValueError
        If one of `factors` is unknown, `groupby` holds no label, or a score is not finite.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> model = pld.tl.orthogonal_ae(adata, n_latent=8, max_epochs=2)
    >>> axes = pld.pl.factor_violin(
    ...     adata, ["Z_0", "Z_1"], groupby="bulk_labels", use_rep="X_orthogonal_ae", show=False
    ... )
    """
    wanted = [factors] if isinstance(factors, str) else list(factors)
    scores, known = factor_scores(adata, use_rep)
    columns = factor_positions(known, wanted, "factors")
    labels = group_labels(adata, groupby)
    groups = [str(name) for name in labels.categories]
    rows = Rows(wanted)
    height = max(_ROW, rows.heights(wanted).max() + 0.05)
    figure, grid = plt.subplots(
        len(wanted),
        figsize=(
            rows.width + max(_NARROWEST, _GROUP * len(groups)) + 0.6,
            len(wanted) * height + 1.2,
        ),
        sharex=True,
        squeeze=False,
        layout="constrained",
    )
    axes = list(grid[:, 0])
    for ax, name, column in zip(axes, wanted, columns, strict=True):
        _violins(ax, [scores[labels.codes == code, column] for code in range(len(groups))])
        ax.set_ylabel(rows.labels[name], rotation=0, ha="right", va="center", fontsize=7)
        ax.yaxis.set_major_locator(MaxNLocator(nbins=3, min_n_ticks=2))
    turned = max(map(len, groups)) > 4
    axes[-1].set_xticks(range(len(groups)), groups, rotation=90 if turned else 0)
    axes[-1].set(xlabel=groupby, xlim=(-0.6, len(groups) - 0.4))
    figure.align_ylabels(axes)
    note(figure, rows.notes)
    return finish(figure, axes, show=show, save=save, return_fig=return_fig)


def _violins(ax: Axes, groups: list[np.ndarray]) -> None:
    if np.concatenate(groups).min() < 0 < np.concatenate(groups).max():
        ax.axhline(0, color="0.8", linewidth=0.6, zorder=0)
    varied = [place for place, values in enumerate(groups) if np.ptp(values) > 0]
    dense = [place for place in varied if len(groups[place]) >= _FEWEST_CELLS]
    for place in set(varied).difference(dense):
        ax.plot(np.full(len(groups[place]), place), groups[place], ".", color=IN_SET, markersize=4)
    if dense:
        drawn = ax.violinplot(
            [groups[place] for place in dense], dense, widths=0.85, showextrema=False
        )
        bodies: Any = drawn["bodies"]
        for body in bodies:
            body.set(facecolor=IN_SET, edgecolor=IN_SET, linewidth=0.4, alpha=0.45)
    ax.scatter(
        range(len(groups)), [np.median(one) for one in groups], s=6, color="black", zorder=3
    )
    ax.tick_params(axis="x", length=0)
