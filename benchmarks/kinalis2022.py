"""The measurements of Kinalis et al. 2022, as the documentation reports them.

Three parts. `transfer`: a model trained on pbmc3k reads the control cells of Kang et al., and the
reverse; a nearest-neighbour classifier that learned the types of the one names those of the other,
in the encoded space, on all genes, on their principal components, and in the space of an encoder
that was not trained. `units`: how many Hallmark sets each unit claims by enrichment of the query's
saliency maps, with the constraint of orthogonality and without it. `tune`: the search for settings
beside the defaults, killed on its way and taken up again; it needs Ray.

`--resume FILE` keeps every row as it is found, and takes up a run that was stopped.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import scanpy as sc
import torch

import pellucid as pld
from pellucid.train import seeded

from ._kinalis2022_tune import SAMPLERS, defaults, tuned
from ._kinalis2022_units import COUNTS, claims
from ._report import machine, parser, save, show
from ._rows import Rows, mean_and_range

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

PARTS = ("transfer", "units", "tune")
# Types by hand: what the two studies call the same cells. What is not here has no counterpart:
# Kang's activated T and B cells, plasmacytoid dendritic cells and erythrocytes.
TYPES = {
    "pbmc3k": {
        "B": "B",
        "CD14+ Mono": "CD14 monocyte",
        "CD8 T": "CD8 T",
        "DC": "DC",
        "FCGR3A+ Mono": "CD16 monocyte",
        "Memory CD4 T": "CD4 memory T",
        "NK": "NK",
        "Naive CD4 T": "CD4 naive T",
        "Platelet": "platelet",
    },
    "kang": {
        "B": "B",
        "CD14 Mono": "CD14 monocyte",
        "CD16 Mono": "CD16 monocyte",
        "CD4 Memory T": "CD4 memory T",
        "CD4 Naive T": "CD4 naive T",
        "CD8 T": "CD8 T",
        "DC": "DC",
        "Mk": "platelet",
        "NK": "NK",
    },
}
DIRECTIONS = (("pbmc3k", "kang"), ("kang", "pbmc3k"))
# Arguments of the model and of its training, and the layer that it reads.
SETTINGS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "default": ({}, {}, "counts"),
    # The paper prints 500 epochs of 100 and 400; early stopping ends them sooner.
    "kinalis2022": (*pld.model.OrthogonalAE.preset("kinalis2022"), "log"),
}
METRICS = ("accuracy", "balanced_accuracy", "mean_f1")


def cells(name: str) -> AnnData:
    """Labelled cells: the counts, and log(CPM + 1) of all genes, as the paper takes it."""
    if name == "pbmc3k":
        adata = pld.datasets.pbmc3k_labelled()
    else:
        adata = pld.datasets.kang_ifnb()
        adata = adata[adata.obs["condition"] == "ctrl"].copy()
    adata.obs["type"] = adata.obs["cell_type"].map(TYPES[name]).astype("category")
    adata.layers["counts"] = adata.X.copy()
    sc.pp.normalize_total(adata, target_sum=1e6)
    sc.pp.log1p(adata)
    adata.layers["log"] = adata.X.copy()
    return adata


def pair(reference: str, query: str) -> tuple[AnnData, AnnData]:
    """The reference with the genes of the Hallmark sets, and the query with the same genes."""
    trained = cells(reference)
    pld.pp.add_gene_sets(trained, pld.datasets.gene_sets("hallmark"), min_genes=1)
    pld.pp.filter_to_gene_sets(trained)
    return trained, pld.pp.align_genes(cells(query), trained.var_names)


def read(
    setting: str, reference: AnnData, query: AnnData, seed: int, max_epochs: int | None
) -> dict[str, Any]:
    """Scores in the space of a trained encoder and in that of the same one untrained."""
    model_arguments, training, layer = SETTINGS[setting]
    start = time.process_time()
    pld.model.OrthogonalAE.setup_anndata(reference, layer=layer)
    with seeded(seed):
        model = pld.model.OrthogonalAE(reference, **model_arguments)
        for adata in (reference, query):
            pld.tl.latent(adata, model, key_added="X_untrained")
        limit = {} if max_epochs is None else {"max_epochs": max_epochs}
        model.train(**{**training, **limit, "enable_progress_bar": False})
    for adata in (reference, query):
        pld.tl.latent(adata, model, key_added="X_trained")
    return {
        **scores(reference, query, ["X_trained", "X_untrained"]),
        "epochs": len(model.history["train_loss"]),
        "seconds": time.process_time() - start,
    }


def scores(reference: AnnData, query: AnnData, spaces: list[str], **options: Any) -> dict:
    """Scores of each space by metric, one for each k, and those of the majority."""
    pld.tl.transfer_labels(
        reference, query, labels_key="type", use_rep=spaces, layer="log", **options
    )
    table = pld.get.transfer_labels(query)
    return {
        "majority": {
            metric: float(of["majority"].iloc[0]) for metric, of in table.groupby("metric")
        },
        **{
            str(space): {
                str(metric): of["score"].round(4).to_list() for metric, of in by.groupby("metric")
            }
            for space, by in table.groupby("use_rep")
        },
    }


def transfer(
    rows: Rows, *, settings: Sequence[str], seeds: Sequence[int], max_epochs: int | None
) -> list[dict[str, Any]]:
    """One row for each direction, space, seed and metric: the mean over k."""
    found: list[dict[str, Any]] = []
    for names in DIRECTIONS:
        reference, query = pair(*names)
        n_latent = pld.model.OrthogonalAE.preset("kinalis2022").model_kwargs["n_latent"]
        about = {"part": "transfer", "reference": names[0], "query": names[1]}
        fixed = rows(
            {**about, "spaces": "genes"},
            lambda reference=reference, query=query, n_latent=n_latent: scores(
                reference, query, ["X", "pca"], n_comps=n_latent
            ),
        )
        parts: list[tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]] = [
            ({"setting": ""}, fixed, ("majority", "X", "pca"))
        ]
        for setting in settings:
            for seed in seeds:
                of = {"setting": setting, "seed": seed}
                each = rows(
                    {**about, **of, "max_epochs": max_epochs},
                    lambda setting=setting, seed=seed, reference=reference, query=query: read(
                        setting, reference, query, seed, max_epochs
                    ),
                )
                parts.append((of, each, ("X_trained", "X_untrained")))
        direction = f"{names[0]} to {names[1]}"
        for of, each, spaces in parts:
            for space in spaces:
                over_k = {
                    metric: sum(values) / len(values) if isinstance(values, list) else values
                    for metric, values in each[space].items()
                }
                found.append({"direction": direction, "space": space, **of, **over_k})
    return found


def units(
    rows: Rows, *, settings: Sequence[str], seeds: Sequence[int], max_epochs: int | None
) -> list[dict[str, Any]]:
    """One row for each direction, setting, seed, and the constraint or none."""
    found: list[dict[str, Any]] = []
    for names in DIRECTIONS:
        reference, query = pair(*names)
        for setting in settings:
            arguments, training, layer = SETTINGS[setting]
            options = {"arguments": arguments, "training": training, "layer": layer}
            for seed in seeds:
                for constrained in (True, False):
                    of = {"setting": setting, "constrained": constrained, "seed": seed}
                    of |= {"max_epochs": max_epochs}
                    about = {"part": "units", "reference": names[0], "query": names[1], **of}
                    each = rows(
                        about,
                        lambda of=of, options=options, reference=reference, query=query: claims(
                            reference,
                            query,
                            **options,
                            **{name: of[name] for name in of if name != "setting"},
                        ),
                    )
                    found.append({"direction": f"{names[0]} to {names[1]}", **each})
    return found


def tune(
    rows: Rows,
    *,
    samplers: Sequence[str],
    n_trials: int,
    max_epochs: int,
    kill_after: int,
    n_nodes: int,
) -> list[dict[str, Any]]:
    """One row for the defaults, and one for the best settings that each sampler found."""
    about = {"part": "tune", "max_epochs": max_epochs}
    fixed = {"n_trials": n_trials, "kill_after": kill_after, "n_nodes": n_nodes}
    return [
        rows({**about, "settings": "default"}, lambda: defaults(max_epochs)),
        *(
            rows(
                {**about, "settings": sampler, **fixed},
                lambda sampler=sampler: tuned(sampler, max_epochs=max_epochs, **fixed),
            )
            for sampler in samplers
        ),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the parts and print their tables."""
    command = parser("kinalis2022", __doc__, repeats=1)
    command.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all by default")
    command.add_argument("--settings", nargs="+", default=list(SETTINGS), choices=SETTINGS)
    command.add_argument("--seeds", type=int, default=5)
    command.add_argument("--max-epochs", type=int, help="instead of the setting's own")
    command.add_argument("--samplers", nargs="+", default=list(SAMPLERS), choices=SAMPLERS)
    command.add_argument("--trials", type=int, default=40)
    command.add_argument("--kill-after", type=int, default=15, help="trials; 0 for never")
    command.add_argument("--nodes", type=int, default=1, help="of a local cluster of Ray's")
    command.add_argument("--resume", type=Path, help="file of rows to read and to add to")
    given = command.parse_args(arguments)
    if unknown := set(given.parts) - set(PARTS):
        command.error(f"unknown parts: {', '.join(sorted(unknown))}; choose from {PARTS}")
    torch.set_num_threads(given.threads)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    rows = Rows(given.resume)
    result: dict[str, Any] = {"benchmark": "kinalis2022", **machine(given.threads)}
    for part in given.parts or PARTS:
        if part == "transfer":
            found = transfer(
                rows,
                settings=given.settings,
                seeds=range(given.seeds),
                max_epochs=given.max_epochs,
            )
            table = mean_and_range(found, ("direction", "setting", "space"), METRICS)
            show("transfer: means over k, of the seeds (least to most)", table)
        elif part == "units":
            found = units(
                rows,
                settings=given.settings,
                seeds=range(given.seeds),
                max_epochs=given.max_epochs,
            )
            table = mean_and_range(found, ("direction", "setting", "constrained"), COUNTS)
            show("units by their number of significant sets, and sets, of the seeds", table)
        else:
            found = tune(
                rows,
                samplers=given.samplers,
                n_trials=given.trials,
                max_epochs=given.max_epochs or 100,
                kill_after=given.kill_after,
                n_nodes=given.nodes,
            )
            columns = dict.fromkeys(name for row in found for name in row)
            show("tune: loss of held-out cells", [{n: r.get(n) for n in columns} for r in found])
        result[part] = found
    save(given.json, result)


if __name__ == "__main__":
    main()
