"""Equations 3 to 8 of Rybakov et al. 2020 against a generic convex solver and by hand."""

from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest
import torch
from scipy.stats import nbinom

import pellucid as pld
from pellucid.module import AnnotatedAEModule, Covariates
from pellucid.train import ProximalGradient, proximal_step

KINDS = {
    # Thresholds inside the set, outside it and of the group.
    "annotated": (0.0, 0.4, 0.5),
    "annotated, penalised within its set too": (0.15, 0.4, 0.5),
    "sparse": (0.3, 0.3, 0.4),
    "dense": (0.0, 0.0, 0.6),
    "L1 norm alone": (0.2, 0.5, 0.0),
    "group alone, all of it": (0.0, 0.0, 50.0),
    "none": (0.0, 0.0, 0.0),
}


def penalty(v, in_set, inside, outside, group):
    """R of equation 4 for one factor, in cvxpy's terms."""
    each = np.where(in_set, inside, outside)
    return cp.norm1(cp.multiply(each, v)) + group * cp.norm2(v)


def solve(problem) -> None:
    problem.solve(solver=cp.SCS, eps_abs=1e-11, eps_rel=1e-11, max_iters=1_000_000)


def shrink(w, in_set, inside, outside, group, dtype=torch.float64) -> np.ndarray:
    """Our proximal step of factors that share thresholds."""
    loadings = torch.tensor(np.atleast_2d(w), dtype=dtype)
    thresholds = (
        torch.full((len(loadings),), value, dtype=dtype) for value in (inside, outside, group)
    )
    proximal_step(loadings, torch.tensor(np.atleast_2d(in_set)), *thresholds)
    return loadings.numpy()


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    return rng.normal(size=(6, 40)), rng.random((6, 40)) < 0.3


@pytest.mark.parametrize("thresholds", KINDS.values(), ids=KINDS)
def test_proximal_operator_is_the_optimum_of_equation_8(problem, thresholds):
    loadings, in_set = problem
    found = shrink(loadings, in_set, *thresholds)
    for w, member, ours in zip(loadings, in_set, found, strict=True):
        v = cp.Variable(w.size)
        solve(cp.Problem(cp.Minimize(cp.sum_squares(v - w) / 2 + penalty(v, member, *thresholds))))
        np.testing.assert_allclose(ours, v.value, atol=1e-6)


def test_kinds_side_by_side(problem):
    """Each factor has thresholds of its own."""
    loadings, in_set = problem
    kinds = np.array(list(KINDS.values()))[:6]
    whole = torch.tensor(loadings)
    proximal_step(whole, torch.tensor(in_set), *torch.tensor(kinds.T))
    for place, thresholds in enumerate(kinds):
        alone = shrink(loadings[place], in_set[place], *thresholds)
        np.testing.assert_array_equal(whole[place].numpy(), alone[0])


def test_the_other_order_is_not_the_optimum(problem):
    """L1 first, then the group: the two operators do not commute."""
    (w, *_), (member, *_) = problem
    inside, outside, group = KINDS["annotated"]
    ours = shrink(w, member, inside, outside, group)
    other = shrink(shrink(w, member, 0.0, 0.0, group), member[None], inside, outside, 0.0)

    def value(v):
        return ((v - w) ** 2).sum() / 2 + penalty(v[0], member, inside, outside, group).value

    assert value(ours) < value(other) - 1e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("thresholds", KINDS.values(), ids=KINDS)
def test_zeros_are_exact(problem, thresholds, dtype):
    loadings, in_set = problem
    loadings = loadings.copy()
    loadings[2] = 0
    inside, outside, group = thresholds
    found = shrink(loadings, in_set, inside, outside, group, dtype)
    threshold = np.where(in_set, inside, outside)
    expected = np.abs(loadings) <= threshold
    rest = np.linalg.norm(np.maximum(np.abs(loadings) - threshold, 0), axis=1) <= group
    expected |= rest[:, None]
    np.testing.assert_array_equal(found == 0, expected)
    assert (found[2] == 0).all()
    assert (np.sign(found) * np.sign(loadings) >= 0).all()


def test_an_infinite_threshold_shuts_a_factor_within_its_set(problem):
    loadings, in_set = problem
    found = shrink(loadings, in_set, 0.0, np.inf, 0.0)
    np.testing.assert_array_equal(found, np.where(in_set, loadings, 0))


def test_compiled_and_separate_operations_agree(problem):
    """What runs on a GPU, beside what runs here."""
    from pellucid.train import _proximal

    loadings, in_set = problem
    thresholds = torch.tensor(np.array(list(KINDS.values()))[:6].T)
    ours = torch.tensor(loadings)
    proximal_step(ours, torch.tensor(in_set), *thresholds)
    other = torch.tensor(loadings)
    _proximal._shrink_by_operations(other, torch.tensor(in_set), *thresholds)
    torch.testing.assert_close(ours, other, rtol=1e-12, atol=1e-15)
    assert torch.equal(ours == 0, other == 0)


def module(in_set, **kwargs) -> AnnotatedAEModule:
    n_latent, n_genes = in_set.shape
    defaults = {
        "inside_weight": torch.zeros(n_latent),
        "outside_weight": torch.zeros(n_latent),
        "group_weight": torch.zeros(n_latent),
        "score_weight": None,
        "gene_mean": torch.zeros(n_genes),
        "gene_scale": 1.0,
        "reference_library": 1.0,
        "gene_share": torch.full((n_genes,), 1 / n_genes),
        "n_hidden": 8,
        "n_layers": 1,
        "dropout_rate": 0.0,
        "covariates": Covariates([], torch.zeros(0), torch.zeros(0)),
        "n_hidden_covariates": 0,
        "likelihood": "normal",
    }
    torch.manual_seed(0)
    return AnnotatedAEModule(torch.tensor(in_set), **(defaults | kwargs))


@pytest.mark.parametrize("adaptive", [False, True], ids=["equation 7", "adaptive"])
def test_iteration_reaches_the_optimum_of_a_frozen_encoder(adaptive):
    """Equation 3 is convex in W. Both steps come to rest where a convex solver does."""
    rng = np.random.default_rng(1)
    n_cells, n_genes, n_factors = 60, 12, 3
    scores = rng.normal(size=(n_cells, n_factors)) * [0.5, 1.0, 2.0]
    truth = rng.normal(size=(n_factors, n_genes)) * (rng.random((n_factors, n_genes)) < 0.4)
    truth[1] *= 0.05
    cells = scores @ truth + 0.3 * rng.normal(size=(n_cells, n_genes))
    in_set = np.zeros((n_factors, n_genes), dtype=bool)
    in_set[0, :5] = in_set[1, 4:9] = True
    weights = np.array([[0.02, 0.3, 0.2], [0.02, 0.3, 0.4], [0.2, 0.2, 0.2]])

    w = cp.Variable((n_factors, n_genes))
    loss = cp.sum_squares(cells - scores @ w) / n_cells
    solve(
        cp.Problem(
            cp.Minimize(loss + sum(penalty(w[k], in_set[k], *weights[k]) for k in range(3)))
        )
    )

    z, y = torch.tensor(scores), torch.tensor(cells)
    loadings = torch.nn.Parameter(torch.tensor(rng.normal(size=w.shape)))
    frozen = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    inside, outside, group = torch.tensor(weights.T)
    optimizer = ProximalGradient(
        loadings,
        torch.tensor(in_set),
        lambda: (inside, outside, group),
        frozen,
        lr=0.05,
        adaptive=adaptive,
    )
    n_steps = 4000
    for step in range(n_steps):
        if adaptive:  # whose steps do not fall with the gradient
            optimizer.set_lr(0.05 * 0.995**step)
        optimizer.zero_grad()
        (y - z @ loadings).square().sum(1).mean().backward()
        optimizer.step()
    found = loadings.detach().numpy()
    np.testing.assert_allclose(found, w.value, atol=2e-6)
    assert (found[1] == 0).all() == (np.abs(w.value[1]) < 1e-7).all()
    np.testing.assert_array_equal(found == 0, np.abs(w.value) < 1e-7)
    assert 0 < (found == 0).sum() < found.size


def test_loss_is_equation_3():
    rng = np.random.default_rng(0)
    in_set = np.zeros((3, 7), dtype=bool)
    in_set[0, :3] = in_set[1, 2:6] = True
    mean = rng.normal(size=7)
    weights = {
        "inside_weight": torch.tensor([0.1, 0.1, 0.2]),
        "outside_weight": torch.tensor([0.5, 0.5, 0.2]),
        "group_weight": torch.tensor([0.3, 0.4, 0.6]),
    }
    network = module(
        in_set,
        score_weight=0.7,
        gene_mean=torch.tensor(mean, dtype=torch.float32),
        gene_scale=2.0,
        **weights,
    ).eval()
    cells = torch.tensor(rng.normal(size=(5, 7)), dtype=torch.float32)
    with torch.no_grad():
        encoded = network.inference(cells)
        generated = network.generative(encoded["z"], torch.ones(5, 1))
        loss = network.loss({"X": cells}, encoded, generated)
    z, w = encoded["z"].numpy().astype(float), network.loadings.detach().numpy().astype(float)
    y = (cells.numpy() - mean) / 2.0
    expected = ((y - z @ w) ** 2).sum(1).mean() + 0.7 * (z**2).sum(1).mean()
    assert float(loss.loss) == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(generated["mean"], mean + 2.0 * z @ w, rtol=1e-5, atol=1e-6)

    size = np.abs(w)
    r = 0.1 * size[:2][in_set[:2]].sum() + 0.5 * size[:2][~in_set[:2]].sum() + 0.2 * size[2].sum()
    r += ([0.3, 0.4, 0.6] * np.sqrt((w**2).sum(1))).sum()
    assert float(network.penalty()) == pytest.approx(r, rel=1e-5)


def test_count_loss_is_the_negative_binomial():
    rng = np.random.default_rng(0)
    network = module(np.eye(3, 9, dtype=bool), likelihood="nb", reference_library=30.0).eval()
    counts = rng.poisson(rng.gamma(1.0, 3.0, size=(6, 9)))
    cells = torch.tensor(counts, dtype=torch.float32)
    with torch.no_grad():
        network.log_inverse_dispersion.copy_(torch.tensor(rng.normal(size=9)))
        encoded = network.inference(cells)
        generated = network.generative(encoded["z"], cells.sum(1, keepdim=True))
        found = network.reconstruction_loss(cells, encoded["encoder_input"], generated).numpy()
    mean = generated["mean"].numpy().astype(float)
    n = np.exp(network.log_inverse_dispersion.detach().numpy().astype(float))
    from scipy.special import gammaln

    expected = -2 * (nbinom.logpmf(counts, n, n / (n + mean)) + gammaln(counts + 1)).sum(1)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    np.testing.assert_allclose(mean.sum(1), counts.sum(1), rtol=1e-5)


def test_covariates_add_what_equation_2_says(counts):
    """X Phi^T beside the factors: one-hot levels and standardised numbers."""
    rng = np.random.default_rng(0)
    counts.obs["batch"] = np.repeat(["a", "b", "c"], 30)
    counts.obs["age"] = rng.normal(50, 10, 90)
    pld.model.AnnotatedAE.setup_anndata(
        counts, categorical_covariate_keys=["batch"], continuous_covariate_keys=["age"]
    )
    with pld.train.seeded(0):
        model = pld.model.AnnotatedAE(
            counts, gene_sets={"s": ["gene0", "gene1"]}, n_hidden=8, likelihood="nb"
        )
    model.is_trained_ = True
    rows = torch.tensor(rng.normal(size=(30, 4)), dtype=torch.float32)
    model.module.covariate_decoder.weight.data = rows
    found = model.get_reconstruction()
    x = np.column_stack([*(counts.obs["batch"] == level for level in "abc"), np.zeros(90)]).astype(
        float
    )
    age = counts.obs["age"].to_numpy()
    x[:, 3] = (age - age.mean()) / age.std()
    z = model.get_latent_representation()
    bias = model.module.gene_bias.detach().numpy()
    logits = bias + z @ model.module.loadings.detach().numpy() + x @ rows.numpy().T
    share = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(
        found, share * counts.X.toarray().sum(1, keepdims=True), rtol=2e-4, atol=1e-5
    )
