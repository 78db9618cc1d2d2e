"""SIVAE (Choi et al. 2023): what the paper claims of it, measured; and what it costs.

Five parts. `communities`: genes of a simulated co-expression network in the embedding of genes.
`classify`: types of held-out cells by their nearest neighbours in the embedding of cells.
`loadings`: loadings beside attributions of the decoder and of the encoder. `batches`: two
protocols with and without `batch_key`. `speed`: an epoch beside that of a VAE of the same shape,
and the whole training beside a VAE and each attribution method.

`--resume FILE` keeps every row as it is found, and takes up a run that was stopped.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ._report import machine, parser, save, show
from ._rows import Rows
from ._sivae_cells import LABELS, batches, classify
from ._sivae_fit import MODELS
from ._sivae_genes import communities, loadings
from ._sivae_speed import epochs, totals

if TYPE_CHECKING:
    from collections.abc import Sequence

PARTS = ("communities", "classify", "loadings", "batches", "speed")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the parts and print their tables."""
    command = parser("sivae", __doc__, repeats=3)
    command.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all by default")
    command.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    command.add_argument("--seeds", type=int, help="how many; 5, or 1 a fold in `classify`")
    command.add_argument("--folds", type=int, default=5)
    command.add_argument("--data", nargs="+", default=list(LABELS), help="of `classify`")
    command.add_argument("--precision", help="of `classify`: Lightning's, such as bf16-mixed")
    command.add_argument("--latents", type=int, nargs="+", help="K; 2 and 10, or 2, 20 and 128")
    command.add_argument("--genes", type=int, nargs="+", default=[2000, 10000], help="of `speed`")
    command.add_argument("--resume", type=Path, help="file of rows to read and to add to")
    given = command.parse_args(arguments)
    if unknown := set(given.parts) - set(PARTS):
        command.error(f"unknown parts: {', '.join(sorted(unknown))}; choose from {PARTS}")
    torch.set_num_threads(given.threads)
    rows = Rows(given.resume)
    seeds, n_latents = range(given.seeds or 5), given.latents or [2, 10]
    result: dict[str, Any] = {"benchmark": "sivae", **machine(given.threads)}
    for part in given.parts or PARTS:
        if part == "communities":
            found, table = communities(rows, models=given.models, seeds=seeds, n_latents=n_latents)
        elif part == "classify":
            found, table = classify(
                rows,
                models=given.models,
                n_folds=given.folds,
                seeds=range(given.seeds or 1),
                n_latents=n_latents,
                data=given.data,
                precision=given.precision,
            )
        elif part == "loadings":
            found, table = loadings(rows, seeds=seeds, n_latents=n_latents)
        elif part == "batches":
            found, table = batches(rows, models=given.models, seeds=seeds, n_latents=n_latents)
        else:
            table = epochs(rows, threads=given.threads, repeats=given.repeats)
            show("speed: seconds an epoch", table)
            result["epochs"] = table
            found = table = totals(
                rows,
                threads=given.threads,
                n_latents=given.latents or [2, 20, 128],
                n_genes=given.genes,
            )
        show(part, table)
        result[part] = found
    save(given.json, result)


if __name__ == "__main__":
    main()
