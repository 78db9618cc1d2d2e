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


class Curve:
    """Error against seconds of training, the time of measuring the error left out."""

    def __init__(self, error: Callable[[], float]) -> None:
        self._error = error
        self.seconds: list[float] = []
        self.errors: list[float] = []

    def start(self) -> None:
        self._resumed = time.perf_counter()

    def mark(self) -> None:
        """At the end of an epoch."""
        spent = time.perf_counter() - self._resumed
        self.seconds.append(spent + (self.seconds[-1] if self.seconds else 0.0))
        self.errors.append(float(self._error()))
        self._resumed = time.perf_counter()


class Result(NamedTuple):
    """What every peer answers; an array it has none of is empty."""

    scores: np.ndarray
    """Cells x factors, of all cells, those held out included."""
    loadings: np.ndarray
    """Factors x genes."""
    reconstruction: np.ndarray
    """Cells x genes on the scale of `log`."""
    seconds: float
    """Of training alone, without imports, set-up and measuring."""
    epoch_seconds: np.ndarray = np.zeros(0)
    """Cumulative, at the end of each epoch."""
    epoch_errors: np.ndarray = np.zeros(0)
    """Mean squared error of `log` of the training cells, at the end of each epoch."""
    reconstructs: str = "log"
    """What the model itself models: `"log"` or `"counts"`, these converted."""
    names: np.ndarray = np.zeros(0, str)
    """Of the factors."""


def mean_squared_error(truth: np.ndarray, estimate: np.ndarray) -> float:
    return float(np.mean(np.square(truth - estimate), dtype=float))


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
