"""The univariate linear model of decoupler 2, Badia-i-Mompel et al. 2022.

Install: `pip install decoupler==2.2`. It learns nothing and has no loadings: a score is the t
value of a cell's log expression regressed on membership of the set, and all genes count. Sets of
fewer than five genes, which it leaves out by default, are kept. Batches are not modelled.
"""

from __future__ import annotations

import numpy as np

from benchmarks.peers._exchange import Inputs, Result, clock, serve


def train(inputs: Inputs, *, seed: int, threads: int) -> Result:
    """Score all cells; nothing is drawn, so the seed changes nothing."""
    import decoupler
    import numba
    import pandas as pd

    numba.set_num_threads(threads)
    genes = np.array([f"gene_{i}" for i in range(inputs.log.shape[1])])
    cells = np.array([f"cell_{i}" for i in range(len(inputs.log))])
    sets, members = np.nonzero(inputs.mask)
    net = pd.DataFrame({"source": inputs.names[sets], "target": genes[members], "weight": 1.0})
    log = pd.DataFrame(inputs.log, cells, genes)
    decoupler.mt.ulm(log.iloc[:64], net, tmin=1)  # compiles
    now = clock(threads)
    start = now()
    scores = decoupler.mt.ulm(log, net, tmin=1)[0]
    seconds = now() - start
    return Result(
        scores=scores.reindex(columns=inputs.names).to_numpy(),
        loadings=np.zeros((0, 0)),
        reconstruction=np.zeros((0, 0)),
        seconds=seconds,
        names=inputs.names,
    )


if __name__ == "__main__":
    serve(train)
