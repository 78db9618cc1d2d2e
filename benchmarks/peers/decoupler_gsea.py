"""Gene set enrichment analysis of decoupler 2, Badia-i-Mompel et al. 2022.

Install: `pip install decoupler==2.2`. Rows of `log` are rankings. It returns normalised scores and
adjusted p values and no enrichment scores.
"""

from __future__ import annotations

import numpy as np

from benchmarks.peers._exchange import Inputs, Result, clock, serve


def train(inputs: Inputs, *, seed: int, threads: int, n_permutations: int = 1000) -> Result:
    """Score all rankings; `seconds` are without compilation."""
    import decoupler
    import numba
    import pandas as pd

    numba.set_num_threads(threads)
    genes = np.array([f"gene_{i}" for i in range(inputs.log.shape[1])])
    rankings = np.array([f"ranking_{i}" for i in range(len(inputs.log))])
    sets, members = np.nonzero(inputs.mask)
    net = pd.DataFrame({"source": inputs.names[sets], "target": genes[members], "weight": 1.0})
    scores = pd.DataFrame(inputs.log, rankings, genes)
    few = net[net["source"].isin(inputs.names[:2])]
    decoupler.mt.gsea(scores.iloc[:1], few, tmin=1, times=2, seed=seed + 1)  # compiles
    now = clock(threads)
    start = now()
    # It permutes only where the seed is not 0.
    found = decoupler.mt.gsea(scores, net, tmin=1, times=n_permutations, seed=seed + 1)[0]
    seconds = now() - start
    return Result(
        scores=found.reindex(columns=inputs.names).to_numpy(),
        loadings=np.zeros((0, 0)),
        reconstruction=np.zeros((0, 0)),
        seconds=seconds,
        names=inputs.names,
    )


if __name__ == "__main__":
    serve(train)
