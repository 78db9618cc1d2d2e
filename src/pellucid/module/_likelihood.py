from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def negative_binomial_loss(x: Tensor, log_mean: Tensor, log_inverse_dispersion: Tensor) -> Tensor:
    r"""Negative log-likelihood of each cell's counts, a sum over genes, less :math:`\log x!`.

    Parameters
    ----------
    x
        Counts, cells x genes.
    log_mean
        Logarithm of their means, cells x genes.
    log_inverse_dispersion
        Logarithm of the gamma distribution's shape, of each gene (1 x genes) or of each cell
        (cells x 1).

    Notes
    -----
    Gamma functions, which cost most, are taken at counts that are not zero: at zero they cancel.
    """
    log_inverse_dispersion = log_inverse_dispersion.expand_as(x)
    inverse = log_inverse_dispersion.exp()
    nonzero = x.nonzero(as_tuple=True)
    shape = inverse[nonzero]
    normaliser = torch.lgamma(shape) - torch.lgamma(x[nonzero] + shape)
    loss = (
        (x + inverse) * (log_mean.exp() + inverse).log()
        - x * log_mean
        - inverse * log_inverse_dispersion
    ).sum(1)
    return loss.index_add(0, nonzero[0], normaliser)


def normal_loss(x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """Negative log-likelihood of each row under a normal distribution, a sum over columns."""
    squared = (x - mean).square().sum(1)
    scalar = variance.reshape(-1).expand(len(x))
    return 0.5 * (squared / scalar + x.shape[1] * (2 * torch.pi * scalar).log())
