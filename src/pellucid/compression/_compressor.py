"""What every compressor shares: its verbs, and the checks before any work is done."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator

if TYPE_CHECKING:
    from collections.abc import Sequence


class Compressor(BaseEstimator, ABC):
    """Cells as `n_latent` numbers each, and back.

    The verbs are scikit-learn's. `inverse_transform` sees the codes and what was learned from the
    training cells, so that no cell is rebuilt from itself.
    """

    n_latent: int
    # The least number of numbers a cell.
    _fewest = 1

    def fit(self, X: Any, y: None = None) -> Self:
        """Learn from training cells.

        Parameters
        ----------
        X
            Cells x genes, dense or sparse.
        y
            Ignored; here because scikit-learn's pipelines pass it.

        Raises
        ------
        ValueError
            If `X` is no matrix of finite values or holds nothing but zeros, `n_latent` is more
            than it has cells or genes, or an argument of the class is out of its range.
        """
        matrix = as_matrix(X)
        check_n_latent(
            [self.n_latent], n_cells=len(matrix), n_genes=matrix.shape[1], fewest=self._fewest
        )
        if not matrix.any():
            raise ValueError("The training cells hold nothing but zeros.")
        self._check()
        self.n_genes_ = matrix.shape[1]
        self._fit(matrix)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Codes of cells, cells x `n_latent`."""
        matrix = as_matrix(X)
        self._check_width(matrix, self.n_genes_, "genes")
        return self._encode(matrix)

    def inverse_transform(self, codes: Any) -> np.ndarray:
        """Cells x genes, from their codes alone."""
        matrix = as_matrix(codes)
        self._check_width(matrix, self.n_latent, "numbers a cell")
        return self._decode(matrix)

    def _check_width(self, matrix: np.ndarray, expected: int, what: str) -> None:
        if matrix.shape[1] != expected:
            raise ValueError(
                f"{type(self).__name__} was fitted with {expected} {what}; this matrix has "
                f"{matrix.shape[1]}."
            )

    def _check(self) -> None:
        """Raise unless the arguments of the class are in their range."""

    @abstractmethod
    def _fit(self, x: np.ndarray) -> None: ...

    @abstractmethod
    def _encode(self, x: np.ndarray) -> np.ndarray: ...

    @abstractmethod
    def _decode(self, codes: np.ndarray) -> np.ndarray: ...


def as_matrix(values: Any) -> np.ndarray:
    """A dense matrix in float64, or a `ValueError` that says what is wrong with it."""
    if sparse.issparse(values):
        values = values.toarray()
    matrix = np.asarray(values, dtype=np.float64)
    if matrix.ndim != 2 or not len(matrix):
        raise ValueError(f"A matrix of cells x genes is due; found shape {matrix.shape}.")
    if not np.isfinite(matrix).all():
        raise ValueError(
            "The matrix holds NaN or infinite values; remove those cells or genes, or fill them."
        )
    return matrix


def check_n_latent(
    n_latent: Sequence[int], *, n_cells: int, n_genes: int, fewest: int = 1
) -> None:
    """Raise unless so many cells and genes can be compressed to each of these sizes."""
    most = min(n_cells, n_genes)
    wrong = [size for size in n_latent if not fewest <= size <= most]
    if wrong:
        raise ValueError(
            f"n_latent={', '.join(map(str, wrong))}, with {n_cells:,} training cells and "
            f"{n_genes:,} genes: it can be {fewest} to {most}, for no method finds more "
            "dimensions than there are training cells or genes. Pass others, or train on more "
            "cells."
        )


def check_positive(**arguments: int) -> None:
    """Raise unless each argument is at least 1."""
    for name, value in arguments.items():
        if value < 1:
            raise ValueError(f"{name}={value}; it must be at least 1.")
