from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import matplotlib.pyplot as plt
from matplotlib.ticker import MaxNLocator

from .. import _keys
from ._finish import finish, style

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_METRICS = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "mean_f1": "Mean F1",
}
_SPACES = {"X": "all genes", "pca": "PCA"} | {key: name for name, key in _keys.LATENT.items()}
# Okabe and Ito's, which all eyes tell apart.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = "osD^vPX"
# Dashes are the floor's.
_LINES = ("-", ":", "-.")


@style
def transfer_accuracy(
    adata: AnnData,
    *,
    metric: str = "accuracy",
    key: str = _keys.TRANSFER_LABELS,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
    return_fig: bool = False,
) -> Any:
    """How well another data set named the cells, by k (Figs. 3, 4 of :cite:p:`Kinalis2022`).

    A line for each representation; dashed, the score of naming every cell after the most abundant
    type. Put several data sets or metrics side by side with `ax`.

    Parameters
    ----------
    adata
        The query of :func:`pellucid.tl.transfer_labels`.
    metric
        `"accuracy"`, `"balanced_accuracy"` or `"mean_f1"`.
    key
        Key of the result in `adata.uns`.
    ax
        Axes to draw on; a new figure if `None`.
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
        If `metric` is none of the three.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> reference, query = adata[:400].copy(), adata[400:].copy()
    >>> pld.tl.transfer_labels(reference, query, labels_key="bulk_labels", use_rep="X_umap")
    >>> ax = pld.pl.transfer_accuracy(query, metric="mean_f1", show=False)
    """
    if metric not in _METRICS:
        raise ValueError(f"metric={metric!r} is unknown; choose one of {list(_METRICS)}.")
    table = _keys.require(adata, "uns", key, "tl.transfer_labels")["results"]
    table = table[table["metric"] == metric]
    spaces = [str(space) for space in table["use_rep"].unique()]
    if ax is None:
        _, ax = plt.subplots(figsize=(3.8, 2.3), layout="constrained")
    for place, (space, label) in enumerate(zip(spaces, _labels(spaces), strict=True)):
        rows = table[table["use_rep"] == space].sort_values("k")
        ax.plot(
            rows["k"].to_numpy(),
            rows["score"].to_numpy(),
            color=_COLORS[place % len(_COLORS)],
            linestyle=_LINES[place // len(_COLORS) % len(_LINES)],
            linewidth=1.2,
            marker=_MARKERS[place % len(_MARKERS)],
            markersize=2.5,
            label=label,
        )
    ax.axhline(
        table["majority"].iloc[0], color="0.4", linestyle="--", linewidth=1, label="majority"
    )
    drawn = table[["score", "majority"]].to_numpy()
    low, high = max(0, drawn.min() - 0.05), min(1.01, drawn.max() + 0.05)
    # Axes that share theirs hold what others drew.
    for other in ax.get_shared_y_axes().get_siblings(ax):
        if other is not ax and other.has_data():
            low, high = min(low, other.get_ylim()[0]), max(high, other.get_ylim()[1])
    ax.set_ylim(low, high)
    ax.xaxis.set_major_locator(
        MaxNLocator(nbins=6, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1)
    )
    ax.set(xlabel="Neighbours (k)", ylabel=_METRICS[metric])
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), borderaxespad=0)
    return finish(cast("Figure", ax.figure), ax, show=show, save=save, return_fig=return_fig)


def _labels(spaces: list[str]) -> list[str]:
    """Keys as a reader would have them, unless two would read the same."""
    labels = [
        _SPACES.get(space, space.removeprefix("X_").replace("_", " ").strip()) for space in spaces
    ]
    return labels if len(set(labels)) == len(labels) and all(labels) else spaces
