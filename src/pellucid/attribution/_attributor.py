from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import torch

from ._chain import as_chain
from ._path import Method, paths
from ._through_autograd import through_autograd, through_derivatives
from ._through_chain import through_decoder, through_encoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from torch import Tensor, nn

    from ._attributed import Attributed
    from ._path import Path

Side = Literal["encoder", "decoder"]


@dataclass(frozen=True)
class Attributor:
    """Attributions of genes and units to each other, by one method.

    A stack of linear layers, batch normalisation in evaluation, dropout and elementwise
    activations is one chain of matrix products, run from a unit to the genes: backwards through
    an encoder, forwards through a decoder. Anything else goes through automatic differentiation
    in the same direction, and its DeepLIFT through captum. Guided back-propagation of a decoder
    of several activations runs backwards from each gene.
    """

    network: nn.Module
    """In evaluation mode."""
    method: Method
    side: Side
    """Whether the network reads genes and writes units, or reads units and writes genes."""
    n_read: int
    """Inputs that are attributed: the first ones. Those that follow are covariates."""
    background: Tensor | None = None
    """Cells that gradient SHAP draws its baselines from, cells x inputs."""
    random_state: int = 0
    """Of gradient SHAP."""

    @torch.no_grad()
    def shape(self, x: Tensor) -> tuple[int, int]:
        """Number of units and of genes, of a network that reads `x`."""
        n_written = self.network(x[:1]).shape[1]
        return (n_written, self.n_read) if self.side == "encoder" else (self.n_read, n_written)

    def __call__(self, batches: Iterable[Tensor], units: Sequence[int]) -> Iterator[Attributed]:
        """Attributions in some cells after the other and, of these, of one unit after the other.

        Parameters
        ----------
        batches
            What the network reads, cells x inputs each.
        units
            Which units.
        """
        guided, secant = self.method == "guided_backprop", self.method == "deep_lift"
        along = self._along(guided=guided, secant=secant)
        for path in paths(
            self.method,
            batches,
            self.n_read,
            background=self.background,
            random_state=self.random_state,
        ):
            yield from along(path, units)

    def _along(
        self, *, guided: bool, secant: bool
    ) -> Callable[[Path, Sequence[int]], Iterator[Attributed]]:
        """The way to attributions along a path, by the kind of network and its side."""
        chain = as_chain(self.network)
        if chain is None:
            through = through_autograd if self.side == "encoder" else through_derivatives
            return partial(through, self.network, guided=guided, secant=secant)
        if self.side == "encoder":
            weight = chain.lowest.weight.detach()[:, : self.n_read].contiguous()
            return partial(through_encoder, chain, weight, guided=guided, secant=secant)
        last = chain.last_weight(guided=guided)
        return partial(through_decoder, chain, last, guided=guided, secant=secant)
