"""Attributions of latent units to genes."""

from ._aggregate import Aggregate, aggregate_attributions
from ._attributor import Attributor, Side
from ._component import first_components
from ._network import Network, decoder_of, encoder_of
from ._path import Method
from ._sum import sum_attributions

__all__ = [
    "Aggregate",
    "Attributor",
    "Method",
    "Network",
    "Side",
    "aggregate_attributions",
    "decoder_of",
    "encoder_of",
    "first_components",
    "sum_attributions",
]
