"""Training by one cell a step: pellucid against the loop that a user would write.

Both train Genes-128-64-128-Genes under the loss and the settings of Kinalis et al. 2019 (raw
counts, SGD with Nesterov's momentum of 0.9, learning rate 1e-3) from the same weights, on the same
cells in the same order; weights are compared after the first of these steps. The floor is the
time in which what a step must read and write passes through memory: weight and momentum of the
last layer, and of the first layer's genes that the cell has.
"""

from __future__ import annotations

import time
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from ._data import available, counts
from ._measure import Contestant, Work, measure
from ._rates import copied_bytes
from ._report import machine, parser, save, show

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pellucid.model import OrthogonalAE

N_HIDDEN, N_LATENT = 128, 64
# Cells, genes and whose counts.
SHAPES = ((2000, 1267, "paul15"), (2000, 3009, "pbmc3k_labelled"))
LEARNING_RATE, MOMENTUM, ORTHOGONALITY_WEIGHT, EPS = 1e-3, 0.9, 0.05, 1e-8
TOLERANCE = 1e-5
PLAN = {
    "optimizer": "SGD",
    "lr": LEARNING_RATE,
    "momentum": MOMENTUM,
    "gradient_clip_norm": None,
}


def prepared_model(x: torch.Tensor) -> OrthogonalAE:
    """The model that every contestant starts from."""
    import anndata as ad
    from scipy import sparse

    from pellucid.model import OrthogonalAE
    from pellucid.train import seeded

    adata = ad.AnnData(sparse.csr_matrix(x.numpy()))
    OrthogonalAE.setup_anndata(adata)
    with seeded(0):
        return OrthogonalAE(
            adata,
            n_hidden=N_HIDDEN,
            n_latent=N_LATENT,
            input_type="counts",
            orthogonality_weight=ORTHOGONALITY_WEIGHT,
            l1_weight=0.0,
            dropout_rate=0.0,
        )


def weights_of(module: nn.Module) -> list[np.ndarray]:
    return [parameter.detach().numpy().copy() for parameter in module.parameters()]


def plain_loop(x: torch.Tensor, n_compared: int) -> dict[str, Any]:
    """Steps as the documentation of PyTorch teaches them."""
    from torch.utils.data import DataLoader, TensorDataset

    module = prepared_model(x).module
    network = nn.Sequential(*module.encoder, *module.decoder)
    code_weight, identity = module.code_weight, torch.eye(N_LATENT)
    optimizer = torch.optim.SGD(
        network.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, nesterov=True
    )
    compared = None
    start = time.perf_counter()
    for step, (cell,) in enumerate(DataLoader(TensorDataset(x), batch_size=1), start=1):
        optimizer.zero_grad()
        rate = network(cell)
        loss = (rate - cell * torch.log(rate + EPS)).mean()
        penalty = torch.linalg.norm(identity - code_weight @ code_weight.T)
        (loss + ORTHOGONALITY_WEIGHT * penalty).backward()
        optimizer.step()
        if step == n_compared:
            compared = weights_of(module)
    return {"cells a second": len(x) / (time.perf_counter() - start), "weights": compared}


def compiled_steps(x: torch.Tensor, n_compared: int) -> dict[str, Any]:
    """The steps of `pellucid.train.OnlineTrainingPlan`, in its calls of 1,024 cells."""
    from pellucid.train import OnlineTrainingPlan

    def steps(n_cells: int) -> tuple[nn.Module, float]:
        module = prepared_model(x).module
        plan = OnlineTrainingPlan(module, **PLAN)
        optimizer = torch.optim.SGD(
            module.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, nesterov=True
        )
        plan.optimizers = lambda: _Wrapped(optimizer)  # what Lightning's trainer does
        start = time.perf_counter()
        with torch.no_grad():
            for cells in x[:n_cells].split(1024):
                plan._compiled_steps(cells)
        return module, n_cells / (time.perf_counter() - start)

    compared, _ = steps(n_compared)
    _, speed = steps(len(x))
    return {"cells a second": speed, "weights": weights_of(compared)}


class _Wrapped:
    def __init__(self, optimizer: torch.optim.Optimizer):
        self.optimizer = optimizer


def whole_training(x: torch.Tensor, n_epochs: int) -> dict[str, Any]:
    """`OrthogonalAE.train(batch_size=1)` as a user calls it, with Lightning and all.

    Nothing is held out, as in the plain loop. The order of the cells is shuffled.
    """
    model = prepared_model(x)
    start = time.perf_counter()
    model.train(
        n_epochs,
        batch_size=1,
        accelerator="cpu",
        train_size=1.0,
        early_stopping=False,
        plan_kwargs=PLAN,
        enable_progress_bar=False,
    )
    return {"cells a second": n_epochs * len(x) / (time.perf_counter() - start)}


def prepare(method: Callable, x: np.ndarray) -> Work:
    """Hand the cells to one contestant, in the order in which all take them."""
    cells = torch.from_numpy(x)
    return Work(partial(method, cells[:8]), partial(method, cells))


def needed_bytes(x: np.ndarray) -> float:
    """What a step reads and writes, on average: float32 weights, each with its momentum."""
    return 2 * 2 * 4 * N_HIDDEN * (x.shape[1] + np.count_nonzero(x) / len(x))


OURS, PEER, WHOLE = "pellucid, steps", "PyTorch loop", "pellucid, OrthogonalAE.train"


def run(
    n_cells: int,
    n_genes: int,
    data: str | None,
    *,
    n_compared: int,
    n_epochs: int,
    threads: int,
    repeats: int,
) -> dict[str, Any]:
    """Measure the contestants at one shape."""
    order = np.random.default_rng(0).permutation(n_cells)
    x = counts(n_cells, n_genes, data)[order]
    methods = {
        PEER: partial(plain_loop, n_compared=n_compared),
        OURS: partial(compiled_steps, n_compared=n_compared),
        WHOLE: partial(whole_training, n_epochs=n_epochs),
    }
    *measured, copied = measure(
        [
            *(
                Contestant(name, prepare, {"method": method, "x": x})
                for name, method in methods.items()
            ),
            Contestant("floor", copied_bytes, {"shape": (2, n_genes, N_HIDDEN)}),
        ],
        threads=threads,
        repeats=repeats,
    )
    answers = {name: found.answers for name, found in zip(methods, measured, strict=True)}
    speed = {
        name: median(answer["cells a second"] for answer in found)
        for name, found in answers.items()
    }
    bandwidth = median(copied.answers)
    speed[f"floor, {bandwidth / 1e9:.1f} GB/s"] = bandwidth / needed_bytes(x)
    weights = (answers[name][0]["weights"] for name in (PEER, OURS))
    difference = max(
        float(np.abs(peer - ours).max())
        for peer, ours in zip(*weights, strict=True)
        for peer, ours in zip(
            answers[PEER][0]["weights"], answers[OURS][0]["weights"], strict=True
        )
    )
    rows = [
        {"contestant": name, "cells a second": value, "x PyTorch loop": value / speed[PEER]}
        for name, value in speed.items()
    ]
    return {
        "n_cells": n_cells,
        "n_genes": n_genes,
        "data": data,
        "bandwidth": bandwidth,
        "n_compared": n_compared,
        "largest difference of a weight": difference,
        "rows": rows,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, print, and fail where the weights differ."""
    command = parser("online_training", __doc__, repeats=5)
    command.add_argument("--cells", type=int, help="of one shape, instead of the two of the docs")
    command.add_argument("--genes", type=int, default=SHAPES[1][1])
    command.add_argument("--epochs", type=int, default=3, help="of OrthogonalAE.train")
    command.add_argument("--compared", type=int, default=500, help="steps before the comparison")
    command.add_argument("--made-up", action="store_true", help="counts even where data are")
    given = command.parse_args(arguments)
    shapes = ((given.cells, given.genes, "pbmc3k_labelled"),) if given.cells else SHAPES
    result = {"benchmark": "online_training", **machine(given.threads), "shapes": []}
    for n_cells, n_genes, data in shapes:
        found = run(
            n_cells,
            n_genes,
            None if given.made_up else available(data),
            n_compared=given.compared,
            n_epochs=given.epochs,
            threads=given.threads,
            repeats=given.repeats,
        )
        result["shapes"].append(found)
        show(
            f"{n_cells:,} cells x {n_genes:,} genes, {found['data'] or 'made-up counts'}, "
            f"{given.threads} thread(s), median of {given.repeats}",
            found["rows"],
        )
        difference = found["largest difference of a weight"]
        print(f"largest difference of a weight after {given.compared} steps: {difference:.1e}")
        if not difference <= TOLERANCE:
            raise SystemExit(f"the weights differ by more than {TOLERANCE:g}.")
    save(given.json, result)
