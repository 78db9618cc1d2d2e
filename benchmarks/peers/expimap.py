"""expiMap of scArches, Lotfollahi et al. 2023.

Install (Python 3.11): `pip install torch==2.13.0`, then
`pip install scarches==0.6.1 anndata==0.11.4 "zarr<3"`, then, where that left a pandas too old for
numpy, `pip install --no-deps pandas==2.3.3`. Settings: those of its basic tutorial (three hidden
layers of 256, negative binomial on counts, alpha 0.7, alpha_kl 0.5 reached after a quarter of at
most 400 epochs, no weight decay, early stopping). Scores are the means of the posterior, which
follow the truth more closely than the draws from it that the tutorial takes. `soft_mask` lets it
add genes to sets at a price of `alpha_l1`, with which its training tips say to start.

It keeps a tenth of the training cells for early stopping and measures them every epoch; that is
part of its seconds, as nothing stops it otherwise.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

import numpy as np

from benchmarks.peers._exchange import Curve, Inputs, Result, serve, warm_up_torch


def train(
    inputs: Inputs,
    *,
    seed: int,
    threads: int,
    epochs: int = 400,
    alpha: float = 0.7,
    alpha_kl: float = 0.5,
    soft_mask: bool = False,
    alpha_l1: float = 0.5,
    early_stopping: bool = True,
    **kwargs: Any,
) -> Result:
    """Train on counts; `kwargs` go to the peer's trainer."""
    import anndata as ad
    import pandas as pd
    import torch
    from scarches.models.expimap import expimap_model

    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    warm_up_torch()
    batch = np.array([f"batch_{code}" for code in inputs.batch], object)
    adata = ad.AnnData(
        inputs.counts[inputs.train], obs=pd.DataFrame({"batch": batch[inputs.train]})
    )
    adata.obs.index = adata.obs.index.astype(str)
    adata.varm["I"] = inputs.mask.T.astype(int)
    with contextlib.redirect_stdout(open(os.devnull, "w")):
        peer = expimap_model.EXPIMAP(
            adata,
            condition_key="batch",
            hidden_layer_sizes=[256, 256, 256],
            recon_loss="nb",
            soft_mask=soft_mask,
        )
    network = peer.model
    codes = torch.tensor([network.condition_encoder[label] for label in batch])

    @torch.no_grad()
    def decode(cells: np.ndarray) -> np.ndarray:
        """Without dropout, and back to training."""
        training = network.training
        network.eval()
        counts = torch.from_numpy(inputs.counts[cells])
        score = network.encoder(torch.log1p(counts), codes[cells])[0]
        expected = network.decoder(score, codes[cells])[0] * counts.sum(1, keepdim=True)
        network.train(training)
        return inputs.log_of_counts(expected.numpy(), cells)

    curve = Curve(inputs, decode, threads=threads)

    class Trainer(expimap_model.expiMapTrainer):
        def before_loop(self) -> None:
            super().before_loop()
            curve.start()

        def on_epoch_end(self) -> None:
            super().on_epoch_end()
            curve.mark()

    expimap_model.expiMapTrainer = Trainer
    with contextlib.redirect_stdout(open(os.devnull, "w")):
        peer.train(
            n_epochs=epochs,
            alpha=alpha,
            alpha_kl=alpha_kl,
            alpha_epoch_anneal=min(100, max(1, epochs // 4)),
            alpha_l1=alpha_l1 if soft_mask else None,
            weight_decay=0.0,
            early_stopping_kwargs={
                "early_stopping_metric": "val_unweighted_loss",
                "threshold": 0,
                "patience": 50,
                "reduce_lr": True,
                "lr_patience": 13,
                "lr_factor": 0.1,
            },
            use_early_stopping=early_stopping,
            monitor=False,
            seed=seed,
            **kwargs,
        )
    network.eval()
    return Result(
        scores=peer.get_latent(inputs.counts, batch, mean=True),
        loadings=network.decoder.L0.expr_L.weight.detach().numpy().T,
        reconstruction=decode(np.arange(len(inputs.counts))),
        seconds=curve.seconds[-1],
        epoch_seconds=np.array(curve.seconds),
        epoch_errors=np.array(curve.errors),
        reconstructs="counts",
        names=inputs.names,
    )


if __name__ == "__main__":
    serve(train)
