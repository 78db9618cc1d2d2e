"""Whether the genes of a set stand out among all genes."""

from __future__ import annotations

from ._over_representation import over_representation_test
from ._prerank import Enrichment, prerank
from ._set_mean import set_mean_test

__all__ = ["Enrichment", "over_representation_test", "prerank", "set_mean_test"]
