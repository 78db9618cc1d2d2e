"""The networks."""

from ._annotated_ae import AnnotatedAEModule
from ._orthogonal_ae import OrthogonalAEModule

__all__ = ["AnnotatedAEModule", "OrthogonalAEModule"]
