from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Collection

    from anndata import AnnData

_ENSEMBL = re.compile(r"ENS[A-Z]*[GTP]\d{6,}(\.\d+)?")
_VERSION = re.compile(r"(?<=\d)\.\d+$")


def explain_mismatch(adata: AnnData, wanted: Collection[str], wanted_label: str) -> str:
    """Why so few of the genes that are wanted are in `var_names`, and what to do, as a guess."""
    names = set(adata.var_names)
    n_shared = len(names.intersection(wanted))
    advice = [
        f"var_names look like {_describe(adata.var_names)}, {wanted_label} like "
        f"{_describe(wanted)}."
    ]
    columns = {
        column: len(set(adata.var[column].dropna().astype(str)).intersection(wanted))
        for column in adata.var.columns
        if not pd.api.types.is_numeric_dtype(adata.var[column])
    }
    best = max(columns, key=columns.__getitem__, default=None)
    if best is not None and columns[best] > n_shared:
        advice.append(
            f"adata.var[{best!r}] holds {columns[best]:,} of them: put that column in place of "
            "adata.var_names."
        )
    elif len(_without_versions(names) & _without_versions(wanted)) > n_shared:
        advice.append("They agree without the version suffixes (such as '.12'): remove those.")
    elif _kind(names) != _kind(wanted):
        advice.append(
            "Map one to the other with pp.align_genes(adata, var_names, mapping=...), which takes "
            "a table of ids or of orthologues."
        )
        n_alike = len(_in_capitals(names) & _in_capitals(wanted))
        if n_alike > n_shared:
            advice.append(f"{n_alike:,} have the same letters but for capitals.")
    else:
        advice.append(
            "They are of one kind: does adata hold a selection of the genes, such as a panel or "
            "the most variable ones? Start from all that were measured."
        )
    return " ".join(advice)


def _kind(names: Collection[str]) -> str:
    """What most of the names are."""
    kinds = Counter(_kind_of_one(name) for name in names)
    return kinds.most_common(1)[0][0] if kinds else "nothing"


def _kind_of_one(name: str) -> str:
    if _ENSEMBL.fullmatch(name):
        return "Ensembl ids"
    if name.isdigit():
        return "Entrez ids"
    if name == name.upper():
        return "symbols in capitals (as of human genes)"
    if name[:1].isupper():
        return "capitalised symbols (as of mouse genes)"
    return "other names"


def _describe(names: Collection[str]) -> str:
    kind = _kind(names)
    examples = [name for name in names if _kind_of_one(name) == kind][:3]
    return f"{kind}, such as {', '.join(map(repr, examples))}" if examples else kind


def _without_versions(names: Collection[str]) -> set[str]:
    return {_VERSION.sub("", name) for name in names if _ENSEMBL.fullmatch(name)}


def _in_capitals(names: Collection[str]) -> set[str]:
    return {name.upper() for name in names}
