"""Tools: read a trained model, and write what was read into the AnnData."""

from ._attribute import attribute
from ._gene_set_impact import gene_set_impact
from ._latent import latent
from ._orthogonal_ae import orthogonal_ae
from ._orthogonality import orthogonality

__all__ = ["attribute", "gene_set_impact", "latent", "orthogonal_ae", "orthogonality"]
