"""Models: autoencoders with scvi-tools' interface."""

from ._orthogonal_ae import OrthogonalAE

__all__ = ["OrthogonalAE"]
