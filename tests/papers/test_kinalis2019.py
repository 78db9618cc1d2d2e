"""Kinalis et al. 2019: the network, equation 1 and guided saliency, against independent code."""

from __future__ import annotations

import numpy as np
import pytest
import scanpy as sc
import torch
from captum.attr import GuidedBackprop, Saliency
from scipy.special import gammaln
from scipy.stats import poisson
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score
from torch import nn

import pellucid as pld
from pellucid.attribution import Attributor, sum_attributions
from pellucid.model import OrthogonalAE


@pytest.fixture
def counts():
    """40 cells of the bundled data, 120 genes."""
    adata = pld.datasets.pbmc68k_reduced()[:40, :120].copy()
    OrthogonalAE.setup_anndata(adata)
    return adata


@pytest.fixture
def model(counts) -> OrthogonalAE:
    """The paper's network, untrained."""
    torch.manual_seed(0)
    return OrthogonalAE(counts, **OrthogonalAE.preset("kinalis2019").model_kwargs)


def test_network(model):
    """G-128-64-128-G, SoftPlus after every layer; Xavier weights, small constant biases."""
    layers = [*model.module.encoder, *model.module.decoder]
    linear, activations = layers[::2], layers[1::2]
    assert [tuple(layer.weight.shape) for layer in linear] == [
        (128, 120),
        (64, 128),
        (128, 64),
        (120, 128),
    ]
    assert all(isinstance(layer, nn.Softplus) and layer.beta == 1 for layer in activations)
    for layer in linear:
        xavier = np.sqrt(2 / sum(layer.weight.shape))
        assert layer.weight.std().item() == pytest.approx(xavier, rel=0.05)
        assert layer.bias.unique().numel() == 1
        assert 0 < layer.bias[0] < 0.1


def test_equation_1(model, counts):
    x = torch.from_numpy(counts.X.toarray())
    _, generated, output = model.module.train()({"X": x})
    rate = generated["mean"].detach().numpy().astype(float)
    observed = x.numpy().astype(float)
    by_scipy = -(poisson.logpmf(observed, rate) + gammaln(observed + 1)).mean()
    weight = model.module.encoder[2].weight.detach().numpy().astype(float)
    residual = np.eye(64) - weight @ weight.T
    by_hand = by_scipy + 0.05 * np.sqrt((residual**2).sum())
    assert output.loss.item() == pytest.approx(by_hand, rel=1e-5)


def test_equation_1_by_hand(model, counts):
    """From the weights to the loss, in NumPy; the data and the reconstruction as they are due."""
    arrays = [p.detach().numpy().astype(float) for p in model.module.parameters()]
    x = counts.X.toarray().astype(float)
    y = x
    for weight, bias in zip(arrays[::2], arrays[1::2], strict=True):
        y = np.log1p(np.exp(y @ weight.T + bias))
    constraint = np.eye(64) - arrays[2] @ arrays[2].T
    penalty = 0.05 * np.sqrt(np.trace(constraint @ constraint.T))
    by_hand = np.mean(y - x * np.log(y + 1e-8)) + penalty
    as_printed = np.mean(x - y * np.log(x + 1e-8)) + penalty
    loss = model.module({"X": torch.from_numpy(counts.X.toarray())})[2].loss.item()
    assert loss == pytest.approx(by_hand, rel=1e-5)
    assert abs(loss - as_printed) > 0.1


def test_constraint_has_its_gradient(model, counts):
    """Of the loss by W: the fit's, and lambda 2 (W W' - I) W / ||I - W W'||."""

    def gradient(weight_of_constraint: float) -> np.ndarray:
        model.module.zero_grad()
        model.module.orthogonality_weight = weight_of_constraint
        model.module({"X": torch.from_numpy(counts.X.toarray())})[2].loss.backward()
        return model.module.encoder[2].weight.grad.numpy().copy()

    w = model.module.encoder[2].weight.detach().numpy().astype(float)
    residual = w @ w.T - np.eye(64)
    expected = 0.05 * 2 * residual @ w / np.linalg.norm(residual)
    np.testing.assert_allclose(gradient(0.05) - gradient(0.0), expected, atol=1e-6)
    assert np.abs(expected).max() > 1e-3


def test_constraint_pulls(model, counts):
    """In a public copy of the authors' program the penalty carries no gradient."""
    model.module.orthogonality_penalty().backward()
    assert model.module.encoder[2].weight.grad.abs().max() > 0.01
    before = model.module.orthogonality_penalty().item()
    model.train(
        max_epochs=40,
        batch_size=1,
        train_size=0.8,
        early_stopping=False,
        plan_kwargs={"lr": 1e-2},
        enable_progress_bar=False,
    )
    assert model.module.orthogonality_penalty().item() < 0.1 * before


def test_norm_of_singular_values_is_the_frobenius_norm(model):
    """Why `tl.orthogonality` reports the norm without a decomposition."""
    code = model.get_latent_representation()
    singular = np.linalg.svd(code, compute_uv=False)
    assert np.linalg.norm(singular) == pytest.approx(np.linalg.norm(code), rel=1e-5)


def test_preset_is_one_cell_a_step_and_stops_after_ten_epochs():
    train = OrthogonalAE.preset("kinalis2019").train_kwargs
    assert train["batch_size"] == 1
    assert train["early_stopping_patience"] == 10
    assert train["plan_kwargs"]["optimizer"] == "SGD"


def test_stops_ten_epochs_after_the_best(model):
    train = OrthogonalAE.preset("kinalis2019").train_kwargs
    train["plan_kwargs"]["lr"] = 1e-2
    with pld.train.seeded(0):
        model.train(**train, accelerator="cpu", enable_progress_bar=False)
    loss = model.history["reconstruction_loss_validation"].iloc[:, 0].to_numpy(float)
    assert len(loss) < train["max_epochs"]
    assert len(loss) == loss.argmin() + 1 + 10


def test_sharpness_of_softplus(counts):
    """The authors' program passes a layer's width, which makes it all but a ReLU."""
    x = torch.linspace(-2, 2, 401)
    for beta, largest in ((1.0, np.log(2)), (128.0, np.log(2) / 128)):
        module = OrthogonalAE(counts, softplus_beta=beta).module
        distance = (module.encoder[1](x) - torch.relu(x)).abs().max().item()
        assert distance == pytest.approx(largest, rel=1e-4)
    assert OrthogonalAE(counts).module.encoder[1].beta == 1


def guided_by_hooks(network: nn.Sequential, x: torch.Tensor) -> np.ndarray:
    """Mean |guided saliency|, units x genes, by clipping hooks on plain autograd."""
    handles = [
        layer.register_full_backward_pre_hook(lambda _, g: (torch.relu(g[0]),))
        for layer in network
        if isinstance(layer, nn.Softplus | nn.ReLU)
    ]
    rows = []
    for unit in range(network(x).shape[1]):
        inputs = x.clone().requires_grad_()
        network(inputs)[:, unit].sum().backward()
        rows.append(inputs.grad.abs().mean(0).numpy())
    for handle in handles:
        handle.remove()
    return np.stack(rows)


def paper_network(activation: type[nn.Module]) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(120, 128), activation(), nn.Linear(128, 64), activation())


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def ours(network: nn.Sequential, x: torch.Tensor, *, guided: bool) -> np.ndarray:
    method = "guided_backprop" if guided else "saliency"
    attributor = Attributor(network, method, "encoder", n_read=x.shape[1])
    return sum_attributions(attributor, [x], absolute=True) / len(x)


@pytest.mark.parametrize("activation", [nn.Softplus, nn.ReLU])
def test_guided_saliency_is_what_hooks_give(counts, activation):
    network, x = paper_network(activation), torch.from_numpy(counts.X.toarray())
    expected = guided_by_hooks(network, x)
    assert relative_error(ours(network, x, guided=True), expected) < 1e-5
    plain = ours(network, x, guided=False)
    assert relative_error(plain, expected) > 0.1


def captums(method, x: torch.Tensor, units: range) -> np.ndarray:
    rows = [method.attribute(x.clone().requires_grad_(), target=unit) for unit in units]
    return np.stack([row.detach().abs().mean(0).numpy() for row in rows])


@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU")
def test_guided_saliency_is_captums_on_relu(counts):
    network, x = paper_network(nn.ReLU), torch.from_numpy(counts.X.toarray())
    expected = captums(GuidedBackprop(network), x, range(64))
    assert relative_error(ours(network, x, guided=True), expected) < 1e-5


@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU")
def test_captum_does_not_guide_through_softplus(counts):
    """The trap: captum hooks ReLU alone, and on the paper's SoftPlus returns the gradient."""
    network, x = paper_network(nn.Softplus), torch.from_numpy(counts.X.toarray())
    captum = captums(GuidedBackprop(network), x, range(64))
    np.testing.assert_allclose(captum, captums(Saliency(network), x, range(64)), rtol=1e-5)
    assert relative_error(captum, guided_by_hooks(network, x)) > 0.1


def test_attribute_writes_the_papers_algorithm(model, counts):
    """`tl.attribute` on the paper's model: raw counts in, mean |guided saliency| out."""
    model.is_trained_ = True
    model.module.eval()
    pld.tl.attribute(counts, model)
    expected = guided_by_hooks(model.module.encoder, torch.from_numpy(counts.X.toarray()))
    assert relative_error(counts.varm["attribution"].T, expected) < 1e-5


def test_representation_knows_the_cell_types(real_data):
    """K-means on the code agrees with pbmc3k's labels better than on an untrained encoder's."""
    adata = real_data("pbmc3k_labelled")
    sc.pp.filter_genes(adata, min_cells=400)
    labels = adata.obs["cell_type"].astype(str)

    def agreement(matrix) -> float:
        found = KMeans(labels.nunique(), n_init=3, random_state=0).fit_predict(matrix)
        return normalized_mutual_info_score(labels, found)

    OrthogonalAE.setup_anndata(adata)
    with pld.train.seeded(0):
        untrained = OrthogonalAE(adata, n_latent=32)
    untrained.is_trained_ = True
    floor = agreement(untrained.get_latent_representation())
    pld.tl.orthogonal_ae(adata, n_latent=32, max_epochs=15, enable_progress_bar=False)
    assert agreement(adata.obsm["X_orthogonal_ae"]) > floor + 0.1
