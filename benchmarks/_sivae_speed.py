"""Seconds of SIVAE: an epoch beside a VAE's, all training beside a VAE's and attributions.

Seconds are of processor time, so that other work beside counts less; give every contestant one
thread.
"""

from __future__ import annotations

import time
from functools import partial
from itertools import pairwise, product
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from ._data import counts
from ._measure import Contestant, Work, measure
from ._rates import copied_bytes, multiply_adds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from torch import Tensor, nn

    from ._rows import Rows

N_CELLS, BATCH = 5000, 128
HIDDEN = (1024, 512, 128)
# Stages are timed for a few epochs each and reported for as many as `SIVAE.train` takes at most.
EPOCHS = 100
# Cells that attributions are timed on; their cost is proportional to the cells.
CELLS_ATTRIBUTED = 1000
METHODS = ("saliency", "grad_x_input", "deep_lift", "integrated_gradients")
STEPS = 50


def cells(n_genes: int) -> AnnData:
    """Made-up counts, of which 7% are not zero, as log expression."""
    import scanpy as sc
    from anndata import AnnData
    from scipy import sparse

    adata = AnnData(sparse.csr_matrix(counts(N_CELLS, n_genes, None)))
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    return adata


def prepare(n_genes: int, n_latent: int, arguments: dict[str, Any], train: dict[str, Any]) -> Work:
    """A model, and epochs of each of its stages with the seconds that each took."""
    from lightning.pytorch.callbacks import Callback

    from pellucid.model import SIVAE
    from pellucid.train import seeded

    class Clock(Callback):
        def __init__(self) -> None:
            self.taken: dict[str, list[float]] = {}

        def on_train_epoch_start(self, trainer: Any, plan: Any) -> None:
            self.start = time.process_time()

        def on_train_epoch_end(self, trainer: Any, plan: Any) -> None:
            self.taken.setdefault(plan.stage, []).append(time.process_time() - self.start)

    adata = cells(n_genes)
    SIVAE.setup_anndata(adata)

    def run(max_epochs: int) -> dict[str, list[float]]:
        clock = Clock()
        with seeded(0):
            model = SIVAE(adata, n_latent=n_latent, n_hidden=HIDDEN, **arguments)
            model.train(
                max_epochs,
                train_size=1.0,
                batch_size=BATCH,
                early_stopping=False,
                enable_progress_bar=False,
                accelerator="cpu",
                callbacks=[clock],
                **train,
            )
        return clock.taken

    return Work(partial(run, 1), partial(run, 2))


def operations(n_genes: int, n_latent: int, n_drawn: int | None, n_inputs: int) -> tuple[int, int]:
    """Multiply-adds of a step, and numbers that Adam reads or writes; of a VAE if none is drawn.

    A linear layer multiplies once forward and twice backward, but once for what reads the input
    and for the genes that were not drawn, which are remembered: embedded once an epoch.
    """

    def layers(widths: Sequence[int], n_rows: int, passes: Sequence[int]) -> int:
        sizes = [a * b for a, b in pairwise(widths)]
        return n_rows * sum(size * n for size, n in zip(sizes, passes, strict=True))

    up = (n_latent, *reversed(HIDDEN))
    encoder = (2, *(3 for _ in HIDDEN))
    decoder = tuple(3 for _ in HIDDEN)
    n_weights = (n_genes + n_inputs) * HIDDEN[0]
    total = layers((n_genes, *HIDDEN, 2 * n_latent), BATCH, encoder) + layers(up, BATCH, decoder)
    inner = sum(a * b for a, b in pairwise(HIDDEN))
    if n_drawn is None:
        total += 3 * BATCH * HIDDEN[0] * n_genes
        return total, 7 * (2 * n_genes * HIDDEN[0] + 2 * inner)
    total += layers((n_inputs, *HIDDEN, 2 * n_latent), n_drawn, encoder)
    total += layers(up, n_drawn, decoder) + 3 * BATCH * (HIDDEN[0] + n_latent) * n_drawn
    if n_drawn < n_genes:
        total += 2 * BATCH * (HIDDEN[0] + n_latent) * n_genes
        once = n_genes * (n_inputs * HIDDEN[0] + 2 * inner + 3 * n_latent * HIDDEN[-1])
        total += once // -(-N_CELLS // BATCH)
    return total, 7 * (n_weights + 4 * inner)


def epochs(rows: Rows, *, threads: int, repeats: int) -> list[dict[str, Any]]:
    """Seconds of an epoch of each stage at 5,000 cells x 2,000 genes, contestants by turns."""
    n_genes, n_latent, n_inputs = 2000, 2, 100
    bfloat16 = {"precision": "bf16-mixed"}
    contestants: dict[str, tuple[dict[str, Any], dict[str, Any], int | None]] = {
        "VAE": ({"gene_wise": False}, {}, None),
        "SIVAE, 128 genes a step": ({}, {"n_genes_per_step": 128}, 128),
        "SIVAE, 500 genes a step": ({}, {"n_genes_per_step": 500}, 500),
        "SIVAE, all genes": ({}, {"n_genes_per_step": n_genes}, n_genes),
        "VAE, bf16-mixed": ({"gene_wise": False}, bfloat16, None),
        "SIVAE, 128 genes a step, bf16-mixed": ({}, {"n_genes_per_step": 128, **bfloat16}, 128),
    }
    about = {
        "part": "speed, epochs and precision",
        "cells": N_CELLS,
        "genes": n_genes,
        "K": n_latent,
    }

    def compute() -> dict[str, Any]:
        *found, rated, copied = measure(
            [
                Contestant(
                    name,
                    prepare,
                    {
                        "n_genes": n_genes,
                        "n_latent": n_latent,
                        "arguments": arguments,
                        "train": train,
                    },
                )
                for name, (arguments, train, _) in contestants.items()
            ]
            + [
                Contestant("multiply-adds", multiply_adds, {}),
                Contestant("copy", copied_bytes, {"shape": (4096, 2048)}),
            ],
            threads=threads,
            repeats=repeats,
        )
        result: dict[str, Any] = {
            "multiply-adds a second": median(rated.answers),
            "bytes a second": median(copied.answers),
        }
        for name, measured in zip(contestants, found, strict=True):
            taken: dict[str, list[float]] = {}
            for answer in measured.answers:
                for stage, seconds in answer.items():
                    taken.setdefault(stage, []).extend(seconds)
            result[name] = {stage: median(seconds) for stage, seconds in taken.items()}
        return result

    found = rows(about, compute)
    steps = -(-N_CELLS // BATCH)
    table = []
    for name, (_, train, n_drawn) in contestants.items():
        # The floors are those of products and copies of float32.
        in_float32 = "precision" not in train
        vae = found["VAE" if in_float32 else "VAE, bf16-mixed"]["cells"]
        last = found[name]["cells" if n_drawn is None else "joint"]
        products, numbers = operations(n_genes, n_latent, n_drawn, n_inputs)
        floor = steps * products / found["multiply-adds a second"]
        adam = steps * 4 * numbers / found["bytes a second"]
        table.append(
            {
                "contestant": name,
                "cells stage": found[name]["cells"],
                "genes stage": found[name].get("genes"),
                "joint stage": found[name].get("joint"),
                "times the VAE's": last / vae,
                "cells a second": N_CELLS / last,
                "matmul floor": floor if in_float32 else None,
                "and Adam's memory": floor + adam if in_float32 else None,
                "times the floor": last / (floor + adam) if in_float32 else None,
            }
        )
    return table


def decoder(n_genes: int, n_latent: int) -> tuple[nn.Module, Tensor]:
    """The paper's decoder at random weights, and the scores that it reads."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    widths = (n_latent, *reversed(HIDDEN))
    stack: list[nn.Module] = []
    for n_in, n_out in pairwise(widths):
        stack += [nn.Linear(n_in, n_out), nn.ReLU()]
    network = nn.Sequential(*stack, nn.Linear(HIDDEN[0], n_genes)).eval()
    return network, torch.randn(CELLS_ATTRIBUTED, n_latent)


def ours(method: str, n_genes: int, n_latent: int) -> Work:
    """Mean absolute attribution of every gene to every unit, as `pellucid.tl.attribute` sums."""
    from pellucid.attribution import Attributor, sum_attributions

    network, z = decoder(n_genes, n_latent)
    attributor = Attributor(network, method, "decoder", n_read=n_latent)

    def run(n_cells: int) -> float:
        start = time.process_time()
        sum_attributions(attributor, z[:n_cells].split(1024), absolute=True)
        return time.process_time() - start

    return Work(partial(run, 32), partial(run, len(z)))


def captum(method: str, n_genes: int, n_latent: int, n_outputs: int = 4) -> Work:
    """Seconds of captum for all genes, from those for a few: it takes one gene after the other.

    In chunks of cells of the size that is the fastest for one gene. Integrated gradients, which
    take 50 times as long, are timed on a tenth of the cells.
    """
    import torch
    from captum.attr import DeepLift, InputXGradient, IntegratedGradients, Saliency

    network, z = decoder(n_genes, n_latent)
    made = {
        "saliency": Saliency,
        "grad_x_input": InputXGradient,
        "deep_lift": DeepLift,
        "integrated_gradients": IntegratedGradients,
    }[method](network)
    options: dict[str, Any] = {}
    share = 1
    if method == "integrated_gradients":
        options = {"n_steps": STEPS, "internal_batch_size": 1024}
        z, share = z[::10], 10

    def gene(target: int, n_cells: int, chunk: int) -> float:
        start = time.process_time()
        total = torch.zeros(n_latent)
        for scores in z[:n_cells].split(chunk):
            found = made.attribute(scores.clone().requires_grad_(), target=target, **options)
            total += found.detach().abs_().sum(0)
        return time.process_time() - start

    chosen: list[int] = []

    def warm_up() -> None:
        gene(0, 32, 32)
        chosen.append(min((64, 256, 1024), key=lambda chunk: gene(0, len(z), chunk)))

    def run() -> float:
        places = np.linspace(0, n_genes - 1, n_outputs).astype(int)
        taken = [gene(int(place), len(z), chosen[0]) for place in places]
        return median(taken) * n_genes * share

    return Work(warm_up, run)


def totals(
    rows: Rows, *, threads: int, n_latents: Sequence[int], n_genes: Sequence[int]
) -> list[dict[str, Any]]:
    """Seconds of all training, and of a VAE's with each attribution of its decoder: Fig. 3b to d.

    100 epochs of each stage from two that are timed, attributions of 5,000 cells from 1,000, and
    captum's of all genes from four.
    """
    table = []
    for genes, n_latent in product(n_genes, n_latents):
        about = {"part": "speed, totals", "cells": N_CELLS, "genes": genes, "K": n_latent}
        found = rows(about, partial(_totals, genes, n_latent, threads))
        vae = EPOCHS * found["stages"]["cells"]
        sivae = EPOCHS * sum(found["stages"].values())
        row: dict[str, Any] = {"genes": genes, "K": n_latent, "SIVAE": sivae, "VAE": vae}
        for method in METHODS:
            for whose in ("pellucid", "captum"):
                row[f"{method}, {whose}"] = found[f"{method}, {whose}"]
        rivals = [found[f"{method}, captum"] for method in METHODS]
        row["SIVAE / VAE and captum's fastest"] = sivae / (vae + min(rivals))
        fastest = min(found[f"{method}, pellucid"] for method in METHODS)
        row["SIVAE / VAE and pellucid's fastest"] = sivae / (vae + fastest)
        row["saliency: captum / pellucid"] = (
            found["saliency, captum"] / found["saliency, pellucid"]
        )
        table.append(row)
    return table


def _totals(n_genes: int, n_latent: int, threads: int) -> dict[str, Any]:
    sizes = {"n_genes": n_genes, "n_latent": n_latent}
    (trained,) = measure(
        [Contestant("SIVAE", prepare, {**sizes, "arguments": {}, "train": {}})],
        threads=threads,
        repeats=1,
    )
    result: dict[str, Any] = {
        "stages": {stage: median(seconds) for stage, seconds in trained.answers[0].items()}
    }
    share = N_CELLS / CELLS_ATTRIBUTED
    for method in METHODS:
        contestants = [
            Contestant(name, prepared, {"method": method, **sizes})
            for name, prepared in (("pellucid", ours), ("captum", captum))
        ]
        our, their = measure(contestants, threads=threads, repeats=1)
        result[f"{method}, pellucid"] = share * our.answers[0]
        result[f"{method}, captum"] = share * their.answers[0]
    return result
