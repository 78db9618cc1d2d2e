from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import torch

from ._absolute import add_absolute_products
from ._autograd import gradients
from ._chain import Chain, as_chain, signals, slopes

if TYPE_CHECKING:
    from collections.abc import Iterable
    from concurrent.futures import Executor

    from torch import Tensor, nn


def sum_attributions(
    network: nn.Module, batches: Iterable[Tensor], *, guided: bool, absolute: bool
) -> np.ndarray:
    """Sum over cells of the gradient of every unit by every gene.

    A stack of linear layers, batch normalisation in evaluation, dropout and elementwise
    activations is one chain of matrix products; anything else goes through autograd. Nothing of
    size cells x genes x units is held.

    Parameters
    ----------
    network
        From genes to units, in evaluation mode.
    batches
        What it reads, cells x genes each.
    guided
        Whether to clip negative gradients at every activation (guided back-propagation).
    absolute
        Whether to sum absolute values.

    Returns
    -------
    Units x genes, float64.
    """
    chain = as_chain(network)
    total: np.ndarray | None = None
    for x in batches:
        if total is None:
            with torch.no_grad():
                n_units = network(x[:1]).shape[1]
            total = np.zeros((n_units, x.shape[1]))
        if chain is None:
            for unit, gradient in enumerate(gradients(network, x, guided=guided)):
                gradient = gradient.abs() if absolute else gradient
                total[unit] += gradient.sum(0).cpu().numpy()
        else:
            with torch.no_grad(), ThreadPoolExecutor(torch.get_num_threads()) as threads:
                _add_chain(chain, x, total, threads, guided=guided, absolute=absolute)
    if total is None:
        raise ValueError("no cells to attribute: batches is empty.")
    return total


def _add_chain(
    chain: Chain, x: Tensor, out: np.ndarray, threads: Executor, *, guided: bool, absolute: bool
) -> None:
    lowest = chain.lowest.weight
    at = slopes(chain, x)
    for unit in range(len(out)):
        signal, outputs = signals(chain, at, len(x), unit, guided=guided)
        if not absolute:
            out[unit] += (signal.sum(0) @ lowest[outputs]).cpu().numpy()
        elif x.device.type == "cpu":
            add_absolute_products(signal.numpy(), lowest[outputs].numpy(), out[unit], threads)
        else:
            out[unit] += (signal @ lowest[outputs]).abs_().sum(0).cpu().numpy()
