"""Data to try things on, with their sources; nothing but a table of markers is shipped."""

from __future__ import annotations

from ._blood_markers import blood_markers
from ._gene_sets import gene_sets
from ._pbmc68k_reduced import pbmc68k_reduced
from ._single_cell import (
    cytof_bcrxl,
    kang_ifnb,
    panc8,
    paul15,
    pbmc3k_labelled,
    pbmc3k_raw,
    sc_mixology,
    zeisel,
)

__all__ = [
    "blood_markers",
    "cytof_bcrxl",
    "gene_sets",
    "kang_ifnb",
    "panc8",
    "paul15",
    "pbmc3k_labelled",
    "pbmc3k_raw",
    "pbmc68k_reduced",
    "sc_mixology",
    "zeisel",
]
