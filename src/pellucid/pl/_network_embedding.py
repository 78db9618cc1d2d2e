from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.ticker import MaxNLocator

from .. import _keys
from ._finish import finish, style
from ._place_names import place_names
from ._scatter import legend, legend_width, numbers_or_categories, scatter

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.figure import Figure

_POINT = 40.0  # square points
_MOST_NAMED = 30


@style
def network_embedding(
    adata: AnnData,
    *,
    color: str | None = None,
    components: tuple[int, int] = (0, 1),
    key: str = _keys.NETWORK_COMPARISON,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
    return_fig: bool = False,
) -> Any:
    """Populations as points, near those whose networks are alike (Fig. 6b of :cite:p:`Choi2023`).

    Up to 30 populations have their names beside them, where there is room.

    Parameters
    ----------
    adata
        With a result of :func:`pellucid.tl.compare_networks`.
    color
        Column of `adata.obs` that is the same in all cells of a population: numbers by a colour
        map, all else as categories, in the colours of `adata.uns[f"{color}_colors"]` if there are
        any.
    components
        Positions of the principal components on the two axes, counted from 0.
    key
        Key of the result in `adata.uns`.
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
        If `adata` lacks the comparison, the column of populations or `color`.
    ValueError
        If there are no such components, or `color` is not the same in all cells of a population.

    Examples
    --------
    >>> import numpy as np
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()[:, :60].copy()
    >>> adata.X = np.log1p(adata.X.toarray())
    >>> small = {"model_kwargs": {"n_hidden": (8, 4)}, "train_kwargs": {"max_epochs": 1}}
    >>> pld.tl.fit_populations(adata, "louvain", n_cells_per_bin=90, n_latent=4, **small)
    >>> pld.tl.compare_networks(adata, min_centrality=-1)
    >>> ax = pld.pl.network_embedding(adata, color="louvain", show=False)
    """
    found = _keys.require(adata, "uns", key, "tl.compare_networks")
    pcs = np.asarray(found["pcs"])
    if len(components) != 2 or not all(0 <= one < pcs.shape[1] for one in components):
        raise ValueError(
            f"components={tuple(components)}; expected two of 0 to {pcs.shape[1] - 1}."
        )
    names = _keys.string_array(found["populations"])
    obs = pd.DataFrame(index=pd.Index(names))
    if color is not None:
        column = str(found["params"]["population_key"])
        obs[color] = numbers_or_categories(_of_populations(adata, color, column, names))
    # scanpy's embeddings have two dimensions, the first.
    drawn = AnnData(obs=obs, obsm={"X": pcs[:, list(components)]})
    if color is not None and f"{color}_colors" in adata.uns:
        of_all = adata.obs[color].astype("category").cat.categories
        known = dict(zip(of_all, adata.uns[f"{color}_colors"], strict=False))
        drawn.uns[f"{color}_colors"] = [known[name] for name in obs[color].cat.categories]
    if ax is None:
        width = legend_width(None if color is None else obs[color])
        _, ax = plt.subplots(figsize=(2.9 + width, 2.7), layout="constrained")
    scatter(drawn, "X", color, ax)
    for points in ax.collections:
        cast("PathCollection", points).set_sizes([_POINT])
    share = np.asarray(found["variance_ratio"])
    x, y = (f"PC{one + 1} ({share[one]:.0%} of variance)" for one in components)
    ax.set(xlabel=x, ylabel=y)
    for axis in (ax.xaxis, ax.yaxis):  # scanpy's embeddings have no ticks
        axis.set_major_locator(MaxNLocator(nbins=4))
    if color is not None:
        legend(drawn, color, ax)
    if len(names) <= _MOST_NAMED:
        of_all = np.arange(len(names))
        xy = pcs[:, list(components)]
        place_names(ax, xy, of_all, names.tolist(), n_required=0, n_more=len(names))
    return finish(cast("Figure", ax.figure), ax, show=show, save=save, return_fig=return_fig)


def _of_populations(adata: AnnData, color: str, column: str, names: np.ndarray) -> pd.Series:
    for wanted in (color, column):
        if wanted not in adata.obs:
            raise KeyError(
                f"{wanted!r} not found in adata.obs, which holds: {list(adata.obs.columns)}."
            )
    values = adata.obs[color].set_axis(adata.obs[column].astype(str))
    several = values.groupby(level=0).nunique(dropna=False)
    several = several[(several > 1) & np.isin(several.index, names)]
    if len(several):
        raise ValueError(
            f"color={color!r} is not the same in all cells of {len(several)} of {len(names)} "
            f"populations, such as {several.index[0]!r}; take another column."
        )
    found = values[~values.index.duplicated()].reindex(pd.Index(names))
    if isinstance(found.dtype, pd.CategoricalDtype):
        return found.cat.remove_unused_categories()
    return found
