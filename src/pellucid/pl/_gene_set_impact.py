from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _keys
from ._arrange import SIGNIFICANT, arrange_impact
from ._finish import finish, style
from ._heatmap import Panel, heatmap

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData


@style
def gene_set_impact(
    adata: AnnData,
    *,
    group: str | Sequence[str | None] | None = None,
    n_top_sets: int | None = 50,
    key: str = _keys.GENE_SET_IMPACT,
    show: bool | None = None,
    save: str | Path | None = None,
    return_fig: bool = False,
) -> Any:
    """Heatmap of the impact of gene sets on units (Figs. 1d and 2 of :cite:p:`Kinalis2019`).

    Rows are gene sets, columns latent units, both ordered by average-linkage clustering of the
    Euclidean distances between them. Silent units, on which no set has an impact, are left out,
    and a note in the figure names them.

    Parameters
    ----------
    adata
        With the result of :func:`pellucid.tl.gene_set_impact`.
    group
        `None`: all cells. The name of a group of the `groupby` that :func:`pellucid.tl.attribute`
        was given: the cells of that group. A list of names: a panel each, with one order of rows
        and columns, and `None` in the list for all cells, as in Fig. 2.
    n_top_sets
        Number of gene sets to draw: those whose largest impact, over the units and panels drawn,
        is highest. `None` draws all. The paper shows "high impact" sets without a number; 50 is
        what one page holds.
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
    The :class:`~matplotlib.figure.Figure` if `return_fig`. If `show=False`, the
    :class:`~matplotlib.axes.Axes` of the heatmap, or a list of them if `group` is a list. `None`
    otherwise.

    Raises
    ------
    KeyError
        If `adata` has no impact, or none by group when `group` names one.
    ValueError
        If a group is unknown, every unit is silent, or `n_top_sets` is below 1.

    Notes
    -----
    Names are drawn as stored but for this: the prefix of an MSigDB collection ("HALLMARK") that
    all names share is left out, and a note says so; underscores become spaces; names of more than
    55 characters are cut, with an ellipsis.

    A dot marks q < 0.05 of the test described in :func:`pellucid.tl.gene_set_impact`. It is made
    on all cells, so the panels of groups have none. Groups are drawn on the scale of all cells and
    may go beyond 1.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> pld.pp.add_gene_sets(adata, pld.datasets.blood_markers())
    >>> model = pld.tl.orthogonal_ae(adata, n_latent=8, max_epochs=2)
    >>> pld.tl.attribute(adata, model, groupby="bulk_labels")
    >>> pld.tl.gene_set_impact(adata)
    >>> ax = pld.pl.gene_set_impact(adata, show=False)
    >>> axes = pld.pl.gene_set_impact(adata, group=[None, "CD19+ B"], show=False)
    """
    record = _keys.require(adata, "uns", key, "tl.gene_set_impact")
    several = group is not None and not isinstance(group, str)
    groups = [group] if group is None or isinstance(group, str) else list(group)
    if not groups:
        raise ValueError("group is an empty list; name at least one group, or pass None.")
    panels = [_panel(record, key, name) for name in groups]
    values = [panel.values for panel in panels]
    arrangement = arrange_impact(record, values, n_top_sets)
    drawn = np.stack(values)[:, arrangement.rows][:, :, arrangement.columns]
    scaled = "scale" in record["params"]
    low, high = min(drawn.min(), 0.0), drawn.max()
    cmap, limits = "magma_r", (low, max(high, 1.0) if scaled else high)
    if low < 0 and not scaled:
        cmap, limits = "RdBu_r", (-np.abs(drawn).max(), np.abs(drawn).max())
    notes = list(arrangement.notes)
    if None in groups:
        notes.insert(0, "Dot: q < 0.05.")
    if scaled and groups != [None]:
        notes.insert(0, "Scale: 0 to 1 over all cells.")
    figure, axes = heatmap(
        panels,
        arrangement,
        cmap=cmap,
        limits=limits,
        colorbar_label="Gene-set impact" + (" (min-max scaled)" if scaled else ""),
        notes=notes,
    )
    return finish(
        figure, axes if several else axes[0], show=show, save=save, return_fig=return_fig
    )


def _panel(record: dict[str, Any], key: str, group: str | None) -> Panel:
    if group is None:
        return Panel(record["impact"], "All cells", np.asarray(record["padj"]) < SIGNIFICANT)
    if "impact_groups" not in record:
        raise KeyError(
            f"adata.uns[{key!r}] holds no impact by group. Call tl.attribute with groupby=, then "
            "tl.gene_set_impact again."
        )
    names = [str(name) for name in record["groups"]]
    if group not in names:
        raise ValueError(f"group {group!r} is unknown; adata.uns[{key!r}] holds: {names}.")
    return Panel(record["impact_groups"][names.index(group)], group)
