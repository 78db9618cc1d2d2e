"""VEGA, Seninge et al. 2021.

Install (Python 3.8, as it needs scvi-tools 0.9): `pip install --no-deps -r vega.txt`, the file
beside this one, for pip finds no set of versions by itself. Settings: its defaults (two layers of
800, decoder of positive weights within the sets, beta 0.00005, dropout 0.3 of the factors, one
unannotated node, Adam at 0.0001, at most 500 epochs until the training loss has not fallen for
ten) on log-normalised data.
"""

from __future__ import annotations

import contextlib
import os

import numpy as np

from benchmarks.peers._exchange import Curve, Inputs, Result, serve


def train(
    inputs: Inputs, *, seed: int, threads: int, epochs: int = 500, n_extra: int = 1
) -> Result:
    """Train on the log-normalised matrix and a batch key."""
    import anndata as ad
    import pandas as pd
    import torch
    from vega import vega_model

    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    batch = [f"batch_{code}" for code in inputs.batch]
    index = [f"cell_{i}" for i in range(len(batch))]
    names = [*inputs.names, *(f"unannotated_{i}" for i in range(n_extra))]
    everything = ad.AnnData(inputs.log, obs=pd.DataFrame({"batch": batch}, index=index))
    with contextlib.redirect_stdout(open(os.devnull, "w")):
        vega_model.setup_anndata(everything, batch_key="batch")
        everything.uns["_vega"]["mask"] = np.hstack(
            [inputs.mask.T.astype(float), np.ones((inputs.mask.shape[1], n_extra))]
        )
        everything.uns["_vega"]["gmv_names"] = names
        everything.uns["_vega"]["add_nodes"] = n_extra
        peer = vega_model.VEGA(everything[inputs.train].copy(), add_nodes=n_extra)

    def decode(cells: np.ndarray) -> np.ndarray:
        training, trained = peer.training, peer.is_trained_
        peer.eval()
        peer.is_trained_ = True  # it decodes nothing before
        expected = peer.generative(everything, indices=cells)
        peer.is_trained_ = trained
        peer.train(training)
        return expected

    curve = Curve(inputs, decode, threads=threads)

    class Stopping(vega_model.EarlyStopping):
        def __call__(self, loss: float) -> None:
            super().__call__(loss)
            curve.mark()

    vega_model.EarlyStopping = Stopping
    with contextlib.redirect_stdout(open(os.devnull, "w")):
        curve.start()
        peer.train_vega(n_epochs=epochs)
    return Result(
        scores=peer.to_latent(everything, return_mean=True),
        loadings=peer.decoder._get_weights().detach().numpy()[:, : len(names)].T,
        reconstruction=decode(np.arange(len(index))),
        seconds=curve.seconds[-1],
        epoch_seconds=np.array(curve.seconds),
        epoch_errors=np.array(curve.errors),
        names=np.array(names, str),
    )


if __name__ == "__main__":
    serve(train)
