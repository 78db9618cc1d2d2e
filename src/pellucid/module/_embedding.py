"""Posteriors of cells and genes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from torch import nn
from torch.nn import functional

from ._nn import fully_connected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

# Keeps variances away from 0.
EPS = 1e-4


class Genes(NamedTuple):
    """Genes in the latent space and above it."""

    drawn: Tensor | None
    """Which genes; all if `None`."""
    mean: Tensor | None
    """Posterior means of the loadings, genes x units."""
    variance: Tensor | None
    """Their posterior variances."""
    loadings: Tensor | None
    """A draw of the loadings, or their means: v_1."""
    weights: Tensor
    """What multiplies the last hidden layer of a cell: v_L, genes x hidden."""


class Remembered(NamedTuple):
    """All genes as they were when a step last drew them, without gradients."""

    loadings: Tensor
    weights: Tensor
    latest: Genes | None = None
    """Those of the last step, which still stand as they were before it."""

    def but_for(self, latest: Genes) -> Remembered:
        """The same, to be updated by the next step: this one's gradients need it as it is."""
        return self._replace(latest=latest)

    def updated(self) -> Remembered:
        """The same, with the genes of the last step as they were in it."""
        if self.latest is not None:
            drawn = self.latest.drawn
            # Mixed precision may write them in another type than it did before.
            for known, new in (
                (self.loadings, cast("Tensor", self.latest.loadings)),
                (self.weights, self.latest.weights),
            ):
                known[drawn] = new.detach().to(known.dtype)
        return self._replace(latest=None)


class Posterior(nn.Module):
    """Encoder of a normal posterior: hidden layers, and a head for either moment."""

    def __init__(self, n_input: int, n_hidden: Sequence[int], n_latent: int):
        super().__init__()
        self.hidden = fully_connected([n_input, *n_hidden], nn.ReLU, bias=0.0)
        self.mean = nn.Linear(n_hidden[-1], n_latent)
        self.variance = nn.Linear(n_hidden[-1], n_latent)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Means and variances."""
        hidden = self.hidden(x)
        return self.mean(hidden), functional.softplus(self.variance(hidden)) + EPS

    @property
    def means(self) -> nn.Sequential:
        """The network from the input to the posterior means."""
        return nn.Sequential(*self.hidden, self.mean)


def divergence(mean: Tensor, variance: Tensor) -> Tensor:
    """Kullback-Leibler divergence of each row's normal posterior from the standard normal."""
    return 0.5 * (mean.square() + variance - variance.log() - 1).sum(1)
