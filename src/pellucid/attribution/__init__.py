"""Attributions of latent units to genes."""

from ._encoder import Encoder, encoder_of
from ._sum import sum_attributions

__all__ = ["Encoder", "encoder_of", "sum_attributions"]
