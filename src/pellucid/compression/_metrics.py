from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

METRICS = ("pcc", "spearman", "em", "mae", "gene_pcc", "cell_pcc")
# Numbers that are converted to float64 at once.
_AT_ONCE = 2**21
# A reconstruction that varies by no more than this share of the original's range is constant.
_ROUNDING = 1e-6


class Original:
    """Expression that reconstructions are compared with, and what need be found of it once.

    Parameters
    ----------
    values
        Cells x genes, dense and finite.
    """

    def __init__(self, values: np.ndarray):
        self.values = values

    @cached_property
    def _ranks(self) -> np.ndarray:
        """Ranks less their mean, of the flattened matrix."""
        return _centred_ranks(self.values.ravel())

    def compare(self, reconstruction: np.ndarray) -> dict[str, float]:
        r"""How well a reconstruction agrees with the original (:cite:p:`Zhang2020`, eqs. 5 to 7).

        Parameters
        ----------
        reconstruction
            Cells x genes.

        Returns
        -------
        `pcc` and `spearman`
            Correlation of the flattened matrices, as in the paper; 0 if one of them is constant.
        `em`
            Euclidean metric, :math:`\sqrt{\sum_{ij} (x_{ij} - y_{ij})^2}`. It grows with the
            number of cells and genes.
        `mae`
            Mean absolute error.
        `gene_pcc` and `cell_pcc`
            Mean over genes of the correlation over cells, and over cells of that over genes.
            A gene or cell whose reconstruction is constant, but for rounding, counts 0; one that
            is constant itself is left out; NaN if all are.
        """
        original = self.values
        if reconstruction.shape != original.shape:
            raise ValueError(
                f"The reconstruction has shape {reconstruction.shape}, the original "
                f"{original.shape}; they must have the same cells and genes."
            )
        n_cells, n_genes = original.shape
        means = original.mean(axis=0, dtype=np.float64), reconstruction.mean(0, dtype=np.float64)
        grand = means[0].mean(), means[1].mean()
        by_gene = np.zeros((3, n_genes))
        by_cell = np.zeros((3, n_cells))
        whole = np.zeros(3)
        squared, absolute = 0.0, 0.0
        for rows in _blocks(n_cells, n_genes):
            x = original[rows].astype(np.float64)
            y = reconstruction[rows].astype(np.float64)
            error = x - y
            squared += float(np.vdot(error, error))
            absolute += float(np.abs(error).sum())
            whole += _products(x - grand[0], y - grand[1])
            by_gene += _products(x - means[0], y - means[1], axis=0)
            by_cell[:, rows] = _products(
                x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True), axis=1
            )
        ranges = [np.ptp(original, axis=axis) for axis in (0, 1)]
        varies = [found > 0 for found in ranges]
        told = [np.ptp(reconstruction, axis=axis) > _ROUNDING * ranges[axis] for axis in (0, 1)]
        some = np.ptp(reconstruction) > _ROUNDING * np.ptp(original) > 0
        return {
            "pcc": float(_correlation(whole, some)),
            "spearman": self._spearman(reconstruction) if some else 0.0,
            "em": float(np.sqrt(squared)),
            "mae": float(absolute / original.size),
            "gene_pcc": _mean_correlation(by_gene, varies[0], told[0]),
            "cell_pcc": _mean_correlation(by_cell, varies[1], told[1]),
        }

    def _spearman(self, reconstruction: np.ndarray) -> float:
        ranks = _centred_ranks(reconstruction.ravel())
        norm = np.linalg.norm(self._ranks) * np.linalg.norm(ranks)
        return float(np.clip(self._ranks @ ranks / norm, -1, 1))


def _blocks(n_rows: int, n_columns: int) -> Iterator[slice]:
    step = max(1, _AT_ONCE // n_columns)
    for start in range(0, n_rows, step):
        yield slice(start, start + step)


def _products(x: np.ndarray, y: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Sums of the products of x with y, x with x and y with y."""
    return np.stack([(x * y).sum(axis=axis), (x * x).sum(axis=axis), (y * y).sum(axis=axis)])


def _correlation(products: np.ndarray, told: np.ndarray) -> np.ndarray:
    """Correlations from sums of products; 0 where nothing is told."""
    norm = np.sqrt(products[1] * products[2])
    correlation = np.divide(products[0], norm, out=np.zeros_like(norm), where=told & (norm > 0))
    return np.clip(correlation, -1, 1)


def _mean_correlation(products: np.ndarray, varies: np.ndarray, told: np.ndarray) -> float:
    if not varies.any():
        return float("nan")
    return float(_correlation(products, told)[varies].mean())


def _centred_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks less their mean; equal values share the mean of theirs."""
    order = np.argsort(values)
    ordered = values[order]
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    size = np.diff(np.append(first, len(values)))
    ranks = np.empty(len(values))
    ranks[order] = np.repeat(first + (size - 1) / 2 - (len(values) - 1) / 2, size)
    return ranks
