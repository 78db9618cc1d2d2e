from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

import torch
from torch import nn

from pellucid._compat import REGISTRY_KEYS, LossOutput, auto_move_data

from ._nn import fully_connected
from ._transferable import Transferable

if TYPE_CHECKING:
    from torch import Tensor

InputType = Literal["library_scaled", "counts", "log"]


class OrthogonalAEModule(Transferable):
    r"""Network of :class:`~pellucid.model.OrthogonalAE`: SoftPlus around an orthogonal code.

    Parameters
    ----------
    n_input
        Number of genes.
    n_hidden
        Width of each hidden layer.
    n_latent
        Number of latent units.
    n_layers
        Hidden layers between the genes and the code, on each side.
    input_type
        What the network reads and writes; see :class:`~pellucid.model.OrthogonalAE`.
    reference_library
        Library size to which cells are scaled when `input_type="library_scaled"`.
    orthogonality_weight
        :math:`\lambda` of the soft orthogonality constraint.
    l1_weight
        Weight of the L1 norm of the weights that read genes, in units of the mean expression.
    dropout_rate
        Share of the encoder's inputs that training sets to zero.
    softplus_beta
        Sharpness of every SoftPlus.
    """

    # Keeps the logarithm finite where the rate underflows.
    eps = 1e-8

    def __init__(
        self,
        n_input: int,
        *,
        n_hidden: int,
        n_latent: int,
        n_layers: int,
        input_type: InputType,
        reference_library: float,
        orthogonality_weight: float,
        l1_weight: float,
        dropout_rate: float,
        softplus_beta: float,
    ):
        super().__init__()
        self.input_type = input_type
        self.orthogonality_weight = orthogonality_weight
        self.l1_weight = l1_weight
        self.dropout = nn.Dropout(dropout_rate)
        self.n_latent = n_latent
        self.softplus_beta = softplus_beta
        self.register_buffer("reference_library", torch.tensor(float(reference_library)))

        def activation() -> nn.Module:
            return nn.Softplus(beta=softplus_beta)

        hidden = [n_hidden] * n_layers
        self.encoder = fully_connected([n_input, *hidden, n_latent], activation, bias=0.01)
        self.decoder = fully_connected([n_latent, *hidden, n_input], activation, bias=0.01)

    @property
    def code_weight(self) -> Tensor:
        """W of the orthogonality constraint: the last encoder weight, units x hidden."""
        return cast("nn.Linear", self.encoder[-2]).weight

    def library(self, x: Tensor) -> Tensor:
        """Factor between the decoder's output and a cell's rate, cells x 1."""
        if self.input_type == "library_scaled":
            return x.sum(1, keepdim=True).clamp(min=1) / self.reference_library
        return x.new_ones(len(x), 1)

    def encoder_input(self, x: Tensor) -> Tensor:
        """What the encoder reads of the data: the space in which attributions are taken."""
        if self.input_type == "library_scaled":
            return torch.log1p(x / self.library(x))
        return x

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
        return {"z": inference_outputs["z"], "library": inference_outputs["library"]}

    @auto_move_data
    def inference(self, x: Tensor) -> dict[str, Tensor]:
        """Encode cells."""
        return {
            "z": self.encoder(self.dropout(self.encoder_input(x))),
            "library": self.library(x),
        }

    @auto_move_data
    def generative(self, z: Tensor, library: Tensor) -> dict[str, Tensor]:
        """Decode codes to rates."""
        scale = self.decoder(z)
        return {"scale": scale, "mean": scale * library}

    def reconstruction_loss(self, x: Tensor, rate: Tensor) -> Tensor:
        """Poisson negative log-likelihood of each cell, a mean over its genes, less log x!.

        Equation 1 of Kinalis et al. 2019 prints it with the data and the reconstruction exchanged;
        the rate is the reconstruction.
        """
        return (rate - x * torch.log(rate + self.eps)).mean(1)

    def orthogonality_penalty(self) -> Tensor:
        r""":math:`\lVert I - W W^T \rVert_F`."""
        weight = self.code_weight
        identity = torch.eye(len(weight), device=weight.device, dtype=weight.dtype)
        return torch.linalg.norm(identity - weight @ weight.T)

    def loss(
        self,
        tensors: dict[str, Tensor],
        inference_outputs: dict[str, Tensor],
        generative_outputs: dict[str, Tensor],
    ) -> LossOutput:
        """Equation 1 of Kinalis et al. 2019, with an L1 norm of the weights that read genes."""
        reconstruction = self.reconstruction_loss(
            tensors[REGISTRY_KEYS.X_KEY], generative_outputs["mean"]
        )
        loss = reconstruction.mean() + self.orthogonality_weight * self.orthogonality_penalty()
        if self.l1_weight:
            reading = cast("nn.Linear", self.encoder[0]).weight
            # The Poisson loss grows with the data's mean, and the norm's part must grow with it.
            scale = self.reference_library / reading.shape[1]
            loss = loss + self.l1_weight * scale * reading.abs().sum()
        return LossOutput(
            loss=loss,
            reconstruction_loss=reconstruction,
            extra_metrics={"squared_code": inference_outputs["z"].detach().square().sum()},
        )
