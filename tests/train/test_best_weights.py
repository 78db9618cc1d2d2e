"""Early stopping ends with the weights of the best epoch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import pellucid as pld
from pellucid.model import OrthogonalAE


def fit(counts, **kwargs) -> tuple[OrthogonalAE, float]:
    """A model whose held-out loss rises again, and that loss with the weights it ends with."""
    OrthogonalAE.setup_anndata(counts)
    with pld.train.seeded(0):
        model = OrthogonalAE(counts, n_hidden=32, n_latent=16, dropout_rate=0, l1_weight=0)
        model.train(
            max_epochs=40,
            batch_size=16,
            plan_kwargs={"lr": 0.03},
            accelerator="cpu",
            enable_progress_bar=False,
            **kwargs,
        )
    held_out = torch.from_numpy(counts.X[model.validation_indices].toarray())
    with torch.no_grad():
        return model, model.module({"X": held_out})[2].reconstruction_loss[
            "reconstruction_loss"
        ].mean().item()


@pytest.mark.parametrize("early_stopping", [True, False])
def test_weights_of_the_best_epoch(counts, early_stopping):
    model, loss = fit(counts, early_stopping=early_stopping, early_stopping_patience=5)
    recorded = model.history["reconstruction_loss_validation"].iloc[:, 0].to_numpy(float)
    assert recorded[-1] > recorded.min() + 0.001
    if early_stopping:
        assert len(recorded) == np.argmin(recorded) + 1 + 5
        assert loss == pytest.approx(recorded.min(), rel=1e-5)
    else:
        assert len(recorded) == 40
        assert loss == pytest.approx(recorded[-1], rel=1e-5)


def test_a_users_callbacks_are_called(counts):
    from lightning.pytorch.callbacks import Callback

    class Count(Callback):
        n_epochs = 0

        def on_train_epoch_end(self, trainer, pl_module):
            self.n_epochs += 1

    callback = Count()
    model, _ = fit(counts, early_stopping_patience=3, callbacks=[callback])
    assert callback.n_epochs == len(model.history["train_loss"])
