"""Figures, from the AnnData alone: neither a model nor torch is needed to draw them."""

from __future__ import annotations

from ._gene_set_impact import gene_set_impact
from ._gene_set_impact_difference import gene_set_impact_difference
from ._history import history
from ._umap import umap
from ._unit_activity import unit_activity

__all__ = [
    "gene_set_impact",
    "gene_set_impact_difference",
    "history",
    "umap",
    "unit_activity",
]
