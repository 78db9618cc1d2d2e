"""Whether the embedding of cells keeps their types apart, and batches together where told to."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import scanpy as sc

from ._rows import mean_and_range
from ._sivae_fit import MODELS, OURS, fit, log_normalised

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from ._rows import Rows

N_GENES = 2000
# The paper takes 80 for 177,376 cells and 15 for data sets of fewer.
N_NEIGHBORS = 15
LABELS = {"pbmc3k_labelled": "cell_type", "paul15": "paul15_clusters"}


def labelled(data: str) -> AnnData:
    """Log-normalised cells with `label`; labels of fewer than 10 cells are left out."""
    import pellucid as pld

    adata = getattr(pld.datasets, data)()
    adata.obs["label"] = adata.obs[LABELS[data]].astype(str)
    sizes = adata.obs["label"].value_counts()
    adata = adata[adata.obs["label"].isin(sizes.index[sizes >= 10])].copy()
    return log_normalised(adata, 1e4)


def folds(adata: AnnData, n_folds: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cells to train on and cells held out, stratified by label."""
    from sklearn.model_selection import StratifiedKFold

    split = StratifiedKFold(n_folds, shuffle=True, random_state=0)
    return list(split.split(adata.obs_names, adata.obs["label"]))


def classify(
    rows: Rows,
    *,
    models: Sequence[str] = MODELS,
    n_folds: int = 5,
    seeds: Sequence[int] = (0,),
    n_latents: Sequence[int] = (2, 10),
    data: Sequence[str] = tuple(LABELS),
    precision: str | None = None,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Balanced accuracy of held-out cells by the labels of their nearest training cells.

    Genes are chosen, and their moments taken, on the training cells of each fold. `precision` is
    that of Lightning, of this package's models.
    """
    train_kwargs = {} if precision is None else {"precision": precision}
    cells = {name: labelled(name) for name in data}
    splits = {name: folds(adata, n_folds) for name, adata in cells.items()}
    found = []
    for fold in range(n_folds):  # outermost, so that what a killed run left is of all data
        for name, adata in cells.items():
            train, test = splits[name][fold]
            training = adata[train].copy()
            sc.pp.highly_variable_genes(training, n_top_genes=N_GENES, flavor="seurat")
            genes = training.var["highly_variable"].to_numpy()
            for n_latent, model, seed in product(n_latents, models, seeds):
                about = {"data": name, "K": n_latent, "model": model, "fold": fold, "seed": seed}
                of_model = train_kwargs if model in OURS else {}
                about |= of_model
                compute = partial(
                    _held_out,
                    model,
                    training[:, genes],
                    adata[test][:, genes],
                    n_latent,
                    seed,
                    of_model,
                )
                found.append(rows(about, compute))
    values = ("balanced accuracy", "accuracy", "seconds", "epochs")
    return found, mean_and_range(found, ("data", "K", "model"), values)


def _held_out(
    model: str,
    train: AnnData,
    test: AnnData,
    n_latent: int,
    seed: int,
    train_kwargs: dict[str, Any],
) -> dict[str, Any]:
    from sklearn.metrics import accuracy_score, balanced_accuracy_score
    from sklearn.neighbors import KNeighborsClassifier

    train, test = train.copy(), test.copy()
    fitted = fit(model, train, n_latent=n_latent, seed=seed, **train_kwargs)
    neighbors = KNeighborsClassifier(N_NEIGHBORS)
    neighbors.fit(fitted.encode(train), train.obs["label"])
    predicted = neighbors.predict(fitted.encode(test))
    return {
        "balanced accuracy": float(balanced_accuracy_score(test.obs["label"], predicted)),
        "accuracy": float(accuracy_score(test.obs["label"], predicted)),
        "seconds": fitted.seconds,
        "epochs": fitted.epochs,
    }


def batches(
    rows: Rows, *, models: Sequence[str], seeds: Sequence[int], n_latents: Sequence[int]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Cell lines and protocols of sc_mixology in the embedding of cells."""
    found = []
    for seed, n_latent, model in product(seeds, n_latents, models):
        for batch_key in (None, "batch"):
            if model == "PCA" and batch_key is not None:
                continue
            about = {
                "part": "batches",
                "K": n_latent,
                "model": model,
                "batch_key": batch_key,
                "seed": seed,
            }
            found.append(rows(about, partial(_batches, model, batch_key, n_latent, seed)))
    values = [name for name in found[0] if name not in about]
    return found, mean_and_range(found, ("K", "model", "batch_key"), values)


def _batches(model: str, batch_key: str | None, n_latent: int, seed: int) -> dict[str, Any]:
    import pellucid as pld

    adata = log_normalised(pld.datasets.sc_mixology(), 1e4)
    # By batch, so that what is chosen is not what tells the protocols apart.
    sc.pp.highly_variable_genes(adata, n_top_genes=N_GENES, flavor="seurat", batch_key="batch")
    adata = adata[:, adata.var["highly_variable"]].copy()
    fitted = fit(model, adata, n_latent=n_latent, seed=seed, batch_key=batch_key)
    found = mixing(
        np.asarray(fitted.encode(adata)),
        adata.obs["batch"].to_numpy(),
        adata.obs["cell_line"].to_numpy(),
    )
    return found | {"seconds": fitted.seconds, "epochs": fitted.epochs}


def mixing(codes: np.ndarray, batch: np.ndarray, label: np.ndarray) -> dict[str, float]:
    """How far batches mix and labels keep apart, cells x units.

    `entropy` is that of the batches among a cell's neighbours of the same label, over the entropy
    of the label's batches: 1 where protocols cannot be told apart. `batch silhouette` is taken
    within each label: 0 where they cannot. `label accuracy` is of the neighbours' majority,
    `across batches` where they may only be of the other batch.
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score, silhouette_samples, silhouette_score
    from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

    entropy, silhouette = np.zeros(len(codes)), np.zeros(len(codes))
    for of in np.unique(label):
        here = np.flatnonzero(label == of)
        finder = NearestNeighbors(n_neighbors=N_NEIGHBORS).fit(codes[here])
        nearest = finder.kneighbors(return_distance=False)
        names = np.unique(batch)
        shares = np.stack([(batch[here][nearest] == name).mean(1) for name in names], axis=1)
        whole = np.array([(batch[here] == name).mean() for name in names])
        entropy[here] = _entropy(shares) / _entropy(whole)
        silhouette[here] = silhouette_samples(codes[here], batch[here])
    neighbors = KNeighborsClassifier(N_NEIGHBORS)
    everyone = NearestNeighbors(n_neighbors=N_NEIGHBORS).fit(codes)
    nearest_labels = label[everyone.kneighbors(return_distance=False)]
    majority = [_most_common(row) for row in nearest_labels]
    across = np.zeros(len(codes), dtype=bool)
    for name in np.unique(batch):
        here = batch == name
        neighbors.fit(codes[~here], label[~here])
        across[here] = neighbors.predict(codes[here]) == label[here]
    clusters = KMeans(len(np.unique(label)), n_init=10, random_state=0).fit_predict(codes)
    return {
        "entropy": float(entropy.mean()),
        "batch silhouette": float(silhouette.mean()),
        "label accuracy": float(np.mean(np.array(majority) == label)),
        "across batches": float(across.mean()),
        "label silhouette": float(silhouette_score(codes, label)),
        "label ARI": float(adjusted_rand_score(label, clusters)),
    }


def _entropy(shares: np.ndarray) -> np.ndarray:
    return -(shares * np.log(np.where(shares > 0, shares, 1))).sum(-1)


def _most_common(labels: np.ndarray) -> Any:
    names, sizes = np.unique(labels.astype(str), return_counts=True)
    return names[sizes.argmax()]
