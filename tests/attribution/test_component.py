"""First principal components of attributions that are never held, against scikit-learn."""

from __future__ import annotations

import logging
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import nn

from pellucid.attribution import Attributor, first_components
from pellucid.attribution._krylov import top_eigenvectors

N_GENES, N_UNITS, N_CELLS = 40, 3, 120
METHODS = (
    "saliency",
    "guided_backprop",
    "grad_x_input",
    "integrated_gradients",
    "deep_lift",
    "gradient_shap",
)


def stack(*sizes: int, activation: type[nn.Module] = nn.Softplus, last: bool = False):
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), activation()]
        nn.init.normal_(layers[-2].weight, std=0.5)
    return nn.Sequential(*layers if last else layers[:-1]).eval()


NETWORKS = {
    "encoder": ("encoder", lambda: stack(N_GENES, 12, 8, N_UNITS)),
    "decoder": ("decoder", lambda: stack(N_UNITS, 8, 12, N_GENES)),
    "relu_decoder": ("decoder", lambda: stack(N_UNITS, 8, 12, N_GENES, activation=nn.ReLU)),
    "decoder_ending_in_activation": ("decoder", lambda: stack(N_UNITS, 12, N_GENES, last=True)),
}


def attributor_of(name: str, method: str) -> tuple[Attributor, torch.Tensor]:
    side, build = NETWORKS[name]
    n_read = N_GENES if side == "encoder" else N_UNITS
    generator = torch.Generator().manual_seed(1)
    # Cells of two kinds, so that attributions vary more along one direction than along others.
    kind = (torch.arange(N_CELLS) % 2)[:, None] * 3
    x = 0.5 * torch.randn(N_CELLS, n_read, generator=generator)
    x += kind * torch.randn(n_read, generator=generator)
    return Attributor(build(), method, side, n_read, background=x[:20]), x


def cube(attributor: Attributor, x: torch.Tensor) -> np.ndarray:
    """Units x cells x genes."""
    found: dict[int, list[np.ndarray]] = {}
    for each in attributor([x], range(N_UNITS)):
        found.setdefault(each.unit, []).append(each.dense().detach().double().numpy())
    return np.stack([np.concatenate(found[unit]) for unit in range(N_UNITS)])


def by_sklearn(attributions: np.ndarray) -> np.ndarray:
    return np.stack([PCA(1, svd_solver="full").fit(each).components_[0] for each in attributions])


WAYS = {
    "one_pass": {},
    "a_pass_for_each_unit": {"_HELD": 1},
    "a_pass_for_each_product": {"_HELD": 1, "_WIDTH": 1},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", NETWORKS)
def test_same_as_sklearn(name, method, way, monkeypatch):
    for constant, value in WAYS[way].items():
        monkeypatch.setattr(f"pellucid.attribution._component.{constant}", value)
    attributor, x = attributor_of(name, method)
    if way == "a_pass_for_each_product" and method == "gradient_shap":
        monkeypatch.setattr("pellucid.attribution._path._POINTS", 100)
    attributions = cube(attributor, x)
    found = first_components(attributor, lambda: x.split(17))
    assert found.shape == (N_UNITS, N_GENES)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-6)
    expected = by_sklearn(attributions)
    expected *= np.sign((expected * found).sum(1, keepdims=True))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)

    multiplied = method not in ("saliency", "guided_backprop")
    if multiplied and method != "gradient_shap":
        sign = x.sign().numpy()
        towards = attributions * (sign if attributor.side == "encoder" else sign.T[:, :, None])
    elif multiplied:
        return
    else:
        towards = attributions
    assert ((towards.mean(axis=1) * found).sum(axis=1) > 0).all()


def test_mean_that_dwarfs_the_variance():
    """The digits of float32 are kept."""
    attributor, x = attributor_of("decoder", "saliency")
    x = 0.02 * x
    attributions = cube(attributor, x)
    spread = attributions.std(axis=1).max() / np.abs(attributions.mean(axis=1)).max()
    assert spread < 0.05
    found = first_components(attributor, lambda: x.split(17))
    expected = by_sklearn(attributions)
    expected *= np.sign((expected * found).sum(1, keepdims=True))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("method", ["saliency", "guided_backprop"])
@pytest.mark.parametrize("side", ["encoder", "decoder"])
@pytest.mark.parametrize("n_hidden", [(), (7,)])
def test_constant_attributions_have_the_direction_of_their_mean(
    side, method, way, n_hidden, monkeypatch
):
    for constant, value in WAYS[way].items():
        monkeypatch.setattr(f"pellucid.attribution._component.{constant}", value)
    sizes = (N_GENES, *n_hidden, N_UNITS)
    net = stack(*(sizes if side == "encoder" else sizes[::-1]), activation=nn.Identity)
    x = torch.randn(30, sizes[0] if side == "encoder" else N_UNITS)
    attributor = Attributor(net, method, side, x.shape[1])
    mean = cube(attributor, x).mean(axis=1)
    found = first_components(attributor, lambda: x.split(7))
    np.testing.assert_allclose(
        found, mean / np.linalg.norm(mean, axis=1, keepdims=True), atol=1e-5
    )


@pytest.mark.parametrize("method", ["grad_x_input", "integrated_gradients", "deep_lift"])
def test_linear_decoder_times_units_has_its_weights(method):
    net = stack(N_UNITS, N_GENES)
    x = torch.randn(50, N_UNITS)
    found = first_components(Attributor(net, method, "decoder", N_UNITS), lambda: [x])
    weights = net[0].weight.detach().numpy().T
    np.testing.assert_allclose(
        found, weights / np.linalg.norm(weights, axis=1, keepdims=True), atol=1e-5
    )


def test_one_cell_and_a_unit_that_moves_nothing():
    net = stack(N_UNITS, 8, N_GENES)
    with torch.no_grad():
        net[0].weight[:, 1] = 0
    attributor = Attributor(net, "saliency", "decoder", N_UNITS)
    for cells in (torch.randn(1, N_UNITS), torch.randn(20, N_UNITS)):
        found = first_components(attributor, lambda cells=cells: [cells])
        assert (found[1] == 0).all()
        np.testing.assert_allclose(np.linalg.norm(found[[0, 2]], axis=1), 1, rtol=1e-6)


def test_nothing_of_size_cells_x_genes_x_units():
    n_genes, n_units, n_cells = 300, 12, 900
    net = stack(n_genes, 8, n_units)
    x = torch.randn(n_cells, n_genes)
    attributor = Attributor(net, "grad_x_input", "encoder", n_genes)
    for held in (1 << 26, 1):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("pellucid.attribution._component._HELD", held)
            patch.setattr("pellucid.attribution._component._WIDTH", 1)
            tracemalloc.start()
            first_components(attributor, lambda: x.split(20))
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        # Covariances of genes of every unit, or bases of 32 columns.
        limit = n_units * n_genes * 8 * (2.5 * n_genes if held > 1 else 150)
        assert peak < limit
        if held == 1:
            assert peak < 4 * n_cells * n_genes * n_units


@pytest.mark.parametrize("size", [1, 2, 3, 40])
def test_eigenvectors_of_small_and_close_spectra(size):
    rng = np.random.default_rng(0)
    matrices = {}
    for unit, values in enumerate((np.arange(size) + 1.0, 1 - 0.01 * np.arange(size))):
        turn = np.linalg.qr(rng.normal(size=(size, size)))[0]
        matrices[unit] = turn @ np.diag(values) @ turn.T
    matrices[2] = np.zeros((size, size))

    def multiply(columns):
        return {unit: matrices[unit] @ x for unit, x in columns.items()}

    found = top_eigenvectors(multiply, matrices, size, max_products=500)
    for unit, matrix in matrices.items():
        values, vectors = np.linalg.eigh(matrix)
        value, vector = found[unit]
        np.testing.assert_allclose(value, values[-1], rtol=1e-9, atol=1e-12)
        if unit < 2:
            assert abs(vector @ vectors[:, -1]) > 1 - 1e-6


def test_search_that_does_not_end_warns(caplog):
    values = 1 - 1e-4 * np.arange(200.0)
    with caplog.at_level(logging.WARNING, logger="pellucid"):
        top_eigenvectors(
            lambda columns: {unit: values[:, None] * x for unit, x in columns.items()},
            [0],
            200,
            max_products=3,
        )
    assert "1 principal components of attributions are approximate" in caplog.text
