from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from anndata import AnnData

from .. import _keys
from .._scores import factor_scores
from ._cell_values import cell_values, log_normalised
from ._finish import finish, style
from ._genes import check_components, frame, read_genes
from ._scatter import legend, legend_width, scatter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


@style
def cell_gene_embedding(
    adata: AnnData,
    *,
    color: str,
    gene_sets: str | Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    label: int | Sequence[str] = 12,
    components: tuple[int, int] = (0, 1),
    use_rep: str | None = None,
    key: str | None = None,
    gene_sets_key: str = _keys.GENE_SETS,
    layer: str | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
    return_fig: bool = False,
) -> Any:
    """Cells beside genes, on matched axes (Figs. 1b to d, 4c and d of :cite:p:`Choi2023`).

    Genes that lie in some direction from the origin are expressed more by cells that lie in the
    same direction: strictly so for a linear decoder, roughly so for
    :class:`~pellucid.model.SIVAE`, whose interpretability term asks for it.

    Parameters
    ----------
    adata
        With a latent representation from :func:`pellucid.tl.latent` and loadings from
        :func:`pellucid.tl.loadings`, of one model.
    color
        What cells are coloured by: a column of `adata.obs`, a unit, or a gene, as log-normalised
        expression. A gene is also ringed and named among the genes. Categories keep the colours
        in `adata.uns[f"{color}_colors"]`, if there are any.
    gene_sets
        Sets whose genes are coloured, as for :func:`pellucid.pl.gene_embedding`. Sets that are
        all named like groups of `color` have the groups' colours.
    label
        Genes whose names are written, as for :func:`pellucid.pl.gene_embedding`.
    components
        Positions of the units on the two axes of both panels, counted from 0.
    use_rep
        Key of the representation in `adata.obsm` and `adata.uns`; if `None` the default key of
        the model whose loadings are drawn.
    key
        Key of the loadings in `adata.varm` and `adata.uns`. `None` for the first of
        `"annotated_ae_loadings"`, `"sivae_loadings"` and `"linearscvi_loadings"` that is there.
    gene_sets_key
        Key of the sets in `adata.varm` and `adata.uns`.
    layer
        Layer that a gene's expression is read from; `adata.X` if `None`. Counts are
        log-normalised (10,000 a cell, log1p), values that are not whole numbers are taken as they
        are.
    show
        Whether to show the figure; scanpy's `settings.autoshow` if `None`.
    save
        Path of a file to write the figure to; its ending gives the format. The figure is closed
        then.
    return_fig
        Whether to return the figure rather than show it.

    Returns
    -------
    The :class:`~matplotlib.figure.Figure` if `return_fig`, a list of two
    :class:`~matplotlib.axes.Axes`, cells and genes, if `show=False`, `None` otherwise.

    Raises
    ------
    KeyError
        If `adata` lacks the representation, the loadings, the gene sets, `color`, or a gene to
        label.
    ValueError
        If representation and loadings have other units, a set is unknown or has no gene here,
        `components` are not two units, or a score or loading is not finite.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> model = pld.tl.sivae(adata, likelihood="nb", n_hidden=(32, 16), max_epochs=1)
    >>> axes = pld.pl.cell_gene_embedding(adata, color="bulk_labels", show=False)
    >>> axes = pld.pl.cell_gene_embedding(adata, color="CD79A", show=False)
    """
    key = _keys.found_loadings(adata, key)
    record = _keys.require(adata, "uns", key, "tl.loadings")
    if use_rep is None:
        of_default = {name: model_class for model_class, name in _keys.LOADINGS.items()}
        model_class = record.get("params", {}).get("model_class", of_default.get(key))
        use_rep = _keys.representation(adata, model_class and _keys.latent_of(model_class))
    scores, units = factor_scores(adata, use_rep)
    if not np.array_equal(units, _keys.string_array(record["latent_names"])):
        raise ValueError(
            f"adata.obsm[{use_rep!r}] and adata.varm[{key!r}] have other units and are not of one "
            "model; pass use_rep= and key= of the same one."
        )
    check_components(components, len(units), f"adata.obsm[{use_rep!r}]")
    values = cell_values(
        adata, color, use_rep, scores, cache(lambda: log_normalised(adata, layer))
    )
    order = np.random.default_rng(0).permutation(adata.n_obs)
    obs = pd.DataFrame({color: values}, index=adata.obs_names)
    cells = AnnData(obs=obs.iloc[order], obsm={"X": scores[:, list(components)][order]})
    if f"{color}_colors" in adata.uns:
        cells.uns[f"{color}_colors"] = list(adata.uns[f"{color}_colors"])

    genes = read_genes(
        adata,
        key=key,
        components=components,
        color=None,
        gene_sets=gene_sets,
        gene_sets_key=gene_sets_key,
        label=label,
    )
    width = 6.3 + legend_width(cells.obs[color]) + genes.legend_width
    figure, axes = plt.subplots(1, 2, figsize=(width, 3.1), layout="constrained")
    scatter(cells, "X", color, axes[0])
    if f"{color}_colors" in cells.uns:
        groups = map(str, cells.obs[color].cat.categories)
        genes.share_colors(dict(zip(groups, cells.uns[f"{color}_colors"], strict=False)))
    frame(axes[0], cells.obsm["X"])
    legend(cells, color, axes[0])
    genes.draw(axes[1])
    for ax, title, what in zip(axes, ("Cells", "Genes"), ("score", "loading"), strict=True):
        ax.set(xlabel=f"{genes.axes[0]} ({what})", ylabel=f"{genes.axes[1]} ({what})")
        ax.set_title(title, loc="left")
    if color not in adata.obs and color in adata.var_names:
        genes.ring(axes[1], color)
    genes.name(axes[1])
    return finish(figure, list(axes), show=show, save=save, return_fig=return_fig)
