"""Gene co-expression: who predicts many genes, and who goes with whom.

Functions of arrays and of trained models; this room writes to no AnnData.
"""

from __future__ import annotations

from ._reconstructed_variance import ReconstructedVariance, reconstructed_variance

__all__ = ["ReconstructedVariance", "reconstructed_variance"]
