"""Mini-batches: one step by hand, clipping, what is recorded of an epoch."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch

import pellucid as pld
from pellucid.model import OrthogonalAE

ALL_CELLS = {
    "batch_size": 90,
    "train_size": 1.0,
    "early_stopping": False,
    "accelerator": "cpu",
    "enable_progress_bar": False,
}


@pytest.fixture
def model(counts) -> OrthogonalAE:
    OrthogonalAE.setup_anndata(counts)
    with pld.train.seeded(0):
        return OrthogonalAE(counts, n_hidden=12, n_latent=5, dropout_rate=0, l1_weight=0)


def step_by_hand(model, optimizer, clip_norm: float | None) -> float:
    """One full-batch step; returns the norm that the gradient had."""
    _, _, output = model.module({"X": torch.from_numpy(model.adata.X.toarray())})
    output.loss.backward()
    parameters = list(model.module.parameters())
    norm = torch.linalg.norm(torch.cat([p.grad.ravel() for p in parameters]))
    if clip_norm is not None and norm > clip_norm:
        for parameter in parameters:
            parameter.grad *= clip_norm / norm
    optimizer.step()
    return norm.item()


@pytest.mark.parametrize("clip_norm", [None, 0.1, 100.0])
@pytest.mark.parametrize(
    ("plan_kwargs", "create"),
    [
        ({"optimizer": "Adam"}, lambda p: torch.optim.Adam(p, lr=0.01)),
        (
            {"optimizer": "SGD", "weight_decay": 0.1},
            lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True, weight_decay=0.1),
        ),
    ],
    ids=["adam", "sgd"],
)
def test_full_batch_step(model, plan_kwargs, create, clip_norm):
    by_hand = deepcopy(model.module), model
    model.train(
        max_epochs=1,
        plan_kwargs={**plan_kwargs, "lr": 0.01, "gradient_clip_norm": clip_norm},
        **ALL_CELLS,
    )
    trained, model.module = model.module, by_hand[0]
    norm = step_by_hand(model, create(model.module.parameters()), clip_norm)
    assert 0.1 < norm < 100
    for found, expected in zip(trained.parameters(), model.module.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_a_trainers_own_clip_wins(model):
    start = deepcopy(model.module)
    model.train(
        max_epochs=1,
        plan_kwargs={"optimizer": "SGD", "lr": 1.0, "momentum": 0.0, "gradient_clip_norm": 1e-3},
        gradient_clip_val=0.1,
        **ALL_CELLS,
    )
    pairs = zip(model.module.parameters(), start.parameters(), strict=True)
    moved = torch.cat([(a - b).detach().ravel() for a, b in pairs]).norm()
    assert moved.item() == pytest.approx(0.1, rel=1e-3)


@pytest.mark.parametrize("batch_size", [1, 16, 90])
def test_epoch_is_recorded(model, batch_size):
    """With steps of no length, what is recorded is what the model is."""
    model.train(
        max_epochs=1,
        plan_kwargs={"optimizer": "SGD", "lr": 0.0},
        **{**ALL_CELLS, "batch_size": batch_size, "train_size": 0.8},
    )
    recorded = {name: float(frame.iloc[-1, 0]) for name, frame in model.history.items()}
    weight = model.module.code_weight.detach().numpy()
    penalty = np.linalg.norm(np.eye(5) - weight @ weight.T)
    assert recorded["orthogonality_penalty"] == pytest.approx(penalty, rel=1e-5)

    counts = model.adata.X.toarray()
    rate = model.get_reconstruction()
    loss = (rate - counts * np.log(rate + 1e-8)).mean(1)
    for name, cells in (("train", model.train_indices), ("validation", model.validation_indices)):
        reconstruction = loss[cells].mean()
        assert recorded[f"reconstruction_loss_{name}"] == pytest.approx(reconstruction, rel=1e-4)
        expected = reconstruction + 0.05 * penalty
        assert recorded[f"{name}_loss"] == pytest.approx(expected, rel=1e-4)

    code = model.get_latent_representation()[model.train_indices]
    assert recorded["representation_norm"] == pytest.approx(np.linalg.norm(code), rel=1e-4)


def test_l1_norm_is_of_the_weights_that_read_genes(model):
    module = model.module
    tensors = {"X": torch.from_numpy(model.adata.X.toarray())}
    module.l1_weight = 0.0
    without = module(tensors)[2].loss
    module.l1_weight = 0.5
    mean = module.reference_library / model.adata.n_vars
    expected = without + 0.5 * mean * module.encoder[0].weight.abs().sum()
    torch.testing.assert_close(module(tensors)[2].loss, expected)
