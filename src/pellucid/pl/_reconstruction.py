from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize

from .. import _keys
from ._arrange import cluster
from ._compression_methods import TRANSFORMS, chosen, method_name
from ._finish import finish, style
from ._heatmap import MOST_LEAVES, draw_tree

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData

# Inches.
_PANEL = (1.35, 1.9)
_TREE = 0.32
_TITLE = 0.34
_GAP = 0.16
_MARGIN = 0.12
_LABEL = 0.22
_BAR = 0.11
_MOST_ACROSS = 4
# Of the original's values, beyond which colours do not change.
_PERCENTILES = (1, 99)
_GREENS = LinearSegmentedColormap.from_list("greens", ["white", "#41ab5d", "#00441b", "black"])


@style
def reconstruction(
    adata: AnnData,
    *,
    n_latent: int | None = None,
    transform: str | None = None,
    methods: Sequence[str] | None = None,
    cmap: str | None = None,
    key: str = _keys.COMPRESSION_BENCHMARK,
    show: bool | None = None,
    save: str | Path | None = None,
    return_fig: bool = False,
) -> Any:
    """Test cells beside what methods rebuild of them (Fig. 5 of :cite:p:`Zhang2020`).

    Heatmaps of the cells and genes that :func:`pellucid.tl.compression_benchmark` kept, genes in
    rows. All are in the order of the original, whose cells and genes are clustered (average
    linkage of Euclidean distances), and share its colours. Below each name is its Pearson
    correlation with the original, of all test cells and genes of the first split, and the mean of
    that per gene.

    Parameters
    ----------
    adata
        With the result of :func:`pellucid.tl.compression_benchmark`.
    n_latent
        Numbers a cell, K; the fewest of the result if `None`, as in the paper.
    transform
        Transform of the result; the first if `None`.
    methods
        Methods of the result to draw, in this order; all if `None`.
    cmap
        Colours; if `None`, white to black through green for values that are not negative, as in
        the paper but with dark for high, and blue to red with white at 0 for others.
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
    The :class:`~matplotlib.figure.Figure` if `return_fig`, a list of
    :class:`~matplotlib.axes.Axes`, the original's first, if `show=False`, `None` otherwise.

    Raises
    ------
    KeyError
        If there is no result under `key`.
    ValueError
        If `n_latent`, `transform` or a method is not in the result.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> pld.tl.compression_benchmark(
    ...     adata, methods=["svd", "snmf"], n_latent=[5, 10], n_repeats=1, train_size=0.1
    ... )
    >>> axes = pld.pl.reconstruction(adata, show=False)
    """
    record = _keys.require(adata, "uns", key, "tl.compression_benchmark")
    kept = record["kept"]
    transforms = [str(name) for name in kept["original_transform"]]
    how = chosen(transform, transforms, "transform")[0]
    original = np.asarray(kept["original"], dtype=np.float64)[transforms.index(how)]
    sizes = np.asarray(kept["n_latent"])
    known = sorted({int(size) for size in sizes} - {0})
    if n_latent is not None and n_latent not in known:
        raise ValueError(
            f"n_latent={n_latent} is not in the result, which has {', '.join(map(str, known))}."
        )
    size = known[0] if n_latent is None else n_latent
    # The genes' means are of no number.
    here = (_keys.string_array(kept["transform"]) == how) & np.isin(sizes, (0, size))
    of = _keys.string_array(kept["method"])
    found = {str(of[place]): place for place in np.flatnonzero(here)}
    names = chosen(methods, [*found], "methods")
    matrices = [np.asarray(kept["reconstruction"][found[name]], np.float64) for name in names]
    cells, cell_tree = cluster(original)
    genes, gene_tree = cluster(original.T)
    signed = original.min() < 0
    low, high = np.percentile(original, _PERCENTILES)
    limits = (-max(-low, high), max(-low, high)) if signed else (0.0, high or original.max() or 1)
    colors = cmap or ("RdBu_r" if signed else _GREENS)

    table = record["results"]
    table = table[(table["repeat"] == 0) & (table["transform"].astype(str) == how)]
    table = table[table["n_latent"].isin([0, size])].set_index("method")
    titles = [f"Original\n{len(cells)} cells, {len(genes)} genes"]
    titles += [
        f"{method_name(name)}\nr = {table.loc[name, 'pcc']:.2f}, "
        f"per gene {table.loc[name, 'gene_pcc']:.2f}"
        for name in names
    ]

    n_panels = 1 + len(names)
    down = ceil(n_panels / _MOST_ACROSS)
    across = ceil(n_panels / down)
    left = _MARGIN + _LABEL + _TREE
    top = _MARGIN + _TREE + _TITLE
    width = left + across * (_PANEL[0] + _GAP) + _BAR + 0.6
    height = top + down * (_PANEL[1] + _TITLE + _GAP) - _TITLE + _LABEL
    figure = plt.figure(figsize=(width, height))

    def axes_at(x: float, y: float, w: float, h: float) -> Any:
        return figure.add_axes((x / width, 1 - (y + h) / height, w / width, h / height))

    axes = []
    for place, (matrix, title) in enumerate(zip([original, *matrices], titles, strict=True)):
        row, column = divmod(place, across)
        x = left + column * (_PANEL[0] + _GAP)
        y = top + row * (_PANEL[1] + _TITLE + _GAP)
        ax = axes_at(x, y, *_PANEL)
        ax.imshow(
            matrix[np.ix_(cells, genes)].T,
            cmap=colors,
            norm=Normalize(*limits),
            aspect="auto",
            interpolation="nearest",
        )
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set(visible=True, linewidth=0.4, color="0.5")
        pad = _TREE * 72 + 2 if place == 0 else 3
        ax.set_title(title, loc="left", fontsize=7.5, linespacing=1.15, pad=pad)
        if column == 0:
            ax.set_ylabel("Genes", labelpad=_TREE * 72 + 2 if place == 0 else 3)
        if place + across >= n_panels:
            ax.set_xlabel("Cells", labelpad=3)
        axes.append(ax)
    if cell_tree is not None and len(cells) <= MOST_LEAVES:
        draw_tree(axes_at(left, top - _TREE, _PANEL[0], _TREE), cell_tree, "top")
    if gene_tree is not None and len(genes) <= MOST_LEAVES:
        draw_tree(axes_at(left - _TREE, top, _TREE, _PANEL[1]), gene_tree, "left")
    bar = axes_at(left + across * (_PANEL[0] + _GAP), top, _BAR, 1.3)
    figure.colorbar(
        ScalarMappable(Normalize(*limits), colors), cax=bar, extend="both" if signed else "max"
    ).outline.set_visible(False)
    bar.set_ylabel(f"Expression, {TRANSFORMS.get(how, how)}")
    figure.text(
        _MARGIN / width, 1 - _MARGIN / height, f"K = {size}", fontsize=8, va="top", weight="bold"
    )
    return finish(figure, axes, show=show, save=save, return_fig=return_fig)
