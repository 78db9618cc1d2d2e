from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pellucid import _keys

if TYPE_CHECKING:
    from anndata import AnnData

_PER_PAIR = ("impact", "z", "padj", "difference", "difference_z", "difference_padj")


def gene_set_impact(
    adata: AnnData, *, grouped: bool = False, key: str = _keys.GENE_SET_IMPACT
) -> pd.DataFrame:
    """Impact of each gene set on each unit, one row a pair; each unit's strongest sets first.

    Parameters
    ----------
    adata
        With impacts from :func:`pellucid.tl.gene_set_impact`.
    grouped
        Whether to return the impact in each group of cells instead, one row a group and pair.
    key
        Key of the impacts in `adata.uns`.

    Returns
    -------
    pandas.DataFrame
        `unit`, `gene_set`, `impact`, `z`, `padj`; `difference`, `difference_z`,
        `difference_padj` if groups were compared; `set_size`, the number of the set's genes in
        `adata`; `silent`, whether no set has an impact on the unit. Units are in the model's
        order; the sets of a unit by falling `z`.

        If `grouped`: `group`, `unit`, `gene_set`, `impact`, `set_size`, `silent`, by falling
        `impact` within a group and unit.

    Raises
    ------
    KeyError
        If there are no impacts under `key`, or none of groups when `grouped`.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> pld.pp.add_gene_sets(adata, pld.datasets.blood_markers())
    >>> model = pld.tl.orthogonal_ae(adata, n_latent=8, max_epochs=2)
    >>> pld.tl.attribute(adata, model)
    >>> pld.tl.gene_set_impact(adata)
    >>> table = pld.get.gene_set_impact(adata)
    >>> strongest = table.groupby("unit", sort=False).head(1)
    """
    record = _keys.require(adata, "uns", key, "tl.gene_set_impact")
    units = _keys.string_array(record["latent_names"])
    sets = _keys.string_array(record["set_names"])
    groups = np.array([""])
    values = {name: np.asarray(record[name])[None] for name in _PER_PAIR if name in record}
    sort_by = "z"
    if grouped:
        if "impact_groups" not in record:
            raise KeyError(
                f"adata.uns[{key!r}] holds no impacts of groups; call tl.attribute with groupby=, "
                "then tl.gene_set_impact."
            )
        groups = _keys.string_array(record["groups"])
        values = {"impact": np.asarray(record["impact_groups"])}
        sort_by = "impact"

    group, unit, gene_set = np.indices((len(groups), len(units), len(sets))).reshape(3, -1)
    table = pd.DataFrame(
        {
            "group": groups[group],
            "unit": units[unit],
            "gene_set": sets[gene_set],
            **{name: value[group, gene_set, unit] for name, value in values.items()},
            "set_size": np.asarray(record["set_sizes"])[gene_set],
            "silent": np.asarray(record["silent"])[unit],
        }
    )
    order = np.lexsort((-table[sort_by], unit, group))
    table = table.iloc[order].reset_index(drop=True)
    return table if grouped else table.drop(columns="group")
