from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator

from .. import _keys
from ._finish import finish, style

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

_LABELS = {
    "loss": "Loss",
    "reconstruction_loss": "Reconstruction loss",
    "orthogonality_penalty": "Orthogonality penalty\n‖I − W Wᵀ‖",
    "representation_norm": "Norm of the representation",
    "n_dead_units": "Dead units",
    "penalty": "Penalty",
    "n_active_factors": "Active factors",
}
_WHOLE_NUMBERS = ("n_dead_units", "n_active_factors")
_COLORS = {"training": "#0072B2", "validation": "#D55E00"}


@style
def history(
    adata: AnnData,
    *,
    use_rep: str | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
    return_fig: bool = False,
) -> Any:
    """Training history: a panel for each quantity that was logged, by epoch.

    The loss comes first, on the training and the held-out cells; then, where they were logged, the
    reconstruction loss, unless the loss is nothing else, the orthogonality penalty of the weights,
    the norm of the representation, the number of dead units, the penalty of sparsity and the
    number of active factors; then all else.

    Parameters
    ----------
    adata
        With a latent representation from :func:`pellucid.tl.latent` or
        :func:`pellucid.tl.orthogonal_ae`.
    use_rep
        Key of the representation in `adata.obsm`, and of its record in `adata.uns`. `None` for
        `"X_orthogonal_ae"` if it is there, and else for `"X_annotated_ae"`.
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
    :class:`~matplotlib.axes.Axes`, one for each quantity, if `show=False`, `None` otherwise.

    Raises
    ------
    KeyError
        If `adata` has no record of the representation.
    ValueError
        If the record holds no epoch.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> model = pld.tl.orthogonal_ae(adata, n_latent=8, max_epochs=2)
    >>> axes = pld.pl.history(adata, show=False)
    """
    use_rep = _keys.representation(adata, use_rep)
    frame = _keys.require(adata, "uns", use_rep, "tl.latent")["history"]
    frame = frame.dropna(axis="columns", how="all")
    if frame.empty:
        raise ValueError(
            f"adata.uns[{use_rep!r}]['history'] holds no epoch: the model was not trained when "
            "tl.latent was called."
        )
    # A file may hold the epochs as text.
    epochs = np.asarray(frame.index).astype(float)
    quantities: dict[str, dict[str, str]] = {}
    for column in frame.columns:
        quantity, cells = _read(str(column))
        quantities.setdefault(quantity, {})[cells] = column
    loss, reconstruction = (
        {cells: frame[column] for cells, column in quantities.get(name, {}).items()}
        for name in ("loss", "reconstruction_loss")
    )
    # A penalty that a proximal step imposes is no part of the loss.
    if all(
        cells in loss and loss[cells].equals(values) for cells, values in reconstruction.items()
    ):
        quantities.pop("reconstruction_loss", None)
    order = [name for name in _LABELS if name in quantities]
    order += [name for name in quantities if name not in _LABELS]

    n_across = 2 if len(order) == 4 else min(len(order), 3)
    n_down = ceil(len(order) / n_across)
    figure, grid = plt.subplots(
        n_down,
        n_across,
        figsize=(2.4 * n_across, 2.0 * n_down),
        squeeze=False,
        layout="constrained",
    )
    for ax, quantity in zip(grid.flat, order, strict=False):
        columns = quantities[quantity]
        for cells, column in sorted(columns.items()):
            values = frame[column].to_numpy(dtype=float)
            logged = np.isfinite(values)
            ax.plot(
                epochs[logged],
                values[logged],
                color=_COLORS.get(cells, "0.2"),
                label=f"{cells} cells",
                linestyle="--" if cells == "validation" else "-",
                linewidth=1.2,
                marker="o" if logged.sum() <= 10 else None,
                markersize=3,
            )
        ax.set(xlabel="Epoch", ylabel=_LABELS.get(quantity, quantity.replace("_", " ")))
        ax.xaxis.set_major_locator(
            MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1)
        )
        if quantity in _WHOLE_NUMBERS:
            ax.yaxis.set_major_locator(
                MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1)
            )
        if len(columns) > 1:
            ax.legend()
    for ax in grid.flat[len(order) :]:
        ax.remove()
    return finish(
        figure, list(grid.flat[: len(order)]), show=show, save=save, return_fig=return_fig
    )


def _read(column: str) -> tuple[str, str]:
    """Quantity of a column of the history, and the cells it was computed on, if it says so."""
    for word, cells in (("train", "training"), ("validation", "validation")):
        if column.startswith(f"{word}_"):
            return column.removeprefix(f"{word}_").removesuffix("_epoch"), cells
        if column.endswith(f"_{word}"):
            return column.removesuffix(f"_{word}"), cells
    return column, ""
