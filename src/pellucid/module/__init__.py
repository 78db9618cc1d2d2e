"""The networks behind the models."""

from ._orthogonal_ae import OrthogonalAEModule

__all__ = ["OrthogonalAEModule"]
