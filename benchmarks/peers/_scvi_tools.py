"""Models built on scvi-tools are trained and read alike."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import numpy as np

from benchmarks.peers._exchange import Curve, Inputs, Result


def fit(
    inputs: Inputs,
    kind: Any,
    *,
    seed: int,
    threads: int,
    epochs: int | None = None,
    early_stopping: bool = True,
    batch_size: int = 128,
    plan: dict[str, Any] | None = None,
    **model: Any,
) -> tuple[Result, Any]:
    """Train a model class of scvi-tools on counts and a batch key.

    Scores are posterior means, reconstructions their decoding by the cell's own library and batch.
    """
    import anndata as ad
    import pandas as pd
    import scvi
    import torch
    from lightning.pytorch.callbacks import Callback

    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    scvi.settings.seed = seed
    scvi.settings.verbosity = logging.ERROR
    torch.set_num_threads(threads)
    batch = pd.Categorical.from_codes(
        inputs.batch, [str(i) for i in range(inputs.batch.max() + 1)]
    )
    index = [f"cell_{i}" for i in range(len(batch))]
    everything = ad.AnnData(inputs.counts, obs=pd.DataFrame({"batch": batch}, index=index))
    adata = everything[inputs.train].copy()
    kind.setup_anndata(adata, batch_key="batch")
    peer = kind(adata, **model)

    peer._validate_anndata(everything)

    def decode(cells: np.ndarray) -> np.ndarray:
        training = peer.module.training
        expected = _expected_counts(peer, everything, cells)
        peer.module.train(training)
        return inputs.log_of_counts(expected, cells)

    curve = Curve(inputs, decode, threads=threads)

    class Mark(Callback):
        def on_train_start(self, trainer: Any, module: Any) -> None:
            curve.start()

        def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
            curve.mark()

    peer.train(
        max_epochs=epochs,
        accelerator="cpu",
        early_stopping=early_stopping,
        batch_size=batch_size,
        plan_kwargs=plan,
        callbacks=[Mark()],
        enable_progress_bar=False,
        logger=False,
    )
    scores = peer.get_latent_representation(everything)
    return Result(
        scores=scores,
        loadings=np.zeros((0, 0)),
        reconstruction=decode(np.arange(len(index))),
        seconds=curve.seconds[-1],
        epoch_seconds=np.array(curve.seconds),
        epoch_errors=np.array(curve.errors),
        reconstructs="counts",
        names=np.array([f"factor_{i}" for i in range(scores.shape[1])]),
    ), peer


def _expected_counts(peer: Any, adata: Any, cells: np.ndarray) -> np.ndarray:
    """Counts expected from the means of the posterior, without dropout."""
    import torch

    rows = []
    peer.module.eval()
    with torch.no_grad():
        for tensors in peer._make_data_loader(adata=adata, indices=cells, batch_size=512):
            inference = peer.module.inference(**peer.module._get_inference_input(tensors))
            inference["z"] = inference["qz"].loc if "qz" in inference else inference["qzm"]
            generative = peer.module.generative(
                **peer.module._get_generative_input(tensors, inference)
            )
            rows.append(generative["px"].mean.numpy())
    return np.concatenate(rows)
