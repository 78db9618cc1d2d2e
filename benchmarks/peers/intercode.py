"""intercode, the code of Rybakov et al. 2020.

Install: `pip install intercode` (Python 3.11). Settings: those of its notebook on the cells of
Kang et al. 2018 (Adam at 0.001, batches of 62, 80 epochs, lambda0 0.1, lambda1 0.93, lambda3 0.57;
centred log data, annotated factors alone). It measures its loss on all training cells after every
epoch; it is given one batch for that, so as not to be slowed by it.
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
    epochs: int = 80,
    batch_size: int = 62,
    lr: float = 0.001,
    lambda0: float = 0.1,
    lambda1: float = 0.93,
    lambda2: float | None = None,
    lambda3: float = 0.57,
    n_sparse: int | None = None,
    n_dense: int | None = None,
    **kwargs: Any,
) -> Result:
    """Train; without `n_sparse` and `n_dense`, the factors are those of the sets."""
    import anndata as ad
    import torch
    from intercode import Intercode

    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    warm_up_torch()
    mean = inputs.log[inputs.train].mean(0)
    centred = inputs.log - mean
    adata = ad.AnnData(centred[inputs.train])
    adata.varm["I"] = inputs.mask.T.astype("int32")
    adata.uns["terms"] = list(inputs.names)
    peer = Intercode(adata, n_sparse=n_sparse, n_dense=n_dense, **kwargs)
    network = peer.model

    @torch.no_grad()
    def decode(cells: np.ndarray) -> np.ndarray:
        return network(torch.from_numpy(centred[cells]))[1].numpy() + mean

    # Each epoch ends with the one call of `eval`.
    evaluate = network.eval

    def after_epoch() -> torch.nn.Module:
        evaluate()
        curve.mark()
        return network

    curve = Curve(inputs, decode, threads=threads)
    network.eval = after_epoch
    with contextlib.redirect_stdout(open(os.devnull, "w")):
        curve.start()
        peer.train(
            lr,
            batch_size,
            epochs,
            lambda0,
            lambda1,
            lambda2,
            lambda3,
            test_data=torch.from_numpy(adata.X[:batch_size]),
        )
    evaluate()
    weights = network.decoder.weight_dict
    extra = [f"{kind}_{i}" for kind in list(weights)[1:] for i in range(weights[kind].shape[1])]
    return Result(
        scores=peer.encode(centred),
        loadings=np.hstack([weight.detach().numpy() for weight in weights.values()]).T,
        reconstruction=decode(np.arange(len(centred))),
        seconds=curve.seconds[-1],
        epoch_seconds=np.array(curve.seconds),
        epoch_errors=np.array(curve.errors),
        names=np.array([*inputs.names, *extra], str),
    )


if __name__ == "__main__":
    serve(train)
