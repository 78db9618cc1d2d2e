"""slalom (f-scLVM), Buettner et al. 2017, the rival of Rybakov et al. 2020.

Install (Python 3.7, for it needs scikit-learn before 0.20): `pip install wheel "numpy<1.18"
"scipy<1.4" "scikit-learn<0.20" "pandas<1" "h5py<3" "matplotlib<3.2" six`, then
`pip install slalom==1.0.0.dev11`. Settings: its defaults (Gaussian noise, three hidden factors,
pre-training, which is part of its seconds) and at most 1,000 iterations, except that no set and no
gene is left out (`minGenes=0`, `pruneGenes=False`), so that all peers see the same. Batches are
covariates. It has no encoder: cells held out cannot be scored.

A loading is the expected weight times its probability of being on, which is never exactly zero. A
factor's relevance is the variance of its weights.
"""

from __future__ import annotations

import contextlib
import os

import numpy as np

from benchmarks.peers._exchange import Inputs, Result, clock, serve


def train(
    inputs: Inputs,
    *,
    seed: int,
    threads: int,
    epochs: int = 1000,
    n_hidden: int = 3,
    n_hidden_sparse: int = 0,
    pretrain: bool = True,
) -> Result:
    """Fit; an epoch is an iteration over all factors, and `threads` is up to the environment."""
    import matplotlib as mpl

    mpl.use("Agg")
    import slalom

    if len(inputs.held_out):
        raise ValueError("slalom cannot score cells that it was not trained on.")
    mean = inputs.log.mean(0)
    covariates = None
    codes = np.unique(inputs.batch)
    if len(codes) > 1:
        covariates = (inputs.batch[:, None] == codes[1:]).astype(float)
        covariates -= covariates.mean(0)
    now = clock(threads)
    with contextlib.redirect_stdout(open(os.devnull, "w")):
        start = now()
        peer = slalom.initFA(
            inputs.log.astype(float),
            np.array(inputs.names),
            inputs.mask.T.astype(float),
            nHidden=n_hidden,
            nHiddenSparse=n_hidden_sparse,
            pruneGenes=False,
            minGenes=0,
            noise="gauss",
            covariates=covariates,
            do_preTrain=pretrain,
        )
        peer.train(nIterations=epochs)
        seconds = now() - start
        reconstruction = peer.getF() + mean
    # Pre-training reorders the factors.
    terms = list(peer.terms)
    rest = [term for term in terms if term not in set(inputs.names)]
    order = [terms.index(term) for term in [*inputs.names, *rest]]
    return Result(
        scores=np.asarray(peer.getX())[:, order],
        loadings=(np.asarray(peer.getW()) * np.asarray(peer.getZ()))[:, order].T,
        reconstruction=reconstruction,
        seconds=seconds,
        names=np.array([*inputs.names, *rest], dtype=str),
    )


if __name__ == "__main__":
    serve(train)
