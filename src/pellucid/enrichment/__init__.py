"""Whether the genes of a set stand out among all genes."""

from __future__ import annotations

from ._over_representation import over_representation_test
from ._set_mean import set_mean_test

__all__ = ["over_representation_test", "set_mean_test"]
