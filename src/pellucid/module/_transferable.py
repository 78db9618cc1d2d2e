from __future__ import annotations

from typing import TYPE_CHECKING

from pellucid._compat import BaseModuleClass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn


class Transferable(BaseModuleClass):
    """What a module tells of itself for its model to be loaded with new cells."""

    @property
    def covariate_weights(self) -> dict[str, int]:
        """Weights whose last columns read covariates, and the first of these columns."""
        return {}

    def encoding_parameters(self) -> Iterator[nn.Parameter]:
        """What a query's training learns."""
        return self.encoder.parameters()

    def hold_norms(self) -> None:
        """Keep the moments of normalising layers as they are, where there are any."""
