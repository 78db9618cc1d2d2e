"""Tools: read a trained model, and write what was read into the AnnData."""

from ._attribute import attribute
from ._factor_separation import factor_separation
from ._factor_test import factor_test
from ._gene_set_impact import gene_set_impact
from ._latent import latent
from ._orthogonal_ae import orthogonal_ae
from ._orthogonality import orthogonality

__all__ = [
    "attribute",
    "factor_separation",
    "factor_test",
    "gene_set_impact",
    "latent",
    "orthogonal_ae",
    "orthogonality",
]
