from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from torch import nn

from pellucid._compat import VAE

from . import _scvi

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from pellucid._compat import BaseModelClass


class Network(NamedTuple):
    """Part of a model that can be attributed."""

    read: Callable[[dict[str, Tensor]], Tensor]
    """From the tensors of cells to what the network reads, in which attributions are taken."""
    network: nn.Module
    """From what is read to units or to genes."""
    n_read: int
    """Inputs that are genes or units, and come first; covariates follow."""


def encoder_of(model: BaseModelClass) -> Network:
    """Units as a function of genes: of the means, where the model's latent is a distribution.

    Raises
    ------
    TypeError
        If the model is neither of this package nor of scvi-tools' VAEs.
    """
    module = model.module
    n_genes = len(model.get_var_names())
    if hasattr(module, "encoder_reads"):
        return Network(module.encoder_reads, module.encoder, n_genes)
    if not isinstance(module, VAE):
        raise _unreadable(model, "encoder")
    return Network(partial(_scvi.encoder_reads, module), _scvi.encoder(module), n_genes)


def decoder_of(model: BaseModelClass) -> Network:
    """Genes as a function of units, which are read where the encoder puts each cell.

    Of scvi-tools' models the decoder is read below the softmax over genes: log expression, up to
    a constant of the cell.

    Raises
    ------
    TypeError
        If the model is neither of this package nor of scvi-tools' VAEs.
    """
    module = model.module
    encoder = encoder_of(model)
    if hasattr(module, "decoder_reads"):
        return Network(
            lambda tensors: module.decoder_reads(tensors, encoder.network(encoder.read(tensors))),
            module.decoder,
            module.n_latent,
        )
    if not isinstance(module, VAE):
        raise _unreadable(model, "decoder")
    transform = module.z_encoder.z_transformation
    return Network(
        lambda tensors: _scvi.decoder_reads(
            module, tensors, transform(encoder.network(encoder.read(tensors)))
        ),
        _scvi.decoder(module),
        module.n_latent,
    )


def _unreadable(model: BaseModelClass, side: str) -> TypeError:
    return TypeError(
        f"{type(model).__name__} has no {side} that can be read. Pass a model of pellucid.model, "
        "or one of scvi-tools' built on scvi.module.VAE (SCVI, LinearSCVI, SCANVI)."
    )
