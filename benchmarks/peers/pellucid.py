"""pellucid's AnnotatedAE, run as its rivals are.

Settings: the defaults, or those of `model` and `train`, with one effect of the batch on each gene.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from benchmarks.peers._exchange import Curve, Inputs, Result, serve, warm_up_torch


def train(
    inputs: Inputs,
    *,
    seed: int,
    threads: int,
    epochs: int | None = None,
    likelihood: str = "normal",
    curve: bool = False,
    plan: dict[str, Any] | None = None,
    **kwargs: Any,
) -> Result:
    """Train; `kwargs` go to the model, `plan` to training. `curve` asks for errors by epoch."""
    import anndata as ad
    import pandas as pd
    import torch
    from lightning.pytorch.callbacks import Callback
    from scipy import sparse

    from pellucid.model import AnnotatedAE
    from pellucid.train import seeded

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(threads)
    warm_up_torch()
    matrix = inputs.counts if likelihood == "nb" else inputs.log
    genes = np.array([f"gene_{gene}" for gene in range(matrix.shape[1])])
    adata = ad.AnnData(
        sparse.csr_matrix(matrix),
        obs=pd.DataFrame({"batch": pd.Categorical(inputs.batch.astype(str))}),
        var=pd.DataFrame(index=genes),
    )
    adata.obs_names = adata.obs_names.astype(str)
    training = adata[inputs.train].copy()
    several = training.obs["batch"].nunique() > 1
    AnnotatedAE.setup_anndata(training, categorical_covariate_keys=["batch"] if several else None)
    sets = {name: genes[row].tolist() for name, row in zip(inputs.names, inputs.mask, strict=True)}

    def reconstruct(cells: np.ndarray) -> np.ndarray:
        mean = model.get_reconstruction(adata[cells].copy())
        return inputs.log_of_counts(mean, cells) if likelihood == "nb" else mean

    class Mark(Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            model.module.eval()
            model.is_trained_ = True
            course.mark()
            model.module.train()

    with seeded(seed):
        model = AnnotatedAE(training, gene_sets=sets, likelihood=likelihood, **kwargs)
        course = Curve(inputs, reconstruct, threads=threads)
        course.start()
        model.train(
            epochs,
            accelerator="cpu",
            train_size=1.0,
            plan_kwargs=plan,
            enable_progress_bar=False,
            callbacks=[Mark()] if curve else [],
        )
        if not curve:
            course.mark()
        scores = model.get_latent_representation(adata)
    return Result(
        scores=scores,
        loadings=model.module.loadings.detach().numpy(),
        reconstruction=reconstruct(np.arange(adata.n_obs)),
        seconds=course.seconds[-1],
        epoch_seconds=np.array(course.seconds if curve else []),
        epoch_errors=np.array(course.errors if curve else []),
        reconstructs="counts" if likelihood == "nb" else "log",
        names=model.latent_names,
    )


if __name__ == "__main__":
    serve(train)
