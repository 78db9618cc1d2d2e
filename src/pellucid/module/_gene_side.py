from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from pellucid._compat import LossOutput

from ._embedding import Genes, Posterior, Remembered, divergence
from ._likelihood import normal_loss

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor


class GeneSide:
    """The autoencoder of genes, and what each stage of training makes of it."""

    training: bool
    gamma: float
    gene_input: Tensor
    gene_weights: nn.Parameter
    gene_encoder: Posterior
    gene_decoder: nn.Sequential
    log_weight_variance: nn.Parameter
    _weights_are_free: bool
    _held: Genes | None
    _remembered: Remembered | None
    _moments_of_cells: tuple[Tensor, Tensor] | None

    def genes(self, drawn: Tensor | None = None) -> Genes:
        """Equations 6, 7 and 10, of all genes or of those drawn."""
        if self._weights_are_free:
            weights = self.gene_weights if drawn is None else self.gene_weights[drawn]
            return Genes(drawn, None, None, None, weights)
        mean, variance = self.gene_encoder(
            self.gene_input if drawn is None else self.gene_input[drawn]
        )
        loadings = self._draw(mean, variance)
        return Genes(drawn, mean, variance, loadings, self.gene_decoder(loadings))

    def _draw(self, mean: Tensor, variance: Tensor) -> Tensor:
        return mean + variance.sqrt() * torch.randn_like(mean) if self.training else mean

    @contextmanager
    def free_weights(self) -> Iterator[None]:
        """Leave the genes out: v_L are parameters, as in the first stage of training."""
        before, self._weights_are_free = self._weights_are_free, True
        try:
            yield
        finally:
            self._weights_are_free = before

    @contextmanager
    def held_genes(self) -> Iterator[None]:
        """Embed all genes once, and not again for every batch of cells."""
        self._held = self.genes()
        try:
            yield
        finally:
            self._held = None

    @torch.no_grad()
    def remember_genes(self) -> None:
        """Embed all genes, for steps to start from that draw some."""
        genes = self.genes()
        self._remembered = Remembered(cast("Tensor", genes.loadings), genes.weights)

    def forget_genes(self) -> None:
        """Let go of what was remembered."""
        self._remembered = None

    @contextmanager
    def trained_cells(self, squares: Tensor, products: Tensor) -> Iterator[None]:
        """Tie genes to scores that stand still, as in the second stage of training.

        Sums over the training cells: of the products of scores, units x units, and of those of
        genes and scores, genes x units.
        """
        self._moments_of_cells = squares, products
        try:
            yield
        finally:
            self._moments_of_cells = None

    def gene_loss(self, drawn: Tensor) -> LossOutput:
        """Second stage: an autoencoder of genes that learns to write the weights of the first.

        Within :meth:`trained_cells` with the interpretability term, which the paper has in the
        third stage alone: there it cannot carry a gene past the origin any more.
        """
        genes = self.genes(drawn)
        mean, variance = cast("Tensor", genes.mean), cast("Tensor", genes.variance)
        reconstruction = normal_loss(
            self.gene_weights[drawn].detach(), genes.weights, self.log_weight_variance.exp()
        )
        kl_genes = divergence(mean, variance)
        loss = reconstruction + kl_genes
        if self._moments_of_cells is not None:
            # Equation 13 of all training cells, less what does not depend on the genes.
            squares, products = self._moments_of_cells
            v = cast("Tensor", genes.loadings)
            tied = 0.5 * ((v @ squares) * v).sum(1) - (products[drawn] * v).sum(1)
            loss = loss + self.gamma * tied
        return LossOutput(
            loss=loss.mean(),
            reconstruction_loss=reconstruction,
            extra_metrics={"kl_genes": kl_genes.mean().detach()},
            n_obs_minibatch=len(drawn),
        )

    @property
    def gene_parameters(self) -> list[nn.Parameter]:
        """What the second stage of training learns."""
        return [
            *self.gene_encoder.parameters(),
            *self.gene_decoder.parameters(),
            self.log_weight_variance,
        ]
