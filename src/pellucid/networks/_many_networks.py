from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


def split_cells(
    n_cells: int, held_out: float, random_state: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions of the cells to train on, to choose the epoch by and to measure on.

    All cells are all three if `held_out` is 0; else these are apart, and a tenth of those that are
    not measured on chooses the epoch.
    """
    if not 0 <= held_out < 1:
        raise ValueError(
            f"held_out={held_out}; expected a share of the cells, 0 or more, below 1."
        )
    every = np.arange(n_cells)
    if held_out == 0:
        return every, every, every
    n_test = max(1, round(held_out * n_cells))
    n_chosen = max(1, (n_cells - n_test) // 10)
    if n_test + n_chosen + 2 > n_cells:
        raise ValueError(f"{n_cells} cells are too few to hold out {held_out:g} of them.")
    order = np.random.default_rng(random_state).permutation(n_cells)
    return order[n_test + n_chosen :], order[n_test : n_test + n_chosen], order[:n_test]


def predict_by_many(
    inputs: Tensor,
    targets: Tensor,
    *,
    n_hidden: Sequence[int],
    cells: tuple[np.ndarray, np.ndarray, np.ndarray],
    ignored: Tensor | None,
    max_epochs: int,
    learning_rate: float,
    batch_size: int,
    random_state: int,
    same: Tensor | None = None,
) -> Tensor:
    """Train as many networks as there are inputs, all in one batched product, and predict.

    Parameters
    ----------
    inputs
        Networks x cells x what each reads.
    targets
        Networks x cells x what each predicts; 1 in place of networks if all predict the same.
    n_hidden
        Widths of the hidden layers, ELU after each.
    cells
        As :func:`split_cells` returns them. A network keeps the weights of the epoch in which its
        error on the second was the least.
    ignored
        Position of a target of each network that is no part of its loss.
    max_epochs, learning_rate, batch_size
        Of Adam, on the mean squared error.
    random_state
        Seed of weights and of the order of cells.
    same
        Networks x cells: the cells of which a network reads the same, such as zeros. They pass
        through it as one, with the mean of their targets, which leaves the gradient as it is.

    Returns
    -------
    Predictions of the third cells, networks x cells x targets.
    """
    generator = torch.Generator().manual_seed(random_state)
    device = inputs.device
    train, chosen, test = (torch.from_numpy(part).to(device) for part in cells)
    n_networks = len(inputs)
    widths = [inputs.shape[2], *n_hidden, targets.shape[2]]
    weights = []
    for n_in, n_out in pairwise(widths):
        # One start for all, so that it is not starts that are compared.
        drawn = torch.randn(1, n_in, n_out, generator=generator) * n_in**-0.5
        weights += [drawn.repeat(n_networks, 1, 1).to(device)]
        weights += [torch.zeros(n_networks, 1, n_out, device=device)]
    for weight in weights:
        weight.requires_grad_()
    optimizer = torch.optim.Adam(weights, lr=learning_rate, fused=True)

    def forward(values: Tensor) -> Tensor:
        for layer in range(0, len(weights), 2):
            values = torch.baddbmm(weights[layer + 1], values, weights[layer])
            values = functional.elu(values) if layer + 2 < len(weights) else values
        return values

    def errors(where: Tensor) -> Tensor:
        read, target = inputs[:, where], targets[:, where]
        n_cells = None
        if same is not None:
            read, target, n_cells = _merged(read, target, same[:, where])
        difference = forward(read) - target
        if ignored is not None:
            difference[torch.arange(n_networks, device=device), :, ignored] = 0
        squared = difference.square().mean(dim=2)
        return (squared if n_cells is None else squared * n_cells).sum(dim=1) / len(where)

    least = torch.full((n_networks,), torch.inf, device=device)
    best = [weight.detach().clone() for weight in weights]
    for _ in range(max_epochs):
        order = train[torch.randperm(len(train), generator=generator).to(device)]
        for where in order.split(batch_size):
            optimizer.zero_grad()
            errors(where).sum().backward()
            optimizer.step()
        with torch.no_grad():
            found = torch.stack(
                [errors(where) * len(where) for where in chosen.split(batch_size)]
            ).sum(0)
            better = found < least
            least = torch.where(better, found, least)
            for kept, weight in zip(best, weights, strict=True):
                kept[better] = weight[better]
    with torch.no_grad():
        for kept, weight in zip(best, weights, strict=True):
            weight.copy_(kept)
        return torch.cat([forward(inputs[:, where]) for where in test.split(batch_size)], dim=1)


def _merged(read: Tensor, target: Tensor, same: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of each network with those of `same` cells as one, and how many cells a row is."""
    n_single = int((~same).sum(dim=1).max())
    # A network of fewer single cells than others is filled up with cells that count as none.
    rows = same.long().argsort(dim=1, stable=True)[:, :n_single]
    first = same.long().argmax(dim=1, keepdim=True)
    network = torch.arange(len(same), device=same.device)[:, None]
    n_same = same.sum(dim=1, keepdim=True).to(read.dtype)
    target = target.expand(len(same), -1, -1)
    mean = torch.bmm((same / n_same.clamp(min=1))[:, None], target)
    return (
        torch.cat([read[network, rows], read[network, first]], dim=1),
        torch.cat([target[network, rows], mean], dim=1),
        torch.cat([(~same[network, rows]).to(read.dtype), n_same], dim=1),
    )
