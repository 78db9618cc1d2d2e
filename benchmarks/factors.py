"""Models whose factors carry the names of gene sets: AnnotatedAE and its rivals.

Six parts. `planted`: counts made from known sets, a third of their genes wrong, among decoys.
`kang`: which factors separate stimulated cells from controls and B cells from the rest. `speed`:
seconds to the same reconstruction error. `slalom`: the same beside f-scLVM, 50 factors.
`proximal`: the cost of a proximal step beside that of the optimiser step it follows. `projection`:
scores of held-out cells against the scores they get when they are trained on.

Peers run by interpreters of their own, which `--peer NAME=PYTHON` names; the docstrings of
`benchmarks/peers` say how to install each. One that is not named is reported as missing.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from ._peers import Missing, inputs, run
from ._planted import planted, recovery
from ._report import machine, parser, save, show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .peers._exchange import Inputs, Result

PARTS = ("planted", "kang", "speed", "slalom", "proximal", "projection")
# Title, module of `benchmarks/peers`, and options.
CONTESTANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "AnnotatedAE": ("pellucid", {}),
    "AnnotatedAE, nb": ("pellucid", {"likelihood": "nb"}),
    "ULM": ("ulm", {}),
    "expiMap": ("expimap", {}),
    "expiMap, soft mask": ("expimap", {"soft_mask": True}),
    "intercode": ("intercode", {}),
    "DRVI": ("drvi", {}),
    "VEGA": ("vega", {}),
    "f-scLVM": ("slalom", {}),
    "LinearSCVI": ("scvi", {"linear": True}),
    "SCVI": ("scvi", {}),
}
INTERFERON = (
    "REACTOME_INTERFERON_SIGNALING",
    "REACTOME_INTERFERON_ALPHA_BETA_SIGNALING",
    "REACTOME_INTERFERON_GAMMA_SIGNALING",
    "REACTOME_ANTIVIRAL_MECHANISM_BY_IFN_STIMULATED_GENES",
    "REACTOME_RIG_I_MDA5_MEDIATED_INDUCTION_OF_IFN_ALPHA_BETA_PATHWAYS",
    "REACTOME_CYTOKINE_SIGNALING_IN_IMMUNE_SYSTEM",
)
B_CELL = "REACTOME_SIGNALING_BY_THE_B_CELL_RECEPTOR_BCR"


def log_normalised(counts: np.ndarray) -> np.ndarray:
    """log(1 + counts brought to the median total)."""
    library = counts.sum(1, keepdims=True)
    return np.log1p(counts * (np.median(library) / library))


def planted_inputs(seed: int, **kwargs: Any) -> tuple[Any, Inputs]:
    """What was planted, and what contestants are given of it."""
    truth = planted(seed)
    log = log_normalised(truth.counts)
    return truth, inputs(truth.counts, log, truth.sets, batch=truth.batch, **kwargs)


def kang() -> tuple[Any, Inputs]:
    """1,000 highly variable genes in Reactome, and the sets with 12 of them at least."""
    import scanpy as sc

    import pellucid as pld

    adata = pld.datasets.kang_ifnb()
    reactome = pld.datasets.gene_sets("reactome")
    pld.pp.add_gene_sets(adata, reactome, min_genes=1)
    pld.pp.filter_to_gene_sets(adata)
    adata.layers["counts"] = adata.X.copy()
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(adata, n_top_genes=1000)
    adata = adata[:, adata.var["highly_variable"]].copy()
    pld.pp.add_gene_sets(adata, reactome, min_genes=12)
    return adata, inputs(
        adata.layers["counts"].toarray(),
        adata.X.toarray(),
        adata.varm["gene_sets"].T.toarray(),
        names=adata.uns["gene_sets"]["names"],
    )


class Field:
    """Runs contestants with the interpreters that the command line names."""

    def __init__(self, peers: dict[str, str], names: Sequence[str], threads: int):
        self.interpreters = {"pellucid": sys.executable, **peers}
        self.contestants = {name: CONTESTANTS[name] for name in names}
        self.threads = threads

    def __call__(self, name: str, given: Inputs, **options: Any) -> Result | Missing:
        module, settings = self.contestants[name]
        return run(
            module,
            self.interpreters.get(module),
            given,
            threads=self.threads,
            **{**settings, **options},
        )


def part_planted(field: Field, seeds: int) -> list[dict[str, Any]]:
    """Means over seeds of what each contestant recovers."""
    data = [planted_inputs(seed) for seed in range(seeds)]
    rows = []
    for name in field.contestants:
        found = []
        for seed, (truth, given) in enumerate(data):
            result = field(name, given, seed=seed)
            if isinstance(result, Missing):
                rows.append({"contestant": name, "missing": result.reason})
                break
            found.append(
                {**recovery(truth, result.scores, result.loadings), "seconds": result.seconds}
            )
            print(name, seed, found[-1], file=sys.stderr, flush=True)
        else:
            row: dict[str, Any] = {"contestant": name}
            for key in found[0]:
                values = [each[key] for each in found]
                row[key] = float(np.mean(values))
                if key == "best |r|":
                    row["lowest"] = float(np.min(values))
            rows.append(row)
    return rows


def part_kang(field: Field, seeds: int) -> list[dict[str, Any]]:
    """Accuracies of one-variable regressions on each interferon term, and of the best factor."""
    from sklearn.metrics import roc_auc_score

    import pellucid as pld

    adata, given = kang()
    rows = []
    for name in field.contestants:
        for seed in range(seeds):
            result = field(name, given, seed=seed)
            if isinstance(result, Missing):
                rows.append({"contestant": name, "missing": result.reason})
                break
            adata.obsm["scores"] = result.scores
            names = [str(factor) for factor in result.names] or [
                f"factor_{place}" for place in range(result.scores.shape[1])
            ]
            adata.uns["scores"] = {"latent_names": np.array(names), "params": {}}
            pld.tl.factor_separation(
                adata, groupby="condition", group="stim", reference="ctrl", use_rep="scores"
            )
            table = pld.get.factor_separation(adata).set_index("factor")
            best = table["accuracy"].idxmax()
            row = {"contestant": name, "seed": seed, "best factor": best}
            row |= {"accuracy": table.loc[best, "accuracy"]}
            row |= {"cv": table.loc[best, "cv_accuracy"]}
            for term in INTERFERON:
                if term in table.index:
                    row[term.removeprefix("REACTOME_")] = table.loc[term, "accuracy"]
                    row[f"{term.removeprefix('REACTOME_')} cv"] = table.loc[term, "cv_accuracy"]
            labelled = (adata.obs["cell_type"] != "unassigned").to_numpy()
            b_cell = adata.obs["cell_type"].astype(str).str.startswith("B").to_numpy()
            areas = np.array(
                [roc_auc_score(b_cell[labelled], score[labelled]) for score in result.scores.T]
            )
            areas = np.maximum(areas, 1 - areas)
            row["best factor of B cells"] = names[int(areas.argmax())]
            row["AUROC"] = float(areas.max())
            if B_CELL in names:
                row["BCR, AUROC"] = float(areas[names.index(B_CELL)])
            row["seconds"] = result.seconds
            rows.append(row)
            print(row, file=sys.stderr, flush=True)
    return rows


# Penalties as light as the peers' own, from the first step, at a smaller learning rate.
# expiMap's sets take in no gene.
FROM_THE_FIRST_STEP = {
    "plan": {"warmup": 0.0, "lr": 3e-3},
    "n_sparse": 0,
    "inside_weight": 0.0,
}
RACES = {
    "intercode": {
        "AnnotatedAE": {},
        "AnnotatedAE, light penalties": {
            **FROM_THE_FIRST_STEP,
            "outside_weight": 0.03,
            "group_weight": 0.03,
        },
    },
    "expiMap": {
        "AnnotatedAE, nb": {"likelihood": "nb"},
        "AnnotatedAE, nb, sets as they are": {
            **FROM_THE_FIRST_STEP,
            "likelihood": "nb",
            "outside_weight": 1e6,
            "group_weight": 0.1,
        },
    },
}


def part_speed(field: Field, peer_epochs: int | None) -> list[dict[str, Any]]:
    """Seconds until the error of a probe of cells is the larger of the two least ones."""
    rows = []
    options = {} if peer_epochs is None else {"epochs": peer_epochs}
    for data, (_, given) in (("planted", planted_inputs(0)), ("kang", kang())):
        for peer, contestants in RACES.items():
            if peer not in field.contestants:
                continue
            theirs = field(peer, given, **(options if peer == "expiMap" else {}))
            if isinstance(theirs, Missing):
                rows.append({"data": data, "peer": peer, "missing": theirs.reason})
                continue
            for ours, settings in contestants.items():
                mine = field("AnnotatedAE", given, curve=True, **settings)
                goal = max(theirs.epoch_errors.min(), mine.epoch_errors.min())
                rows.append(
                    {
                        "data": data,
                        "peer": peer,
                        "ours": ours,
                        "least error, peer": float(theirs.epoch_errors.min()),
                        "least error, ours": float(mine.epoch_errors.min()),
                        "seconds to the larger, peer": seconds_to(theirs, goal),
                        "seconds, ours": seconds_to(mine, goal),
                        "times as fast": seconds_to(theirs, goal) / seconds_to(mine, goal),
                        "cells a second, peer": rate(theirs, given),
                        "cells a second, ours": rate(mine, given),
                    }
                )
                print(rows[-1], file=sys.stderr, flush=True)
    return rows


def part_slalom(field: Field) -> list[dict[str, Any]]:
    """Seconds until our error is below that at which f-scLVM ends, on the 50 largest sets."""
    _, given = kang()
    largest = np.argsort(-given.mask.sum(1), kind="stable")[:50]
    given = given._replace(mask=given.mask[largest], names=given.names[largest])
    theirs = field("f-scLVM", given)
    if isinstance(theirs, Missing):
        return [{"contestant": "f-scLVM", "missing": theirs.reason}]
    goal = given.error(theirs.reconstruction[given.probe])
    rows = [{"contestant": "f-scLVM", "error": goal, "seconds": theirs.seconds}]
    for name, options in (
        ("AnnotatedAE", {}),
        ("AnnotatedAE, 5 epochs", {"epochs": 5}),
        ("AnnotatedAE, 10 epochs", {"epochs": 10}),
    ):
        ours = field("AnnotatedAE", given, curve=True, **options)
        reached = ours.epoch_errors.min() <= goal
        rows.append(
            {
                "contestant": name,
                "error": float(ours.epoch_errors[-1]),
                "seconds": float(ours.epoch_seconds[-1]),
                "seconds to f-scLVM's error": seconds_to(ours, goal) if reached else None,
                "times as fast": theirs.seconds / seconds_to(ours, goal) if reached else None,
            }
        )
    return rows


def seconds_to(result: Result, error: float) -> float:
    """Seconds at the end of the first epoch whose error is no larger."""
    return float(result.epoch_seconds[np.flatnonzero(result.epoch_errors <= error)[0]])


def rate(result: Result, given: Inputs) -> float:
    """Cells of training a second."""
    return float(len(given.train) * len(result.epoch_seconds) / result.epoch_seconds[-1])


def part_proximal(threads: int, repeats: int) -> list[dict[str, Any]]:
    """One proximal step beside a copy of W, and beside the optimiser step it follows."""
    import torch

    from pellucid.train import proximal_step

    torch.set_num_threads(threads)
    n_factors, n_genes, n_cells = 700, 2000, 128
    generator = torch.Generator().manual_seed(0)
    loadings = torch.randn(n_factors, n_genes, generator=generator)
    in_set = torch.rand(n_factors, n_genes, generator=generator) < 0.03
    thresholds = [torch.full((n_factors,), 1e-4) for _ in range(3)]
    encoder = torch.nn.Sequential(
        torch.nn.Linear(n_genes, 400),
        torch.nn.BatchNorm1d(400),
        torch.nn.ELU(),
        torch.nn.Linear(400, 400),
        torch.nn.BatchNorm1d(400),
        torch.nn.ELU(),
        torch.nn.Linear(400, n_factors),
    )
    weight = torch.nn.Parameter(loadings.clone())
    optimizer = torch.optim.Adam([*encoder.parameters(), weight], lr=1e-3, fused=True)
    cells = torch.randn(n_cells, n_genes, generator=generator)
    copied = loadings.clone()

    def step() -> None:
        optimizer.zero_grad()
        (cells - encoder(cells) @ weight).square().sum(1).mean().backward()
        optimizer.step()

    def a_factor_at_a_time() -> None:
        """As expiMap and intercode do it: separate operations on the whole matrix."""
        threshold = torch.where(in_set, thresholds[0][:, None], thresholds[1][:, None])
        shrunk = loadings.sign() * (loadings.abs() - threshold).clamp(min=0)
        norm = shrunk.norm(dim=1, keepdim=True)
        loadings.copy_(shrunk * (1 - thresholds[2][:, None] / norm.clamp(min=1e-12)).clamp(min=0))

    work = {
        "copy of W": partial(copied.copy_, loadings),
        "proximal step": partial(proximal_step, loadings, in_set, *thresholds),
        "the same by separate operations": a_factor_at_a_time,
        "Adam's update alone": optimizer.step,
        "optimiser step": step,
    }
    step()
    taken: dict[str, list[float]] = {name: [] for name in work}
    for call in work.values():
        call()
    for _ in range(max(repeats, 5) * 10):
        for name, call in work.items():
            start = time.perf_counter()
            call()
            taken[name].append(time.perf_counter() - start)
    whole = median(taken["optimiser step"])
    ours = median(taken["proximal step"])
    return [
        {
            "work": name,
            "milliseconds": 1000 * median(seconds),
            "of the optimiser step": median(seconds) / whole,
            "of our proximal step": median(seconds) / ours,
        }
        for name, seconds in taken.items()
    ]


def part_projection(field: Field, seeds: int) -> list[dict[str, Any]]:
    """Scores of 2,000 planted cells held out, against those of a model that trains on them."""
    rows = []
    for name in ("AnnotatedAE", "AnnotatedAE, nb"):
        if name not in field.contestants:
            continue
        for seed in range(seeds):
            truth, given = planted_inputs(seed)
            held_out = np.random.default_rng(seed).permutation(len(truth.counts))[:2000]
            trained = field(name, given, seed=seed)
            projected = field(name, given._replace(held_out=np.sort(held_out)), seed=seed)
            ours = [result.scores[np.sort(held_out)] for result in (trained, projected)]
            n_sets = len(truth.sets) // 2
            correlation = [
                np.corrcoef(ours[0][:, factor], ours[1][:, factor])[0, 1]
                for factor in range(n_sets)
            ]
            true = truth.scores[np.sort(held_out)]
            with_truth = [
                abs(np.corrcoef(ours[1][:, factor], true[:, factor])[0, 1])
                for factor in range(n_sets)
            ]
            rows.append(
                {
                    "contestant": name,
                    "seed": seed,
                    "median r": float(np.median(correlation)),
                    "lowest r": float(np.min(correlation)),
                    "projected with truth, mean": float(np.mean(with_truth)),
                }
            )
            print(rows[-1], file=sys.stderr, flush=True)
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the parts and print their tables."""
    command = parser("factors", __doc__, repeats=3)
    command.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all by default")
    command.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON")
    command.add_argument("--contestants", nargs="+", default=list(CONTESTANTS))
    command.add_argument("--seeds", type=int, default=5)
    command.add_argument("--peer-epochs", type=int, help="of expiMap in `speed`, instead of 400")
    given = command.parse_args(arguments)
    if unknown := set(given.parts) - set(PARTS):
        command.error(f"unknown parts: {', '.join(sorted(unknown))}; choose from {PARTS}")
    peers = dict(each.split("=", 1) for each in given.peer)
    field = Field(peers, given.contestants, given.threads)
    result: dict[str, Any] = {"benchmark": "factors", **machine(given.threads)}
    for part in given.parts or PARTS:
        if part == "planted":
            rows = part_planted(field, given.seeds)
        elif part == "kang":
            rows = part_kang(field, given.seeds)
        elif part == "speed":
            rows = part_speed(field, given.peer_epochs)
        elif part == "slalom":
            rows = part_slalom(field)
        elif part == "proximal":
            rows = part_proximal(given.threads, given.repeats)
        else:
            rows = part_projection(field, given.seeds)
        columns = list(dict.fromkeys(key for row in rows for key in row))
        show(part, [{key: row.get(key) for key in columns} for row in rows])
        result[part] = rows
    save(given.json, result)


if __name__ == "__main__":
    main()
