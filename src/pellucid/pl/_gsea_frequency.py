from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np

from .. import _keys
from ..get import gsea_frequency as table_of
from ._arrange import Arrangement, cluster, display_names, left_out
from ._finish import finish, style
from ._heatmap import Panel, heatmap

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

_COLORS = "viridis_r"
_NONE = "0.95"


@style
def gsea_frequency(
    adata: AnnData,
    *,
    key: str = _keys.GSEA,
    show: bool | None = None,
    save: str | Path | None = None,
    return_fig: bool = False,
) -> Any:
    """In how many groups of cells each gene set is significant in each unit (Fig. 5 of the paper).

    Only units with a significant set and sets that are significant in a unit are drawn, ordered so
    that units with the same sets stand together. A note says how many units have one set, two and
    three, the measure of disentanglement of :cite:t:`Kinalis2022`.

    Parameters
    ----------
    adata
        With a result of :func:`pellucid.tl.gsea`.
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
    The :class:`~matplotlib.figure.Figure` if `return_fig`, the :class:`~matplotlib.axes.Axes` if
    `show=False`, `None` otherwise.

    Raises
    ------
    KeyError
        If there is no result under `key`.
    ValueError
        If no set is significant in any unit.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> model = pld.tl.orthogonal_ae(adata, n_latent=16, max_epochs=5)
    >>> pld.tl.attribute(adata, model, groupby="bulk_labels")
    >>> markers = pld.datasets.blood_markers()
    >>> pld.tl.gsea(adata, markers, groupby="bulk_labels", min_genes=5, n_permutations=200)
    >>> ax = pld.pl.gsea_frequency(adata, show=False)
    """
    table = table_of(adata, key=key)
    record = adata.uns[key]
    values = table.to_numpy()
    rows = np.flatnonzero(values.any(axis=1))
    columns = np.flatnonzero(values.any(axis=0))
    alpha = float(record["params"]["alpha"])
    if not len(rows):
        raise ValueError(
            f"No gene set is significant (q < {alpha:g}) in any of {len(table.columns)} units, so "
            "that there is nothing to draw. get.gsea has all of them."
        )
    grouped = "groups" in record
    drawn = values[np.ix_(rows, columns)]
    rows, columns = rows[cluster(drawn)[0]], columns[cluster(drawn.T)[0]]
    names, prefix = display_names(table.index.to_list())
    units = table.columns.to_list()
    notes = [_claims((values > 0).sum(axis=0))]
    if len(rows) < len(names):
        notes.append(f"{len(rows)} of {len(names)} gene sets are significant.")
    if prefix:
        notes.append(f"Names without {prefix}.")
    without = np.flatnonzero(~values.any(axis=0))
    notes += left_out("not enriched", [units[unit] for unit in without], len(units))
    most = int(values.max())
    colors = mpl.colormaps[_COLORS](np.linspace(0.1, 1, most) if most > 1 else [0.6])
    figure, (ax,) = heatmap(
        [Panel(values)],
        Arrangement(
            rows=rows,
            columns=columns,
            row_names=[names[row] for row in rows],
            column_names=[units[column] for column in columns],
        ),
        cmap=mpl.colors.ListedColormap([_NONE, *colors]),
        limits=(-0.5, most + 0.5),
        colorbar_label="Groups in which it is significant" if grouped else "Significant",
        notes=notes,
    )
    step = -(-(most + 1) // 10)
    figure.axes[-1].set_yticks(np.arange(0, most + 1, step))
    figure.axes[-1].minorticks_off()
    return finish(figure, ax, show=show, save=save, return_fig=return_fig)


def _claims(n_sets: np.ndarray) -> str:
    """How many units have one set, two, three, and more."""
    one, two, three = ((n_sets == n).sum() for n in (1, 2, 3))
    return (
        f"Significant sets of {len(n_sets)} units: none in {(n_sets == 0).sum()}, one in {one}, "
        f"two in {two}, three in {three}, more in {(n_sets > 3).sum()}."
    )
