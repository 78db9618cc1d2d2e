"""Equations of Choi et al. 2023 (siVAE), term by term."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
import torch
from scipy.special import gammaln
from sklearn.decomposition import PCA
from torch.distributions import NegativeBinomial, Normal, kl_divergence

import pellucid as pld
from pellucid.model._gene_input import choose_cells, gene_input
from pellucid.module import Covariates, SIVAEModule

N_CELLS, N_GENES, N_LATENT = 7, 11, 3
QUIET = {"accelerator": "cpu", "enable_progress_bar": False}


def module(*, n_batches: int = 0, **kwargs) -> SIVAEModule:
    torch.manual_seed(0)
    built = SIVAEModule(
        **{
            "n_latent": N_LATENT,
            "n_hidden": (8, 6),
            "likelihood": "normal",
            "decoder": "nonlinear",
            "gamma": 0.05,
            "gene_wise": True,
            "n_gene_inputs": 4,
            "gene_mean": torch.linspace(0, 1, N_GENES),
            "gene_scale": 2.0,
            "reference_library": 20.0,
            "log_library": (3.0, 0.2),
            "gene_share": torch.full((N_GENES,), 1 / N_GENES),
            "covariates": Covariates(
                [n_batches] if n_batches else [], torch.zeros(0), torch.ones(0)
            ),
            **kwargs,
        }
    )
    built.gene_input.copy_(torch.randn(N_GENES, 4))
    with torch.no_grad():
        for bias in (each for name, each in built.named_parameters() if name.endswith("bias")):
            bias.uniform_(-0.5, 0.5)
        if built.gene_effects is not None:
            built.gene_effects.weight.normal_()
    return built


def cells(n_batches: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    tensors = {"X": torch.poisson(torch.full((N_CELLS, N_GENES), 2.0), generator=generator)}
    if n_batches:
        tensors["extra_categorical_covs"] = (torch.arange(N_CELLS) % n_batches)[:, None]
    return tensors


def terms(built: SIVAEModule, tensors: dict[str, torch.Tensor], n_obs: int = 50, **kwargs):
    """Everything a step makes, with draws from the posteriors."""
    built.train()
    torch.manual_seed(2)
    return built(tensors, loss_kwargs={"n_obs": n_obs}, **kwargs)


def per_row(loss) -> torch.Tensor:
    (values,) = loss.reconstruction_loss.values()
    return values


def one_hot(tensors: dict[str, torch.Tensor], n_batches: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(tensors["extra_categorical_covs"][:, 0], n_batches).float()


@pytest.mark.parametrize("n_batches", [0, 2], ids=["equations 12 and 13", "equations 22 and 23"])
def test_loss_of_gaussian(n_batches):
    built, tensors = module(n_batches=n_batches), cells(n_batches)
    inference, generated, loss = terms(built, tensors)
    x = (tensors["X"] - built.gene_mean) / 2.0
    genes = generated["genes"]
    z, v = inference["z"], genes.loadings
    batch = one_hot(tensors, n_batches) if n_batches else torch.zeros(N_CELLS, 0)

    z_last = built.cell_decoder(torch.cat([z, batch], 1))
    v_last = built.gene_decoder(v)
    variance = torch.nn.functional.softplus(built.noise(z_last)) + 1e-4
    assert variance.shape == (N_CELLS, 1)
    reconstruction = -Normal(z_last @ v_last.T, variance.sqrt()).log_prob(x).sum(1)
    torch.testing.assert_close(per_row(loss), reconstruction)

    prior = Normal(0.0, 1.0)
    of_cells = Normal(inference["mean"], inference["variance"].sqrt())
    of_genes = Normal(genes.mean, genes.variance.sqrt())
    kl_cells = kl_divergence(of_cells, prior).sum(1).mean()
    kl_genes = kl_divergence(of_genes, prior).sum() / 50
    effects = batch @ built.gene_effects.weight.T if n_batches else 0.0
    interpreted = -Normal(z @ v.T + effects, 1.0).log_prob(x).sum(1).mean()
    expected = reconstruction.mean() + kl_cells + kl_genes + 0.05 * interpreted
    torch.testing.assert_close(loss.loss, expected)


def test_batch_stands_in_encoder_and_decoder_of_cells():
    """Equation 21, and the input of the encoder: another batch moves scores and means."""
    built, tensors = module(n_batches=2), cells(2)
    assert built.encoder_reads(tensors).shape == (N_CELLS, N_GENES + 2)
    np.testing.assert_array_equal(built.encoder_reads(tensors)[:, N_GENES:], one_hot(tensors, 2))
    built.eval()
    inference, generated, _ = built(tensors)
    moved = {**tensors, "extra_categorical_covs": 1 - tensors["extra_categorical_covs"]}
    other, _, _ = built(moved)
    assert not torch.allclose(inference["z"], other["z"])
    again = built.generative(
        inference["z"], torch.ones(N_CELLS, 1), covariates=built.covariates(moved)
    )
    assert not torch.allclose(again["linear"], generated["linear"])


def test_loss_of_linear_decoder():
    """Equations 19 and 20: the product of the embeddings is all, and reads as the loss."""
    built, tensors = module(decoder="linear"), cells()
    inference, generated, loss = terms(built, tensors)
    genes = generated["genes"]
    mean = inference["z"] @ genes.loadings.T
    variance = torch.nn.functional.softplus(built.noise(inference["z"])) + 1e-4
    x = (tensors["X"] - built.gene_mean) / 2.0
    reconstruction = -Normal(mean, variance.sqrt()).log_prob(x).sum(1)
    torch.testing.assert_close(per_row(loss), reconstruction)
    assert "interpretability_loss" not in loss.extra_metrics
    expected = reconstruction.mean() + sum(loss.extra_metrics[k] for k in ("kl_cells", "kl_genes"))
    torch.testing.assert_close(loss.loss, expected)


def test_loss_of_counts():
    """Equations 14 to 18: gamma-Poisson is negative binomial, softmax over genes."""
    built, tensors = module(likelihood="nb", gamma=0.0), cells()
    inference, generated, loss = terms(built, tensors)
    x, library = tensors["X"], tensors["X"].sum(1, keepdim=True)
    z_last = built.cell_decoder(inference["z"])
    v_last = built.gene_decoder(generated["genes"].loadings)
    share = torch.softmax(z_last @ v_last.T + built.gene_offset, dim=1)
    torch.testing.assert_close(share.sum(1), torch.ones(N_CELLS))
    shape = torch.nn.functional.softplus(built.noise(z_last)) + 1e-4
    mean = library * share
    distribution = NegativeBinomial(total_count=shape, logits=(mean / shape).log())
    expected = -distribution.log_prob(x).sum(1)
    constant = torch.from_numpy(gammaln(x.numpy() + 1).sum(1))
    torch.testing.assert_close(per_row(loss) + constant, expected, rtol=1e-5, atol=1e-4)
    assert "interpretability_loss" not in loss.extra_metrics


def test_gamma_zero_leaves_the_term_out():
    tensors = cells()
    _, _, without = terms(module(gamma=0.0), tensors)
    _, _, with_term = terms(module(gamma=0.05), tensors)
    assert "interpretability_loss" not in without.extra_metrics
    term = with_term.extra_metrics["interpretability_loss"]
    torch.testing.assert_close(with_term.loss - without.loss, 0.05 * term, rtol=1e-3, atol=1e-4)


def test_plain_autoencoder_has_no_genes():
    """Equations 1 to 3: v_L are weights, and what is lost is cells' alone."""
    built, tensors = module(gene_wise=False), cells()
    assert not hasattr(built, "gene_encoder")
    inference, generated, loss = terms(built, tensors)
    z_last = built.cell_decoder(inference["z"])
    torch.testing.assert_close(generated["linear"], z_last @ built.gene_weights.T)
    expected = per_row(loss).mean() + loss.extra_metrics["kl_cells"]
    torch.testing.assert_close(loss.loss, expected)


@pytest.mark.parametrize("remembered", [False, True])
@pytest.mark.parametrize("n_batches", [0, 2])
def test_drawn_genes_stand_for_all(remembered, n_batches):
    """The mean over every draw of two genes is the loss of all, and its gradient: no bias.

    Whatever is remembered of the genes, which here is what they were under other weights, takes
    part of the variance away and adds no bias.
    """
    built, tensors = module(n_batches=n_batches), cells(n_batches)
    built.eval()  # posterior means: nothing else is random
    if remembered:
        built.remember_genes()
        with torch.no_grad():
            for weight in built.gene_parameters[:-1]:
                weight.add_(0.01 * torch.randn_like(weight))
    before = built._remembered
    _, _, whole = built(tensors, loss_kwargs={"n_obs": 50})
    losses = []
    for first in range(N_GENES):
        for second in range(first):
            built._remembered = before
            drawn = torch.tensor([first, second])
            arguments = {"generative_kwargs": {"drawn": drawn}, "loss_kwargs": {"n_obs": 50}}
            losses.append(built(tensors, **arguments)[2].loss)
    mean = torch.stack(losses).mean()
    torch.testing.assert_close(mean, whole.loss)
    # 3.6 against 0.05 here.
    assert (torch.stack(losses).std() < 0.3) == remembered
    of = [built.gene_encoder.mean.weight, built.cell_encoder.mean.weight, built.noise.weight]
    for by_draws, gradient in zip(
        torch.autograd.grad(mean, of), torch.autograd.grad(whole.loss, of), strict=True
    ):
        torch.testing.assert_close(by_draws, gradient, rtol=1e-4, atol=1e-5)


def test_what_is_remembered_follows_the_steps():
    """After a step that drew genes, these stand as they were in it, and the others as before."""
    built, tensors = module(), cells()
    built.train()
    built.remember_genes()
    start = built._remembered.weights.clone()
    drawn = torch.tensor([1, 4])
    _, generated, loss = built(tensors, generative_kwargs={"drawn": drawn})
    loss.loss.backward()
    assert torch.equal(built._remembered.weights, start)
    now = built._remembered.updated().weights
    assert torch.equal(now[drawn], generated["genes"].weights)
    others = [gene for gene in range(N_GENES) if gene not in (1, 4)]
    assert torch.equal(now[others], start[others])
    built.forget_genes()
    assert built._remembered is None


def test_gene_stage_reconstructs_the_weights():
    """Stage 2: a variational autoencoder from gene input to the weights of stage 1."""
    built = module()
    built.train()
    torch.manual_seed(3)
    loss = built.gene_loss(torch.arange(4))
    torch.manual_seed(3)
    genes = built.genes(torch.arange(4))
    spread = (0.5 * built.log_weight_variance).exp()
    expected = -Normal(genes.weights, spread).log_prob(built.gene_weights[:4]).sum(1)
    torch.testing.assert_close(per_row(loss), expected)
    of_genes = Normal(genes.mean, genes.variance.sqrt())
    kl = kl_divergence(of_genes, Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(loss.loss, (expected + kl).mean())
    loss.loss.backward()
    assert built.gene_weights.grad is None
    assert all(weight.grad is None for weight in built.cell_encoder.parameters())


def test_gene_stage_ties_genes_to_the_scores_of_stage_1():
    """Equation 13 of cells that stand still, from sums over them alone."""
    built = module()
    built.train()
    drawn = torch.tensor([3, 0, 2])
    generator = torch.Generator().manual_seed(0)
    n_genes, n_latent = len(built.gene_mean), built.n_latent
    x = torch.randn(20, n_genes, generator=generator)
    z = torch.randn(20, n_latent, generator=generator)
    torch.manual_seed(3)
    free = built.gene_loss(drawn).loss
    torch.manual_seed(3)
    with built.trained_cells(z.T @ z, x.T @ z):
        tied = built.gene_loss(drawn).loss
    torch.manual_seed(3)
    v = built.genes(drawn).loadings
    by_hand = -Normal(z @ v.T, 1.0).log_prob(x[:, drawn]).sum(0)
    without = -Normal(0.0, 1.0).log_prob(x[:, drawn]).sum(0)
    torch.testing.assert_close(tied - free, built.gamma * (by_hand - without).mean())
    torch.manual_seed(3)
    torch.testing.assert_close(built.gene_loss(drawn).loss, free)


@pytest.fixture
def log(counts) -> ad.AnnData:
    counts.X = np.log1p(counts.X.toarray())
    return counts


def weights_after(adata: ad.AnnData, max_epochs, **model_arguments):
    pld.model.SIVAE.setup_anndata(adata)
    with pld.train.seeded(0):
        model = pld.model.SIVAE(adata, n_hidden=(16, 8), **model_arguments)
        model.train(max_epochs, early_stopping=False, batch_size=16, **QUIET)
    return model, {name: value.clone() for name, value in model.module.state_dict().items()}


def test_second_stage_leaves_cells_alone(log, monkeypatch):
    """From the end of the first stage to that of the second, only genes learn."""
    before: dict[str, torch.Tensor] = {}
    fit = pld.model.SIVAE._fit

    def recorded(self, **kwargs):
        stage = kwargs["plan_kwargs"]["stage"]
        if stage == "joint":
            return
        fit(self, **kwargs)
        if stage == "cells":
            before.update({k: v.clone() for k, v in self.module.state_dict().items()})

    monkeypatch.setattr(pld.model.SIVAE, "_fit", recorded)
    _, after = weights_after(log, 2)
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith(("gene_encoder", "gene_decoder", "log_weight")) for name in changed)
    learned = {name for name in after if name.startswith(("gene_encoder", "gene_decoder"))}
    assert learned <= changed


def test_first_stage_is_the_plain_autoencoder(log, monkeypatch):
    """Its history is that of `gene_wise=False`: the genes' autoencoder has no part in it."""
    model, _ = weights_after(log, (2, 1, 1))
    terms = {name for name in model.history if name.endswith("_cells")}
    assert not any("kl_genes" in name or "interpretability" in name for name in terms)
    untouched = []
    fit = pld.model.SIVAE._fit

    def only_cells(self, **kwargs):
        if kwargs["plan_kwargs"]["stage"] == "cells":
            start = self.module.gene_encoder.mean.weight.clone()
            fit(self, **kwargs)
            untouched.append(torch.equal(start, self.module.gene_encoder.mean.weight))

    monkeypatch.setattr(pld.model.SIVAE, "_fit", only_cells)
    weights_after(log, 2)
    assert untouched == [True]


def test_components_read_by_the_encoder_of_genes():
    """Principal components of genes x cells, without whitening."""
    x = np.random.default_rng(0).normal(size=(40, N_GENES)).astype(np.float32)
    found = gene_input(x, "pca", 3).numpy()
    expected = PCA(3).fit_transform(x.T)
    ratio = found / expected
    np.testing.assert_allclose(np.abs(ratio), np.abs(ratio[0, 0]), rtol=1e-3)
    np.testing.assert_allclose(np.square(found).mean(), 1, rtol=1e-5)


def test_more_columns_than_cells_are_zero():
    x = np.random.default_rng(0).normal(size=(4, N_GENES)).astype(np.float32)
    found = gene_input(x, "pca", 6).numpy()
    assert found.shape == (N_GENES, 6)
    assert not found[:, 4:].any()


def test_sample_keeps_the_shares_of_labels():
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    chosen = choose_cells(np.arange(100) + 1000, "sample", 20, labels)
    assert len(np.unique(chosen)) == 20
    np.testing.assert_array_equal(np.bincount(labels[chosen - 1000]), [12, 6, 2])


@pytest.mark.parametrize("kind", ["pca", "sample"])
def test_held_out_cells_never_reach_the_encoder_of_genes(log, monkeypatch, kind):
    read = []

    def recorded(*arguments):
        read.append(choose_cells(*arguments))
        return read[-1]

    monkeypatch.setattr("pellucid.model._staged_training.choose_cells", recorded)
    model, _ = weights_after(log, 1, gene_input=kind, n_gene_inputs=20)
    (chosen,) = read
    assert len(model.validation_indices) > 3
    assert not np.isin(chosen, model.validation_indices).any()
    assert np.isin(chosen, model.train_indices).all()
    assert len(chosen) == (20 if kind == "sample" else len(model.train_indices))
    assert model.module.gene_input.any()


def test_sample_of_counts_has_the_moments_of_the_model(counts):
    """Equations 14 to 17: library sizes log-normal, counts whole, means those of the model."""
    model, _ = weights_after(counts, 3, likelihood="nb")
    drawn = model.sample(3000)
    assert drawn.shape == (3000, counts.n_vars)
    assert (drawn == np.round(drawn)).all()
    library = np.log(np.asarray(counts.X.sum(1)).ravel())
    # The library of a draw is Poisson-gamma about a log-normal number of the same mean.
    np.testing.assert_allclose(
        np.log(np.maximum(drawn.sum(1), 1)).mean(), library.mean(), atol=0.2
    )
    share = model.get_normalized_expression().mean(0)
    np.testing.assert_allclose(drawn.sum(0) / drawn.sum(), share, atol=0.01)


def test_sample_of_gaussian_has_the_moments_of_the_model(log):
    model, _ = weights_after(log, 3)
    drawn = model.sample(4000)
    np.testing.assert_allclose(drawn.mean(0), model.get_reconstruction().mean(0), atol=0.1)
    assert drawn.std() > model.get_reconstruction().std()
