"""Cells rebuilt from few numbers (Zhang 2020): DeepAE beside its rivals and the genes' means.

Two parts. `table`: five data sets, a small part of each to learn from and the rest to rebuild, in
each transform, K and split; one row a method. `speed`: seconds to learn, to code and to rebuild.

Genes: zeisel has 400, paul15 3,451 and cytof 24 proteins, all of which are used; of pbmc3k and
kang the `--genes` most variable of log(1 + x), over all cells, the same for all methods. `raw` and
`zscore` are of counts or intensities, `log` is log(1 + x), for cytof arcsinh(x / 5).

`table`: unless told otherwise, `log` with K of 10, 25, 50 and 100 and five splits, `raw` and
`zscore` with K of 10 and 50 and three; of cytof, which has 24 channels, K of 2, 5 and 10. The
splits are the outermost loop, so that with `--resume` every data set has something early.

DeepAE is there as the paper trains it (`deep_ae`); with the squared error, part of the training
cells held out and training stopped when their error rises (`deep_ae_stopped`); so with a negative
binomial (`deep_ae_counts`, of raw counts alone); and with linear paths around encoder and decoder
that start as the SVD, for one short step on all training cells (`deep_ae_linear`). All of
them multiply in bfloat16, which takes half the seconds on a CPU that has it: 0.7554 of the
correlation and 0.2182 of that per gene against 0.7559 and 0.2194 in float32 (kang, K=50).

`--resume FOLDER` keeps every row as it is found, and takes up a run that was stopped. `--write
FOLDER` keeps each AnnData with its result, for `pl.compression_benchmark` and `pl.reconstruction`.
"""

from __future__ import annotations

import logging
import statistics
import sys
import time
import warnings
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ._report import machine, parser, save, show

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anndata import AnnData

PARTS = ("table", "speed")
DATA = ("zeisel", "pbmc3k", "kang", "paul15", "cytof")
LOADERS = {"pbmc3k": "pbmc3k_labelled", "kang": "kang_ifnb", "cytof": "cytof_bcrxl"}
# Data sets of which the most variable genes are taken.
CUT = ("pbmc3k", "kang")
# K and splits of each transform, and K where there are 24 channels.
PLAN = {"log": ((10, 25, 50, 100), 5), "raw": ((10, 50), 3), "zscore": ((10, 50), 3)}
FEW = {"cytof": (2, 5, 10)}
# What else a method needs than numbers.
COUNTS = "deep_ae_counts"
METRICS = ("pcc", "spearman", "em", "mae", "gene_pcc", "cell_pcc")
# Metrics of which more is better.
LEADERS = ("pcc", "gene_pcc")


def contestants() -> dict[str, Callable[..., Any]]:
    """What makes the estimator of each method, called with `n_latent` and `random_state`."""
    from pellucid.compression import METHODS, DeepAECompressor
    from pellucid.model import DeepAE

    precision = {"precision": "bf16-mixed"}
    paper = DeepAE.preset("zhang2020").train_kwargs | precision
    stopped = {
        "max_epochs": 1000,
        "batch_size": None,
        "train_size": 0.85,
        "early_stopping": True,
        "early_stopping_patience": 100,
        "plan_kwargs": {"lr": 1e-4},
        **precision,
    }
    # Where it starts: of so few cells, steps teach the layers nothing that holds for others.
    start = paper | {"max_epochs": 1, "plan_kwargs": {"lr": 1e-5}}
    deep = {
        "deep_ae": ({}, paper),
        "deep_ae_stopped": ({"loss": "mse"}, stopped),
        "deep_ae_linear": ({"loss": "mse", "linear_path": True}, start),
        COUNTS: ({"loss": "nb"}, stopped),
    }
    return {name: make for name, make in METHODS.items() if name not in ("mean", "deep_ae")} | {
        name: partial(DeepAECompressor, model_kwargs=model, train_kwargs=train)
        for name, (model, train) in deep.items()
    }


def load(data: str, n_genes: int) -> AnnData:
    """Counts or intensities, dense, and the genes that are used of them."""
    import pellucid as pld

    adata = getattr(pld.datasets, LOADERS.get(data, data))()
    if hasattr(adata.X, "toarray"):
        adata.X = adata.X.toarray()
    if data in CUT:
        variance = np.log1p(adata.X).var(axis=0, dtype=np.float64)
        most = np.sort(np.argsort(-variance, kind="stable")[:n_genes])
        adata = adata[:, most].copy()
    return adata


def part_table(
    data: Sequence[str],
    *,
    methods: Sequence[str],
    transforms: Sequence[str],
    n_latent: Sequence[int] | None,
    seeds: int | None,
    train_size: float,
    n_genes: int,
    resume: Path | None,
    write: Path | None,
) -> list[dict[str, Any]]:
    """Means and deviations over splits, a row for each data set, transform, method and K."""
    for folder in (resume, write):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
    cells = {name: load(name, n_genes) for name in data}
    most = seeds or max(PLAN[transform][1] for transform in transforms)
    # Rows that are kept are not found again when a call asks for one split more.
    for n_splits in range(1, most + 1) if resume is not None else [most]:
        for (name, adata), transform in product(cells.items(), transforms):
            n_here = seeds or PLAN[transform][1]
            if resume is None or n_splits <= n_here:
                compress(
                    name,
                    adata,
                    transform,
                    [each for each in methods if each != COUNTS or is_counts(name, transform)],
                    n_latent=FEW.get(name) or n_latent or PLAN[transform][0],
                    n_repeats=min(n_splits, n_here),
                    train_size=train_size,
                    resume=resume,
                )
                print(name, transform, n_splits, "splits", file=sys.stderr, flush=True)
    if write is not None:
        for name, adata in cells.items():
            adata.write_h5ad(write / f"{name}.h5ad")
    return [
        row
        for (name, adata), transform in product(cells.items(), transforms)
        for row in summary(name, adata, transform)
    ]


def is_counts(data: str, transform: str) -> bool:
    return transform == "raw" and data != "cytof"


def key_of(transform: str) -> str:
    """Where a result stands in the AnnData; that of the paper's transform by the default key."""
    return "compression_benchmark" + ("" if transform == "log" else f"_{transform}")


def compress(
    name: str,
    adata: AnnData,
    transform: str,
    methods: Sequence[str],
    *,
    resume: Path | None,
    **arguments: Any,
) -> None:
    """One call of the benchmark, whose result stands in the AnnData then."""
    import pellucid as pld

    known = contestants()
    layer = None
    if name == "cytof" and transform == "log":
        layer = "arcsinh"
        adata.layers[layer] = np.arcsinh(adata.X / 5)
    pld.tl.compression_benchmark(
        adata,
        layer=layer,
        methods={method: known[method] for method in methods},
        transform=transform if layer is None else "raw",
        resume=None if resume is None else resume / f"{name}_{layer or 'X'}_{adata.n_vars}.jsonl",
        enable_progress_bar=False,
        key_added=key_of(transform),
        **arguments,
    )


def summary(name: str, adata: AnnData, transform: str) -> list[dict[str, Any]]:
    """Rows of one data set and transform."""
    import pellucid as pld

    table = pld.get.compression_benchmark(adata, key=key_of(transform))
    rows = []
    for (size, method), group in table.groupby(["n_latent", "method"], sort=False):
        mean, std = (group.set_index("metric")[each] for each in ("mean", "std"))
        rows.append(
            {
                "data": name,
                "cells": adata.n_obs,
                "genes": adata.n_vars,
                "transform": transform,
                "method": method,
                "K": int(size),
                "n": int(group["n_repeats"].iloc[0]),
                **{metric: float(mean[metric]) for metric in (*METRICS, "seconds")},
                **{f"{metric} s.d.": float(std[metric]) for metric in METRICS},
            }
        )
    return rows


def printed(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with mean ± standard deviation in one column."""
    about = ("data", "transform", "method", "K", "n")
    return [
        {
            **{name: str(row[name]) for name in about},
            **{name: _with_deviation(row[name], row[f"{name} s.d."]) for name in METRICS},
            "seconds": row["seconds"],
        }
        for row in rows
    ]


def _with_deviation(mean: float, deviation: float) -> str:
    return f"{mean:.4g}" + ("" if np.isnan(deviation) else f" ± {deviation:.1g}")


def leaders(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Which method is first, and by how much, for each data set, transform and K."""
    table = pd.DataFrame(rows)
    lines = []
    for (data, transform, size), group in table[table["K"] > 0].groupby(
        ["data", "transform", "K"], sort=False
    ):
        line: dict[str, Any] = {"data": data, "transform": transform, "K": str(size)}
        floor = table.query("data == @data and transform == @transform and K == 0")
        for metric in LEADERS:
            best = group.nlargest(2, metric, keep="all").to_dict("records")
            line[metric] = f"{best[0]['method']} {best[0][metric]:.3f}"
            line[f"{metric}, second"] = (
                f"{best[1]['method']} {best[1][metric]:.3f}" if len(best) > 1 else ""
            )
            line[f"{metric}, mean only"] = f"{floor[metric].item():.3f}"
        lines.append(line)
    return lines


def part_speed(
    methods: Sequence[str], *, n_latent: int, train_size: float, repeats: int
) -> list[dict[str, Any]]:
    """Seconds of each method, medians of the rounds: on log counts, or on what it asks for."""
    known = contestants()
    rows = []
    for name, n_genes in (("zeisel", 400), ("pbmc3k", 10_000)):
        counts = load(name, n_genes).X
        order = np.random.default_rng(0).permutation(len(counts))
        for method in methods:
            values = counts[order] if method == COUNTS else np.log1p(counts[order])
            train, test = np.split(values, [round(train_size * len(values))])
            rounds = []
            for seed in range(repeats):
                model = known[method](n_latent=n_latent, random_state=seed)
                start = time.perf_counter()
                model.fit(train)
                learned = time.perf_counter()
                codes = model.transform(test)
                coded = time.perf_counter()
                model.inverse_transform(codes)
                rounds.append((learned - start, coded - learned, time.perf_counter() - coded))
            learn, code, rebuild = (statistics.median(each) for each in zip(*rounds, strict=True))
            rows.append(
                {
                    "cells x genes": f"{counts.shape[0]:,} x {counts.shape[1]:,}",
                    "training cells": len(train),
                    "method": method,
                    "K": n_latent,
                    "seconds to learn": learn,
                    "to code": code,
                    "to rebuild": rebuild,
                    "in all": learn + code + rebuild,
                }
            )
            print(rows[-1], flush=True)
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the parts and print their tables."""
    import torch

    known = [*contestants()]
    command = parser("compression", __doc__, repeats=1)
    command.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all by default")
    command.add_argument("--data", nargs="+", default=list(DATA), choices=DATA)
    command.add_argument("--methods", nargs="+", default=known, choices=known)
    command.add_argument("--transforms", nargs="+", default=list(PLAN), choices=PLAN)
    command.add_argument("--latents", type=int, nargs="+", help="K, but of cytof")
    command.add_argument("--seeds", type=int, help="splits")
    command.add_argument("--train-size", type=float, default=0.05)
    command.add_argument("--genes", type=int, default=2000, help="of pbmc3k and kang")
    command.add_argument("--resume", type=Path, help="folder of rows to read and to add to")
    command.add_argument("--write", type=Path, help="folder for each AnnData with its result")
    given = command.parse_args(arguments)
    if unknown := set(given.parts) - set(PARTS):
        command.error(f"unknown parts: {', '.join(sorted(unknown))}; choose from {PARTS}")
    torch.set_num_threads(given.threads)
    # Of units that are dead.
    logging.getLogger("pellucid").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*LeafSpec")
    result: dict[str, Any] = {"benchmark": "compression", **machine(given.threads)}
    for part in given.parts or PARTS:
        if part == "table":
            rows = part_table(
                given.data,
                methods=given.methods,
                transforms=given.transforms,
                n_latent=given.latents,
                seeds=given.seeds,
                train_size=given.train_size,
                n_genes=given.genes,
                resume=given.resume,
                write=given.write,
            )
            show("table: mean ± s.d. over splits", printed(rows))
            show("first and second", leaders(rows))
        else:
            rows = part_speed(
                given.methods,
                n_latent=(given.latents or [50])[0],
                train_size=given.train_size,
                repeats=given.repeats,
            )
            show("speed", rows)
        result[part] = rows
    save(given.json, result)


if __name__ == "__main__":
    main()
