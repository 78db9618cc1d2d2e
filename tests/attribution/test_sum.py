"""Attributions of every kind of network, by four ways that share no code."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from captum.attr import GuidedBackprop, Saliency
from torch import nn

from pellucid.attribution import Attributor
from pellucid.attribution import sum_attributions as add_up
from pellucid.attribution._chain import as_chain

N_GENES, N_UNITS = 30, 5


def stack(*layers: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    for layer in layers:
        for module in layer.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.4)
                if module.bias is not None:
                    nn.init.normal_(module.bias, std=0.4)
            elif isinstance(module, nn.BatchNorm1d) and module.running_var is not None:
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
                nn.init.uniform_(module.weight, -2, 2)
    return nn.Sequential(*layers).eval()


def sum_attributions(network, batches, *, guided: bool, absolute: bool) -> np.ndarray:
    """Of an encoder of genes alone."""
    batches = list(batches)
    method = "guided_backprop" if guided else "saliency"
    n_genes = batches[0].shape[1] if batches else 0
    return add_up(Attributor(network, method, "encoder", n_genes), batches, absolute=absolute)


def linear(n_in: int = N_GENES, n_out: int = N_UNITS) -> nn.Linear:
    return nn.Linear(n_in, n_out)


CHAINS = {
    "paper": lambda: stack(linear(30, 12), nn.Softplus(), linear(12), nn.Softplus()),
    "sharp_softplus": lambda: stack(
        linear(30, 12), nn.Softplus(beta=12), linear(12), nn.Softplus(beta=5)
    ),
    "relu": lambda: stack(linear(30, 12), nn.ReLU(), linear(12), nn.ReLU()),
    "deep": lambda: stack(
        linear(30, 12),
        nn.Softplus(),
        linear(12, 9),
        nn.Softplus(),
        linear(9, 7),
        nn.ReLU(),
        linear(7),
        nn.Softplus(),
    ),
    "linear_code": lambda: stack(linear(30, 12), nn.ReLU(), linear(12)),
    "batch_norm": lambda: stack(
        linear(30, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.5), linear(12)
    ),
    "batch_norm_last": lambda: stack(linear(30, 12), nn.Softplus(), linear(12), nn.BatchNorm1d(5)),
    "dropout": lambda: stack(
        nn.Dropout(0.9), linear(30, 12), nn.Softplus(), nn.Dropout(0.9), linear(12), nn.Softplus()
    ),
    "two_linear": lambda: stack(linear(30, 12), linear(12), nn.Softplus()),
    "one_linear": lambda: stack(linear()),
    "one_linear_softplus": lambda: stack(linear(), nn.Softplus()),
    "no_bias": lambda: stack(nn.Linear(30, 12, bias=False), nn.Tanh(), linear(12)),
    "falling_slopes": lambda: stack(linear(30, 12), nn.GELU(), linear(12), nn.SiLU()),
    "leaky": lambda: stack(linear(30, 12), nn.LeakyReLU(0.2), linear(12), nn.ELU()),
    "nested": lambda: stack(
        nn.Sequential(nn.Sequential(linear(30, 12), nn.Identity()), nn.Softplus()),
        nn.Sequential(linear(12), nn.Softplus()),
    ),
}
OTHERS = {
    "layer_norm": lambda: stack(linear(30, 12), nn.LayerNorm(12), nn.ReLU(), linear(12)),
    "batch_norm_first": lambda: stack(
        nn.BatchNorm1d(30), linear(30, 12), nn.Softplus(), linear(12), nn.Softplus()
    ),
    "activation_first": lambda: stack(nn.Softplus(), linear(30, 12), nn.Softplus(), linear(12)),
    "mixes_units": lambda: stack(linear(30, 12), nn.Softplus(), linear(12), nn.Softmax(dim=1)),
}
# Guided back-propagation clips at activations, of which Softmax is not one here.
NETWORKS = CHAINS | OTHERS


@pytest.fixture
def x() -> torch.Tensor:
    """Cells x genes, some of them negative, as scaled data and batch normalisation have them."""
    return torch.randn(150, N_GENES, generator=torch.Generator().manual_seed(1))


def check_same(found: np.ndarray, expected: np.ndarray, relative: float = 1e-5) -> None:
    assert found.shape == expected.shape
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(found, expected, rtol=0, atol=relative * np.abs(expected).max())


@pytest.mark.parametrize("absolute", [True, False], ids=["absolute", "signed"])
@pytest.mark.parametrize("guided", [True, False], ids=["guided", "saliency"])
@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "mixes_units"])
def test_same_as_hooks_on_autograd(name, guided, absolute, x, by_hooks):
    network = NETWORKS[name]()
    found = sum_attributions(network, [x], guided=guided, absolute=absolute)
    assert found.dtype == np.float64
    check_same(found, by_hooks(network, x, guided=guided, absolute=absolute))


@pytest.mark.parametrize("absolute", [True, False], ids=["absolute", "signed"])
@pytest.mark.parametrize("guided", [True, False], ids=["guided", "saliency"])
@pytest.mark.parametrize("name", CHAINS)
def test_chain_and_autograd_agree(name, guided, absolute, x, monkeypatch):
    network = CHAINS[name]()
    chained = sum_attributions(network, [x], guided=guided, absolute=absolute)
    monkeypatch.setattr("pellucid.attribution._attributor.as_chain", lambda network: None)
    check_same(chained, sum_attributions(network, [x], guided=guided, absolute=absolute))


@pytest.mark.parametrize("name", NETWORKS)
def test_plain_stacks_alone_are_chained(name):
    assert (as_chain(NETWORKS[name]()) is not None) == (name in CHAINS)


def test_batch_norm_by_the_batch_is_not_chained():
    network = stack(linear(30, 12), nn.BatchNorm1d(12, track_running_stats=False), linear(12))
    assert as_chain(network) is None


@pytest.mark.parametrize("name", NETWORKS)
def test_saliency_is_captums(name, x):
    network = NETWORKS[name]()
    captum = [
        Saliency(network).attribute(x.requires_grad_(), target=unit, abs=True)
        for unit in range(N_UNITS)
    ]
    expected = torch.stack(captum).sum(1).detach().numpy()
    check_same(sum_attributions(network, [x.detach()], guided=False, absolute=True), expected)


@pytest.mark.parametrize(
    "network",
    [
        CHAINS["relu"],
        CHAINS["linear_code"],
        CHAINS["batch_norm"],
        lambda: stack(
            linear(30, 12), nn.ReLU(), linear(12, 9), nn.ReLU(), linear(9, 7), nn.ReLU(), linear(7)
        ),
        OTHERS["layer_norm"],
    ],
    ids=["relu", "linear_code", "batch_norm", "deep", "layer_norm"],
)
@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU")
def test_guided_backprop_is_captums_on_relu(network, x):
    network = network()
    captum = [
        GuidedBackprop(network).attribute(x.requires_grad_(), target=unit)
        for unit in range(N_UNITS)
    ]
    expected = torch.stack(captum).abs().sum(1).detach().numpy()
    check_same(sum_attributions(network, [x.detach()], guided=True, absolute=True), expected)


def test_guided_differs_from_saliency(x):
    network = CHAINS["paper"]()
    guided = sum_attributions(network, [x], guided=True, absolute=True)
    plain = sum_attributions(network, [x], guided=False, absolute=True)
    assert np.abs(guided - plain).max() > 0.1 * plain.max()


def test_unit_that_nothing_reaches(x):
    """Every weight above the hidden layer is negative: the clip leaves nothing."""
    network = CHAINS["paper"]()
    with torch.no_grad():
        network[2].weight[3] = -network[2].weight[3].abs()
    found = sum_attributions(network, [x], guided=True, absolute=True)
    assert (found[3] == 0).all()
    assert (found[[0, 1, 2, 4]] > 0).any(1).all()


@pytest.mark.parametrize("name", ["paper", "one_linear", "layer_norm"])
@pytest.mark.parametrize("guided", [True, False], ids=["guided", "saliency"])
def test_batches_add_up(name, guided, x):
    network = NETWORKS[name]()
    whole = sum_attributions(network, [x], guided=guided, absolute=True)
    parts = sum_attributions(network, x.split([1, 7, 8, 127, 7]), guided=guided, absolute=True)
    check_same(parts, whole, relative=1e-6)


@pytest.mark.parametrize("n_genes", [1, 7, 511, 513, 1100])
@pytest.mark.parametrize("n_hidden", [1, 3, 128])
def test_sizes_that_fit_no_block(n_genes, n_hidden, by_hooks):
    network = stack(linear(n_genes, n_hidden), nn.Softplus(), linear(n_hidden, 2), nn.Softplus())
    cells = torch.randn(13, n_genes)
    found = sum_attributions(network, [cells], guided=True, absolute=True)
    np.testing.assert_allclose(found, by_hooks(network, cells, guided=True), rtol=1e-4, atol=1e-6)


def test_threads_make_no_difference():
    """Genes are shared out in blocks, so that there are three of them here."""
    network = stack(linear(1100, 12), nn.Softplus(), linear(12), nn.Softplus())
    cells, found = torch.randn(20, 1100), {}
    before = torch.get_num_threads()
    for n_threads in (1, 2):
        torch.set_num_threads(n_threads)
        found[n_threads] = sum_attributions(network, [cells], guided=True, absolute=True)
    torch.set_num_threads(before)
    np.testing.assert_array_equal(found[1], found[2])


def test_network_is_left_as_it_was(x):
    for name in ("paper", "layer_norm"):
        network = NETWORKS[name]()
        before = {key: value.clone() for key, value in network.state_dict().items()}
        sum_attributions(network, [x], guided=True, absolute=True)
        assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())
        assert all(p.grad is None and p.requires_grad for p in network.parameters())
        assert not any(m._backward_pre_hooks for m in network.modules())


def test_no_cells():
    with pytest.raises(ValueError, match="no cells to attribute"):
        sum_attributions(CHAINS["paper"](), [], guided=True, absolute=True)


@pytest.mark.parametrize("absolute", [True, False], ids=["absolute", "signed"])
@pytest.mark.parametrize("norm", [nn.Identity, lambda: nn.LayerNorm(32)], ids=["chain", "other"])
def test_nothing_of_size_cells_x_genes_x_units(norm, absolute):
    """No allocation, of NumPy or torch, is near the cube that autograd would make at once."""
    n_genes, n_units, batch = 400, 32, 80
    network = stack(linear(n_genes, 32), norm(), nn.Softplus(), linear(32, n_units), nn.Softplus())
    cells = torch.randn(5 * batch, n_genes)
    cube = 4 * cells.numel() * n_units
    sum_attributions(network, cells[:2].split(1), guided=True, absolute=absolute)  # compiles

    tracemalloc.start()
    with torch.profiler.profile(profile_memory=True) as profile:
        sum_attributions(network, cells.split(batch), guided=True, absolute=absolute)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    largest = max(event.self_cpu_memory_usage for event in profile.events())
    assert 0 < largest < cube / 100
    assert peak < cube / 50
