from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _keys
from ._arrange import SIGNIFICANT, arrange_impact
from ._finish import finish, style
from ._heatmap import Panel, heatmap

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData


@style
def gene_set_impact_difference(
    adata: AnnData,
    *,
    n_top_sets: int | None = 50,
    key: str = _keys.GENE_SET_IMPACT,
    show: bool | None = None,
    save: str | Path | None = None,
    return_fig: bool = False,
) -> Any:
    """Heatmap of the difference in impact between two groups (Fig. 1e of :cite:p:`Kinalis2019`).

    Laid over the impact of all cells, as the paper does: the sets, the units and their order are
    those of :func:`pellucid.pl.gene_set_impact` with the same `n_top_sets`, so that the two
    figures can be read side by side. Red is a larger impact in the group, blue in the reference.

    Parameters
    ----------
    adata
        With the result of :func:`pellucid.tl.gene_set_impact` for a `group`.
    n_top_sets
        Number of gene sets to draw: those whose largest impact over all cells is highest, which
        "are less likely to model noise". `None` draws all.
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
    The :class:`~matplotlib.figure.Figure` if `return_fig`, the :class:`~matplotlib.axes.Axes` of
    the heatmap if `show=False`, `None` otherwise.

    Raises
    ------
    KeyError
        If `adata` has no impact, or it was computed without `group`.
    ValueError
        If every unit is silent, or `n_top_sets` is below 1.

    Notes
    -----
    A dot marks q < 0.05 of the test described in :func:`pellucid.tl.gene_set_impact`, here of the
    difference. Names are drawn as :func:`pellucid.pl.gene_set_impact` draws them.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> pld.pp.add_gene_sets(adata, pld.datasets.blood_markers())
    >>> model = pld.tl.orthogonal_ae(adata, n_latent=8, max_epochs=2)
    >>> pld.tl.attribute(adata, model, groupby="bulk_labels")
    >>> pld.tl.gene_set_impact(adata, group="CD19+ B")
    >>> ax = pld.pl.gene_set_impact_difference(adata, show=False)
    """
    record = _keys.require(adata, "uns", key, "tl.gene_set_impact")
    if "difference" not in record:
        raise KeyError(
            f"adata.uns[{key!r}] holds no difference between groups. Call tl.gene_set_impact with "
            "group= (and tl.attribute with groupby= before it)."
        )
    arrangement = arrange_impact(record, [record["impact"]], n_top_sets)
    difference = np.asarray(record["difference"])
    scaled = "scale" in record["params"]
    largest = 1.0 if scaled else np.abs(difference).max()
    figure, (ax,) = heatmap(
        [Panel(difference, _title(record), np.asarray(record["difference_padj"]) < SIGNIFICANT)],
        arrangement,
        cmap="RdBu_r",
        limits=(-largest, largest),
        colorbar_label="Difference in impact" + (" (largest = 1)" if scaled else ""),
        notes=["Dot: q < 0.05.", *arrangement.notes],
    )
    return finish(figure, ax, show=show, save=save, return_fig=return_fig)


def _title(record: dict[str, Any]) -> str:
    group, reference = (
        [str(name) for name in np.atleast_1d(record["params"][side])]
        for side in ("group", "reference")
    )
    everyone = {str(name) for name in record.get("groups", ())}
    rest = reference == ["rest"] or (len(reference) > 1 and {*group, *reference} == everyone)
    return f"{', '.join(group)} minus {'the rest' if rest else ', '.join(reference)}"
