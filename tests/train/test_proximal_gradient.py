"""Steps of the proximal optimiser by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pellucid.train import ProximalGradient, proximal_step


def optimizer_of(loadings, *, adaptive, lr=0.1, weights=(0.1, 0.3, 0.5)):
    other = torch.nn.Parameter(torch.ones(2))
    in_set = torch.zeros(loadings.shape, dtype=torch.bool)
    in_set[:, :2] = True
    vectors = tuple(torch.full((len(loadings),), weight) for weight in weights)
    made = ProximalGradient(
        loadings,
        in_set,
        lambda: vectors,
        torch.optim.SGD([other], lr=lr),
        lr=lr,
        adaptive=adaptive,
    )
    return made, other, in_set, vectors


@pytest.fixture
def loadings():
    return torch.nn.Parameter(torch.randn(3, 5, generator=torch.Generator().manual_seed(0)))


def test_equation_7(loadings):
    optimizer, other, in_set, vectors = optimizer_of(loadings, adaptive=False)
    expected = loadings.detach().clone()
    for step in range(3):
        loadings.grad = torch.full_like(loadings, 0.2 * step)
        other.grad = torch.ones(2)
        optimizer.step()
        expected -= 0.1 * 0.2 * step
        proximal_step(expected, in_set, *(0.1 * vector for vector in vectors))
    torch.testing.assert_close(loadings.detach(), expected)
    torch.testing.assert_close(other.detach(), torch.full((2,), 0.7))


def test_adaptive_step_of_a_factor_is_that_of_its_threshold(loadings):
    """By hand: moments as in Adam, the second one a mean over the factor's genes."""
    optimizer, _, in_set, vectors = optimizer_of(loadings, adaptive=True)
    expected = loadings.detach().clone()
    mean, square = torch.zeros(3, 5), torch.zeros(3)
    generator = torch.Generator().manual_seed(1)
    for step in range(1, 5):
        gradient = torch.randn(3, 5, generator=generator) * torch.tensor([[0.1], [1.0], [10.0]])
        loadings.grad = gradient
        optimizer.others.zero_grad()
        optimizer.step()
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient.square().mean(1)
        rate = 0.1 / (torch.sqrt(square / (1 - 0.999**step)) + 1e-8)
        expected -= rate[:, None] * mean / (1 - 0.9**step)
        proximal_step(expected, in_set, *(rate * vector for vector in vectors))
    torch.testing.assert_close(loadings.detach(), expected, rtol=1e-5, atol=1e-6)


def test_gradients_and_rates_of_all_weights(loadings):
    optimizer, other, *_ = optimizer_of(loadings, adaptive=True)
    loadings.grad, other.grad = torch.ones(3, 5), torch.ones(2)
    optimizer.zero_grad()
    assert loadings.grad is None
    assert other.grad is None
    optimizer.set_lr(0.5)
    assert optimizer.param_groups[0]["lr"] == 0.5
    assert optimizer.others.param_groups[0]["lr"] == 0.5


def test_loss_of_the_closure_is_returned(loadings):
    optimizer, other, *_ = optimizer_of(loadings, adaptive=False)

    def closure():
        optimizer.zero_grad()
        loss = loadings.square().sum() + other.square().sum()
        loss.backward()
        return loss

    before = float(loadings.detach().square().sum()) + 2
    assert float(optimizer.step(closure)) == pytest.approx(before, rel=1e-6)
    assert np.isfinite(loadings.detach().numpy()).all()
