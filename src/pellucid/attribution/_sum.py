from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import torch

from ._absolute import add_absolute_products

if TYPE_CHECKING:
    from collections.abc import Iterable
    from concurrent.futures import Executor

    from torch import Tensor

    from ._attributed import Attributed
    from ._attributor import Attributor

# Cells whose attributions stay in cache.
_CELLS = 128
# Where sums of absolute products can be accumulated in cache.
_KERNEL = ("cpu", torch.float32)


def sum_attributions(
    attributor: Attributor, batches: Iterable[Tensor], *, absolute: bool
) -> np.ndarray:
    """Sum over cells of the attributions of every unit and gene.

    Nothing of size cells x genes x units is held.

    Parameters
    ----------
    attributor
        Network and method.
    batches
        What the network reads, cells x inputs each.
    absolute
        Whether to sum absolute values.

    Returns
    -------
    Units x genes, float64.
    """
    batches = iter(batches)
    first = next(batches, None)
    if first is None:
        raise ValueError("no cells to attribute: batches is empty.")
    total = np.zeros(attributor.shape(first))
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        for attributed in attributor(chain([first], batches), range(len(total))):
            if absolute:
                _add_absolute(attributed, total[attributed.unit], threads)
            else:
                total[attributed.unit] += attributed.sum().cpu().numpy()
    return total


def _add_absolute(attributed: Attributed, out: np.ndarray, threads: Executor) -> None:
    signal, weight = attributed.signal, attributed.weight
    if signal is None or weight is None or (signal.device.type, signal.dtype) != _KERNEL:
        for some in attributed.split(_CELLS):
            out += some.dense().abs().sum(0).cpu().numpy()
    else:
        add_absolute_products(signal.numpy(), weight.numpy(), out, threads)
