from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator

from .. import _keys
from ._finish import finish, style

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

_LABELS = {
    "loss": "Loss",
    "reconstruction_loss": "Reconstruction loss",
    "orthogonality_penalty": "Orthogonality penalty\n‖I − W Wᵀ‖",
    "representation_norm": "Norm of the representation",
    "n_dead_units": "Dead units",
    "penalty": "Penalty",
    "n_active_factors": "Active factors",
    "interpretability_loss": "Interpretability loss",
    "kl_cells": "KL divergence of cells",
    "kl_genes": "KL divergence of genes",
}
# Stages of a training by the suffix of their columns; the last has none.
_STAGES = {"cells": "1. Cells", "genes": "2. Genes", "": "3. Cells and genes"}
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
    number of active factors; then all else. Where training has stages, as that of
    :class:`~pellucid.model.SIVAE`, each begins a row.

    Parameters
    ----------
    adata
        With a latent representation from :func:`pellucid.tl.latent` or
        :func:`pellucid.tl.orthogonal_ae`.
    use_rep
        Key of the representation in `adata.obsm`, and of its record in `adata.uns`. `None` for
        the first of `"X_orthogonal_ae"`, `"X_annotated_ae"` and `"X_sivae"` that is there.
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
    panels: dict[str, dict[str, dict[str, str]]] = {}
    for column in frame.columns:
        stage, quantity, part = _read(str(column))
        panels.setdefault(stage, {}).setdefault(quantity, {})[part] = column
    rows: list[list[tuple[str, str]]] = []
    for stage in filter(panels.get, _STAGES):
        order = _in_order(panels[stage], frame)
        n_across = 2 if len(order) == 4 and len(panels) == 1 else 3
        rows += [
            [(stage, quantity) for quantity in order[start : start + n_across]]
            for start in range(0, len(order), n_across)
        ]

    n_across = max(map(len, rows))
    figure, grid = plt.subplots(
        len(rows),
        n_across,
        figsize=(2.4 * n_across, 2.0 * len(rows)),
        squeeze=False,
        layout="constrained",
    )
    drawn = []
    for axes, row in zip(grid, rows, strict=True):
        for ax, (stage, quantity) in zip(axes, row, strict=False):
            _draw(ax, epochs, frame, panels[stage][quantity], quantity, stage)
            if len(panels) > 1:
                ax.set_title(_STAGES[stage], loc="left", fontsize=8)
        for ax in axes[len(row) :]:
            ax.remove()
        drawn += list(axes[: len(row)])
    return finish(figure, drawn, show=show, save=save, return_fig=return_fig)


def _in_order(quantities: dict[str, dict[str, str]], frame: pd.DataFrame) -> list[str]:
    """Quantities of a stage, as they are drawn."""
    loss, reconstruction = (
        {part: frame[column] for part, column in quantities.get(name, {}).items()}
        for name in ("loss", "reconstruction_loss")
    )
    # A penalty that a proximal step imposes is no part of the loss.
    twice = all(part in loss and loss[part].equals(one) for part, one in reconstruction.items())
    found = [name for name in quantities if not (twice and name == "reconstruction_loss")]
    return [name for name in _LABELS if name in found] + [
        name for name in found if name not in _LABELS
    ]


def _draw(
    ax: Axes,
    epochs: np.ndarray,
    frame: pd.DataFrame,
    columns: dict[str, str],
    quantity: str,
    stage: str,
) -> None:
    """One quantity by epoch, of what is trained on and of what is held out."""
    for part, column in sorted(columns.items()):
        values = frame[column].to_numpy(dtype=float)
        logged = np.isfinite(values)
        ax.plot(
            epochs[logged],
            values[logged],
            color=_COLORS.get(part, "0.2"),
            label=f"{part} {'genes' if stage == 'genes' else 'cells'}",
            linestyle="--" if part == "validation" else "-",
            linewidth=1.2,
            marker="o" if logged.sum() <= 10 else None,
            markersize=3,
        )
    ax.set(xlabel="Epoch", ylabel=_LABELS.get(quantity, quantity.replace("_", " ")))
    for axis in (ax.xaxis, ax.yaxis) if quantity in _WHOLE_NUMBERS else (ax.xaxis,):
        axis.set_major_locator(
            MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1)
        )
    if len(columns) > 1:
        ax.legend()


def _read(column: str) -> tuple[str, str, str]:
    """Stage and quantity of a column of the history, and the part of the data, if it says so."""
    for stage in _STAGES:
        stem = column.removesuffix(f"_{stage}") if stage else column
        for word, part in (("train", "training"), ("validation", "validation")):
            if stage and stem == column:
                continue
            if stem.startswith(f"{word}_"):
                return stage, stem.removeprefix(f"{word}_").removesuffix("_epoch"), part
            if stem.endswith(f"_{word}"):
                return stage, stem.removesuffix(f"_{word}"), part
    return "", column, ""
