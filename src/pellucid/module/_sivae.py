from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

import torch
from torch import nn
from torch.nn import functional

from pellucid._compat import REGISTRY_KEYS, LossOutput, auto_move_data

from ._embedding import EPS, Genes, Posterior, Remembered, divergence
from ._gene_side import GeneSide
from ._likelihood import negative_binomial_loss, normal_loss
from ._nn import fully_connected
from ._transferable import Transferable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from ._covariates import Covariates

Likelihood = Literal["normal", "nb"]
Decoder = Literal["nonlinear", "linear"]


class SIVAEModule(GeneSide, Transferable):
    r"""Network of :class:`~pellucid.model.SIVAE`: a VAE of cells and one of genes.

    Parameters
    ----------
    n_latent
        Number of units.
    n_hidden
        Widths of the encoders' hidden layers; the decoders mirror them.
    likelihood
        `"normal"` on log expression, or `"nb"` on counts.
    decoder
        `"nonlinear"`, or `"linear"` (equation 19).
    gamma
        Weight of the interpretability term, equation 13.
    gene_wise
        Whether genes are embedded. If not, the last weight of the decoder is free: a plain VAE.
    n_gene_inputs
        Width of what the encoder of genes reads.
    gene_mean
        Mean of each gene in what the encoder of cells reads.
    gene_scale
        Number by which that is divided once it is centred.
    reference_library
        Library size to which counts are scaled before the logarithm; `likelihood="nb"` only.
    log_library
        Mean and standard deviation of the logarithm of a cell's total; `likelihood="nb"` only.
    gene_share
        Share of each gene in all counts; `likelihood="nb"` only.
    covariates
        What stands beside expression.
    """

    def __init__(
        self,
        *,
        n_latent: int,
        n_hidden: Sequence[int],
        likelihood: Likelihood,
        decoder: Decoder,
        gamma: float,
        gene_wise: bool,
        n_gene_inputs: int,
        gene_mean: Tensor,
        gene_scale: float,
        reference_library: float,
        log_library: tuple[float, float],
        gene_share: Tensor,
        covariates: Covariates,
    ):
        super().__init__()
        n_genes, n_covariates = len(gene_mean), len(covariates)
        self.n_latent = n_latent
        self.likelihood = likelihood
        self.linear = decoder == "linear"
        self.gamma = 0.0 if self.linear else gamma
        self.gene_wise = gene_wise
        self.covariates = covariates
        self.register_buffer("gene_mean", gene_mean)
        self.register_buffer("gene_scale", torch.tensor(float(gene_scale)))
        self.register_buffer("reference_library", torch.tensor(float(reference_library)))
        self.register_buffer("log_library", torch.tensor(log_library))
        self.register_buffer("gene_offset", gene_share.log())
        self.register_buffer("gene_input", torch.zeros(n_genes, n_gene_inputs))

        self.cell_encoder = Posterior(n_genes + n_covariates, n_hidden, n_latent)
        upwards = [*reversed(n_hidden)]
        n_last = n_latent if self.linear else upwards[-1]
        self.cell_decoder = nn.Sequential()
        if not self.linear:
            self.cell_decoder = fully_connected(
                [n_latent + n_covariates, *upwards], nn.ReLU, bias=0.0
            )
        self.noise = nn.Linear(n_last, 1)
        # v_L of a plain VAE, and of the first stage of training.
        self.gene_weights = nn.Parameter(torch.randn(n_genes, n_last) * n_last**-0.5)
        self.gene_effects: nn.Linear | None = None
        if n_covariates and (self.linear or gene_wise):
            self.gene_effects = nn.Linear(n_covariates, n_genes, bias=False)
            nn.init.zeros_(self.gene_effects.weight)
        if gene_wise:
            self.gene_encoder = Posterior(n_gene_inputs, n_hidden, n_latent)
            self.gene_decoder = nn.Sequential()
            if not self.linear:
                # Weights have either sign: no activation after the last layer.
                self.gene_decoder = nn.Sequential(
                    *fully_connected([n_latent, *upwards[:-1]], nn.ReLU, bias=0.0),
                    nn.Linear(upwards[-2] if len(upwards) > 1 else n_latent, n_last),
                )
            # Spread of the weights of the first stage around what the second makes of them.
            self.log_weight_variance = nn.Parameter(torch.tensor(-5.0))
        self._weights_are_free = not gene_wise
        self._held: Genes | None = None
        self._remembered: Remembered | None = None
        self._moments_of_cells: tuple[Tensor, Tensor] | None = None

    @property
    def covariate_weights(self) -> dict[str, int]:
        """Weights whose last columns read covariates, and the first of these columns."""
        if not len(self.covariates):
            return {}
        found = {"cell_encoder.hidden.0.weight": len(self.gene_mean)}
        if not self.linear:
            found["cell_decoder.0.weight"] = self.n_latent
        if self.gene_effects is not None:
            found["gene_effects.weight"] = 0
        return found

    @property
    def encoder(self) -> nn.Module:
        """The network from what `encoder_reads` returns to posterior means."""
        return self.cell_encoder.means

    @property
    def decoder(self) -> nn.Module:
        """The network from what `decoder_reads` returns to genes, before any softmax."""
        weights = self.genes().weights if self._held is None else self._held.weights
        last = nn.Linear(weights.shape[1], len(weights), bias=False, device="meta")
        last.weight = nn.Parameter(weights.detach(), requires_grad=False)
        return nn.Sequential(*self.cell_decoder, last)

    def encoder_input(self, x: Tensor) -> Tensor:
        """Centred log expression, in one unit: the space in which attributions are taken."""
        if self.likelihood == "nb":
            library = x.sum(1, keepdim=True).clamp(min=1)
            x = torch.log1p(x * (self.reference_library / library))
        return (x - self.gene_mean) / self.gene_scale

    def encoder_reads(self, tensors: dict[str, Tensor]) -> Tensor:
        """What the encoder of cells reads: the genes, then the covariates."""
        x = self.encoder_input(tensors[REGISTRY_KEYS.X_KEY])
        return _beside(x, self.covariates(tensors))

    def decoder_reads(self, tensors: dict[str, Tensor], z: Tensor) -> Tensor:
        """What the decoder of cells reads: the units, then the covariates (equation 21)."""
        return z if self.linear else _beside(z, self.covariates(tensors))

    def _get_inference_input(self, tensors: dict[str, Tensor], **kwargs) -> dict[str, Tensor]:
        return {"encoder_input": self.encoder_reads(tensors)}

    def _get_generative_input(
        self, tensors: dict[str, Tensor], inference_outputs: dict[str, Tensor], **kwargs
    ) -> dict[str, Tensor | None]:
        return {
            "z": inference_outputs["z"],
            "covariates": self.covariates(tensors),
            "library": tensors[REGISTRY_KEYS.X_KEY].sum(1, keepdim=True).clamp(min=1),
        }

    @auto_move_data
    def inference(self, encoder_input: Tensor) -> dict[str, Tensor]:
        """Equation 11. A draw from the posterior in training, its mean in evaluation."""
        mean, variance = self.cell_encoder(encoder_input)
        return {
            "z": self._draw(mean, variance),
            "mean": mean,
            "variance": variance,
            "encoder_input": encoder_input,
        }

    @auto_move_data
    def generative(
        self,
        z: Tensor,
        library: Tensor,
        covariates: Tensor | None = None,
        drawn: Tensor | None = None,
    ) -> dict[str, Tensor | Genes]:
        """Equations 5, 8 and 21, or 15 and 19."""
        genes = self.genes(drawn) if self._held is None else self._held
        hidden = self.cell_decoder(z if self.linear else _beside(z, covariates))
        effects = self._effects(covariates, drawn)
        linear, interpreted = self._products(hidden, z, genes.weights, genes.loadings, effects)
        found: dict[str, Tensor | Genes] = {
            "genes": genes,
            "linear": linear,
            "noise": functional.softplus(self.noise(hidden)) + EPS,
        }
        if interpreted is not None:
            found["interpreted"] = interpreted
        if drawn is not None and self._remembered is not None:
            before = self._remembered.updated()
            found["linear_before"], interpreted = self._products(
                hidden, z, before.weights, before.loadings, self._effects(covariates, None)
            )
            found["interpreted_before"] = cast("Tensor", interpreted)
            self._remembered = before.but_for(genes)
        if self.likelihood == "nb":
            log_share = functional.log_softmax(self.gene_offset + linear, dim=1)
            found["log_mean"] = log_share + library.log()
            found["mean"] = log_share.exp() * library
        elif drawn is None:
            found["mean"] = self.gene_mean + self.gene_scale * linear
        return found

    def _products(
        self,
        hidden: Tensor,
        z: Tensor,
        weights: Tensor,
        loadings: Tensor | None,
        effects: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        """Cells x genes, of the last layers and of the embeddings."""
        linear = hidden @ weights.T
        if self.linear and effects is not None:
            linear = linear + effects
        if loadings is None:
            return linear, None
        interpreted = z @ loadings.T
        return linear, interpreted if effects is None else interpreted + effects

    def _effects(self, covariates: Tensor | None, drawn: Tensor | None) -> Tensor | None:
        """Effects of covariates on genes, j of equation 23."""
        if self.gene_effects is None or covariates is None:
            return None
        weight = self.gene_effects.weight
        return covariates @ (weight if drawn is None else weight[drawn]).T

    def loss(
        self,
        tensors: dict[str, Tensor],
        inference_outputs: dict[str, Tensor],
        generative_outputs: dict[str, Tensor | Genes],
        n_obs: int = 1,
    ) -> LossOutput:
        """Equations 12 and 13, a mean over cells.

        The divergence of the genes is shared by the `n_obs` cells of the training data. Genes that
        were drawn stand for all: their divergence is multiplied by how many each stands for. So
        are the terms of cells and genes, or what has changed of them since all genes were last
        embedded, if that is remembered: the expectation is the same, and the cells' gradients
        hardly vary with the draw.
        """
        genes = cast("Genes", generative_outputs["genes"])
        observed = inference_outputs["encoder_input"][:, : len(self.gene_mean)]
        drawn = genes.drawn
        stands_for = 1.0 if drawn is None else len(self.gene_mean) / len(drawn)
        noise = cast("Tensor", generative_outputs["noise"])

        def of_all(name: str, variance: Tensor) -> Tensor:
            mean = cast("Tensor", generative_outputs[name])
            if drawn is None:
                return normal_loss(observed, mean, variance)
            loss = normal_loss(observed[:, drawn], mean, variance)
            before = cast("Tensor | None", generative_outputs.get(f"{name}_before"))
            if before is None:
                return stands_for * loss
            change = loss - normal_loss(observed[:, drawn], before[:, drawn], variance)
            return normal_loss(observed, before, variance) + stands_for * change

        if self.likelihood == "nb":
            log_mean = cast("Tensor", generative_outputs["log_mean"])
            reconstruction = negative_binomial_loss(
                tensors[REGISTRY_KEYS.X_KEY], log_mean, noise.log()
            )
        else:
            reconstruction = of_all("linear", noise)
        kl_cells = divergence(inference_outputs["mean"], inference_outputs["variance"])
        loss = reconstruction.mean() + kl_cells.mean()
        metrics = {"kl_cells": kl_cells.mean()}
        if genes.mean is not None and genes.variance is not None:
            metrics["kl_genes"] = stands_for * divergence(genes.mean, genes.variance).sum() / n_obs
            loss = loss + metrics["kl_genes"]
            if self.gamma:
                error = of_all("interpreted", torch.ones_like(noise))
                metrics["interpretability_loss"] = error.mean()
                loss = loss + self.gamma * metrics["interpretability_loss"]
        return LossOutput(
            loss=loss,
            reconstruction_loss=reconstruction,
            extra_metrics={name: value.detach() for name, value in metrics.items()},
            n_obs_minibatch=len(reconstruction),
        )

    def draw_expression(self, tensors: dict[str, Tensor], z: Tensor) -> Tensor:
        """Equation 8, or 14 to 17, at given scores."""
        inputs = self._get_generative_input(tensors, {"z": z})
        library = cast("Tensor", inputs["library"])
        found = self.generative(**inputs)
        mean, noise = cast("Tensor", found["mean"]), cast("Tensor", found["noise"])
        if self.likelihood == "normal":
            return mean + self.gene_scale * noise.sqrt() * torch.randn_like(mean)
        total = (self.log_library[0] + self.log_library[1] * torch.randn_like(library)).exp()
        share = mean / library
        return torch.poisson(total * torch.distributions.Gamma(noise, noise / share).sample())

    def encoding_parameters(self) -> Iterator[nn.Parameter]:
        """What a query's training learns."""
        return self.cell_encoder.parameters()


def _beside(x: Tensor, covariates: Tensor | None) -> Tensor:
    return x if covariates is None else torch.cat([x, covariates], dim=1)
