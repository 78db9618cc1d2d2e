from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._krylov import top_eigenvectors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from torch import Tensor

    from ._attributed import Attributed
    from ._attributor import Attributor

    Batches = Callable[[], Iterable[Tensor]]

# Numbers in the covariances held at once, and the width up to which a pass over the cells for
# each share of the units costs less than one for each product.
_HELD = 1 << 26
_WIDTH = 2048
# Cells whose attributions stay in cache.
_CELLS = 128
# Share of the squared mean below which variance is rounding.
_CONSTANT = 1e-10
# Calls for a product, where each is a pass over the cells and where it is not.
_PASSES = 50
_PRODUCTS = 2000


def first_components(attributor: Attributor, batches: Batches) -> np.ndarray:
    """First principal component of each unit's attributions, cells x genes, centred over cells.

    Attributions that are signals, cells x hidden, times one weight have their covariance in the
    space of the signals, and where genes are few, any have it in theirs: one pass over the cells,
    or one for each share of the units whose covariances are held at once. Others take a pass for
    each product with the covariances, of all units at once: about ten. Nothing of size cells x
    genes x units is held.

    Parameters
    ----------
    attributor
        Network and method.
    batches
        Called at the start of every pass: what the network reads, cells x inputs each.

    Returns
    -------
    Units x genes, float64, of norm 1. Components point to where the attribution rises with what
    the gradient was multiplied with or, of plain gradients, to their mean. Where attributions do
    not differ between cells, the direction of their mean; zeros where that is zero.
    """
    n_units, n_genes = attributor.shape(next(iter(batches())))
    values, _ = _columns(next(attributor(batches(), [0])))
    n_held = max(1, _HELD // values.shape[1] ** 2)
    if n_held < n_units and values.shape[1] > _WIDTH:
        moments = [_Moments() for _ in range(n_units)]

        def multiply(columns: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
            return _pass(attributor, batches, moments, columns)

        found = top_eigenvectors(multiply, range(n_units), n_genes, max_products=_PASSES)
        return np.stack([moments[unit].turned(*found[unit]) for unit in range(n_units)])
    shares = [range(start, min(start + n_held, n_units)) for start in range(0, n_units, n_held)]
    return np.concatenate([_by_covariance(attributor, batches, units) for units in shares])


def _columns(attributed: Attributed) -> tuple[Tensor, Tensor | None]:
    """What varies between cells, and by which weight it becomes attributions."""
    if attributed.signal is None or attributed.weight is None:
        return attributed.dense(), None
    return attributed.signal, attributed.weight


class _Moments:
    """Sums over the cells of one unit, of values less a pivot that keeps their digits."""

    def __init__(self) -> None:
        self.n_cells = 0

    def add(self, values: Tensor, sign: Tensor | None) -> None:
        """Count some cells in."""
        if not self.n_cells:
            self.pivot = values.mean(0)
            self.total = np.zeros(len(self.pivot))
            self.towards = np.zeros(len(self.pivot))
        self.n_cells += len(values)
        self.total += (values - self.pivot).sum(0).cpu().numpy()
        turned = values if sign is None else values * sign
        self.towards += turned.sum(0).cpu().numpy()

    def turned(
        self, variance: float, component: np.ndarray, weight: np.ndarray | None = None
    ) -> np.ndarray:
        """The component the right way round, or the mean where there is none.

        `weight` is that by which the values become attributions.
        """
        mean = self.pivot.cpu().double().numpy() + self.total / self.n_cells
        towards = self.towards
        if weight is not None:
            mean, towards = mean @ weight, towards @ weight
        size = np.linalg.norm(mean)
        if variance <= _CONSTANT * self.n_cells * size**2:
            return mean / size if size else np.zeros_like(component)
        return -component if towards @ component < 0 else component


def _by_covariance(attributor: Attributor, batches: Batches, units: Sequence[int]) -> np.ndarray:
    moments = {unit: _Moments() for unit in units}
    covariances: dict[int, np.ndarray] = {}
    weights: dict[int, np.ndarray | None] = {}
    # Units share a weight, or have one row of it each.
    in_double: dict[int | None, np.ndarray | None] = {None: None}
    size = 0
    for attributed in attributor(batches(), units):
        unit, (values, weight) = attributed.unit, _columns(attributed)
        if not moments[unit].n_cells:
            covariances[unit] = np.zeros((values.shape[1],) * 2)
            place = None if weight is None else weight.data_ptr()
            if weight is not None and place not in in_double:
                in_double[place] = weight.cpu().double().numpy()
            weights[unit] = in_double[place]
            size = values.shape[1] if weight is None else weight.shape[1]
        moments[unit].add(values, attributed.sign)
        centred = values - moments[unit].pivot
        covariances[unit] += (centred.T @ centred).cpu().numpy()
    for unit, here in moments.items():
        covariances[unit] -= np.outer(here.total, here.total) / here.n_cells

    def multiply(columns: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
        images: dict[int, np.ndarray] = {}
        for weight in {id(weights[unit]): weights[unit] for unit in columns}.values():
            alike = [unit for unit in columns if weights[unit] is weight]
            ends = np.cumsum([columns[unit].shape[1] for unit in alike])[:-1]
            # One product of all that share the weight, which is the largest array here.
            x = np.hstack([columns[unit] for unit in alike])
            x = x if weight is None else weight @ x
            parts = np.split(x, ends, axis=1)
            x = np.hstack([covariances[u] @ part for u, part in zip(alike, parts, strict=True)])
            x = x if weight is None else weight.T @ x
            images |= dict(zip(alike, np.split(x, ends, axis=1), strict=True))
        return images

    found = top_eigenvectors(multiply, units, size, max_products=_PRODUCTS)
    return np.stack([here.turned(*found[u], weights[u]) for u, here in moments.items()])


def _pass(
    attributor: Attributor,
    batches: Batches,
    moments: Sequence[_Moments],
    columns: dict[int, np.ndarray],
) -> dict[int, np.ndarray]:
    """Products of the units' covariances with columns; the first pass counts the cells, too."""
    first = not moments[0].n_cells
    images = {unit: np.zeros_like(given) for unit, given in columns.items()}
    for attributed in attributor(batches(), list(columns)):
        unit = attributed.unit
        for some in attributed.split(_CELLS):
            values = some.dense()
            if first:
                moments[unit].add(values, some.sign)
            # In float64, so that each pass multiplies with the same covariance.
            centred = (values - moments[unit].pivot).cpu().double().numpy()
            images[unit] += centred.T @ (centred @ columns[unit])
    for unit, image in images.items():
        total = moments[unit].total
        image -= np.outer(total, total @ columns[unit]) / moments[unit].n_cells
    return images
