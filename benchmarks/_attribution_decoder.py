"""Attributions of a decoder: all genes by every unit, forwards here, by captum a gene at a time.

The network is that of SIVAE's paper, units-128-512-1024-genes with ReLU, its weights as PyTorch
draws them, at standard normal units. Backwards there are as many passes as genes: captum and
autograd run some of them, and their seconds are multiplied to all, which differ in the row of the
last weight alone.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from ._measure import Contestant, Work, measure
from ._rates import multiply_adds

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

WIDTHS = (128, 512, 1024)
SHAPES = ((2, 2000), (20, 2000), (128, 2000), (20, 10000))
# Genes that are run of those that run one at a time.
PROBED = 4
OURS, CAPTUM = "pellucid, forwards", "captum Saliency, a gene at a time"


def decoder(n_units: int, n_genes: int) -> nn.Sequential:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    sizes = (n_units, *WIDTHS, n_genes)
    for n_in, n_out in pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1]).eval()


def cells_of(n_cells: int, n_units: int) -> Tensor:
    return torch.randn(n_cells, n_units, generator=torch.Generator().manual_seed(1))


def captum_saliency(network: nn.Sequential, z: Tensor, genes: range) -> np.ndarray:
    """In chunks of 512 cells, which was the fastest of 16 to 1,024."""
    from captum.attr import Saliency

    method = Saliency(network)  # returns absolute values
    total = torch.zeros(len(genes), z.shape[1])
    for cells in z.split(512):
        for row, gene in zip(total, genes, strict=True):
            row += method.attribute(cells.clone().requires_grad_(), target=gene).sum(0)
    return (total / len(z)).numpy()


def reverse(network: nn.Sequential, z: Tensor, genes: range) -> np.ndarray:
    """With one forward pass for all genes, which captum makes anew for each."""
    total = torch.zeros(len(genes), z.shape[1])
    for cells in z.split(512):
        cells = cells.clone().requires_grad_()
        found = network(cells)
        for row, gene in zip(total, genes, strict=True):
            (gradient,) = torch.autograd.grad(found[:, gene].sum(), cells, retain_graph=True)
            row += gradient.abs().sum(0)
    return (total / len(z)).numpy()


def forward(network: nn.Sequential, z: Tensor, genes: range) -> np.ndarray:
    """`torch.func.jvp`, a unit at a time."""
    total = torch.zeros(z.shape[1], network[-1].out_features)
    with torch.no_grad():
        for cells in z.split(128):
            for unit, row in enumerate(total):
                step = torch.zeros_like(cells)
                step[:, unit] = 1
                row += torch.func.jvp(network, (cells,), (step,))[1].abs().sum(0)
    return (total / len(z)).numpy().T[list(genes)]


def ours(network: nn.Sequential, z: Tensor, genes: range) -> np.ndarray:
    """What `pellucid.tl.attribute` calls, in its chunks."""
    from pellucid.attribution import Attributor, sum_attributions

    attributor = Attributor(network, "saliency", "decoder", n_read=z.shape[1])
    return (sum_attributions(attributor, z.split(1024), absolute=True) / len(z)).T[list(genes)]


# What each is, what it imports, and whether it goes a gene at a time.
CONTESTANTS: dict[str, tuple[Callable, str, bool]] = {
    CAPTUM: (captum_saliency, "captum.attr", True),
    "autograd, a gene at a time": (reverse, "torch", True),
    "torch.func jvp, a unit at a time": (forward, "torch.func", False),
    OURS: (ours, "pellucid.attribution", False),
}


def prepare(method: Callable, needs: str, n_units: int, n_genes: int, n_cells: int) -> Work:
    import_module(needs)
    network, z = decoder(n_units, n_genes), cells_of(n_cells, n_units)
    genes = range(0, n_genes, n_genes // PROBED)
    return Work(partial(method, network, z[:16], genes), partial(method, network, z, genes))


def rows_of(
    n_units: int, n_genes: int, *, n_cells: int, threads: int, repeats: int
) -> list[dict[str, Any]]:
    """Seconds of all units and genes."""
    sizes = {"n_units": n_units, "n_genes": n_genes, "n_cells": n_cells}
    contestants = [
        Contestant(name, prepare, {"method": method, "needs": needs, **sizes})
        for name, (method, needs, _) in CONTESTANTS.items()
    ]
    *measured, rated = measure(
        [*contestants, Contestant("floor", multiply_adds, {})], threads=threads, repeats=repeats
    )
    found = dict(zip(CONTESTANTS, measured, strict=True))
    scale = {
        name: n_genes / PROBED if probes else 1 for name, (_, _, probes) in CONTESTANTS.items()
    }
    ours = median(found[OURS].seconds)
    expected = found[CAPTUM].answers[0]
    rows = [
        {
            "units": n_units,
            "genes": n_genes,
            "contestant": name,
            "seconds": median(here.seconds) * scale[name],
            "x ours": median(here.seconds) * scale[name] / ours,
            "MB": here.megabytes,
            "relative error": float(
                np.abs(here.answers[0] - expected).max() / np.abs(expected).max()
            ),
        }
        for name, here in found.items()
    ]
    products = sum(a * b for a, b in zip(WIDTHS, (*WIDTHS[1:], n_genes), strict=True))
    floor = n_cells * n_units * products / median(rated.answers)
    nothing = {"MB": None, "relative error": None}
    rows.append(
        rows[0] | {"contestant": "floor", "seconds": floor, "x ours": floor / ours} | nothing
    )
    return rows
