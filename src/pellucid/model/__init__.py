"""Models: autoencoders with scvi-tools' interface."""

from ._annotated_ae import AnnotatedAE
from ._orthogonal_ae import OrthogonalAE

__all__ = ["AnnotatedAE", "OrthogonalAE"]
