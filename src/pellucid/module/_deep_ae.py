from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal, cast

import torch
from torch import nn
from torch.nn import functional

from pellucid._compat import REGISTRY_KEYS, LossOutput, auto_move_data

from ._likelihood import negative_binomial_loss
from ._nn import fully_connected
from ._transferable import Transferable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

Loss = Literal["mae", "mse", "nb"]

# Of the two that the paper prints, the one that it used.
NEGATIVE_SLOPE = 0.2


class LinearPath(nn.Module):
    """Layers, and a linear path beside them to which they start to add nothing."""

    def __init__(self, layers: nn.Sequential, n_input: int, n_output: int):
        super().__init__()
        self.layers = layers
        nn.init.zeros_(cast("nn.Linear", layers[-1]).weight)
        self.direct = nn.Linear(n_input, n_output, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.direct(x) + self.layers(x)


class Bounded(nn.Module):
    """A soft lower bound for each output."""

    lowest: Tensor
    softness: Tensor

    def __init__(self, n_output: int):
        super().__init__()
        self.register_buffer("lowest", torch.zeros(n_output))
        self.register_buffer("softness", torch.ones(n_output))

    def forward(self, x: Tensor) -> Tensor:
        above = functional.softplus((x - self.lowest) / self.softness)
        return self.lowest + self.softness * above


class DeepAEModule(Transferable):
    r"""Network of :class:`~pellucid.model.DeepAE`: leaky ReLUs around a linear code.

    Parameters
    ----------
    n_input
        Number of genes.
    n_hidden
        Widths of the encoder's hidden layers; the decoder mirrors them.
    n_latent
        Number of latent units.
    loss
        `"mae"`, `"mse"`, or `"nb"` for counts.
    log_mean
        Logarithm of each gene's mean, from which the decoder of counts departs; `loss="nb"` only.
    linear_path
        Whether there are linear paths beside the layers, and outputs are bounded below.
    """

    def __init__(
        self,
        n_input: int,
        *,
        n_hidden: Sequence[int],
        n_latent: int,
        loss: Loss,
        log_mean: Tensor | None = None,
        linear_path: bool = False,
    ):
        super().__init__()
        self.n_latent = n_latent
        self.loss_name = loss
        activation = partial(nn.LeakyReLU, NEGATIVE_SLOPE)
        upwards = [*n_hidden, n_latent]
        encoder = fully_connected([n_input, *upwards], activation, bias=0.0)
        decoder = fully_connected([*reversed(upwards), n_input], activation, bias=0.0)
        if loss == "nb":
            # Logarithms of rates have either sign.
            decoder.pop(-1)
            cast("nn.Linear", decoder[-1]).bias.data = cast("Tensor", log_mean).clone()
            self.log_inverse_dispersion = nn.Parameter(torch.zeros(1, n_input))
        encoder.pop(-1)
        self.encoder: nn.Module = encoder
        self.decoder: nn.Module = decoder
        if linear_path:
            decoder.pop(-1)
            self.encoder = LinearPath(encoder, n_input, n_latent)
            self.decoder = nn.Sequential(LinearPath(decoder, n_latent, n_input), Bounded(n_input))

    @torch.no_grad()
    def start_from(self, weight: Tensor, lowest: Tensor, softness: Tensor) -> None:
        """Make the linear paths a decomposition, units x genes, and set each gene's bound."""
        to_genes, bound = cast("nn.Sequential", self.decoder)
        cast("LinearPath", self.encoder).direct.weight.copy_(weight)
        cast("LinearPath", to_genes).direct.weight.copy_(weight.T)
        cast("Bounded", bound).lowest.copy_(lowest)
        cast("Bounded", bound).softness.copy_(softness)

    def encoder_input(self, x: Tensor) -> Tensor:
        """What the encoder reads of the data: the space in which attributions are taken."""
        return torch.log1p(x) if self.loss_name == "nb" else x

    def encoder_reads(self, tensors: dict[str, Tensor]) -> Tensor:
        """Input of `encoder`, cells x genes."""
        return self.encoder_input(tensors[REGISTRY_KEYS.X_KEY])

    def decoder_reads(self, tensors: dict[str, Tensor], z: Tensor) -> Tensor:
        """Input of `decoder`, cells x units."""
        return z

    def _get_inference_input(self, tensors: dict[str, Tensor], **kwargs) -> dict[str, Tensor]:
        return {"x": tensors[REGISTRY_KEYS.X_KEY]}

    def _get_generative_input(
        self, tensors: dict[str, Tensor], inference_outputs: dict[str, Tensor], **kwargs
    ) -> dict[str, Tensor]:
        return {"z": inference_outputs["z"]}

    @auto_move_data
    def inference(self, x: Tensor) -> dict[str, Tensor]:
        """Encode cells."""
        return {"z": self.encoder(self.encoder_input(x))}

    @auto_move_data
    def generative(self, z: Tensor) -> dict[str, Tensor]:
        """Decode codes: nothing else of a cell is read."""
        decoded = self.decoder(z)
        mean = decoded.exp() if self.loss_name == "nb" else decoded
        return {"decoded": decoded, "mean": mean}

    def reconstruction_loss(self, x: Tensor, decoded: Tensor) -> Tensor:
        """Equation 4 of each cell, or what stands in its place: a mean over genes."""
        if self.loss_name == "nb":
            loss = negative_binomial_loss(x, decoded, self.log_inverse_dispersion)
            return loss / x.shape[1]
        error = x - decoded
        return (error.abs() if self.loss_name == "mae" else error.square()).mean(1)

    def loss(
        self,
        tensors: dict[str, Tensor],
        inference_outputs: dict[str, Tensor],
        generative_outputs: dict[str, Tensor],
    ) -> LossOutput:
        """Equation 4, a mean over cells."""
        x = tensors[REGISTRY_KEYS.X_KEY]
        reconstruction = self.reconstruction_loss(x, generative_outputs["decoded"])
        return LossOutput(
            loss=reconstruction.mean(), reconstruction_loss=reconstruction, n_obs_minibatch=len(x)
        )

    @property
    def code_weights(self) -> Tensor:
        """Product of the encoder's weights, genes x units."""
        deep = self.encoder.layers if isinstance(self.encoder, LinearPath) else self.encoder
        layers = [layer for layer in deep.children() if isinstance(layer, nn.Linear)]
        product = layers[0].weight.T
        for layer in layers[1:]:
            product = product @ layer.weight.T
        if isinstance(self.encoder, LinearPath):
            product = product + self.encoder.direct.weight.T
        return product
