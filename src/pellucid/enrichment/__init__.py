"""Whether the genes of a set stand out among all genes."""

from __future__ import annotations

from ._set_mean import set_mean_test

__all__ = ["set_mean_test"]
