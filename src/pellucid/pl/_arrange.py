"""Which gene sets and units a heatmap shows, in which order and under which names."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage

if TYPE_CHECKING:
    from collections.abc import Sequence

logger = logging.getLogger("pellucid")

# MSigDB's names of its collections. A prefix is known or it is kept: "T_" of "T_HELPER" is no
# collection.
_COLLECTIONS = (
    "HALLMARK_", "REACTOME_", "KEGG_MEDICUS_", "KEGG_", "BIOCARTA_", "PID_", "WP_",
    "GOBP_", "GOCC_", "GOMF_", "GO_", "HP_",
)  # fmt: skip
# The q value below which a heatmap marks a cell.
SIGNIFICANT = 0.05
_LONGEST = 55
_LISTED = 12


@dataclass
class Arrangement:
    """Rows and columns of a heatmap, from the first to the last drawn."""

    rows: np.ndarray
    columns: np.ndarray
    row_names: list[str]
    column_names: list[str]
    row_tree: np.ndarray | None = None
    column_tree: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)


def cluster(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Order of the rows of `vectors` by average linkage of Euclidean distances, and the tree."""
    if len(vectors) < 3:
        return np.arange(len(vectors)), None
    tree = linkage(vectors, method="average", metric="euclidean", optimal_ordering=True)
    return leaves_list(tree), tree


def arrange_impact(
    record: dict[str, Any], panels: list[np.ndarray], n_top_sets: int | None
) -> Arrangement:
    """Sets of the largest impact and units that are not silent, each clustered.

    Parameters
    ----------
    record
        What `tl.gene_set_impact` wrote.
    panels
        Impacts, sets x units each, that share their rows and columns in the figure.
    n_top_sets
        Number of sets; all if `None`.
    """
    if n_top_sets is not None and n_top_sets < 1:
        raise ValueError(f"n_top_sets={n_top_sets} leaves nothing to draw; it must be at least 1.")
    units = [str(name) for name in record["latent_names"]]
    sets = [str(name) for name in record["set_names"]]
    silent = np.asarray(record["silent"], dtype=bool)
    if silent.all():
        raise ValueError(
            f"All {len(units)} units are silent: no gene set has an impact on any of them, so "
            "there is nothing to draw. Was the model trained?"
        )
    columns = np.flatnonzero(~silent)
    peaks = np.max([np.abs(panel[:, columns]).max(axis=1) for panel in panels], axis=0)
    rows = np.sort(np.argsort(-peaks, kind="stable")[:n_top_sets])
    row_order, row_tree = cluster(np.hstack([panel[np.ix_(rows, columns)] for panel in panels]))
    column_order, column_tree = cluster(
        np.vstack([panel[np.ix_(rows, columns)] for panel in panels]).T
    )
    rows, columns = rows[row_order], columns[column_order]
    row_names, prefix = display_names(sets)
    notes = []
    if len(rows) < len(sets):
        notes.append(f"{len(rows)} of {len(sets)} gene sets, those of the largest impact.")
    if prefix:
        notes.append(f"Names without {prefix}.")
    notes += left_out("silent", [units[unit] for unit in np.flatnonzero(silent)], len(units))
    return Arrangement(
        rows=rows,
        columns=columns,
        row_names=[row_names[row] for row in rows],
        column_names=[units[column] for column in columns],
        row_tree=row_tree,
        column_tree=column_tree,
        notes=notes,
    )


def left_out(kind: str, names: Sequence[str], n_units: int) -> list[str]:
    """Say in the log, and in the note that is returned, which units are not drawn."""
    if not names:
        return []
    logger.info("%d of %d units are %s and left out: %s", len(names), n_units, kind, names)
    listed = ", ".join(names[:_LISTED]) + (", …" if len(names) > _LISTED else "")
    return [f"Left out: {len(names)} {kind} of {n_units} units ({listed})."]


def display_names(names: Sequence[str], *, whole: bool = False) -> tuple[list[str], str]:
    """Names as a reader sees them, and the collection's prefix that they were relieved of.

    A known collection's prefix that all names share is dropped, underscores become spaces, and
    names of more than 55 characters are cut unless `whole`, if that does not make two of them look
    the same.
    """
    prefix = next((p for p in _COLLECTIONS if all(name.startswith(p) for name in names)), "")
    shown = [name.removeprefix(prefix).replace("_", " ") for name in names]
    cut = [name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…" for name in shown]
    for candidate in (shown,) if whole else (cut, shown):
        if len(set(candidate)) == len(set(names)):
            return candidate, prefix
    return list(names), ""
