"""Models: autoencoders with scvi-tools' interface."""

from ._annotated_ae import AnnotatedAE
from ._deep_ae import DeepAE
from ._orthogonal_ae import OrthogonalAE
from ._sivae import SIVAE

__all__ = ["SIVAE", "AnnotatedAE", "DeepAE", "OrthogonalAE"]
