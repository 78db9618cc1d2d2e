from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import pytest
from scipy import sparse, stats

from pellucid.enrichment import set_mean_test

POPULATIONS = {
    "lognormal": lambda rng, size: rng.lognormal(size=size),
    "squared normal": lambda rng, size: rng.normal(size=size) ** 2,
    "t with 3 degrees": lambda rng, size: rng.standard_t(3, size=size),
    "nine in ten zero": lambda rng, size: rng.exponential(size=size) * (rng.random(size) < 0.1),
}


def random_sets(rng, n_genes, size, n_sets):
    """Genes x sets, and the positions of each set's genes."""
    genes = rng.random((n_sets, n_genes)).argpartition(size, axis=1)[:, :size]
    rows, columns = genes.ravel(), np.repeat(np.arange(n_sets), size)
    shape = (n_genes, n_sets)
    return sparse.csr_matrix((np.ones(rows.size, dtype=bool), (rows, columns)), shape), genes


def all_subsets(n_genes, size):
    chosen = np.array(list(combinations(range(n_genes), size)))
    subsets = np.zeros((n_genes, len(chosen)), dtype=bool)
    subsets[chosen, np.arange(len(chosen))[:, None]] = True
    return subsets


@pytest.mark.parametrize("size", range(1, 9))
def test_every_subset_of_a_small_population(size):
    scores = np.random.default_rng(1).lognormal(size=(9, 1))
    subsets = all_subsets(9, size)
    means = subsets.T @ scores[:, 0] / size
    z, p = set_mean_test(scores, subsets)
    np.testing.assert_allclose(z[:, 0], (means - means.mean()) / means.std(), atol=1e-10)

    upper = (means >= means[:, None] - 1e-12).mean(axis=1)
    lower = (means <= means[:, None] + 1e-12).mean(axis=1)
    # Sums closer than the grid's steps may be taken for ties.
    tolerance = 1e-9 + 2 / len(means)
    np.testing.assert_allclose(p[:, 0], upper, rtol=0, atol=tolerance)
    assert np.mean(np.abs(p[:, 0] - upper) < 1e-9) > 0.9
    both = set_mean_test(scores, subsets, alternative="two-sided")[1]
    expected = np.minimum(1, 2 * np.minimum(upper, lower))
    np.testing.assert_allclose(both[:, 0], expected, rtol=0, atol=2 * tolerance)


@pytest.fixture(scope="module")
def permutations():
    """The first 200 genes of each of 10,000 permutations of 2,000."""
    rng = np.random.default_rng(0)
    return np.stack([rng.permutation(2_000)[:200] for _ in range(10_000)])


@pytest.mark.parametrize("population", POPULATIONS)
@pytest.mark.parametrize("size", [5, 15, 50, 200])
def test_agrees_with_10000_permutations(permutations, population, size):
    rng = np.random.default_rng(1)
    scores = POPULATIONS[population](rng, 2_000)
    null = np.sort(scores[permutations[:, :size]].mean(axis=1))
    gene_sets, genes = random_sets(rng, 2_000, size, 300)
    means = scores[genes].mean(axis=1)
    expected = 1 - np.searchsorted(null, means - 1e-12) / len(null)
    sampling_error = 4 * np.sqrt(expected * (1 - expected) / len(null))

    _, p = set_mean_test(scores[:, None], gene_sets)
    assert np.all(np.abs(p[:, 0] - expected) <= sampling_error + 0.01)

    _, p = set_mean_test(scores[:, None], gene_sets, alternative="two-sided")
    at_most = np.searchsorted(null, means + 1e-12) / len(null)
    both = np.minimum(1, 2 * np.minimum(expected, at_most))
    assert np.all(np.abs(p[:, 0] - both) <= 2 * (sampling_error + 0.01))


@pytest.mark.parametrize("population", POPULATIONS)
@pytest.mark.parametrize("size", [5, 15])
def test_tail_of_small_sets_where_the_normal_tail_fails(population, size):
    rng = np.random.default_rng(0)
    n_genes, n_draws = 2_000, 400_000
    scores = POPULATIONS[population](rng, n_genes)
    drawn = rng.integers(n_genes, size=(n_draws, size))
    ordered = np.sort(drawn, axis=1)
    drawn = drawn[(ordered[:, 1:] != ordered[:, :-1]).all(axis=1)]
    null = np.sort(scores[drawn].mean(axis=1))
    # 400 of the draws reach these means: a sampling error of 5%.
    genes = drawn[np.argsort(scores[drawn].mean(axis=1))[-len(drawn) // 1_000]]
    gene_set = np.isin(np.arange(n_genes), genes)[:, None]
    expected = 1 - np.searchsorted(null, scores[genes].mean() - 1e-12) / len(null)

    z, p = set_mean_test(scores[:, None], gene_set)
    assert p.item() / expected == pytest.approx(1, abs=0.2)
    assert stats.norm.sf(z.item()) < expected / 5


@pytest.mark.parametrize("population", ["lognormal", "squared normal", "t with 3 degrees"])
@pytest.mark.parametrize("alternative", ["greater", "two-sided"])
def test_p_is_uniform_for_random_sets(population, alternative):
    rng = np.random.default_rng(3)
    scores = POPULATIONS[population](rng, 1_500)
    sets = [random_sets(rng, 1_500, size, 150)[0] for size in (5, 8, 13, 25, 60, 120, 200)]
    _, p = set_mean_test(scores[:, None], sparse.hstack(sets), alternative=alternative)
    assert stats.kstest(p[:, 0], "uniform").pvalue > 0.01


def test_larger_half_mirrors_the_smaller():
    rng = np.random.default_rng(0)
    scores = rng.lognormal(size=(400, 2))
    gene_sets = random_sets(rng, 400, 30, 20)[0].toarray()
    z, p = set_mean_test(scores, gene_sets, alternative="two-sided")
    z_rest, p_rest = set_mean_test(scores, ~gene_sets, alternative="two-sided")
    np.testing.assert_allclose(z_rest, -z, rtol=1e-9)
    np.testing.assert_allclose(p_rest, p, atol=0.02)


def test_half_of_all_genes():
    rng = np.random.default_rng(0)
    scores = rng.lognormal(size=(1_000, 1))
    gene_sets, _ = random_sets(rng, 1_000, 500, 40)
    z, p = set_mean_test(scores, gene_sets)
    np.testing.assert_allclose(p, stats.norm.sf(z), atol=0.01)  # the third moment is zero here


def test_nothing_varies():
    constant = np.full((6, 1), 0.1, dtype=np.float32)
    varying = np.arange(6.0)[:, None]
    first_two = np.arange(6)[:, None] < 2
    everything = np.ones((6, 1), dtype=bool)
    for scores, gene_set in [(constant, first_two), (varying, everything), ([[3.0]], [[True]])]:
        z, p = set_mean_test(scores, gene_set)
        assert (z.item(), p.item()) == (0, 1)


def test_set_of_one_gene_is_its_rank():
    scores = np.random.default_rng(0).lognormal(size=(20, 1))
    _, p = set_mean_test(scores, np.eye(20, dtype=bool))
    rank = stats.rankdata(-scores[:, 0])
    np.testing.assert_allclose(p[:, 0], rank / 20)


def test_ties_count_in_full():
    scores = np.r_[np.zeros(90), 1 + np.random.default_rng(0).exponential(size=10)][:, None]
    zeros = (np.arange(100) < 5)[:, None]
    _, p = set_mean_test(scores, zeros)
    assert p.item() == pytest.approx(1)
    _, p = set_mean_test(-scores, zeros)
    assert p.item() == pytest.approx(comb(90, 5) / comb(100, 5), rel=1e-6)


def test_smallest_p():
    scores = np.arange(300.0)[:, None]
    best = [np.arange(300) >= 300 - size for size in (4, 100)]
    _, p = set_mean_test(scores, np.stack(best, axis=1))
    np.testing.assert_allclose(p[:, 0], [1 / comb(300, 4), 1e-12], rtol=0.01)


def test_formats_agree_and_repeat():
    rng = np.random.default_rng(0)
    scores = rng.lognormal(size=(120, 3)).astype(np.float32)
    mask = rng.random((120, 4)) < 0.2
    expected = set_mean_test(scores, mask)
    for gene_sets in (sparse.csr_matrix(mask), sparse.csc_array(mask), mask.astype(float)):
        np.testing.assert_array_equal(set_mean_test(scores, gene_sets), expected)
    np.testing.assert_allclose(set_mean_test(scores * 1e-12, mask)[1], expected[1], rtol=1e-3)


@pytest.mark.parametrize(
    ("scores", "gene_sets", "alternative", "message"),
    [
        (np.ones((3, 1)), np.ones((3, 1), bool), "less", "choose 'greater' or 'two-sided'"),
        (np.ones((3, 1)), np.ones((4, 1), bool), "greater", r"\(3, 1\) and gene_sets \(4, 1\)"),
        (np.ones(3), np.ones((3, 1), bool), "greater", r"expected \(n_genes, n_units\)"),
        ([[1.0], [np.nan]], np.ones((2, 1), bool), "greater", "NaN or infinite"),
        ([[1.0], [2.0]], [[True, False], [True, False]], "greater", "1 of 2 gene sets have no"),
    ],
)
def test_bad_input(scores, gene_sets, alternative, message):
    with pytest.raises(ValueError, match=message):
        set_mean_test(scores, gene_sets, alternative=alternative)
