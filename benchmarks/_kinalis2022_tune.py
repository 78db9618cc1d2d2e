"""The search for settings: beside the defaults, killed and taken up, on one machine or two."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pellucid as pld
from pellucid.tl._search import held_out_loss
from pellucid.train import seeded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData

SAMPLERS = ("gp", "tpe")
TRAIN_SIZE = 0.95


def pbmc3k() -> AnnData:
    """Counts of the genes of the Hallmark sets."""
    adata = pld.datasets.pbmc3k_labelled()
    pld.pp.add_gene_sets(adata, pld.datasets.gene_sets("hallmark"), min_genes=1)
    pld.pp.filter_to_gene_sets(adata)
    pld.model.OrthogonalAE.setup_anndata(adata)
    return adata


@contextmanager
def machines(n_nodes: int) -> Iterator[None]:
    """One process of Ray's for trials, or a local cluster of several nodes of one each."""
    import ray
    from ray.cluster_utils import Cluster

    if n_nodes == 1:
        ray.init(num_cpus=1, include_dashboard=False)
        cluster = None
    else:
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        for _ in range(n_nodes - 1):
            cluster.add_node(num_cpus=1)
        ray.init(address=cluster.address)
    try:
        yield
    finally:
        ray.shutdown()
        if cluster is not None:
            cluster.shutdown()


def search(folder: str, sampler: str, n_trials: int, max_epochs: int, n_nodes: int) -> dict:
    """One call of `tl.tune`, without the training that follows the search."""
    adata = pbmc3k()
    with machines(n_nodes):
        pld.tl.tune(
            adata,
            pld.model.OrthogonalAE,
            sampler=sampler,
            n_trials=n_trials,
            max_epochs=max_epochs,
            refit_epochs=0,
            train_size=TRAIN_SIZE,
            folder=folder,
        )
    table = pld.get.tune(adata)
    settings = adata.uns["tune"]["settings"].tolist()
    best = table.loc[table["loss"].idxmin()]
    return {
        "trials": len(table),
        "failed": int((table["status"] == "failed").sum()),
        "repeated": int(table.duplicated(settings).sum()),
        "loss": float(best["loss"]),
        **{name: float(best[name]) for name in settings},
    }


def tuned(
    sampler: str, *, n_trials: int, max_epochs: int, kill_after: int, n_nodes: int
) -> dict[str, Any]:
    """A search that is killed after so many trials and then taken up."""
    start = time.perf_counter()
    with TemporaryDirectory() as folder:
        command = [folder, sampler, n_trials, max_epochs, n_nodes]
        n_killed = 0
        if kill_after:
            first = subprocess.Popen(
                [sys.executable, "-m", "benchmarks._kinalis2022_tune", *map(str, command)],
                stdout=subprocess.DEVNULL,
            )
            while first.poll() is None and n_killed < kill_after:
                time.sleep(1)
                n_killed = completed(Path(folder))
            first.kill()
            first.wait()
            n_killed = completed(Path(folder))
        found = search(folder, sampler, n_trials, max_epochs, n_nodes)
    return {"when killed": n_killed, **found, "seconds": time.perf_counter() - start}


def completed(folder: Path) -> int:
    """Trials of the folder that have a loss."""
    import optuna
    from optuna.storages.journal import JournalFileBackend

    if not (folder / "trials.log").exists():
        return 0
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(folder / "trials.log")))
    studies = optuna.get_all_study_summaries(storage)
    if not studies:
        return 0
    study = optuna.load_study(study_name=studies[0].study_name, storage=storage)
    return len(study.get_trials(states=(optuna.trial.TrialState.COMPLETE,)))


def defaults(max_epochs: int) -> dict[str, Any]:
    """The default settings, on the same cells and judged by the same ones."""
    adata = pbmc3k()
    start = time.perf_counter()
    with seeded(0):
        model = pld.model.OrthogonalAE(adata)
        model.train(max_epochs, train_size=TRAIN_SIZE, enable_progress_bar=False)
    return {"loss": held_out_loss(model), "seconds": time.perf_counter() - start}


if __name__ == "__main__":
    _folder, _sampler, *_numbers = sys.argv[1:]
    search(_folder, _sampler, *map(int, _numbers))
