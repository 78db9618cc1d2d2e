"""Encoders and decoders of scvi-tools' VAEs, as networks that read one matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from pellucid._compat import REGISTRY_KEYS

if TYPE_CHECKING:
    from torch import Tensor


class _Injected(nn.Module):
    """Hidden layers that each read the covariates, which are the last columns of the input."""

    def __init__(self, layers: Any, last: nn.Module | None):
        super().__init__()
        self.layers, self.last = layers, last

    def forward(self, x: Tensor) -> Tensor:
        covariates = x[:, -self.layers.n_cov :]
        for number, block in enumerate(self.layers.fc_layers):
            for layer in block:
                if layer is None:  # a part of scvi-tools' layers that is switched off
                    continue
                if number and isinstance(layer, nn.Linear):
                    x = torch.cat([x, covariates], dim=1)
                x = layer(x)
        return x if self.last is None else self.last(x)


def _stack(layers: Any, last: nn.Module | None) -> nn.Module:
    """scvi-tools' `FCLayers`, and one more layer, as a plain stack where they are one."""
    blocks = layers.fc_layers
    if layers.n_cov and any(layers.inject_into_layer(place) for place in range(1, len(blocks))):
        return _Injected(layers, last)
    plain = [layer for block in blocks for layer in block if layer is not None]
    return nn.Sequential(*plain, *([] if last is None else [last]))


def encoder(module: Any) -> nn.Module:
    """From genes to the mean of the latent distribution."""
    return _stack(module.z_encoder.encoder, module.z_encoder.mean_encoder)


def decoder(module: Any) -> nn.Module:
    """From units to what the softmax over genes reads."""
    if hasattr(module.decoder, "factor_regressor"):
        return _stack(module.decoder.factor_regressor, None)
    return _stack(module.decoder.px_decoder, module.decoder.px_scale_decoder[0])


def encoder_reads(module: Any, tensors: dict[str, Tensor]) -> Tensor:
    """Genes, and the covariates that the encoder reads if it reads any."""
    x = tensors[REGISTRY_KEYS.X_KEY]
    x = torch.log1p(x) if module.log_variational else x.clone()
    if not module.encode_covariates:
        return x
    return _beside(x, module, tensors, module.z_encoder.encoder)


def decoder_reads(module: Any, tensors: dict[str, Tensor], z: Tensor) -> Tensor:
    """Units and covariates."""
    linear = hasattr(module.decoder, "factor_regressor")
    layers = module.decoder.factor_regressor if linear else module.decoder.px_decoder
    return _beside(z, module, tensors, layers)


def _beside(first: Tensor, module: Any, tensors: dict[str, Tensor], layers: Any) -> Tensor:
    """Covariates behind `first`, in the order in which scvi-tools puts them."""
    parts = [first]
    continuous = tensors.get(REGISTRY_KEYS.CONT_COVS_KEY)
    if continuous is not None:
        parts.append(continuous)
    batch = tensors[REGISTRY_KEYS.BATCH_KEY]
    codes = []
    if module.batch_representation == "embedding":
        parts.append(module.compute_embedding(REGISTRY_KEYS.BATCH_KEY, batch))
    else:
        codes.append(batch)
    categorical = tensors.get(REGISTRY_KEYS.CAT_COVS_KEY)
    if categorical is not None:
        codes += categorical.split(1, dim=1)
    for n_levels, code in zip(layers.n_cat_list, codes, strict=True):
        if n_levels:  # scvi-tools leaves out what has one level
            parts.append(functional.one_hot(code.squeeze(1).long(), n_levels))
    return torch.cat([part.to(first.dtype) for part in parts], dim=1)
