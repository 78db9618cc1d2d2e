"""The proximal operator of Rybakov et al. 2020, equation 8, in closed form and in place."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numba
import torch

if TYPE_CHECKING:
    from torch import Tensor


def proximal_step(
    loadings: Tensor, in_set: Tensor, inside: Tensor, outside: Tensor, group: Tensor
) -> None:
    r"""Shrink loadings in place, to exact zeros.

    Each factor's loadings :math:`w` become the minimiser over :math:`v` of

    .. math::

        \frac{1}{2} \lVert v - w \rVert_2^2
        + t_{\text{in}} \sum_{g \in \text{set}} |v_g|
        + t_{\text{out}} \sum_{g \notin \text{set}} |v_g|
        + t_{\text{group}} \lVert v \rVert_2

    Soft-thresholding first and shrinking the whole factor after is that minimiser, and the other
    order is not (Yu 2013, On decomposing the proximal map, theorem 4).

    Parameters
    ----------
    loadings
        Factors x genes, contiguous.
    in_set
        Whether a gene stands in a factor's set; bool, factors x genes, contiguous.
    inside, outside, group
        Thresholds of each factor: the learning rate times the penalty's weight. An infinite one
        takes every weight it meets to zero.
    """
    if loadings.device.type == "cpu":
        _shrink(
            loadings.detach().numpy(),
            in_set.numpy(),
            *(threshold.numpy() for threshold in (inside, outside, group)),
        )
        return
    _shrink_by_operations(loadings, in_set, inside, outside, group)


def _shrink_by_operations(
    loadings: Tensor, in_set: Tensor, inside: Tensor, outside: Tensor, group: Tensor
) -> None:
    """On a device that numba does not compile for."""
    thresholds = torch.where(in_set, inside[:, None], outside[:, None])
    shrunk = loadings.sign() * (loadings.abs() - thresholds).clamp(min=0)
    norm = shrunk.norm(dim=1).clamp(min=torch.finfo(shrunk.dtype).tiny)
    loadings.copy_(shrunk * (1 - group / norm).clamp(min=0)[:, None])


# A factor's genes stay in cache between the two loops, so W is read and written once. Sums may be
# reordered, so that they vectorise; infinity keeps its meaning.
@numba.njit(cache=True, fastmath={"reassoc", "nsz", "contract", "arcp"}, error_model="numpy")
def _shrink(loadings, in_set, inside, outside, group):  # pragma: no cover - compiled
    zero = loadings.dtype.type(0)
    one = loadings.dtype.type(1)
    for factor in range(loadings.shape[0]):
        row = loadings[factor]
        member = in_set[factor]
        within, without = inside[factor], outside[factor]
        squared = zero
        for gene in range(row.size):
            threshold = within if member[gene] else without
            size = max(abs(row[gene]) - threshold, zero)
            row[gene] = math.copysign(size, row[gene]) if size > zero else zero
            squared += size * size
        norm = math.sqrt(squared)
        if norm <= group[factor]:
            row[:] = zero
        else:
            scale = one - group[factor] / norm
            for gene in range(row.size):
                row[gene] *= scale
