from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from ._component import first_components
from ._sum import sum_attributions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import Tensor

    from ._attributor import Attributor

Aggregate = Literal["mean_abs", "mean", "pca"]


def aggregate_attributions(
    attributor: Attributor,
    batches: Callable[[np.ndarray], Iterable[Tensor]],
    codes: np.ndarray,
    *,
    aggregate: Aggregate,
) -> tuple[np.ndarray, np.ndarray]:
    """Attributions of every unit and gene, over all cells and over those of each group.

    Parameters
    ----------
    attributor
        Network and method.
    batches
        From the positions of cells to what the network reads of them.
    codes
        Number of each cell's group, -1 where it has none.
    aggregate
        See :func:`pellucid.tl.attribute`.

    Returns
    -------
    Units x genes, and groups x units x genes, float64.
    """
    groups = range(codes.max() + 1)
    if aggregate == "pca":

        def component(chosen: np.ndarray) -> np.ndarray:
            cells = np.flatnonzero(chosen)
            return first_components(attributor, lambda: batches(cells))

        whole = component(np.ones(len(codes), bool))
        alone = len(groups) == 1 and (codes == 0).all()
        return whole, np.stack([whole if alone else component(codes == code) for code in groups])
    sums = {
        code: sum_attributions(
            attributor, batches(np.flatnonzero(codes == code)), absolute=aggregate == "mean_abs"
        )
        for code in np.unique(codes)
    }
    whole = np.sum([*sums.values()], axis=0) / len(codes)
    return whole, np.stack([sums[code] / (codes == code).sum() for code in groups])
