from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import matplotlib.pyplot as plt

from .. import _keys
from ._finish import finish, style
from ._genes import read_genes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@style
def gene_embedding(
    adata: AnnData,
    *,
    color: str | None = None,
    gene_sets: str | Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    label: int | Sequence[str] = 12,
    components: tuple[int, int] = (0, 1),
    key: str | None = None,
    gene_sets_key: str = _keys.GENE_SETS,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
    return_fig: bool = False,
) -> Any:
    """Genes as points in the space of the loadings (Fig. 4b and d of :cite:p:`Choi2023`).

    Genes that vary together lie near each other; those that vary with none lie near the origin,
    where the thin lines cross. Both axes have one scale.

    Parameters
    ----------
    adata
        With loadings, from :func:`pellucid.tl.loadings`.
    color
        Column of `adata.var`: numbers by a colour map, all else as categories.
    gene_sets
        Sets whose genes are coloured, on the grey of all others: names of sets that
        :func:`pellucid.pp.add_gene_sets` wrote, or a dictionary of names and genes. A gene of
        more than one of them is black; the paper leaves such genes out, but whether sets overlap
        is part of what the figure says.
    label
        Genes whose names are written: how many, from the farthest from the origin on, of each set
        or category in turn, passing over those that have no room nearby; or their names. Of
        those, the log says for which there was no room.
    components
        Positions of the units on the two axes, counted from 0.
    key
        Key of the loadings in `adata.varm` and `adata.uns`. `None` for the first of
        `"annotated_ae_loadings"`, `"sivae_loadings"` and `"linearscvi_loadings"` that is there.
    gene_sets_key
        Key of the sets in `adata.varm` and `adata.uns`.
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
        If `adata` lacks the loadings, the gene sets, `color` or a gene to label.
    ValueError
        If a set is unknown or has no gene here, both `color` and `gene_sets` are given,
        `components` are not two units, or a loading is not finite.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> model = pld.tl.sivae(adata, likelihood="nb", n_hidden=(32, 16), max_epochs=1)
    >>> ax = pld.pl.gene_embedding(adata, show=False)
    >>> sets = {"B": ["CD79A", "CD79B", "MS4A1"], "NK": ["GNLY", "NKG7", "GZMB"]}
    >>> ax = pld.pl.gene_embedding(adata, gene_sets=sets, show=False)
    """
    genes = read_genes(
        adata,
        key=key,
        components=components,
        color=color,
        gene_sets=gene_sets,
        gene_sets_key=gene_sets_key,
        label=label,
    )
    if ax is None:
        _, ax = plt.subplots(figsize=(3.3 + genes.legend_width, 3.1), layout="constrained")
    genes.draw(ax)
    genes.name(ax)
    return finish(cast("Figure", ax.figure), ax, show=show, save=save, return_fig=return_fig)
