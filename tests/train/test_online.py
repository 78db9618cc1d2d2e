"""Steps of one cell: the same updates as the loop that a user would write in PyTorch."""

from __future__ import annotations

from copy import deepcopy
from typing import NamedTuple

import anndata as ad
import numpy as np
import pytest
import torch
from scipy import sparse
from torch.nn.functional import softplus

import pellucid as pld
from pellucid.model import OrthogonalAE
from pellucid.train import OnlineTrainingPlan

N_CELLS = 250
PAPER = {"n_hidden": 128, "n_latent": 64, "l1_weight": 0.0, "dropout_rate": 0.0}
SMALL = {"n_hidden": 12, "n_latent": 5, "l1_weight": 0.0, "dropout_rate": 0.0}


@pytest.fixture(autouse=True)
def many_calls_an_epoch(monkeypatch):
    """The cells of an epoch reach the plan in several calls, the last one smaller."""
    monkeypatch.setattr("pellucid.model._orthogonal_ae._CELLS_A_CALL", 100)


@pytest.fixture
def cells() -> ad.AnnData:
    """Counts, mostly zeros, with a gene that no cell has and a cell that has no gene."""
    rng = np.random.default_rng(1)
    counts = rng.poisson(rng.lognormal(-1, 1, (1, 60)), (N_CELLS, 60))
    counts[:, 7] = 0
    counts[11] = 0
    return ad.AnnData(sparse.csr_matrix(counts.astype(np.float32)))


class Loop(NamedTuple):
    """What the hand-written loop arrives at."""

    parameters: list[torch.Tensor]
    losses: list[float]
    n_clipped: int


def hand_loop(module, cells: torch.Tensor, create_optimizer, clip_norm: float | None) -> Loop:
    """Forward, loss and step of one cell after another, with nothing of the package."""
    parameters = [p.detach().clone().requires_grad_() for p in module.parameters()]
    layers = list(zip(parameters[::2], parameters[1::2], strict=True))
    code_weight = layers[len(layers) // 2 - 1][0]
    optimizer = create_optimizer(parameters)
    losses, n_clipped = [], 0
    for cell in cells:
        size = torch.ones(())
        read = cell
        if module.input_type == "library_scaled":
            size = cell.sum().clamp(min=1) / module.reference_library
            read = torch.log(1 + cell / size)
        hidden = read
        for weight, bias in layers:
            hidden = softplus(weight @ hidden + bias, beta=module.softplus_beta)
        rate = hidden * size
        loss = torch.mean(rate - cell * torch.log(rate + 1e-8))
        gram = code_weight @ code_weight.T
        loss = loss + module.orthogonality_weight * torch.linalg.norm(torch.eye(len(gram)) - gram)
        mean = module.reference_library / cells.shape[1]
        loss = loss + module.l1_weight * mean * layers[0][0].abs().sum()
        optimizer.zero_grad()
        loss.backward()
        if clip_norm is not None:
            n_clipped += bool(torch.nn.utils.clip_grad_norm_(parameters, clip_norm) > clip_norm)
        optimizer.step()
        losses.append(loss.item())
    return Loop(parameters, losses, n_clipped)


def nesterov(lr: float, momentum: float = 0.9, weight_decay: float = 0.0):
    return lambda parameters: torch.optim.SGD(
        parameters, lr=lr, momentum=momentum, nesterov=momentum > 0, weight_decay=weight_decay
    )


def log_input(adata: ad.AnnData) -> ad.AnnData:
    adata.X = sparse.csr_matrix(np.log1p(adata.X.toarray()))
    return adata


def check_same_updates(
    monkeypatch, adata, model_arguments, plan_kwargs, create_optimizer, *, kinds
) -> Loop:
    """Train online and make the same steps by hand, in the same order.

    `kinds` names the kind of step that is due in each call of the plan: `"compiled"`,
    `"autograd"`; where both are named they are forced upon the plan. What is autograd alone runs
    in double precision: Adam and the L1 norm make much of a rounding error near zero.
    """
    exact = set(kinds) == {"autograd"}
    dtype, tolerance = (torch.float64, 1e-9) if exact else (torch.float32, 1e-5)
    n_epochs = len(kinds) // 3
    if model_arguments.get("input_type") == "log":
        log_input(adata)
    OrthogonalAE.setup_anndata(adata)
    with pld.train.seeded(0):
        model = OrthogonalAE(adata, **model_arguments)
    model.module.to(dtype)
    monkeypatch.setattr(model, "_warn_of_dead_units", lambda: None)
    start = deepcopy(model.module)

    seen: list[torch.Tensor] = []
    taken: list[str] = []
    steps = {
        "compiled": OnlineTrainingPlan._compiled_steps,
        "autograd": OnlineTrainingPlan._autograd_steps,
    }

    def record(chosen: str):
        def wrapped(plan, x):
            kind = chosen if len(set(kinds)) == 1 else kinds[len(seen)]
            x = x.to(dtype)
            seen.append(x.clone())
            taken.append(kind)
            with torch.set_grad_enabled(kind == "autograd"):
                return steps[kind](plan, x)

        return wrapped

    monkeypatch.setattr(OnlineTrainingPlan, "_compiled_steps", record("compiled"))
    monkeypatch.setattr(OnlineTrainingPlan, "_autograd_steps", record("autograd"))
    with pld.train.seeded(0):
        model.train(
            max_epochs=n_epochs,
            batch_size=1,
            train_size=1.0,
            early_stopping=False,
            plan_kwargs=plan_kwargs,
            accelerator="cpu",
            enable_progress_bar=False,
        )
    assert taken == kinds
    assert [len(x) for x in seen] == n_epochs * [100, 100, 50]

    clip_norm = plan_kwargs["gradient_clip_norm"]
    loop = hand_loop(start, torch.cat(seen), create_optimizer, clip_norm)
    moved = 0.0
    for found, expected, before in zip(
        model.module.parameters(), loop.parameters, start.parameters(), strict=True
    ):
        torch.testing.assert_close(found.detach(), expected.detach(), rtol=0, atol=tolerance)
        moved = max(moved, float((expected - before).detach().abs().max()))
    assert moved > 0.01
    np.testing.assert_allclose(
        model.history["train_loss"].iloc[:, 0].astype(float),
        np.reshape(loop.losses, (n_epochs, N_CELLS)).mean(1),
        rtol=1e-5,
    )
    # One epoch sees every cell once.
    everything = np.sort(adata.X.toarray() @ np.arange(60.0))
    for epoch in range(n_epochs):
        rows = torch.cat(seen[3 * epoch : 3 * epoch + 3]).numpy().astype(float) @ np.arange(60.0)
        np.testing.assert_allclose(np.sort(rows), everything, rtol=1e-5)
    return loop


@pytest.mark.parametrize(
    ("n_layers", "beta", "orthogonality_weight", "clip_norm", "input_type"),
    [
        (1, 1.0, 0.05, None, "counts"),
        (1, 1.0, 0.05, 0.3, "counts"),
        (1, 5.0, 0.0, None, "log"),
        (1, 1.0, 0.0, 0.3, "library_scaled"),
        (1, 5.0, 0.05, 0.3, "log"),
        (2, 1.0, 0.05, 0.3, "library_scaled"),
        (2, 5.0, 0.05, None, "counts"),
        (2, 5.0, 0.0, 0.3, "log"),
        (2, 1.0, 0.0, None, "library_scaled"),
    ],
)
def test_compiled_steps_are_torchs(
    monkeypatch, cells, n_layers, beta, orthogonality_weight, clip_norm, input_type
):
    """500 steps at the paper's size, step length and momentum."""
    loop = check_same_updates(
        monkeypatch,
        cells,
        {
            **PAPER,
            "n_layers": n_layers,
            "softplus_beta": beta,
            "orthogonality_weight": orthogonality_weight,
            "input_type": input_type,
        },
        {"optimizer": "SGD", "lr": 1e-3, "momentum": 0.9, "gradient_clip_norm": clip_norm},
        nesterov(1e-3),
        kinds=6 * ["compiled"],
    )
    if clip_norm is not None:
        assert loop.n_clipped > 0


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_compiled_steps_with_other_momenta(monkeypatch, cells, momentum):
    check_same_updates(
        monkeypatch,
        cells,
        SMALL,
        {"optimizer": "SGD", "lr": 1e-2, "momentum": momentum, "gradient_clip_norm": None},
        nesterov(1e-2, momentum),
        kinds=6 * ["compiled"],
    )


@pytest.mark.parametrize(
    "kinds", [2 * ["compiled", "autograd", "compiled"], 3 * ["autograd", "compiled"]]
)
def test_either_kind_of_step_can_follow_the_other(monkeypatch, cells, kinds):
    """They share the momentum, which lives in the optimizer."""
    check_same_updates(
        monkeypatch,
        cells,
        SMALL,
        {"optimizer": "SGD", "lr": 1e-3, "gradient_clip_norm": 1.0},
        nesterov(1e-3),
        kinds=kinds,
    )


@pytest.mark.parametrize(
    ("model_arguments", "plan_kwargs", "create_optimizer"),
    [
        ({}, {"optimizer": "Adam", "lr": 1e-3}, lambda p: torch.optim.Adam(p, lr=1e-3)),
        (
            {},
            {"optimizer": "Adam", "lr": 1e-3, "weight_decay": 0.1},
            lambda p: torch.optim.Adam(p, lr=1e-3, weight_decay=0.1),
        ),
        (
            {},
            {"optimizer": "SGD", "lr": 1e-3, "weight_decay": 0.01},
            nesterov(1e-3, weight_decay=0.01),
        ),
        ({"l1_weight": 1e-3}, {"optimizer": "SGD", "lr": 1e-3}, nesterov(1e-3)),
        ({"n_layers": 0}, {"optimizer": "SGD", "lr": 1e-2}, nesterov(1e-2)),
    ],
    ids=["adam", "adam_weight_decay", "weight_decay", "l1", "no_hidden_layer"],
)
@pytest.mark.parametrize("clip_norm", [None, 0.3])
def test_autograd_steps_are_torchs(
    monkeypatch, cells, model_arguments, plan_kwargs, create_optimizer, clip_norm
):
    """What is not compiled makes the same steps through autograd."""
    check_same_updates(
        monkeypatch,
        cells,
        {**SMALL, **model_arguments},
        {**plan_kwargs, "gradient_clip_norm": clip_norm},
        create_optimizer,
        kinds=3 * ["autograd"],
    )
