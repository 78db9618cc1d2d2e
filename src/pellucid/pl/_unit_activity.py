from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _keys
from .._validate import group_labels
from ._arrange import Arrangement, cluster, left_out
from ._finish import finish, style
from ._heatmap import Panel, heatmap

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData


@style
def unit_activity(
    adata: AnnData,
    *,
    groupby: str,
    use_rep: str | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
    return_fig: bool = False,
) -> Any:
    """Heatmap of how active each latent unit is in each group of cells.

    The colour is the mean of the unit over the cells of the group, less its mean over all cells,
    in standard deviations of the unit over all cells: units of any size of output can be compared.
    Rows are groups in the order of their categories; columns are units, ordered by average-linkage
    clustering. Dead units, whose standard deviation is at most 1% of the most variable unit's, are
    left out, and a note in the figure names them.

    Parameters
    ----------
    adata
        With a latent representation from :func:`pellucid.tl.latent` or
        :func:`pellucid.tl.orthogonal_ae`.
    groupby
        Column of `adata.obs`. Cells without a label count in the mean over all cells only.
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
    The :class:`~matplotlib.figure.Figure` if `return_fig`, the :class:`~matplotlib.axes.Axes` of
    the heatmap if `show=False`, `None` otherwise.

    Raises
    ------
    KeyError
        If `adata` lacks the representation, its record or `groupby`.
    ValueError
        If `groupby` holds no label, or no unit differs between cells.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> model = pld.tl.orthogonal_ae(adata, n_latent=8, max_epochs=2)
    >>> ax = pld.pl.unit_activity(adata, groupby="bulk_labels", show=False)
    """
    use_rep = _keys.representation(adata, use_rep)
    latent = np.asarray(_keys.require(adata, "obsm", use_rep, "tl.latent"), dtype=np.float64)
    record = _keys.require(adata, "uns", use_rep, "tl.latent")
    units = [str(name) for name in record["latent_names"]]
    labels = group_labels(adata, groupby)
    deviation = latent.std(axis=0)
    if not deviation.any():
        raise ValueError(
            f"Every unit of adata.obsm[{use_rep!r}] has one value in all cells; there is nothing "
            "to draw. Was the model trained?"
        )
    dead = deviation <= _keys.DEAD_BELOW * deviation.max()
    standardised = (latent - latent.mean(axis=0)) / np.where(dead, 1, deviation)
    activity = np.stack(
        [standardised[labels.codes == code].mean(axis=0) for code in range(len(labels.categories))]
    )
    live = np.flatnonzero(~dead)
    order, tree = cluster(activity[:, live].T)
    columns = live[order]
    largest = max(np.abs(activity[:, columns]).max(), 1e-6)
    figure, (ax,) = heatmap(
        [Panel(activity)],
        Arrangement(
            rows=np.arange(len(activity)),
            columns=columns,
            row_names=[str(name) for name in labels.categories],
            column_names=[units[column] for column in columns],
            column_tree=tree,
        ),
        cmap="RdBu_r",
        limits=(-largest, largest),
        colorbar_label="Mean activity (s.d. from the unit's mean)",
        row_label=groupby,
        notes=left_out("dead", [units[unit] for unit in np.flatnonzero(dead)], len(units)),
    )
    return finish(figure, ax, show=show, save=save, return_fig=return_fig)
