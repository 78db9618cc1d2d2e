from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import sparse

from pellucid._validate import row_blocks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pellucid.module._annotated_ae import Likelihood


class Moments(NamedTuple):
    """What a model knows of its data before training."""

    mean: np.ndarray
    """Mean of each gene's log expression."""
    scale: float
    """Root mean variance of the genes' log expression, or 1 if none varies."""
    noise: float
    """Root of a gene's information about its logarithm, a root mean square over genes; 1 for log
    expression."""
    reference_library: float
    """Median total of a cell; 1 for log expression."""
    log_library: tuple[float, float]
    """Mean and standard deviation of the logarithm of a cell's total; 0 and 0 for log
    expression."""
    share: np.ndarray
    """Share of each gene in the total of all cells, never 0."""


def moments(matrix: Any, likelihood: Likelihood) -> Moments:
    """Moments of log expression, or of counts whose cells are brought to the median total."""
    total, variance = _by_gene(row_blocks(matrix))
    # Scaled data may sum to 0, and need no share.
    share = np.maximum(total / (np.abs(total).sum() or 1), 1e-9)
    if likelihood == "normal":
        return Moments(total, _root_mean(variance), 1.0, 1.0, (0.0, 0.0), share)
    library = _library(matrix)
    reference = float(np.median(library))
    mean, variance = _by_gene(_scaled(matrix, reference / library))
    # The variance of a count's logarithm is, to first order, that of the count over its squared
    # mean. A factor that fits noise fits that of the most informative genes: hence the square.
    information = mean**2 / np.maximum(variance, np.finfo(np.float32).tiny)
    mean, variance = _by_gene(np.log1p(block) for block in _scaled(matrix, reference / library))
    noise = _root_mean(information**2) ** 0.5
    log_library = (float(np.log(library).mean()), float(np.log(library).std()))
    return Moments(mean, _root_mean(variance), noise, reference, log_library, share)


def _library(matrix: Any) -> np.ndarray:
    """Total of each cell, 1 at least."""
    sums = [np.asarray(block.sum(axis=1)).ravel() for block in row_blocks(matrix)]
    return np.maximum(np.concatenate(sums), 1)


def _root_mean(values: np.ndarray) -> float:
    return float(np.sqrt(values.mean())) or 1.0


def _by_gene(blocks: Iterable[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of each gene over blocks of cells, in float64."""
    n_cells = 0
    total = squares = np.zeros(())
    for block in blocks:
        n_cells += block.shape[0]
        values = block.astype(np.float64)
        squared = values.multiply(values) if sparse.issparse(values) else values**2
        total = total + np.asarray(values.sum(axis=0)).ravel()
        squares = squares + np.asarray(squared.sum(axis=0)).ravel()
    mean = np.asarray(total / n_cells)
    return mean, np.maximum(squares / n_cells - mean**2, 0)


def _scaled(matrix: Any, factors: np.ndarray) -> Iterable[Any]:
    """The matrix in blocks of cells, each cell multiplied by its factor."""
    start = 0
    for block in row_blocks(matrix):
        stop = start + block.shape[0]
        if sparse.issparse(block):
            yield sparse.diags(factors[start:stop]) @ block
        else:
            yield np.asarray(block) * factors[start:stop, None]
        start = stop
