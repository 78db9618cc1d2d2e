from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from pellucid.module import OrthogonalAEModule
from pellucid.module._nn import fully_connected

COUNTS = torch.tensor([[4.0, 0, 6, 10, 0], [0, 1, 0, 0, 1], [0, 0, 0, 0, 0]])


def build(**kwargs) -> OrthogonalAEModule:
    torch.manual_seed(0)
    defaults = {
        "n_hidden": 8,
        "n_latent": 3,
        "n_layers": 1,
        "input_type": "library_scaled",
        "reference_library": 10.0,
        "orthogonality_weight": 0.05,
        "l1_weight": 0.0,
        "dropout_rate": 0.0,
        "softplus_beta": 1.0,
    }
    return OrthogonalAEModule(5, **{**defaults, **kwargs})


@pytest.mark.parametrize("n_layers", [0, 1, 3])
def test_shapes(n_layers):
    module = build(n_layers=n_layers)
    inferred, generated, output = module({"X": COUNTS})
    assert inferred["z"].shape == (3, 3)
    assert generated["mean"].shape == (3, 5)
    assert output.loss.shape == ()
    assert output.n_obs_minibatch == 3
    assert len(module.encoder) == len(module.decoder) == 2 * (n_layers + 1)
    assert module.code_weight is module.encoder[-2].weight
    assert module.code_weight.shape == (3, 8 if n_layers else 5)


def test_fully_connected():
    torch.manual_seed(0)
    network = fully_connected([400, 300, 200], nn.ReLU, bias=0.01)
    assert [type(layer) for layer in network] == [nn.Linear, nn.ReLU, nn.Linear, nn.ReLU]
    for layer in network[::2]:
        fans = layer.in_features + layer.out_features
        assert layer.weight.std().item() == pytest.approx((2 / fans) ** 0.5, rel=0.01)
        assert layer.weight.mean().item() == pytest.approx(0, abs=1e-3)
        assert (layer.bias == 0.01).all()
    assert network[1] is not network[3]


def test_library_scaled_input():
    module = build()
    np.testing.assert_allclose(module.library(COUNTS).numpy(), [[2.0], [0.2], [0.1]])
    expected = np.log1p([[2, 0, 3, 5, 0], [0, 5, 0, 0, 5], [0, 0, 0, 0, 0]])
    np.testing.assert_allclose(module.encoder_input(COUNTS).numpy(), expected, rtol=1e-6)


def test_library_scaled_rate():
    inferred, generated, _ = build()({"X": COUNTS})
    library = torch.tensor([[2.0], [0.2], [0.1]])
    torch.testing.assert_close(inferred["library"], library)
    torch.testing.assert_close(generated["mean"], generated["scale"] * library)


@pytest.mark.parametrize("input_type", ["counts", "log"])
def test_other_inputs_are_read_as_they_are(input_type):
    module = build(input_type=input_type)
    torch.testing.assert_close(module.encoder_input(COUNTS), COUNTS)
    torch.testing.assert_close(module.library(COUNTS), torch.ones(3, 1))


def test_reconstruction_loss_is_least_at_the_data():
    module = build()
    at_data = module.reconstruction_loss(COUNTS, COUNTS)
    assert (at_data < module.reconstruction_loss(COUNTS, COUNTS + 0.5)).all()
    assert torch.isfinite(module.reconstruction_loss(COUNTS, torch.zeros_like(COUNTS))).all()


def test_orthogonality_penalty():
    module = build(n_hidden=8)
    with torch.no_grad():
        module.code_weight.copy_(torch.linalg.qr(torch.randn(8, 3)).Q.T)
    assert module.orthogonality_penalty().item() == pytest.approx(0, abs=1e-6)
    with torch.no_grad():
        module.code_weight.mul_(2)  # W W' = 4 I
    assert module.orthogonality_penalty().item() == pytest.approx(3 * 3**0.5, rel=1e-6)


def test_penalty_at_its_minimum_has_a_gradient():
    """The norm is not differentiable there; NaN would end the training."""
    module = build(n_hidden=4, n_latent=4)
    with torch.no_grad():
        module.code_weight.copy_(torch.eye(4))
    module.orthogonality_penalty().backward()
    assert (module.code_weight.grad == 0).all()


def test_saved_with_its_reference_library():
    other = build(reference_library=77.0)
    other.load_state_dict(build().state_dict())
    assert other.reference_library.item() == 10.0


def test_dropout_is_of_the_encoders_input():
    module = build(dropout_rate=0.5)
    seen = []
    module.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    read = module.encoder_input(COUNTS)
    module.eval()({"X": COUNTS})
    module.train()({"X": COUNTS})
    torch.testing.assert_close(seen[0], read)
    dropped = (seen[1] == 0) & (read > 0)
    assert dropped.any()
    torch.testing.assert_close(seen[1][~dropped], 2 * read[~dropped])
