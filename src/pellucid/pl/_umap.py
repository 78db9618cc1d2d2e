from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData

from .. import _keys
from .._validate import expression_source
from ._cell_values import cell_values, log_normalised
from ._finish import finish, style
from ._scatter import legend, scatter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

logger = logging.getLogger("pellucid")


@style
def umap(
    adata: AnnData,
    *,
    color: str | Sequence[str] | None = None,
    use_rep: str | None = None,
    layer: str | None = None,
    random_state: int = 0,
    show: bool | None = None,
    save: str | Path | None = None,
    return_fig: bool = False,
) -> Any:
    """UMAP of the data beside UMAP of the latent (Fig. 1a and c of :cite:p:`Kinalis2019`).

    Coordinates that `adata` holds are drawn as they are. Others are computed for the figure, with
    scanpy's defaults, and not kept: figures write nothing into `adata`. On many cells, or for many
    figures, compute them once (see Examples).

    Parameters
    ----------
    adata
        With a latent representation from :func:`pellucid.tl.latent` or
        :func:`pellucid.tl.orthogonal_ae`.
    color
        Columns of `adata.obs`, genes, or units of the representation: a row of two panels each.
        Genes are drawn as log-normalised. Categories keep the colours in
        `adata.uns[f"{color}_colors"]`, if there are any.
    use_rep
        Key of the representation in `adata.obsm`. Its UMAP is read from
        `adata.obsm[f"{use_rep}_umap"]` if that is there, or from `adata.obsm["X_umap"]` if
        `adata.uns["neighbors"]` says that it was made from `use_rep`. `None` for
        the first of `"X_orthogonal_ae"`, `"X_annotated_ae"` and `"X_sivae"` that is there.
    layer
        Layer that holds the original data; `adata.X` if `None`. Its UMAP is read from
        `adata.obsm["X_umap"]` if that is there, no layer is given, and `adata.uns["neighbors"]`
        does not say that it was made from another representation. Else it is computed from 50
        principal components: counts are log-normalised first (10,000 a cell, log1p), values that
        are not whole numbers are taken as they are.
    random_state
        Seed of the UMAPs that are computed.
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
    :class:`~matplotlib.axes.Axes`, original and latent of each colour in turn, if `show=False`,
    `None` otherwise.

    Raises
    ------
    KeyError
        If the representation, the layer or a colour is not in `adata`.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> model = pld.tl.orthogonal_ae(adata, n_latent=8, max_epochs=2)
    >>> axes = pld.pl.umap(adata, color="bulk_labels", show=False)

    To compute the UMAP of the latent once:

    >>> import scanpy as sc
    >>> sc.pp.neighbors(adata, use_rep="X_orthogonal_ae", key_added="latent")
    >>> sc.tl.umap(adata, neighbors_key="latent", key_added="X_orthogonal_ae_umap")
    """
    use_rep = _keys.representation(adata, use_rep)
    latent = np.asarray(_keys.require(adata, "obsm", use_rep, "tl.latent"))
    names = [color] if color is None or isinstance(color, str) else list(color)
    original = cache(lambda: log_normalised(adata, layer))
    drawn = AnnData(obs=pd.DataFrame(index=adata.obs_names))
    for name in names:
        if name is not None:
            drawn.obs[name] = cell_values(adata, name, use_rep, latent, original)
        if f"{name}_colors" in adata.uns:
            drawn.uns[f"{name}_colors"] = list(adata.uns[f"{name}_colors"])

    made_from = None
    if "X_umap" in adata.obsm:
        made_from = adata.uns.get("neighbors", {}).get("params", {}).get("use_rep", "X_pca")
    if layer is None and made_from in ("X", "X_pca"):
        drawn.obsm["original"] = np.asarray(adata.obsm["X_umap"])
    else:
        logger.info("Computing the UMAP of %s.", expression_source(layer))
        sc.pp.pca(original(), random_state=random_state)
        drawn.obsm["original"] = _coordinates(original().obsm["X_pca"], random_state)
    if f"{use_rep}_umap" in adata.obsm:
        drawn.obsm["latent"] = np.asarray(adata.obsm[f"{use_rep}_umap"])
    elif made_from == use_rep:
        drawn.obsm["latent"] = np.asarray(adata.obsm["X_umap"])
    else:
        logger.info("Computing the UMAP of adata.obsm[%r].", use_rep)
        drawn.obsm["latent"] = _coordinates(latent, random_state)

    figure, grid = plt.subplots(
        len(names), 2, figsize=(6.4, 2.8 * len(names)), squeeze=False, layout="constrained"
    )
    for axes, name in zip(grid, names, strict=True):
        for ax, basis, title in zip(axes, drawn.obsm, ("Original data", "Latent"), strict=True):
            scatter(drawn, basis, name, ax)
            ax.set(xlabel="UMAP 1", ylabel="UMAP 2")
            ax.set_title(title, loc="left")
        if name is not None:
            legend(drawn, name, axes[1])
    return finish(figure, list(grid.flat), show=show, save=save, return_fig=return_fig)


def _coordinates(representation: np.ndarray, random_state: int) -> np.ndarray:
    cells = AnnData(obsm={"X": representation})
    sc.pp.neighbors(cells, use_rep="X", random_state=random_state)
    sc.tl.umap(cells, random_state=random_state)
    return cells.obsm["X_umap"]
