from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np

from .. import _keys
from ._finish import finish, style
from ._heatmap import widest
from ._names import note

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

# Inches.
_CELL = 0.38
_BAR = 0.12
_FONT = 7.0
_DARK = 0.6  # from this correlation on, numbers are white


@style
def attribution_agreement(
    adata: AnnData,
    *,
    key: str = _keys.ATTRIBUTION_AGREEMENT,
    show: bool | None = None,
    save: str | Path | None = None,
    return_fig: bool = False,
) -> Any:
    """Heatmap of how well attributions and loadings agree (Fig. 3a of :cite:p:`Choi2023`).

    Each cell is the median over units of Spearman's correlation over genes. Units in which one of
    the two results is constant are left out of its median.

    Parameters
    ----------
    adata
        With the result of :func:`pellucid.tl.attribution_agreement`.
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

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> model = pld.tl.orthogonal_ae(adata, n_latent=8, max_epochs=2)
    >>> for method in ("saliency", "guided_backprop"):
    ...     pld.tl.attribute(adata, model, method=method, key_added=method)
    >>> pld.tl.attribution_agreement(adata)
    >>> ax = pld.pl.attribution_agreement(adata, show=False)
    """
    record = _keys.require(adata, "uns", key, "tl.attribution_agreement")
    names = _keys.string_array(record["names"]).tolist()
    correlation = np.ma.masked_invalid(np.asarray(record["correlation"], dtype=np.float64))
    median = np.ma.median(correlation, axis=0).filled(np.nan)
    n_units, n = correlation.shape[:2]
    magnitude = np.asarray(record["magnitude"], dtype=bool)
    labels = [name.replace("_", " ") for name in names]

    side = _CELL * n
    text = widest(labels, _FONT)
    figure = plt.figure(figsize=(text + side + 1.2, text + side + 0.45), layout="constrained")
    ax = figure.add_subplot()
    mesh = ax.pcolormesh(median, cmap="RdBu_r", vmin=-1, vmax=1, edgecolors="white", linewidth=0.4)
    ax.set_aspect("equal")
    ax.invert_yaxis()
    ticks = np.arange(n) + 0.5
    ax.set_xticks(ticks, labels, fontsize=_FONT, rotation=90)
    ax.set_yticks(ticks, labels, fontsize=_FONT)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    for row, column in np.ndindex(n, n):
        value = median[row, column]
        ax.text(
            column + 0.5,
            row + 0.5,
            "–" if np.isnan(value) else f"{value:.2f}",
            color="white" if abs(value) > _DARK else "black",
            fontsize=_FONT,
            ha="center",
            va="center",
        )
    bar = figure.colorbar(mesh, ax=ax, shrink=min(1, 1.3 / side), anchor=(0, 1), aspect=11)
    bar.outline.set_visible(False)
    bar.set_label("Spearman's ρ")
    if n_units > 1:
        ax.set_title(f"Median of {n_units} units", loc="left", fontsize=8)
    unsigned = [name for name, alone in zip(labels, np.diag(magnitude), strict=True) if alone]
    if unsigned:
        note(figure, [f"Compared by magnitude: whatever is paired with {', '.join(unsigned)}."])
    return finish(figure, ax, show=show, save=save, return_fig=return_fig)
