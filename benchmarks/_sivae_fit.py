"""The contestants of `sivae`, each trained in one call."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import scanpy as sc
from anndata import AnnData

if TYPE_CHECKING:
    from collections.abc import Callable

# Arguments of SIVAE: the variants of Table 1. VAE: the same cell-wise networks. Those in `SCALED`
# are given genes of variance 1, as in the paper.
SCALED = ("SIVAE, scaled", "VAE, scaled")
OURS: dict[str, dict[str, Any]] = {
    "SIVAE": {},
    "SIVAE, gamma=0": {"gamma": 0.0},
    "SIVAE, linear": {"decoder": "linear"},
    "SIVAE, nb": {"likelihood": "nb"},
    "VAE": {"gene_wise": False},
    "SIVAE, scaled": {},
    "VAE, scaled": {"gene_wise": False},
}
PEERS = ("LinearSCVI", "SCVI", "PCA")
MODELS = (*OURS, *PEERS)
# scvi-tools gives all hidden layers one width: the middle one of the paper's three.
SCVI_SHAPE = {"n_layers": 3, "n_hidden": 512}
SCVI_EPOCHS = 100  # the paper's
# Of the rates that the paper tries scvi-tools' default, but for LinearSCVI with two units the
# largest: 0.08 more accurate than 0.005 on a fold of pbmc3k, where with ten units it ends in a bad
# optimum on one of two folds. The second where the first ends in values that are not finite.
LEARNING_RATES = {"LinearSCVI": (5e-3, 1e-3), "SCVI": (1e-3, 5e-4)}
LEARNING_RATES_OF_TWO = LEARNING_RATES | {"LinearSCVI": (1e-2, 5e-3)}


def log_normalised(adata: AnnData, target: float) -> AnnData:
    """A copy whose `X` is log(1 + counts brought to one total) and whose counts are a layer."""
    adata = adata.copy()
    adata.layers["counts"] = adata.X.copy()
    sc.pp.normalize_total(adata, target_sum=target)
    sc.pp.log1p(adata)
    return adata


class Fitted:
    """A trained contestant."""

    def __init__(
        self, encode: Callable[[AnnData], np.ndarray], *, model: Any, seconds: float, epochs: int
    ):
        self.encode = encode
        """From cells to their codes, without training on them."""
        self.model = model
        self.seconds = seconds
        self.epochs = epochs
        """Of all stages together."""


def fit(
    name: str,
    adata: AnnData,
    *,
    n_latent: int,
    seed: int,
    batch_key: str | None = None,
    **train: Any,
) -> Fitted:
    """Train a contestant on log expression in `X` or counts in the layer of that name.

    Models of this package with what `train` takes besides.
    """
    if name in OURS:
        return _ours(name, adata, n_latent, seed, batch_key, train)
    start = time.process_time()
    if name == "PCA":
        return _pca(adata, n_latent, seed, start)
    return _scvi(name, adata, n_latent, seed, batch_key, start)


def _ours(
    name: str, adata: AnnData, n_latent: int, seed: int, batch_key: str | None, train: dict
) -> Fitted:
    from pellucid.model import SIVAE
    from pellucid.train import seeded

    arguments = OURS[name]
    scale = _scaling(adata) if name in SCALED else AnnData.copy
    adata = scale(adata)
    start = time.process_time()
    with seeded(seed):
        layer = "counts" if arguments.get("likelihood") == "nb" else None
        SIVAE.setup_anndata(adata, layer=layer, batch_key=batch_key)
        model = SIVAE(adata, n_latent=n_latent, **arguments)
        model.train(**{"enable_progress_bar": False, **train})
    seconds = time.process_time() - start
    epochs = sum(
        len(curve) for key, curve in model.history.items() if key.startswith("train_loss_")
    ) + len(model.history["train_loss"])
    return Fitted(
        lambda cells: model.get_latent_representation(scale(cells)),
        model=model,
        seconds=seconds,
        epochs=epochs,
    )


def _scaling(training: AnnData) -> Callable[[AnnData], AnnData]:
    """Centre and scale genes by the moments of training cells, and clip at 10."""
    mean, deviation = _dense(training).mean(0), _dense(training).std(0)
    deviation[deviation == 0] = 1

    def scale(adata: AnnData) -> AnnData:
        adata = adata.copy()
        adata.X = ((_dense(adata) - mean) / deviation).clip(-10, 10)
        return adata

    return scale


def _scvi(
    name: str, adata: AnnData, n_latent: int, seed: int, batch_key: str | None, start: float
) -> Fitted:
    import scvi

    adata = adata.copy()
    made = getattr(scvi.model, name)
    made.setup_anndata(adata, layer="counts", batch_key=batch_key)
    rates = LEARNING_RATES_OF_TWO if n_latent == 2 else LEARNING_RATES
    first, second = rates[name]

    def trained(learning_rate: float) -> Any:
        scvi.settings.seed = seed
        model = made(adata, n_latent=n_latent, **SCVI_SHAPE)
        model.train(
            max_epochs=SCVI_EPOCHS,
            early_stopping=True,
            accelerator="cpu",
            enable_progress_bar=False,
            plan_kwargs={"lr": learning_rate},
        )
        return model

    try:
        model = trained(first)
    except ValueError:  # its distributions refuse what is not finite
        model = trained(second)
    return Fitted(
        lambda cells: model.get_latent_representation(cells.copy()),
        model=model,
        seconds=time.process_time() - start,
        epochs=len(model.history["elbo_train"]),
    )


def _pca(adata: AnnData, n_latent: int, seed: int, start: float) -> Fitted:
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(_dense(adata))
    pca = PCA(n_latent, random_state=seed).fit(scaler.transform(_dense(adata)))
    return Fitted(
        lambda cells: pca.transform(scaler.transform(_dense(cells))),
        model=pca,
        seconds=time.process_time() - start,
        epochs=0,
    )


def _dense(adata: AnnData) -> np.ndarray:
    return np.asarray(adata.X.todense() if hasattr(adata.X, "todense") else adata.X)
