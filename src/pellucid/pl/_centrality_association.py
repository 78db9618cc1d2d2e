from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator
from seaborn import color_palette

from .. import _keys
from ._finish import finish, style
from ._place_names import place_names

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_GROUPS = ("neither", "mean expression", "both", "centrality")


@style
def centrality_association(
    adata: AnnData,
    *,
    label: int = 12,
    alpha: float = 0.05,
    key: str = _keys.CENTRALITY_ASSOCIATION,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
    return_fig: bool = False,
) -> Any:
    """Genes by how their centrality and their mean go with a phenotype :cite:p:`Choi2023`.

    A point is a gene: the correlation of its mean expression with the phenotype, and that of its
    degree centrality. Genes that are significant by centrality alone tell something of the
    network; of those that are so by both, the mean may be the reason (Fig. 6c and Additional
    file 1, Fig. S20 of the paper, in one).

    Parameters
    ----------
    adata
        With a result of :func:`pellucid.tl.associate_centrality`.
    label
        Number of genes whose names are written, at most: those that are significant by centrality
        alone, the most significant first.
    alpha
        Adjusted p value below which a gene is significant.
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
        If there is no result under `key`.
    ValueError
        If `alpha` is not between 0 and 1, or `label` is negative.

    Examples
    --------
    >>> import numpy as np
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()[:, :60].copy()
    >>> adata.X = np.log1p(adata.X.toarray())
    >>> adata.obs["donor"] = (np.arange(700) // 234).astype(str)
    >>> adata.obs["age"] = 20.0 + np.arange(700) // 234
    >>> small = {"model_kwargs": {"n_hidden": (8, 4)}, "train_kwargs": {"max_epochs": 1}}
    >>> pld.tl.fit_populations(adata, "donor", n_cells_per_bin=200, n_latent=4, **small)
    >>> pld.tl.associate_centrality(adata, "age")
    >>> ax = pld.pl.centrality_association(adata, show=False)
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha={alpha}; expected a level above 0 and below 1, such as 0.05.")
    if label < 0:
        raise ValueError(f"label={label}; expected 0 or more genes.")
    found = _keys.require(adata, "uns", key, "tl.associate_centrality")
    table = found["results"].dropna(subset=["correlation", "mean_correlation"])
    group = (table["padj"] < alpha).to_numpy() * 2 + (table["mean_padj"] < alpha).to_numpy()
    # As `_GROUPS`: what is significant by centrality alone is drawn last, above all else.
    group = np.array([0, 1, 3, 2])[group]
    xy = table[["mean_correlation", "correlation"]].to_numpy()
    if ax is None:
        _, ax = plt.subplots(figsize=(4.4, 2.9), layout="constrained")
    blue, orange, green = color_palette("colorblind", 3).as_hex()
    for code, color in enumerate(("0.8", green, orange, blue)):
        of = group == code
        ax.scatter(
            xy[of, 0],
            xy[of, 1],
            s=8 if code else 5,
            color=color,
            linewidths=0,
            label=f"{_GROUPS[code]} ({of.sum()})",
            rasterized=of.sum() > 5000,
        )
    for line in (ax.axhline, ax.axvline):
        line(0, color="0.6", linewidth=0.5, zorder=0)
    reach = 1.08 * max(0.1, np.abs(xy).max(initial=0))
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach))
    ax.set_box_aspect(1)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=5))
    ax.set(xlabel="Correlation of mean expression", ylabel="Correlation of centrality")
    handles, labels = ax.get_legend_handles_labels()
    ax.legend(
        handles[::-1],
        labels[::-1],
        loc="upper left",
        bbox_to_anchor=(1.02, 1),
        borderaxespad=0,
        handletextpad=0.1,
        title=f"Significant with {found['params']['phenotype']}",
        alignment="left",
    )
    alone = np.flatnonzero(group == 3)
    which = alone[np.argsort(table["pvalue"].to_numpy()[alone], kind="stable")]
    names = table["gene"].to_numpy()[which]
    place_names(ax, xy, which, list(names), n_required=0, n_more=label)
    return finish(cast("Figure", ax.figure), ax, show=show, save=save, return_fig=return_fig)
