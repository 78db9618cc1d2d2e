"""SCVI and LinearSCVI of scvi-tools, Lopez et al. 2018 and Svensson et al. 2020.

Install: they come with this package. Settings: their defaults (one hidden layer of 128, Adam at
0.001, batches of 128, ZINB for SCVI and NB for LinearSCVI, epochs by the number of cells, at most
400), with early stopping on a tenth of the training cells, and as many factors as there are sets,
so that all peers are asked for the same number. Neither sees the sets.
"""

from __future__ import annotations

from typing import Any

from benchmarks.peers._exchange import Inputs, Result, serve
from benchmarks.peers._scvi_tools import fit


def train(
    inputs: Inputs,
    *,
    linear: bool = False,
    n_factors: int | None = None,
    **kwargs: Any,
) -> Result:
    """Train on counts; `kwargs` are `seed`, `threads` and `epochs`."""
    import scvi

    kind = scvi.model.LinearSCVI if linear else scvi.model.SCVI
    result, peer = fit(inputs, kind, n_latent=n_factors or len(inputs.mask), **kwargs)
    if linear:
        result = result._replace(loadings=peer.get_loadings().to_numpy().T)
    return result


if __name__ == "__main__":
    serve(train)
