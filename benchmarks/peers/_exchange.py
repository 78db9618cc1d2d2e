"""What the runners share: inputs, timing and results. Python 3.7 and numpy suffice."""

from __future__ import annotations

import json
import random
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable


class Inputs(NamedTuple):
    """What every peer is given."""

    counts: np.ndarray
    """Cells x genes, float32."""
    log: np.ndarray
    """The same, log-normalised: log(1 + counts times a factor of the cell)."""
    mask: np.ndarray
    """Sets x genes, bool."""
    batch: np.ndarray
    """A code for each cell."""
    names: np.ndarray
    """Of the sets."""
    held_out: np.ndarray
    """Indices of the cells that are scored but not trained on."""

    @property
    def train(self) -> np.ndarray:
        """Indices of the cells to train on."""
        return np.setdiff1d(np.arange(len(self.log)), self.held_out)

    @property
    def probe(self) -> np.ndarray:
        """Indices of the training cells, at most 1,000, whose error is measured every epoch."""
        return self.train[:: -(-len(self.train) // 1000)]

    def error(self, reconstruction: np.ndarray) -> float:
        """Mean squared error of the probe's `log`."""
        return float(np.mean(np.square(self.log[self.probe] - reconstruction), dtype=float))

    def log_of_counts(self, expected: np.ndarray, cells: Any = slice(None)) -> np.ndarray:
        """Expected counts of some cells, log-normalised by the factors that made `log`.

        The logarithm of an expectation lies above the expectation of the logarithm, so a model of
        counts is measured by what it was not fitted for.
        """
        seen = np.argmax(self.counts[cells], 1)
        rows = np.arange(len(seen))
        highest = np.maximum(self.counts[cells][rows, seen], np.finfo(np.float32).tiny)
        factor = np.expm1(self.log[cells][rows, seen]) / highest
        return np.log1p(expected * factor[:, None])


def clock(threads: int) -> Callable[[], float]:
    """What seconds are read from.

    One thread is timed by the processor, so that what else the machine does leaves it alone; more
    by the wall.
    """
    return time.process_time if threads == 1 else time.perf_counter


class Curve:
    """Error against seconds of training, the time of measuring the error left out."""

    def __init__(
        self, inputs: Inputs, reconstruct: Callable[[np.ndarray], np.ndarray], *, threads: int
    ) -> None:
        self._inputs = inputs
        self._reconstruct = reconstruct
        self._clock = clock(threads)
        self.seconds: list[float] = []
        self.errors: list[float] = []

    def start(self) -> None:
        self._resumed = self._clock()

    def mark(self) -> None:
        """At the end of an epoch."""
        spent = self._clock() - self._resumed
        self.seconds.append(spent + (self.seconds[-1] if self.seconds else 0.0))
        self.errors.append(self._inputs.error(self._reconstruct(self._inputs.probe)))
        self._resumed = self._clock()


class Result(NamedTuple):
    """What every peer answers; an array it has none of is empty."""

    scores: np.ndarray
    """Cells x factors, of all cells, those held out included."""
    loadings: np.ndarray
    """Factors x genes."""
    reconstruction: np.ndarray
    """Cells x genes on the scale of `log`."""
    seconds: float
    """Of training alone, without imports, set-up and measuring, by `clock`."""
    epoch_seconds: np.ndarray = np.zeros(0)
    """Cumulative, at the end of each epoch."""
    epoch_errors: np.ndarray = np.zeros(0)
    """`Inputs.error` at the end of each epoch."""
    reconstructs: str = "log"
    """What the model itself models: `"log"` or `"counts"`, these converted."""
    names: np.ndarray = np.zeros(0, str)
    """Of the factors."""


def warm_up_torch() -> None:
    """Import what the first step of a process's first optimizer imports, which takes seconds."""
    import torch

    parameter = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.Adam([parameter])
    parameter.sum().backward()
    optimizer.step()


def serve(train: Callable[..., Result]) -> None:
    """Read inputs, train, write; the command line names both files and holds the options."""
    source, destination, options = sys.argv[1:]
    with np.load(source) as file:
        inputs = Inputs(*(file[name] for name in Inputs._fields))
    options = json.loads(options)
    random.seed(options["seed"])
    np.random.seed(options["seed"])  # noqa: NPY002  peers draw from it
    try:
        result = train(inputs, **options)._asdict()
    except ImportError as error:
        result = {"missing": np.array(str(error))}
    np.savez(destination, **result)
