"""Gene networks of one model (Choi et al. 2023): what the paper claims, measured; and the cost.

`simulated`: hubs and neighbours of the paper's simulated network, where both are known. `pbmc3k`:
predicted beside true centrality, how well neighbours predict their gene, and how far the methods'
neighbours overlap. `halves`: hubs of half of its cells, judged by the other half. `populations`:
populations whose networks differ while their means do not, told apart. `speed`: seconds of each
step, beside plain loops and other packages.

`--resume FILE` keeps every row as it is found, and takes up a run that was stopped.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ._networks_halves import halves
from ._networks_pbmc3k import pbmc3k
from ._networks_populations import of_populations
from ._networks_simulated import simulated
from ._networks_speed import speed
from ._report import machine, parser, save, show
from ._rows import Rows

if TYPE_CHECKING:
    from collections.abc import Sequence

PARTS = ("simulated", "pbmc3k", "halves", "populations", "speed")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the parts and print their tables."""
    command = parser("networks", __doc__, repeats=3)
    command.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all by default")
    command.add_argument("--seeds", type=int, default=5, help="how many")
    command.add_argument("--latents", type=int, nargs="+", default=[10], help="K of `simulated`")
    command.add_argument(
        "--units",
        type=int,
        nargs="+",
        default=[64],
        help="K of the models of cells; all tables are of the first (64 in the paper), and the "
        "reconstruction by others stands beside",
    )
    command.add_argument("--populations", type=int, default=16, help="number of `populations`")
    command.add_argument("--jobs", type=int, help="models of `populations` fitted at once")
    command.add_argument("--precision", help="of models of cells: Lightning's, such as bf16-mixed")
    command.add_argument(
        "--query-genes",
        type=int,
        default=100,
        help="of `pbmc3k`: how many have the paper's networks trained for the yardstick, seconds "
        "each; 0 for none",
    )
    command.add_argument("--resume", type=Path, help="file of rows to read and to add to")
    given = command.parse_args(arguments)
    if unknown := set(given.parts) - set(PARTS):
        command.error(f"unknown parts: {', '.join(sorted(unknown))}; choose from {PARTS}")
    torch.set_num_threads(given.threads)
    rows = Rows(given.resume)
    result: dict[str, Any] = {"benchmark": "networks", **machine(given.threads)}
    for part in given.parts or PARTS:
        if part == "simulated":
            found, table = simulated(rows, seeds=range(given.seeds), n_latents=given.latents)
            show(part, table)
            result[part] = found
        elif part == "populations":
            found, table = of_populations(
                rows,
                seeds=range(given.seeds),
                n_populations=given.populations,
                n_jobs=given.jobs,
            )
            show(part, table)
            result[part] = found
        elif part == "pbmc3k":
            tables = pbmc3k(
                rows,
                seeds=range(given.seeds),
                n_latents=given.units,
                precision=given.precision,
                n_query=given.query_genes,
            )
            for name, table in tables.items():
                show(f"pbmc3k: {name}", table)
            result[part] = tables
        elif part == "halves":
            table = halves(
                rows, seeds=range(given.seeds), n_latents=given.units, precision=given.precision
            )
            show(part, table)
            result[part] = table
        else:
            table = speed(threads=given.threads, repeats=given.repeats)
            show(part, table)
            result[part] = table
    save(given.json, result)


if __name__ == "__main__":
    main()
