from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.ticker import LogLocator, MaxNLocator

from .. import _keys
from ._finish import finish, style
from ._names import note

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData
    from matplotlib.axes import Axes

_ACROSS = 3
_TRIALS, _BEST = "#0072B2", "#D55E00"
_LABEL = "Held-out loss"


@style
def tune(
    adata: AnnData,
    *,
    key: str = _keys.TUNE,
    show: bool | None = None,
    save: str | Path | None = None,
    return_fig: bool = False,
) -> Any:
    """Search for a model's settings: the loss by trial, and by each setting.

    First the loss of the held-out cells in the order of the trials, with the least so far as a
    line; then a panel for each setting. The best trial is marked in all.

    Parameters
    ----------
    adata
        With a search from :func:`pellucid.tl.tune`.
    key
        Key of the search in `adata.uns`.
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
    :class:`~matplotlib.axes.Axes`, one for the trials and one for each setting, if `show=False`,
    `None` otherwise.

    Raises
    ------
    KeyError
        If there is no search under `key`.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> pld.model.OrthogonalAE.setup_anndata(adata)
    >>> model = pld.tl.tune(adata, pld.model.OrthogonalAE, n_trials=20)  # doctest: +SKIP
    >>> axes = pld.pl.tune(adata, show=False)  # doctest: +SKIP
    """
    record = _keys.require(adata, "uns", key, "tl.tune")
    table = record["results"]
    finite = table[np.isfinite(table["loss"].to_numpy(dtype=float))]
    loss = finite["loss"].to_numpy(dtype=float)
    best = int(loss.argmin())
    settings = _keys.string_array(record["settings"]).tolist()
    n_rows = -(-(1 + len(settings)) // _ACROSS)
    n_across = min(1 + len(settings), _ACROSS)
    figure, grid = plt.subplots(
        n_rows,
        n_across,
        figsize=(2.2 * n_across, 1.9 * n_rows),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    first, *others = grid.ravel()
    trials = finite["trial"].to_numpy() + 1
    first.step(
        trials, np.minimum.accumulate(loss), where="post", color="0.4", linewidth=1, zorder=1
    )
    _points(first, trials, loss, best)
    first.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=1))
    first.set_xlabel("Trial")
    for ax, name, logarithmic in zip(others, settings, record["logarithmic"], strict=False):
        _setting(ax, finite[name], loss, best, logarithmic=bool(logarithmic))
        ax.set_xlabel(name)
    for ax in others[len(settings) :]:
        ax.remove()
    for row in grid:
        row[0].set_ylabel(_LABEL)
    if len(finite) < len(table):
        note(figure, [f"Failed, and not drawn: {len(table) - len(finite)} of {len(table)}."])
    axes = [first, *others[: len(settings)]]
    return finish(figure, axes, show=show, save=save, return_fig=return_fig)


def _points(ax: Axes, x: np.ndarray, loss: np.ndarray, best: int) -> None:
    colors = np.where(np.arange(len(loss)) == best, _BEST, _TRIALS)
    # The best is drawn last.
    order = np.argsort(np.arange(len(loss)) == best, kind="stable")
    ax.scatter(x[order], loss[order], c=colors[order], s=12, linewidths=0, zorder=2)


def _setting(
    ax: Axes, values: pd.Series, loss: np.ndarray, best: int, *, logarithmic: bool
) -> None:
    """Loss by one setting: along a scale, or by the names of its choices."""
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        _points(ax, values.to_numpy(dtype=float), loss, best)
        if logarithmic:
            ax.set_xscale("log")
            ax.xaxis.set_major_locator(LogLocator(subs=_between(values), numticks=5))
            ax.xaxis.set_major_formatter(_short)
            ax.minorticks_off()
        else:
            whole = pd.api.types.is_integer_dtype(values)
            ax.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=whole, min_n_ticks=1))
        return
    codes, names = pd.factorize(values.astype(str), sort=True)
    _points(ax, codes, loss, best)
    ax.set_xticks(range(len(names)), names)
    ax.set_xlim(-0.5, len(names) - 0.5)


def _between(values: pd.Series) -> tuple[float, ...]:
    """Where to put ticks within a decade, so that a short range has some too."""
    span = values.max() / values.min()
    if span < 5:
        return (1, 1.5, 2, 3, 5, 7)
    return (1, 2, 5) if span < 50 else (1,)


def _short(value: float, _: float) -> str:
    return f"{value:.1e}".replace(".0e", "e").replace("e-0", "e-").replace("e+0", "e+")
