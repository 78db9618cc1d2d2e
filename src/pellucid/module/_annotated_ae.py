from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Literal, cast

import torch
from torch import nn
from torch.nn import functional

from pellucid._compat import REGISTRY_KEYS, LossOutput, auto_move_data

from ._likelihood import negative_binomial_loss
from ._transferable import Transferable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from ._covariates import Covariates

Likelihood = Literal["normal", "nb"]

# Weight of a set's genes before training: positive, so that a factor starts the right way up.
_FIRST_LOADING = 0.05


class AnnotatedAEModule(Transferable):
    r"""Network of :class:`~pellucid.model.AnnotatedAE`: deep encoder, sparse linear decoder.

    Parameters
    ----------
    in_set
        Whether a gene stands in a factor's set, bool, factors x genes; no gene does for a factor
        without annotation.
    inside_weight, outside_weight, group_weight
        Weights of the penalties of each factor: the L1 norm of the loadings of its set's genes, of
        the other genes, and the L2 norm of all.
    score_weight
        :math:`\lambda_0` of equation 3, or `None` to fix the variance of each score at 1.
    gene_mean
        Mean of each gene in what the encoder reads.
    gene_scale
        Number by which the encoder's input is divided once it is centred.
    reference_library
        Library size to which counts are scaled before the logarithm; `likelihood="nb"` only.
    gene_share
        Share of each gene in all counts; `likelihood="nb"` only.
    n_hidden, n_layers, dropout_rate
        Of the encoder.
    covariates
        What stands beside expression.
    n_hidden_covariates
        Width of the hidden layer between covariates and genes; 0 for none.
    likelihood
        `"normal"` on log expression, or `"nb"` on counts.
    """

    def __init__(
        self,
        in_set: Tensor,
        *,
        inside_weight: Tensor,
        outside_weight: Tensor,
        group_weight: Tensor,
        score_weight: float | None,
        gene_mean: Tensor,
        gene_scale: float,
        reference_library: float,
        gene_share: Tensor,
        n_hidden: int,
        n_layers: int,
        dropout_rate: float,
        covariates: Covariates,
        n_hidden_covariates: int,
        likelihood: Likelihood,
    ):
        super().__init__()
        n_latent, n_input = in_set.shape
        self.n_latent = n_latent
        self.likelihood = likelihood
        self.score_weight = score_weight
        self._norms_held = False
        self.covariates = covariates
        self.register_buffer("in_set", in_set)
        self.register_buffer("inside_weight", inside_weight)
        self.register_buffer("outside_weight", outside_weight)
        self.register_buffer("group_weight", group_weight)
        self.register_buffer("gene_mean", gene_mean)
        self.register_buffer("gene_scale", torch.tensor(float(gene_scale)))
        self.register_buffer("reference_library", torch.tensor(float(reference_library)))

        layers: list[nn.Module] = []
        sizes = [n_input, *[n_hidden] * n_layers]
        for n_in, n_out in pairwise(sizes):
            # A bias would only be taken away again by the norm.
            layers += [nn.Linear(n_in, n_out, bias=False), nn.BatchNorm1d(n_out), nn.ELU()]
            layers.append(nn.Dropout(dropout_rate))
        layers.append(nn.Linear(sizes[-1], n_latent, bias=score_weight is not None))
        if score_weight is None:
            layers.append(nn.BatchNorm1d(n_latent, affine=False))
        self.encoder = nn.Sequential(*layers)

        unannotated = ~in_set.any(1)
        start = _FIRST_LOADING * in_set
        start[unannotated] = 0.2 * _FIRST_LOADING * torch.randn(int(unannotated.sum()), n_input)
        self.loadings = nn.Parameter(start)

        n_covariates = len(covariates)
        if n_covariates and n_hidden_covariates:
            self.covariate_decoder: nn.Module | None = nn.Sequential(
                nn.Linear(n_covariates, n_hidden_covariates),
                nn.ELU(),
                nn.Linear(n_hidden_covariates, n_input, bias=False),
            )
        elif n_covariates:
            linear = nn.Linear(n_covariates, n_input, bias=False)
            nn.init.zeros_(linear.weight)
            self.covariate_decoder = linear
        else:
            self.covariate_decoder = None
        if likelihood == "nb":
            self.gene_bias = nn.Parameter(gene_share.log())
            self.log_inverse_dispersion = nn.Parameter(torch.full((n_input,), 1.0))

    @property
    def active(self) -> Tensor:
        """Which factors have a loading that is not zero."""
        return (self.loadings != 0).any(1)

    @property
    def covariate_weights(self) -> dict[str, int]:
        """Weights whose last columns read covariates, and the first of these columns."""
        if self.covariate_decoder is None:
            return {}
        hidden = isinstance(self.covariate_decoder, nn.Sequential)
        return {"covariate_decoder.0.weight" if hidden else "covariate_decoder.weight": 0}

    def encoder_input(self, x: Tensor) -> Tensor:
        """What the encoder reads of the data: the space in which attributions are taken."""
        if self.likelihood == "nb":
            library = x.sum(1, keepdim=True).clamp(min=1)
            x = torch.log1p(x * (self.reference_library / library))
        return (x - self.gene_mean) / self.gene_scale

    def encoder_reads(self, tensors: dict[str, Tensor]) -> Tensor:
        """Input of `encoder`, cells x genes."""
        return self.encoder_input(tensors[REGISTRY_KEYS.X_KEY])

    @property
    def decoder(self) -> nn.Linear:
        """From units to genes: log expression, up to what covariates add to it in a cell."""
        n_latent, n_input = self.loadings.shape
        linear = nn.Linear(n_latent, n_input, bias=False, device="meta")
        linear.weight = nn.Parameter(self.loadings.detach().T)
        return linear.train(self.training)

    def decoder_reads(self, tensors: dict[str, Tensor], z: Tensor) -> Tensor:
        """Input of `decoder`, cells x units. Covariates add up with units, and so stay out."""
        return z

    def _get_inference_input(self, tensors: dict[str, Tensor], **kwargs) -> dict[str, Tensor]:
        return {"x": tensors[REGISTRY_KEYS.X_KEY]}

    def _get_generative_input(
        self, tensors: dict[str, Tensor], inference_outputs: dict[str, Tensor], **kwargs
    ) -> dict[str, Tensor | None]:
        return {
            "z": inference_outputs["z"],
            "library": tensors[REGISTRY_KEYS.X_KEY].sum(1, keepdim=True).clamp(min=1),
            "covariates": self.covariates(tensors),
        }

    @auto_move_data
    def inference(self, x: Tensor) -> dict[str, Tensor]:
        """Encode cells."""
        encoder_input = self.encoder_input(x)
        return {"z": self.encoder(encoder_input), "encoder_input": encoder_input}

    @auto_move_data
    def generative(
        self, z: Tensor, library: Tensor, covariates: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Decode scores: equation 2, or its logarithm's counterpart for counts."""
        linear = z @ self.loadings
        if self.covariate_decoder is not None:
            linear = linear + self.covariate_decoder(covariates)
        if self.likelihood == "normal":
            return {"linear": linear, "mean": self.gene_mean + self.gene_scale * linear}
        log_mean = functional.log_softmax(self.gene_bias + linear, dim=1) + library.log()
        return {"linear": log_mean, "mean": log_mean.exp()}

    def reconstruction_loss(
        self, x: Tensor, encoder_input: Tensor, generated: dict[str, Tensor]
    ) -> Tensor:
        r"""Loss of each cell, a sum over its genes.

        The squared error in units of the mean variance of a gene, or twice the negative
        log-likelihood of the counts, less :math:`\log x!`, which is its counterpart: the squared
        error is twice the negative log-likelihood of a normal distribution of variance 1.
        """
        if self.likelihood == "normal":
            return (encoder_input - generated["linear"]).square().sum(1)
        return 2 * negative_binomial_loss(x, generated["linear"], self.log_inverse_dispersion)

    def loss(
        self,
        tensors: dict[str, Tensor],
        inference_outputs: dict[str, Tensor],
        generative_outputs: dict[str, Tensor],
    ) -> LossOutput:
        """Equation 3 less R, whose part of a step is the proximal operator's."""
        reconstruction = self.reconstruction_loss(
            tensors[REGISTRY_KEYS.X_KEY], inference_outputs["encoder_input"], generative_outputs
        )
        loss = reconstruction.mean()
        if self.score_weight:
            scores = inference_outputs["z"]
            loss = loss + self.score_weight * scores.square().sum(1).mean()
        return LossOutput(loss=loss, reconstruction_loss=reconstruction)

    @torch.no_grad()
    def penalty(self) -> Tensor:
        """R of equation 4, at the weights of this module."""
        size = self.loadings.abs()
        weights = torch.where(
            self.in_set, self.inside_weight[:, None], self.outside_weight[:, None]
        )
        return (weights * size).sum() + (self.group_weight * self.loadings.norm(dim=1)).sum()

    def encoding_parameters(self) -> Iterator[nn.Parameter]:
        """What a query's training learns."""
        return self.encoder.parameters()

    def hold_norms(self) -> None:
        """Keep the norms of the cells that the module was trained on, whatever it reads next."""
        self._norms_held = True

    def train(self, mode: bool = True) -> AnnotatedAEModule:
        """Switch between training and evaluation, norms that are held apart."""
        super().train(mode)
        if self._norms_held:
            for layer in self.encoder:
                if isinstance(layer, nn.BatchNorm1d):
                    layer.eval()
        return self

    @torch.no_grad()
    def settle(self) -> None:
        """Turn factors the right way up and take the score of inactive ones to zero.

        The sign of a factor is arbitrary. It is chosen so that the loadings of the set's genes
        have a positive sum, and those of all genes where most of the squared loading lies outside
        the set or there is none.
        """
        within = self.loadings * self.in_set
        replaced = within.square().sum(1) < 0.5 * self.loadings.square().sum(1)
        sign = torch.where(replaced, self.loadings.sum(1), within.sum(1)).sign()
        flip = torch.where(sign == 0, torch.ones_like(sign), sign)
        self.loadings.mul_(flip[:, None])
        # An inactive factor's score is made of nothing, so that it reads 0 in every cell.
        factor = flip * self.active
        scores = self.encoder[-1]
        if isinstance(scores, nn.BatchNorm1d):
            cast("Tensor", scores.running_mean).mul_(factor)
            linear = cast("nn.Linear", self.encoder[-2])
        else:
            linear = cast("nn.Linear", scores)
        linear.weight.mul_(factor[:, None])
        if linear.bias is not None:
            linear.bias.mul_(factor)
