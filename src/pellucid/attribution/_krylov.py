from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Columns = dict[int, np.ndarray]

logger = logging.getLogger("pellucid")

# Columns multiplied at once; those of a basis at most; those kept when a full one starts anew.
_BLOCK = 2
_BASIS = 16
_KEPT = 4
# Norm of the residual, as a share of the eigenvalue.
_TOLERANCE = 1e-6


class _Search:
    """Search for the first eigenvector of one matrix, by Rayleigh and Ritz."""

    def __init__(self, start: np.ndarray):
        self.basis = np.empty((len(start), 0))
        self.images = np.empty((len(start), 0))
        self.wanted = np.linalg.qr(start)[0]
        self.value, self.vector, self.residual = 0.0, self.wanted[:, 0], np.inf

    def add(self, images: np.ndarray) -> None:
        """Take the products with what was wanted, and want what is left of the best two."""
        self.basis = np.hstack([self.basis, self.wanted])
        self.images = np.hstack([self.images, images])
        projected = self.basis.T @ self.images
        values, vectors = np.linalg.eigh((projected + projected.T) / 2)
        values, vectors = values[::-1], vectors[:, ::-1]
        best = vectors[:, :_BLOCK]
        left = self.images @ best - (self.basis @ best) * values[:_BLOCK]
        self.value, self.vector = float(values[0]), self.basis @ best[:, 0]
        self.residual = float(np.linalg.norm(left[:, 0]))
        if self.basis.shape[1] > _BASIS - _BLOCK:
            self.basis = self.basis @ vectors[:, :_KEPT]
            self.images = self.images @ vectors[:, :_KEPT]
        size = np.linalg.norm(left, axis=0)
        left = left[:, size > 1e-12 * self.value] / size[size > 1e-12 * self.value]
        for _ in range(2):  # the second time takes what rounding left of the first
            left = left - self.basis @ (self.basis.T @ left)
        wanted, scale = np.linalg.qr(left)
        self.wanted = wanted[:, np.abs(np.diag(scale)) > 1e-8]

    @property
    def found(self) -> bool:
        return self.residual <= _TOLERANCE * self.value or self.wanted.shape[1] == 0


def top_eigenvectors(
    multiply: Callable[[Columns], Columns],
    units: Iterable[int],
    size: int,
    *,
    max_products: int,
) -> dict[int, tuple[float, np.ndarray]]:
    """Largest eigenvalue and its vector, of one covariance a unit, from products alone.

    Block Lanczos with restarts, in step for all units, so that products of all of them can come
    from one pass over the cells; ends where the residual is below 1e-6 of the eigenvalue.

    Parameters
    ----------
    multiply
        From columns to the products of each unit's covariance with them, both size x columns, by
        unit.
    units
        Which units.
    size
        Rows of a covariance.
    max_products
        Calls of `multiply` after which what was found so far must do, with a warning.

    Returns
    -------
    Eigenvalue and vector of norm 1, by unit.
    """
    rng = np.random.default_rng(0)
    start = rng.normal(size=(size, min(_BLOCK, size)))
    searches = {unit: _Search(start) for unit in units}
    for _ in range(max_products):
        images = multiply({unit: x.wanted for unit, x in searches.items() if not x.found})
        for unit, found in images.items():
            searches[unit].add(found)
        if all(search.found for search in searches.values()):
            break
    else:
        worst = max(x.residual / x.value for x in searches.values() if not x.found)
        logger.warning(
            "%d principal components of attributions are approximate (largest residual %.1g of "
            "the variance): their first two variances are close.",
            sum(not x.found for x in searches.values()),
            worst,
        )
    return {unit: (search.value, search.vector) for unit, search in searches.items()}
