"""The order of a long table of factors or units."""

from __future__ import annotations

import pandas as pd


def ranked(table: pd.DataFrame, by: dict[str, bool], *, within: str = "group") -> pd.DataFrame:
    """Each group's rows by the columns of `by` (whether they rise); groups as they stand."""
    groups = pd.factorize(table[within])[0]
    return (
        table.assign(_group=groups)
        .sort_values(["_group", *by], ascending=[True, *by.values()], kind="stable")
        .drop(columns="_group")
        .reset_index(drop=True)
    )
