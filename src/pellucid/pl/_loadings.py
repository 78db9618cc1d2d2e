from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from scipy import sparse

from .. import _keys
from .._scores import factor_positions
from ._finish import finish, style
from ._heatmap import widest
from ._names import ADDED, IN_SET, NO_SET, in_lines

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData

_ACROSS = 3
# Inches.
_BARS = 1.5
_ROW = 0.13
_TITLE = 26  # characters


@style
def loadings(
    adata: AnnData,
    factors: str | Sequence[str],
    *,
    n_genes: int = 20,
    key: str | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
    return_fig: bool = False,
) -> Any:
    """Genes of the largest loadings of a factor, those of its set and those that were added.

    Genes are ranked by the absolute loading; the bar keeps the sign. Loadings of models without
    gene sets show both ends of each unit, half of the genes from either, the highest first. Genes
    whose loading is zero are not drawn. What has no set has one colour.

    Parameters
    ----------
    adata
        With loadings from :func:`pellucid.tl.loadings`.
    factors
        Name or names of the factors, or units: a panel each.
    n_genes
        Number of genes of each factor.
    key
        Key of the loadings in `adata.varm` and `adata.uns`; genes of the sets are read from
        `adata.varm[f"{key}_annotated"]`, if that is there. `None` for the first of
        `"annotated_ae_loadings"`, `"sivae_loadings"` and `"linearscvi_loadings"` that is there.
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
        If there are no loadings under `key`.
    ValueError
        If one of `factors` is unknown or deactivated, or `n_genes` is below 1.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> pld.pp.add_gene_sets(adata, pld.datasets.blood_markers())
    >>> model = pld.tl.annotated_ae(adata, likelihood="nb", max_epochs=2)
    >>> pld.tl.loadings(adata, model)
    >>> axes = pld.pl.loadings(adata, model.latent_names[0], show=False)
    """
    if n_genes < 1:
        raise ValueError(f"n_genes={n_genes} leaves nothing to draw; it must be at least 1.")
    key = _keys.found_loadings(adata, key)
    wanted = [factors] if isinstance(factors, str) else [str(name) for name in factors]
    values = np.asarray(_keys.require(adata, "varm", key, "tl.loadings"), dtype=np.float64)
    record = _keys.require(adata, "uns", key, "tl.loadings")
    columns = factor_positions(_keys.string_array(record["latent_names"]), wanted, "factors")
    gone = [
        name for name, column in zip(wanted, columns, strict=True) if not values[:, column].any()
    ]
    if gone:
        raise ValueError(
            f"{', '.join(map(repr, gone))}: every loading is zero, for the factor was deactivated "
            "in training; there is nothing to draw."
        )
    annotated = adata.varm.get(_keys.annotated(key))
    if annotated is None:
        in_set = np.zeros((adata.n_vars, len(columns)), dtype=bool)
    else:
        in_set = sparse.csr_array(annotated)[:, columns].toarray().astype(bool)

    choose = _largest if annotated is not None else _both_ends
    top = [choose(values[:, column], n_genes) for column in columns]
    symbols = adata.var_names.astype(str).to_numpy()
    n_across = min(_ACROSS, len(wanted))
    n_down = ceil(len(wanted) / n_across)
    n_rows = max(map(len, top))
    titles = [in_lines(name, _TITLE) for name in wanted]
    title_height = max(title.count("\n") + 1 for title in titles) * 0.16
    width = _BARS + widest([one for order in top for one in symbols[order]], 7)
    figure, grid = plt.subplots(
        n_down,
        n_across,
        figsize=(n_across * (width + 0.25), n_down * (n_rows * _ROW + title_height + 0.5) + 0.3),
        squeeze=False,
        layout="constrained",
    )
    axes = list(grid.flat)
    for ax in axes[len(wanted) :]:
        ax.remove()
    axes = axes[: len(wanted)]
    for panel, (ax, order, title) in enumerate(zip(axes, top, titles, strict=True)):
        mine = in_set[order, panel]
        has_set = in_set[:, panel].any()
        colors = np.where(mine, IN_SET, ADDED if has_set else NO_SET)
        bars = values[order, columns[panel]]
        ax.barh(np.arange(len(order)), bars, height=0.7, color=colors)
        ax.vlines(0, -0.5, len(order) - 0.5, color="black", linewidth=0.6)
        ax.set_yticks(range(len(order)), symbols[order], fontsize=7)
        ax.set_ylim(n_rows - 0.4, -0.6)
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        ax.xaxis.set_major_locator(MaxNLocator(nbins=4))
        ax.set_title(title, loc="left", fontsize=8)
        ax.set_xlabel("Loading")
    labels = {}
    if in_set.any():
        labels = {"in the set": Patch(color=IN_SET), "added": Patch(color=ADDED)}
        if not in_set.any(axis=0).all():
            labels["factor without set"] = Patch(color=NO_SET)
        figure.legend(
            labels.values(), labels.keys(), loc="outside upper left", ncols=3, columnspacing=1
        )
    return finish(figure, axes, show=show, save=save, return_fig=return_fig)


def _largest(loading: np.ndarray, n_genes: int) -> np.ndarray:
    order = np.argsort(-np.abs(loading), kind="stable")[:n_genes]
    return order[loading[order] != 0]


def _both_ends(loading: np.ndarray, n_genes: int) -> np.ndarray:
    """As many from either end; where one has fewer, the other fills up."""
    order = np.argsort(-loading, kind="stable")
    order = order[loading[order] != 0]
    n_positive = int(np.sum(loading > 0))
    n_high = min(max(ceil(n_genes / 2), n_genes - (len(order) - n_positive)), n_positive)
    n_low = min(n_genes - n_high, len(order) - n_positive)
    return np.concatenate([order[:n_high], order[len(order) - n_low :]])
