"""Every method on both sides of every kind of network, against captum and autograd."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from captum.attr import (
    DeepLift,
    GuidedBackprop,
    InputXGradient,
    IntegratedGradients,
    Saliency,
)
from torch import nn

from pellucid.attribution import Attributor, sum_attributions

N_GENES, N_UNITS, N_COVARIATES, N_CELLS = 14, 3, 2, 9
ACTIVATIONS = {"relu": nn.ReLU, "softplus": nn.Softplus, "elu": nn.ELU}
METHODS = ("saliency", "grad_x_input", "integrated_gradients", "deep_lift")


def network(*layers: nn.Module) -> nn.Sequential:
    """In evaluation and float64, its weights large enough for slopes to differ."""
    torch.manual_seed(0)
    for layer in layers:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.5)
            nn.init.normal_(layer.bias, std=0.5)
        elif isinstance(layer, nn.BatchNorm1d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
            nn.init.uniform_(layer.weight, -2, 2)
    return nn.Sequential(*layers).eval().double()


def encoder(activation, *norm: nn.Module, last: bool = False) -> nn.Sequential:
    return network(
        nn.Linear(N_GENES + N_COVARIATES, 8), *norm, activation(), nn.Linear(8, 6),
        activation(), nn.Linear(6, N_UNITS), *([activation()] if last else []),
    )  # fmt: skip


def decoder(activation, *norm: nn.Module, last: bool = False) -> nn.Sequential:
    return network(
        nn.Linear(N_UNITS + N_COVARIATES, 6), activation(), nn.Linear(6, 8), *norm, activation(),
        nn.Linear(8, N_GENES), *([activation()] if last else []),
    )  # fmt: skip


# Networks by side; a normalised layer of 8 units is no chain where the norm is by layer.
NETWORKS = {
    "encoder": ("encoder", lambda activation: encoder(activation)),
    "encoder_ending_in_activation": ("encoder", lambda activation: encoder(activation, last=True)),
    "encoder_with_layer_norm": (
        "encoder",
        lambda activation: encoder(activation, nn.LayerNorm(8)),
    ),
    "decoder": ("decoder", lambda activation: decoder(activation)),
    "decoder_ending_in_activation": ("decoder", lambda activation: decoder(activation, last=True)),
    "decoder_with_batch_norm": (
        "decoder",
        lambda activation: decoder(activation, nn.BatchNorm1d(8)),
    ),
    "decoder_with_layer_norm": (
        "decoder",
        lambda activation: decoder(activation, nn.LayerNorm(8)),
    ),
}


def read_by(side: str) -> tuple[torch.Tensor, int]:
    """What a network of a side reads, and how much of that is attributed."""
    n_read = N_GENES if side == "encoder" else N_UNITS
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(N_CELLS, n_read + N_COVARIATES, generator=generator, dtype=torch.float64)
    return x, n_read


def captums(net: nn.Module, method: str, side: str) -> np.ndarray:
    """Attributions by captum, one output at a time; units x cells x genes."""
    x, n_read = read_by(side)
    start = x.clone()
    start[:, :n_read] = 0
    found = []
    for target in range(N_UNITS if side == "encoder" else N_GENES):
        cells = x.clone().requires_grad_()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            if method == "saliency":
                values = Saliency(net).attribute(cells, target, abs=False)
            elif method == "guided_backprop":
                values = GuidedBackprop(net).attribute(cells, target)
            elif method == "grad_x_input":
                values = InputXGradient(net).attribute(cells, target)
            elif method == "integrated_gradients":
                values = IntegratedGradients(net).attribute(cells, start, target)
            else:
                values = DeepLift(net).attribute(cells, start, target)
        found.append(values.detach()[:, :n_read].numpy())
    each = np.stack(found)
    return each if side == "encoder" else each.transpose(2, 1, 0)


def ours(net: nn.Module, method: str, side: str) -> np.ndarray:
    """Attributions in each cell; units x cells x genes."""
    x, n_read = read_by(side)
    attributor = Attributor(net, method, side, n_read)
    cells = [sum_attributions(attributor, [cell], absolute=False) for cell in x.split(1)]
    return np.stack(cells, axis=1)


def check_close(found: np.ndarray, expected: np.ndarray, tolerance: float = 1e-10) -> None:
    assert found.shape == expected.shape
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", NETWORKS)
def test_same_as_captum(name, method, activation):
    side, build = NETWORKS[name]
    net = build(ACTIVATIONS[activation])
    # captum's nodes are in float32, whatever the network is in.
    tolerance = 1e-6 if method == "integrated_gradients" else 1e-10
    check_close(ours(net, method, side), captums(net, method, side), tolerance)


@pytest.mark.parametrize("name", NETWORKS)
def test_guided_backprop_is_captums_on_relu(name):
    side, build = NETWORKS[name]
    net = build(nn.ReLU)
    check_close(ours(net, "guided_backprop", side), captums(net, "guided_backprop", side))
    assert not np.allclose(ours(net, "guided_backprop", side), ours(net, "saliency", side))


GUIDED_DECODERS = {
    "one_activation": lambda: network(nn.Linear(5, 8), nn.Softplus(), nn.Linear(8, N_GENES)),
    "one_activation_and_one_at_the_end": lambda: network(
        nn.Linear(5, 8), nn.ELU(), nn.Linear(8, N_GENES), nn.Softplus()
    ),
    "norm_above_the_activation": lambda: network(
        nn.Linear(5, 8), nn.Softplus(), nn.BatchNorm1d(8), nn.Linear(8, N_GENES)
    ),
    "norm_at_the_end": lambda: network(
        nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, N_GENES), nn.BatchNorm1d(N_GENES)
    ),
    "falling_at_the_end": lambda: network(
        nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, N_GENES), nn.SiLU()
    ),
    "norm_and_activation_at_the_end": lambda: network(
        nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, N_GENES), nn.Tanh(), nn.BatchNorm1d(N_GENES)
    ),
    "two_activations": lambda: decoder(nn.Softplus),
    "two_linear": lambda: network(
        nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 8), nn.Linear(8, N_GENES)
    ),
    "linear": lambda: network(nn.Linear(5, N_GENES)),
    "linear_and_norm": lambda: network(nn.Linear(5, N_GENES), nn.BatchNorm1d(N_GENES)),
}


@pytest.mark.parametrize("name", GUIDED_DECODERS)
def test_guided_decoders_are_hooks_on_autograd(name):
    """Whether the clip can be one of the last weight, or is taken from each gene."""
    net = GUIDED_DECODERS[name]()
    x, n_read = read_by("decoder")

    def clip(module, inputs, output):
        output.register_hook(lambda gradient: gradient.clamp(min=0))

    plain = (nn.Linear, nn.BatchNorm1d)
    hooks = [layer.register_forward_hook(clip) for layer in net if not isinstance(layer, plain)]
    cells = x.clone().requires_grad_()
    genes = net(cells)
    expected = np.stack(
        [
            torch.autograd.grad(genes[:, gene].sum(), cells, retain_graph=True)[0].numpy()
            for gene in range(N_GENES)
        ]
    ).transpose(2, 1, 0)[:n_read]
    for hook in hooks:
        hook.remove()
    check_close(ours(net, "guided_backprop", "decoder"), expected)


@pytest.mark.parametrize("name", ["encoder", "decoder_ending_in_activation", "decoder"])
@pytest.mark.parametrize("method", [*METHODS, "guided_backprop", "gradient_shap"])
def test_chain_and_autograd_agree(name, method, monkeypatch):
    side, build = NETWORKS[name]
    net = build(nn.Softplus)
    x, n_read = read_by(side)
    attributor = Attributor(net, method, side, n_read, background=x.flip(0))
    found = [sum_attributions(attributor, [x], absolute=True)]
    if method == "deep_lift":
        monkeypatch.setattr("pellucid.attribution._chain._TINY", 0.0)
    monkeypatch.setattr("pellucid.attribution._attributor.as_chain", lambda network: None)
    found.append(sum_attributions(attributor, [x], absolute=True))
    check_close(*found)


# captum's DeepLIFT takes the gradient of a layer norm, for which nothing adds up.
@pytest.mark.parametrize(
    ("name", "method"),
    [(name, "integrated_gradients") for name in NETWORKS]
    + [(name, "deep_lift") for name in NETWORKS if not name.endswith("layer_norm")],
)
def test_attributions_add_up(name, method):
    """Completeness: to f(x) - f(b), covariates held where they are."""
    side, build = NETWORKS[name]
    net = build(nn.Softplus)
    x, n_read = read_by(side)
    start = x.clone()
    start[:, :n_read] = 0
    with torch.no_grad():
        rise = (net(x) - net(start)).numpy()
    each = ours(net, method, side)
    total = each.sum(axis=2).T if side == "encoder" else each.sum(axis=0)
    np.testing.assert_allclose(total, rise, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("method", [*METHODS, "guided_backprop", "gradient_shap"])
@pytest.mark.parametrize("name", NETWORKS)
def test_cells_in_chunks_and_units_apart(name, method, monkeypatch):
    """Whatever cells are read at once, and whichever units; also of more points than are held."""
    side, build = NETWORKS[name]
    net = build(nn.ReLU)
    x, n_read = read_by(side)
    attributor = Attributor(net, method, side, n_read, background=x)
    whole = sum_attributions(attributor, [x], absolute=True)
    monkeypatch.setattr("pellucid.attribution._path._POINTS", 100)
    monkeypatch.setattr("pellucid.attribution._through_chain._CUBE", 100)
    monkeypatch.setattr("pellucid.attribution._by_gene._GENES", 4)
    check_close(sum_attributions(attributor, x.split([1, 5, 3]), absolute=True), whole)
    last = sum(each.dense().abs().sum(0) for each in attributor(x.split(4), [N_UNITS - 1]))
    check_close(last.detach().numpy(), whole[-1])


@pytest.mark.parametrize("name", ["encoder", "decoder", "decoder_ending_in_activation"])
@pytest.mark.parametrize("method", [*METHODS, "guided_backprop"])
def test_float32_is_close(name, method):
    side, build = NETWORKS[name]
    net = build(nn.Softplus)
    expected = ours(net, method, side)
    x, n_read = read_by(side)
    attributor = Attributor(net.float(), method, side, n_read)
    found = sum_attributions(attributor, [x.float()], absolute=True)
    check_close(found, np.abs(expected).sum(axis=1), 1e-5)


def test_secants_of_nearby_points_are_slopes():
    """In float32 the difference of neighbours is rounding, but their secant is not."""
    net = network(nn.Linear(3, 8), nn.Softplus(), nn.Linear(8, N_GENES)).float()
    x = 10.0 ** -torch.arange(1.0, 9.0)[:, None] * torch.ones(1, 3)
    for cell in x.split(1):
        lift = sum_attributions(Attributor(net, "deep_lift", "decoder", 3), [cell], absolute=False)
        plain = Attributor(net, "grad_x_input", "decoder", 3)
        expected = sum_attributions(plain, [cell / 2], absolute=False) * 2
        check = np.abs(lift - expected).max() / np.abs(expected).max()
        assert check < 1e-5 + float(cell.max()) ** 2


def test_gradient_shap_converges_to_its_expectation():
    """Mean over baselines and points between of the gradient times the way."""
    net = encoder(nn.Softplus)
    x, n_read = read_by("encoder")
    background = x.flip(0)[:4]
    cell = x[:1]
    nodes, weights = np.polynomial.legendre.leggauss(20)
    expected = 0
    for start in background:
        start = torch.cat([start[:n_read], cell[0, n_read:]])
        for node, weight in zip(nodes, weights, strict=True):
            point = (start + (node + 1) / 2 * (cell - start)).requires_grad_()
            units = net(point)[0]
            each = [torch.autograd.grad(unit, point, retain_graph=True)[0] for unit in units]
            expected = expected + torch.cat(each) * (cell - start) * weight / 8
    attributor = Attributor(net, "gradient_shap", "encoder", n_read, background=background)
    found = sum_attributions(attributor, [cell.repeat(4000, 1)], absolute=False) / 4000
    check_close(found, expected[:, :n_read].detach().numpy(), 0.02)


def test_gradient_shap_is_repeatable():
    net = decoder(nn.ReLU)
    x, n_read = read_by("decoder")
    found = [
        sum_attributions(
            Attributor(net, "gradient_shap", "decoder", n_read, background=x, random_state=seed),
            [x],
            absolute=True,
        )
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.allclose(found[0], found[2])
    attributor = Attributor(net, "gradient_shap", "decoder", n_read)
    with pytest.raises(ValueError, match="draws its baselines from background"):
        sum_attributions(attributor, [x], absolute=True)


def test_decoder_is_read_forwards(monkeypatch):
    """As many passes as units, and not as genes."""
    from pellucid.attribution import _autograd, _through_autograd

    calls = []
    derivatives = _autograd.derivatives
    monkeypatch.setattr(
        _through_autograd,
        "derivatives",
        lambda network, x, inputs: calls.extend(inputs) or derivatives(network, x, inputs),
    )
    net = NETWORKS["decoder_with_layer_norm"][1](nn.ReLU)
    x, n_read = read_by("decoder")
    sum_attributions(Attributor(net, "saliency", "decoder", n_read), [x], absolute=True)
    assert calls == [0, 1, 2]
