from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.ticker import MaxNLocator

from .. import _keys
from .._scores import factor_positions, factor_scores
from ._finish import finish, style
from ._names import in_lines
from ._scatter import legend, numbers_or_categories, scatter

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LONGEST_LINE = 26  # characters along an axis


@style
def factor_scatter(
    adata: AnnData,
    x: str,
    y: str,
    *,
    color: str,
    use_rep: str = _keys.LATENT["AnnotatedAE"],
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
    return_fig: bool = False,
) -> Any:
    """Cells by their scores of two factors (Figs. 1 and 3 of :cite:p:`Rybakov2020`).

    Cells are drawn in random order, so that no group covers another.

    Parameters
    ----------
    adata
        With a latent representation from :func:`pellucid.tl.latent`.
    x, y
        Names of the factors on the two axes.
    color
        Column of `adata.obs`. Categories keep the colours in `adata.uns[f"{color}_colors"]`, if
        there are any.
    use_rep
        Key of the representation in `adata.obsm`, and of its record in `adata.uns`.
    ax
        Axes to draw in; a figure of their own if `None`. The legend takes room to the right.
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
        If `adata` lacks the representation, its record or `color`.
    ValueError
        If `x` or `y` is no factor, or a score is not finite.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> model = pld.tl.orthogonal_ae(adata, n_latent=8, max_epochs=2)
    >>> ax = pld.pl.factor_scatter(
    ...     adata, "Z_0", "Z_1", color="phase", use_rep="X_orthogonal_ae", show=False
    ... )
    """
    scores, names = factor_scores(adata, use_rep)
    columns = factor_positions(names, [x, y], "x, y")
    if color not in adata.obs:
        raise KeyError(
            f"color={color!r} not found in adata.obs, which holds: {list(adata.obs.columns)}."
        )
    order = np.random.default_rng(0).permutation(adata.n_obs)
    colored = numbers_or_categories(adata.obs[color])
    drawn = AnnData(
        obs=pd.DataFrame({color: colored}).iloc[order], obsm={"X": scores[:, columns][order]}
    )
    if f"{color}_colors" in adata.uns:
        drawn.uns[f"{color}_colors"] = list(adata.uns[f"{color}_colors"])
    if ax is None:
        _, ax = plt.subplots(figsize=(4.2, 2.9), layout="constrained")
    figure = cast("Figure", ax.figure)
    scatter(drawn, "X", color, ax)
    ax.set(xlabel=in_lines(x, _LONGEST_LINE), ylabel=in_lines(y, _LONGEST_LINE))
    for axis in (ax.xaxis, ax.yaxis):  # scanpy's embeddings have no ticks
        axis.set_major_locator(MaxNLocator(nbins=5))
    legend(drawn, color, ax)
    return finish(figure, ax, show=show, save=save, return_fig=return_fig)
