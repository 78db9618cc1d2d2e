from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from pellucid._compat import REGISTRY_KEYS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class Covariates(nn.Module):
    """Covariates of a cell as networks read them: one-hot levels and standardised numbers.

    Parameters
    ----------
    n_categories
        Levels of each categorical covariate.
    continuous_mean, continuous_scale
        Mean and standard deviation of each continuous covariate.
    """

    continuous_mean: Tensor
    continuous_scale: Tensor

    def __init__(
        self, n_categories: Sequence[int], continuous_mean: Tensor, continuous_scale: Tensor
    ):
        super().__init__()
        self.n_categories = list(n_categories)
        self.register_buffer("continuous_mean", continuous_mean)
        self.register_buffer("continuous_scale", continuous_scale)

    def __len__(self) -> int:
        return sum(self.n_categories) + len(self.continuous_mean)

    def forward(self, tensors: dict[str, Tensor]) -> Tensor | None:
        """Cells x columns, or `None` where there is no covariate."""
        parts = []
        if self.n_categories:
            codes = tensors[REGISTRY_KEYS.CAT_COVS_KEY].long()
            parts += [
                functional.one_hot(codes[:, place], n_levels)
                for place, n_levels in enumerate(self.n_categories)
            ]
        if len(self.continuous_mean):
            values = tensors[REGISTRY_KEYS.CONT_COVS_KEY]
            parts.append((values - self.continuous_mean) / self.continuous_scale)
        return torch.cat(parts, dim=1).to(self.continuous_mean.dtype) if parts else None
