"""Which cells are compared with which, and the table of what was found."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

logger = logging.getLogger("pellucid")


@dataclass
class Comparison:
    """Two groups of cells, as indices into the AnnData and as what they are called."""

    group: str
    reference: str
    cells: np.ndarray
    in_group: np.ndarray


def comparisons(
    labels: pd.Categorical,
    *,
    groupby: str,
    group: str | None,
    reference: str,
    fewest: int,
    because: str,
) -> list[Comparison]:
    """One group, or each of them if `None`, against the reference; cells without label left out.

    `fewest` is the number of cells that each side must have, `because` the reason that is given.
    Of all groups, one with fewer is left out with a warning; a group that was asked for raises.
    """
    names = [str(name) for name in labels.categories]
    if len(names) < 2:
        raise ValueError(
            f"adata.obs[{groupby!r}] holds one group only, {names[0]!r}; two are needed to "
            "compare."
        )
    for argument, name in (("group", group), ("reference", reference)):
        if name is not None and name not in names and (argument, name) != ("reference", "rest"):
            raise ValueError(
                f"{argument}={name!r} is not among the groups in adata.obs[{groupby!r}], which "
                f"are {names}."
            )
    if group == reference:
        raise ValueError(f"group and reference are both {group!r}; a group can be on one side.")
    found = []
    for name in [name for name in names if name != reference] if group is None else [group]:
        in_group = labels.codes == names.index(name)
        if reference == "rest":
            in_reference = ~in_group & (labels.codes >= 0)
        else:
            in_reference = labels.codes == names.index(reference)
        if group is None and in_group.sum() < fewest:
            logger.warning(
                "%r of adata.obs[%r] is left out: it has too few cells, %d (%s).",
                *(name, groupby, in_group.sum(), because),
            )
            continue
        for side, members in ((name, in_group), (reference, in_reference)):
            if members.sum() < fewest:
                raise ValueError(
                    f"{side!r} of adata.obs[{groupby!r}] has too few cells, {members.sum()}: "
                    f"{because}. Pass group= to name another group, or set the labels of such "
                    "cells to NaN to leave them out."
                )
        cells = np.flatnonzero(in_group | in_reference)
        found.append(Comparison(name, reference, cells, in_group[cells]))
    if not found:
        raise ValueError(f"No group of adata.obs[{groupby!r}] has enough cells: {because}.")
    return found


def auroc(ranks: np.ndarray, in_group: np.ndarray) -> np.ndarray:
    """Area under the receiver operating characteristic curve, from ranks in columns."""
    n_group = in_group.sum()
    n_pairs = n_group * (len(in_group) - n_group)
    return (in_group @ ranks - n_group * (n_group + 1) / 2) / n_pairs


def long_table(
    names: np.ndarray, found: Iterable[tuple[Comparison, Mapping[str, Any]]]
) -> pd.DataFrame:
    """One row a comparison and factor. The index is text: that is how a file holds it."""
    table = pd.concat(
        [
            pd.DataFrame(
                {
                    "factor": names.astype(object),
                    "group": comparison.group,
                    "reference": comparison.reference,
                    **columns,
                }
            )
            for comparison, columns in found
        ],
        ignore_index=True,
    )
    return table.set_axis(table.index.astype(str), axis=0)
