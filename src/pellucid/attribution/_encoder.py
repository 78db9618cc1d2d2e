from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn

from pellucid._compat import VAE

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from pellucid._compat import BaseModelClass


class Encoder(NamedTuple):
    """Latent units as a function of genes."""

    read: Callable[[Tensor], Tensor]
    """From expression to what the network reads: the space in which attributions are taken."""
    network: nn.Module
    """From what is read to units."""


def encoder_of(model: BaseModelClass) -> Encoder:
    """The encoder of a model of this package, or the mean encoder of a VAE of scvi-tools.

    Raises
    ------
    TypeError
        If the model has no encoder that reads genes alone.
    """
    module = model.module
    if hasattr(module, "encoder_input"):
        return Encoder(module.encoder_input, module.encoder)
    if not isinstance(module, VAE):
        raise TypeError(
            f"{type(model).__name__} has no encoder that can be read. Pass a model of "
            "pellucid.model, or one of scvi-tools' built on scvi.module.VAE (SCVI, LinearSCVI, "
            "SCANVI)."
        )
    # A switched-off part of scvi-tools' layers is None.
    blocks: Any = module.z_encoder.encoder.fc_layers
    layers = [layer for block in blocks for layer in block if layer is not None]
    if module.encode_covariates:
        raise TypeError(
            f"this {type(model).__name__} was built with encode_covariates=True, so its encoder "
            "does not read genes alone; only encoders of genes can be attributed to genes."
        )
    read = torch.log1p if module.log_variational else torch.Tensor.clone
    return Encoder(read, nn.Sequential(*layers, module.z_encoder.mean_encoder))
