from __future__ import annotations

import numpy as np
import pytest

import pellucid as pld


@pytest.fixture
def model(counts) -> pld.model.OrthogonalAE:
    """A small model of `counts`, whose weights are large enough for units to differ."""
    pld.model.OrthogonalAE.setup_anndata(counts)
    with pld.train.seeded(0):
        model = pld.model.OrthogonalAE(counts, n_hidden=12, n_latent=5)
        model.train(
            max_epochs=2, plan_kwargs={"lr": 0.03}, accelerator="cpu", enable_progress_bar=False
        )
    assert np.ptp(model.get_latent_representation(), axis=0).min() > 0
    return model
