"""Where a method takes the gradient, and what it multiplies it with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import Tensor

Method = Literal[
    "guided_backprop",
    "saliency",
    "grad_x_input",
    "integrated_gradients",
    "deep_lift",
    "gradient_shap",
]
# captum's defaults.
_STEPS = 50
_SAMPLES = 5
# Points, of all cells at hand, whose signals are held at once.
_POINTS = 1024


class Path(NamedTuple):
    """Some cells, and the points between baselines and them at which a network is read.

    Inputs that are not attributed, which are covariates, stay what they are in the cell.
    """

    x: Tensor
    """What is read of the cells, cells x inputs."""
    start: Tensor | None
    """Baselines, 1 or points x cells x inputs; `None` where the gradient is the attribution."""
    at: Tensor
    """How far from the baseline, points x cells, or points x 1 where alike in all cells."""
    weight: Tensor
    """Of each point, summing to 1."""
    n_read: int
    """Inputs that are attributed: the first ones."""

    @property
    def times(self) -> Tensor | None:
        """What gradients are multiplied with, 1 or points x cells x attributed inputs."""
        return None if self.start is None else (self.x - self.start)[..., : self.n_read]

    @property
    def sign(self) -> Tensor | None:
        """Whether the cell lies above the baseline or below, cells x attributed inputs."""
        if self.start is None:
            return None
        return (self.x - self.start.mean(0))[:, : self.n_read].sign()

    def points(self, start: Tensor | None, x: Tensor) -> Tensor:
        """The points, (points x cells) x width.

        `start` and `x` are baselines and cells, or what a linear layer makes of them.
        """
        if start is None:
            return x
        return (start + self.at[..., None] * (x - start)).flatten(0, 1)

    def mean(self, values: Tensor, times: Tensor | None = None) -> Tensor:
        """Weighted mean over the points of values given at :meth:`points`, cells x width."""
        if len(self.weight) == 1:
            return values if times is None else values * times[0]
        values = values.view(len(self.weight), len(self.x), -1)
        if times is not None and len(times) > 1:
            values = values * times
        found = torch.tensordot(self.weight, values, 1)
        return found * times[0] if times is not None and len(times) == 1 else found


def paths(
    method: Method,
    batches: Iterable[Tensor],
    n_read: int,
    *,
    background: Tensor | None,
    random_state: int,
) -> Iterator[Path]:
    """What `method` reads of cells, in blocks of few enough cells for all their points."""
    rng = np.random.default_rng(random_state)
    for batch in batches:
        one = batch.new_ones(1)
        if method in ("guided_backprop", "saliency"):
            yield Path(batch, None, one[:, None], one, n_read)
        elif method in ("grad_x_input", "deep_lift"):
            yield Path(batch, _zeros(batch, n_read), one[:, None], one, n_read)
        elif method == "integrated_gradients":
            nodes, weights = np.polynomial.legendre.leggauss(_STEPS)
            at, weight = batch.new_tensor((nodes + 1) / 2), batch.new_tensor(weights / 2)
            for x in batch.split(_POINTS // _STEPS):
                yield Path(x, _zeros(x, n_read), at[:, None], weight, n_read)
        else:
            if background is None:
                raise ValueError("gradient_shap draws its baselines from background; pass it.")
            weight = one.expand(_SAMPLES) / _SAMPLES
            for x in batch.split(_POINTS // _SAMPLES):
                drawn = rng.random((len(x), 2, _SAMPLES))
                cells = torch.from_numpy((drawn[:, 0].T * len(background)).astype(np.int64))
                start = background[cells.to(x.device)]
                start[..., n_read:] = x[:, n_read:]
                at = x.new_tensor(drawn[:, 1].T)
                yield Path(x, start, at, weight, n_read)


def _zeros(x: Tensor, n_read: int) -> Tensor:
    start = x.clone()
    start[:, :n_read] = 0
    return start[None]
