"""DRVI, Moinfar and Theis 2024.

Install (Python 3.11): `pip install torch==2.13.0`, then `pip install drvi-py==0.2.8`. Settings:
its defaults (two hidden layers of 128 each way, every factor decoded apart, log-sum-exp of the
parts, log negative binomial) and the 400 epochs without early stopping of its tutorial, over which
the weight of the divergence rises to one. As many factors as there are sets, which it does not
see. Its cost is that of a decoder for each factor.
"""

from __future__ import annotations

from typing import Any

from benchmarks.peers._exchange import Inputs, Result, serve
from benchmarks.peers._scvi_tools import fit


def train(
    inputs: Inputs, *, epochs: int = 400, n_factors: int | None = None, **kwargs: Any
) -> Result:
    """Train on counts; `kwargs` are `seed` and `threads`."""
    import drvi

    result, _ = fit(
        inputs,
        drvi.model.DRVI,
        epochs=epochs,
        early_stopping=False,
        plan={"n_epochs_kl_warmup": epochs},
        n_latent=n_factors or len(inputs.mask),
        **kwargs,
    )
    return result


if __name__ == "__main__":
    serve(train)
