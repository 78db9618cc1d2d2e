"""Cells rebuilt from few numbers (Zhang 2020): DeepAE beside its rivals and the genes' means.

Two parts. `table`: five data sets, a small part of each to learn from and the rest to rebuild, in
each transform, K and split; one row a method. `speed`: seconds to learn, to code and to rebuild.

Genes: zeisel has 400, paul15 3,451 and cytof 24 proteins, all of which are used; of pbmc3k and
kang the `--genes` most variable of log(1 + x), over all cells, the same for all methods. `raw` and
`zscore` are of counts or intensities, `log` is log(1 + x), for cytof arcsinh(x / 5).

`--resume FOLDER` keeps every row as it is found, and takes up a run that was stopped. `--write
FOLDER` keeps each AnnData with its result, for `pl.compression_benchmark` and `pl.reconstruction`.
"""

from __future__ import annotations

import statistics
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ._report import machine, parser, save, show

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anndata import AnnData

PARTS = ("table", "speed")
TRANSFORMS = ("raw", "log", "zscore")
DATA = ("zeisel", "pbmc3k", "kang", "paul15", "cytof")
LOADERS = {"pbmc3k": "pbmc3k_labelled", "kang": "kang_ifnb", "cytof": "cytof_bcrxl"}
# Data sets of which the most variable genes are taken.
CUT = ("pbmc3k", "kang")
# K, and fewer where there are 24 channels.
N_LATENT = (10, 25, 50, 100)
FEW = {"cytof": (2, 5, 10)}
METRICS = ("pcc", "spearman", "em", "mae", "gene_pcc", "cell_pcc")
# Metrics of which more is better.
LEADERS = ("pcc", "gene_pcc")


def contestants() -> dict[str, Callable[..., Any]]:
    """What makes the estimator of each method, called with `n_latent` and `random_state`."""
    from pellucid.compression import METHODS, DeepAECompressor

    return {
        **{name: make for name, make in METHODS.items() if name != "mean"},
        "deep_ae_mse": partial(DeepAECompressor, model_kwargs={"loss": "mse"}),
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
    seeds: int,
    train_size: float,
    n_genes: int,
    resume: Path | None,
    write: Path | None,
) -> list[dict[str, Any]]:
    """Means and deviations over splits, a row for each data set, transform, method and K."""
    import pellucid as pld

    known = contestants()
    for folder in (resume, write):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in data:
        adata = load(name, n_genes)
        arguments: dict[str, Any] = {
            "methods": {method: known[method] for method in methods},
            "n_latent": n_latent or FEW.get(name, N_LATENT),
            "train_size": train_size,
            "n_repeats": seeds,
        }
        # Layers, each with its transforms and what they are called in the table.
        layers: dict[str | None, dict[str, str]] = {None: {each: each for each in transforms}}
        if name == "cytof":
            adata.layers["arcsinh"] = np.arcsinh(adata.X / 5)
            if layers[None].pop("log", None):
                layers["arcsinh"] = {"raw": "log"}
        for layer, titles in layers.items():
            if not titles:
                continue
            key = "compression_benchmark" if layer is None else f"compression_benchmark_{layer}"
            path = (
                None if resume is None else resume / f"{name}_{layer or 'X'}_{adata.n_vars}.jsonl"
            )
            pld.tl.compression_benchmark(
                adata,
                layer=layer,
                transform=[*titles],
                resume=path,
                enable_progress_bar=False,
                key_added=key,
                **arguments,
            )
            print(name, *titles.values(), "done", file=sys.stderr, flush=True)
            table = pld.get.compression_benchmark(adata, key=key)
            for (transform, method, size), group in table.groupby(
                ["transform", "method", "n_latent"], sort=False
            ):
                mean, std = (group.set_index("metric")[each] for each in ("mean", "std"))
                rows.append(
                    {
                        "data": name,
                        "cells": adata.n_obs,
                        "genes": adata.n_vars,
                        "transform": titles[transform],
                        "method": method,
                        "K": int(size),
                        "n": int(group["n_repeats"].iloc[0]),
                        **{metric: float(mean[metric]) for metric in (*METRICS, "seconds")},
                        **{f"{metric} s.d.": float(std[metric]) for metric in METRICS},
                    }
                )
        if write is not None:
            adata.write_h5ad(write / f"{name}.h5ad")
    return rows


def printed(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with mean ± standard deviation in one column."""
    about = ("data", "transform", "method", "K", "n")
    return [
        {
            **{name: str(row[name]) for name in about},
            **{name: f"{row[name]:.4g} ± {row[f'{name} s.d.']:.2g}" for name in METRICS},
            "seconds": row["seconds"],
        }
        for row in rows
    ]


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
    """Seconds of each method on log counts, medians of the rounds."""
    known = contestants()
    rows = []
    for name, n_genes in (("zeisel", 400), ("pbmc3k", 10_000)):
        log = np.log1p(load(name, n_genes).X)
        order = np.random.default_rng(0).permutation(len(log))
        train, test = np.split(log[order], [round(train_size * len(log))])
        for method in methods:
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
                    "cells x genes": f"{log.shape[0]:,} x {log.shape[1]:,}",
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
    command.add_argument("--transforms", nargs="+", default=list(TRANSFORMS), choices=TRANSFORMS)
    command.add_argument("--latents", type=int, nargs="+", help="K; 10 to 100, of cytof 2 to 10")
    command.add_argument("--seeds", type=int, default=5, help="splits")
    command.add_argument("--train-size", type=float, default=0.05)
    command.add_argument("--genes", type=int, default=2000, help="of pbmc3k and kang")
    command.add_argument("--resume", type=Path, help="folder of rows to read and to add to")
    command.add_argument("--write", type=Path, help="folder for each AnnData with its result")
    given = command.parse_args(arguments)
    if unknown := set(given.parts) - set(PARTS):
        command.error(f"unknown parts: {', '.join(sorted(unknown))}; choose from {PARTS}")
    torch.set_num_threads(given.threads)
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
