"""Enrichment of all units' rankings: pellucid's engine against gseapy and decoupler.

Scores and sets are made up: heavy-tailed scores, sets of 15 to 500 genes of which some stand out
in some units. Nothing but sizes matters to the time that any contestant takes. gseapy
runs a ranking at a time (`loop`), all rankings as one table, and with its multilevel p values;
what takes long is given the first rankings only, and its seconds are multiplied to all, as
`of` says. decoupler runs by an interpreter of its own, which `--decoupler` names.

With one thread, seconds are the processor's. Enrichment scores and normalised ones are compared
with those of the loop over the rankings that both were given; the loop with another seed says what
of the latter is the error of so many permutations.
"""

from __future__ import annotations

import logging
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ._measure import Contestant, Measurement, Work, measure
from ._peers import Missing, inputs
from ._peers import run as run_peer
from ._report import machine, parser, save, show
from .peers._exchange import clock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SHAPES = ((3009, 50), (3009, 674), (12_000, 50), (12_000, 674))
N_UNITS = 64
LARGEST = 500
OURS, LOOP, AGAIN = "pellucid, batched", "gseapy, loop", "gseapy, loop, another seed"
TABLE, MULTILEVEL, DECOUPLER = "gseapy, one table", "gseapy, multilevel", "decoupler"
# The largest difference of an enrichment score that passes.
TOLERANCE = 1e-6


def made_up(n_genes: int, n_sets: int, n_units: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores, genes x units, and whether a gene stands in a set, genes x sets."""
    random = np.random.default_rng(0)
    scores = random.standard_t(4, size=(n_genes, n_units))
    sizes = np.clip(random.lognormal(np.log(45), 0.8, n_sets).astype(int), 15, LARGEST)
    members = np.zeros((n_genes, n_sets), dtype=bool)
    for one, size in enumerate(sizes):
        members[random.choice(n_genes, size, replace=False), one] = True
        if one % 10 == 0:
            scores[members[:, one], one % n_units] += 1
    return scores, members


def ours(scores: np.ndarray, members: np.ndarray, n_permutations: int) -> dict[str, np.ndarray]:
    from pellucid.enrichment import prerank

    found = prerank(scores, members, n_permutations=n_permutations)
    return {"es": found.es, "nes": found.nes}


def gseapy(
    scores: np.ndarray,
    members: np.ndarray,
    n_permutations: int,
    *,
    threads: int,
    table: bool = False,
    seed: int = 1,
    **options: Any,
) -> dict[str, np.ndarray]:
    """A ranking at a time, or all as one table."""
    import gseapy

    genes = np.array([f"G{gene}" for gene in range(len(scores))])
    sets = {f"S{one}": genes[column].tolist() for one, column in enumerate(members.T)}
    ranked = pd.DataFrame(scores, index=genes)
    found = {name: np.full((len(sets), scores.shape[1]), np.nan) for name in ("es", "nes")}
    for place, units in enumerate([ranked] if table else [ranked[unit] for unit in ranked]):
        result = gseapy.prerank(
            rnk=units,
            gene_sets=sets,
            min_size=1,
            max_size=len(genes),
            permutation_num=n_permutations,
            threads=threads,
            seed=seed,
            outdir=None,
            no_plot=True,
            **options,
        ).res2d
        one = result["Term"].str.removeprefix("S").astype(int).to_numpy()
        unit = result["Name"].astype(int).to_numpy() if table else place
        found["es"][one, unit] = result["ES"].astype(float)
        found["nes"][one, unit] = result["NES"].astype(float)
    return found


def prepare(
    method: Callable, scores: np.ndarray, members: np.ndarray, n_permutations: int, threads: int
) -> Work:
    """Import and compile on two rankings, and time the call by `clock`."""
    logging.disable(logging.WARNING)
    now = clock(threads)

    def timed() -> dict[str, Any]:
        start = now()
        return method(scores, members, n_permutations) | {"seconds": now() - start}

    return Work(partial(method, scores[:600, :2], members[:600, :2], 2), timed)


def run(
    n_genes: int,
    n_sets: int,
    *,
    n_probed: int,
    n_permutations: int,
    skip: Sequence[str],
    decoupler: str | None,
    threads: int,
    repeats: int,
) -> list[dict[str, Any]]:
    """Measure all contestants at one shape."""
    scores, members = made_up(n_genes, n_sets, N_UNITS)
    by_gseapy = partial(gseapy, threads=threads)
    methods: dict[str, tuple[Callable, int]] = {
        OURS: (ours, N_UNITS),
        LOOP: (by_gseapy, n_probed),
        AGAIN: (partial(by_gseapy, seed=2), n_probed),
        TABLE: (partial(by_gseapy, table=True), max(n_probed, 2)),  # of one it makes no table
        MULTILEVEL: (partial(by_gseapy, method="multilevel"), n_probed),
    }
    methods = {name: method for name, method in methods.items() if name not in skip}
    measured = {}
    # Ours more often: it is quick. The others once each, for they are long.
    for name, (method, n_units) in methods.items():
        arguments = {"method": method, "scores": scores[:, :n_units], "members": members}
        arguments |= {"n_permutations": n_permutations, "threads": threads}
        (measured[name],) = measure(
            [Contestant(name, prepare, arguments)],
            threads=threads,
            repeats=repeats if name == OURS else 1,
        )
    found = {name: _found(of, methods[name][1]) for name, of in measured.items()}
    if DECOUPLER not in skip:
        given = scores[:, :n_probed].T
        peer = run_peer(
            "decoupler_gsea",
            decoupler,
            inputs(given, given, members.T),
            threads=threads,
            n_permutations=n_permutations,
        )
        found[DECOUPLER] = (
            {"of": peer.reason}
            if isinstance(peer, Missing)
            else {"seconds": peer.seconds, "of": n_probed, "nes": peer.scores.T}
        )
    reference = found.get(LOOP, {})
    return [
        {
            "genes": n_genes,
            "sets": n_sets,
            "contestant": name,
            "of": one["of"],
            "seconds": one.get("seconds"),
            "for all": _all(one),
            "x ours": _all(one) and _all(one) / _all(found[OURS]),
            "MB": one.get("MB"),
            **_differences(one, reference),
        }
        for name, one in found.items()
    ]


def _found(measured: Measurement, n_units: int) -> dict[str, Any]:
    if measured.missing is not None:
        return {"of": measured.missing}
    seconds = median(answer["seconds"] for answer in measured.answers)
    return {**measured.answers[0], "seconds": seconds, "of": n_units, "MB": measured.megabytes}


def _all(one: dict[str, Any]) -> float | None:
    """Seconds for all units."""
    return one["seconds"] * N_UNITS / one["of"] if "seconds" in one else None


def _differences(one: dict[str, Any], reference: dict[str, Any]) -> dict[str, Any]:
    """Largest difference of a score, and how normalised ones differ, from those of the loop."""
    rows: dict[str, Any] = dict.fromkeys(("ES", "NES, r", "NES, relative"))
    if "nes" not in one or "nes" not in reference or one is reference:
        return rows
    n = reference["nes"].shape[1]
    if "es" in one:
        rows["ES"] = float(np.abs(one["es"][:, :n] - reference["es"]).max())
    nes, expected = one["nes"][:, :n], reference["nes"]
    rows["NES, r"] = f"{np.corrcoef(nes.ravel(), expected.ravel())[0, 1]:.5f}"
    rows["NES, relative"] = float(np.sqrt(np.mean((nes / expected - 1) ** 2)))
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, print, and fail where enrichment scores differ."""
    command = parser("gsea", __doc__, repeats=3)
    command.add_argument("--genes", type=int, help="of one shape, instead of the four of the docs")
    command.add_argument("--sets", type=int, default=SHAPES[0][1])
    command.add_argument("--permutations", type=int, default=1000)
    command.add_argument(
        "--probed", type=int, default=1, help="rankings that the others are given"
    )
    command.add_argument("--decoupler", help="Python of an environment with decoupler")
    command.add_argument("--skip", action="append", default=[], help="a contestant, by its name")
    given = command.parse_args(arguments)
    shapes = ((given.genes, given.sets),) if given.genes else SHAPES
    rows = []
    for n_genes, n_sets in shapes:
        rows += run(
            n_genes,
            n_sets,
            n_probed=given.probed,
            n_permutations=given.permutations,
            skip=given.skip,
            decoupler=given.decoupler,
            threads=given.threads,
            repeats=given.repeats,
        )
        show(
            f"{N_UNITS} rankings of {n_genes:,} genes, {n_sets} sets, {given.permutations:,} "
            f"permutations, {given.threads} thread(s)",
            [row for row in rows if (row["genes"], row["sets"]) == (n_genes, n_sets)],
        )
    save(given.json, {"benchmark": "gsea", **machine(given.threads), "rows": rows})
    for row in rows:
        if row["contestant"] == OURS and row["ES"] is not None and not row["ES"] <= TOLERANCE:
            raise SystemExit(f"enrichment scores differ by {row['ES']:.1e}.")
