"""Tools: read a trained model, and write what was read into the AnnData."""

from ._attribute import attribute
from ._latent import latent
from ._orthogonal_ae import orthogonal_ae
from ._orthogonality import orthogonality

__all__ = ["attribute", "latent", "orthogonal_ae", "orthogonality"]
