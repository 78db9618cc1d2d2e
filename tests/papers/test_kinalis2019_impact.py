"""Kinalis 2019, Methods: impact of gene sets on the representation, on attributions as trained."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import pellucid as pld
from pellucid.enrichment import set_mean_test

N_PERMUTATIONS = 10_000


@pytest.fixture(scope="module")
def adata():
    adata = pld.datasets.pbmc68k_reduced()
    pld.pp.add_gene_sets(adata, pld.datasets.blood_markers())
    model = pld.tl.orthogonal_ae(adata, n_latent=12, max_epochs=25, enable_progress_bar=False)
    pld.tl.attribute(adata, model, groupby="bulk_labels")
    adata.obs["is_b"] = np.where(adata.obs["bulk_labels"] == "CD19+ B", "B", "other")
    pld.tl.attribute(adata, model, groupby="is_b", key_added="two_groups")
    return adata


@pytest.fixture(scope="module")
def result(adata):
    pld.tl.gene_set_impact(adata, group="CD19+ B")
    return adata.uns["gene_set_impact"]


def impact_by_loop(adata, attribution):
    mask = adata.varm["gene_sets"].toarray()
    return np.array([attribution[genes].astype(float).mean(axis=0) for genes in mask.T])


@pytest.fixture(scope="module")
def permuted_means(adata, result):
    """Mean attribution of random sets, (n_permutations, n_set_sizes, n_units), and the sizes."""
    rng = np.random.default_rng(0)
    sizes = np.unique(result["set_sizes"])
    attribution = adata.varm["attribution"].astype(float)
    means = np.empty((N_PERMUTATIONS, len(sizes), attribution.shape[1]))
    for permutation in range(N_PERMUTATIONS):
        drawn = attribution[rng.permutation(adata.n_vars)[: sizes[-1]]]
        means[permutation] = (np.cumsum(drawn, axis=0)[sizes - 1].T / sizes).T
    return means, sizes


def test_mean_over_the_genes_of_a_set_on_one_scale(adata, result):
    impact = impact_by_loop(adata, adata.varm["attribution"])
    expected = (impact - impact.min()) / (impact.max() - impact.min())
    np.testing.assert_allclose(result["impact"], expected, atol=1e-6)
    # Not the public program's: the median over the genes, each set on its own scale.
    assert (result["impact"].max(axis=1) < 1).sum() == len(impact) - 1


def test_difference_of_groups(adata, result):
    """Subtracted before scaling, divided by the largest: group minus the other cells."""
    both = adata.varm["two_groups_is_b"]
    assert adata.uns["two_groups"]["groups"].tolist() == ["B", "other"]
    difference = impact_by_loop(adata, both[:, 0]) - impact_by_loop(adata, both[:, 1])
    expected = difference / np.abs(difference).max()
    # Equal too: groups that were taken together, and the same cells attributed as one group.
    np.testing.assert_allclose(result["difference"], expected, atol=1e-5)
    assert np.abs(result["difference"]).max() == 1


def test_direction_of_the_difference(adata, result):
    """B cells move the units they activate the more by B cell markers, not the less.

    The public program subtracts the other way round.
    """
    code = adata.obsm["X_orthogonal_ae"]
    is_b = (adata.obs["is_b"] == "B").to_numpy()
    activity = (code[is_b].mean(axis=0) - code[~is_b].mean(axis=0)) / code.std(axis=0)
    b_cell = result["set_names"].tolist().index("B cell")
    difference = result["difference"][b_cell]
    assert difference[activity.argmax()] > 0
    assert stats.pearsonr(activity, difference).statistic > 0


def test_q_values_against_permutations(adata, result, permuted_means):
    means, sizes = permuted_means
    impact = impact_by_loop(adata, adata.varm["attribution"])
    null = means[:, np.searchsorted(sizes, result["set_sizes"])]
    expected_z = (impact - null.mean(axis=0)) / null.std(axis=0)
    np.testing.assert_allclose(result["z"], expected_z, rtol=0.04, atol=0.05)

    expected = (1 + (null >= impact).sum(axis=0)) / (1 + N_PERMUTATIONS)
    _, p = set_mean_test(adata.varm["attribution"], adata.varm["gene_sets"])
    sampling_error = np.sqrt(expected * (1 - expected) / N_PERMUTATIONS)
    assert np.all(np.abs(p - expected) < 4 * sampling_error + 0.01)

    live = ~result["silent"]
    expected_q = stats.false_discovery_control(expected[:, live].ravel())
    q = result["padj"][:, live].ravel()
    assert np.all(np.abs(q - expected_q) < 0.03)
    clear = (expected_q < 0.04) | (expected_q > 0.06)
    np.testing.assert_array_equal((q < 0.05)[clear], (expected_q < 0.05)[clear])
    assert (q < 0.05).sum() > 10
    assert (q > 0.05).sum() > 10


def test_p_is_uniform_for_random_sets(adata):
    rng = np.random.default_rng(0)
    sizes = np.repeat([5, 12, 40, 150], 250)
    random_sets = rng.random((adata.n_vars, 1_000)).argsort(axis=0).argsort(axis=0) < sizes
    attribution = adata.varm["attribution"]
    most_skewed = stats.skew(attribution, axis=0).argmax()
    _, p = set_mean_test(attribution[:, [most_skewed]], random_sets)
    assert stats.kstest(p.ravel(), "uniform").pvalue > 0.01
