"""The networks."""

from ._annotated_ae import AnnotatedAEModule
from ._covariates import Covariates
from ._deep_ae import DeepAEModule
from ._orthogonal_ae import OrthogonalAEModule
from ._sivae import SIVAEModule

__all__ = [
    "AnnotatedAEModule",
    "Covariates",
    "DeepAEModule",
    "OrthogonalAEModule",
    "SIVAEModule",
]
