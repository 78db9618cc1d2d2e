from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.stats import binom, chi2, false_discovery_control

from pellucid.enrichment import prerank
from pellucid.enrichment._running_sum import draw_positions


def score(weights, hits) -> tuple[float, int]:
    """Largest deviation of the running sum and where it is, gene by gene."""
    steps = np.where(hits, weights / weights[hits].sum(), -1 / (~hits).sum())
    running = np.cumsum(steps)
    high, low = running.max(), running.min()
    if high > -low:
        return high, int(running.argmax())
    return low, int(running.argmin())


def members_of(random, n_genes: int, sizes) -> np.ndarray:
    gene_sets = np.zeros((n_genes, len(sizes)), dtype=bool)
    for place, size in enumerate(sizes):
        gene_sets[random.choice(n_genes, size, replace=False), place] = True
    return gene_sets


@pytest.fixture
def case():
    """70 rankings, more than are scored at once; the first has a set on top and one below."""
    random = np.random.default_rng(0)
    scores = random.standard_t(3, size=(400, 70)) * random.gamma(1, size=70)
    gene_sets = members_of(random, 400, [3, 8, 15, 15, 40, 90, 200])
    scores[gene_sets[:, 2], 0] += 8
    scores[gene_sets[:, 3] & ~gene_sets[:, 2], 0] -= 8
    return scores, gene_sets


def test_running_sum(case):
    scores, gene_sets = case
    found = prerank(scores, sparse.csc_array(gene_sets), n_permutations=20)
    for array in found[:5]:
        assert array.shape == (7, 70)
    for ranking in (0, 1, 69):
        order = np.argsort(-scores[:, ranking])
        np.testing.assert_array_equal(found.order[:, ranking], order)
        for one, members in enumerate(gene_sets.T):
            hits = members[order]
            es, peak = score(np.abs(scores[order, ranking]), hits)
            assert found.es[one, ranking] == pytest.approx(es, abs=1e-12)
            # The leading edge: hits up to the peak, or from the dip on.
            edge = found.edge[one, ranking]
            assert hits[edge]
            if es > 0:
                assert edge == peak
            else:
                assert hits[peak:edge].sum() == 0 < edge - peak + 1
    assert found.es[2, 0] > 0.9
    assert found.es[3, 0] < -0.8


def test_gseapy(case):
    """Scores to rounding; NES and p within the error of two thousand permutations."""
    import gseapy

    scores, gene_sets = case
    genes = [f"G{gene}" for gene in range(400)]
    sets = {str(one): [genes[g] for g in np.flatnonzero(m)] for one, m in enumerate(gene_sets.T)}
    found = prerank(scores, gene_sets, n_permutations=2000)
    for ranking in range(3):
        table = gseapy.prerank(
            rnk=pd.Series(scores[:, ranking], index=genes),
            gene_sets=sets,
            min_size=1,
            max_size=400,
            permutation_num=2000,
            threads=1,
            outdir=None,
            no_plot=True,
        ).res2d.set_index("Term")
        table = table.loc[list(sets)]
        np.testing.assert_allclose(found.es[:, ranking], table["ES"].astype(float), atol=1e-8)
        np.testing.assert_allclose(found.nes[:, ranking], table["NES"].astype(float), rtol=0.05)
        p, expected = found.pvalue[:, ranking], table["NOM p-val"].astype(float)
        np.testing.assert_allclose(p, expected, atol=0.06)
        for one, lead in enumerate(table["Lead_genes"]):
            order, edge = found.order[:, ranking], found.edge[one, ranking]
            ours = order[: edge + 1] if found.es[one, ranking] > 0 else order[edge:][::-1]
            assert [genes[gene] for gene in ours if gene_sets[gene, one]] == lead.split(";")


def test_every_subset_is_as_likely():
    n_permutations, sizes = 8000, np.array([1, 3, 3])
    positions = np.empty(sizes.sum() * n_permutations, np.uint16)
    draw_positions(6, sizes, np.array([1, 2, 3], np.uint64), positions)
    start = 0
    for size in sizes:
        drawn = positions[start : start + size * n_permutations].reshape(n_permutations, size)
        start += size * n_permutations
        subsets, count = np.unique(drawn, axis=0, return_counts=True)
        assert list(map(tuple, subsets)) == list(combinations(range(6), size))
        expected = n_permutations / len(subsets)
        statistic = ((count - expected) ** 2 / expected).sum()
        assert chi2.sf(statistic, len(subsets) - 1) > 1e-4
    # Rows are drawn apart.
    first, second = positions[n_permutations:].reshape(2, n_permutations, 3)
    assert (first == second).all(axis=1).mean() < 0.1


def test_every_position_is_as_likely():
    """Beyond one word of the bit mask, and to the last gene."""
    positions = np.empty(50 * 4000, np.uint16)
    draw_positions(192, np.array([50]), np.array([9], np.uint64), positions)
    assert (np.diff(positions.reshape(4000, 50).astype(int)) > 0).all()
    count = np.bincount(positions, minlength=192)
    assert len(count) == 192
    assert np.abs(count / 4000 - 50 / 192).max() < 4.5 * np.sqrt(50 / 192 * 142 / 192 / 4000)


def test_p_against_all_subsets():
    """One set of 3 of 14 genes: all 364 subsets, of which those with a score of its sign."""
    random = np.random.default_rng(3)
    scores = np.sort(random.normal(size=(14, 4)), axis=0)[::-1]
    chosen = np.array([1, 2, 6])
    found = prerank(scores, np.isin(np.arange(14), chosen)[:, None], n_permutations=20_000)
    for ranking in range(4):
        weights = np.abs(scores[:, ranking])
        every = np.array(
            [score(weights, np.isin(np.arange(14), one))[0] for one in combinations(range(14), 3)]
        )
        es = found.es[0, ranking]
        alike = every[np.sign(every) == np.sign(es)]
        assert abs(es / alike.mean()) == pytest.approx(abs(found.nes[0, ranking]), rel=0.02)
        exact = (np.abs(alike) >= abs(es) - 1e-9).mean()
        assert found.pvalue[0, ranking] == pytest.approx(exact, abs=0.012)


@pytest.mark.parametrize("shape", ["heavy", "skewed"])
def test_p_values_are_uniform_for_shuffled_genes(shape):
    """At every size of the sets, which pooled normalised scores are not; q holds its level."""
    random = np.random.default_rng(0)
    sizes = np.repeat([6, 15, 40, 120], 8)
    tables = []
    for seed in range(4):
        if shape == "heavy":
            scores = random.standard_t(3, size=(500, 64))
        else:
            scores = random.gamma(0.3, size=(500, 64)) - 0.1
        gene_sets = members_of(random, 500, sizes)
        tables.append(prerank(scores, gene_sets, n_permutations=200, random_state=seed))
    p = np.concatenate([table.pvalue for table in tables], axis=1)
    assert p.min() > 0
    for size in np.unique(sizes):
        for level in (0.5, 0.1, 0.02):
            share = (p[sizes == size] <= level).mean()
            assert share == pytest.approx(level, rel=0.35 if level < 0.1 else 0.2)
    # Nothing is there to be found, so that every discovery is false.
    padj = np.concatenate([table.padj for table in tables], axis=1)
    n_rankings = padj.shape[1]
    for level in (0.05, 0.2):
        assert (padj <= level).any(axis=0).sum() <= binom.isf(1e-3, n_rankings, level)


def test_q_values_are_those_of_each_ranking(case):
    found = prerank(*case, n_permutations=50)
    np.testing.assert_allclose(found.padj, false_discovery_control(found.pvalue, axis=0))


def test_many_sets_of_one_size_can_be_significant():
    """Their random sets are shared, and as many are drawn as so many sets need."""
    random = np.random.default_rng(0)
    scores = random.normal(size=(300, 1))
    gene_sets = members_of(random, 300, [20] * 60)
    scores[gene_sets[:, 0]] += 3
    found = prerank(scores, gene_sets, n_permutations=200)
    assert found.padj[0, 0] < 0.05
    assert found.padj[0, 0] < 60 / 101  # of one size's own permutations


def test_rankings_do_not_depend_on_each_other(case):
    scores, gene_sets = case
    whole = prerank(scores, gene_sets, n_permutations=50, random_state=4)
    again = prerank(scores, gene_sets, n_permutations=50, random_state=4)
    alone = prerank(scores[:, 66:67], gene_sets, n_permutations=50, random_state=4)
    other = prerank(scores[:, 66:67], gene_sets, n_permutations=50, random_state=5)
    for name in ("es", "nes", "pvalue", "edge"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(again, name))
        np.testing.assert_array_equal(getattr(whole, name)[:, 66:67], getattr(alone, name))
    assert not np.array_equal(alone.nes, other.nes)


def test_opposite_rankings():
    random = np.random.default_rng(0)
    scores = random.normal(size=(100, 1))
    found = prerank(np.hstack([scores, -scores]), members_of(random, 100, [9, 30]))
    np.testing.assert_allclose(found.es[:, 0], -found.es[:, 1], atol=1e-12)
    np.testing.assert_allclose(found.nes[:, 0], -found.nes[:, 1], rtol=0.1)


def test_scale_does_not_matter(case):
    scores, gene_sets = case
    found = prerank(scores[:, :2] * [1e-30, 1e30], gene_sets, n_permutations=20)
    expected = prerank(scores[:, :2], gene_sets, n_permutations=20)
    np.testing.assert_allclose(found.es, expected.es, rtol=1e-12)
    np.testing.assert_allclose(found.pvalue, expected.pvalue, atol=0.01)


def test_scores_of_zero():
    """A set whose genes all have none: they count alike. A ranking of nothing ranks nothing."""
    scores = np.zeros((20, 3))
    scores[:5, 0] = [5, 4, 3, 2, 1]
    scores[:, 2] = 7
    gene_sets = np.zeros((20, 2), dtype=bool)
    gene_sets[[10, 12], 0] = gene_sets[:3, 1] = True
    found = prerank(scores, gene_sets, n_permutations=100)
    # After ten genes that are not in it; half of it; one more.
    np.testing.assert_allclose(found.es[:, 0], [-10 / 18, 1])
    for name in ("es", "nes"):
        assert np.isnan(getattr(found, name)[:, 1:]).all()
    assert (found.pvalue[:, 1:] == 1).all()
    assert (found.padj[:, 1:] == 1).all()


def test_no_random_set_on_this_side():
    """All weight is on the first gene: whatever has it is on top, and most sets are below."""
    scores = np.arange(400.0, 0, -1)[:, None] ** 8
    gene_sets = np.zeros((400, 1), dtype=bool)
    gene_sets[-200:] = True
    found = prerank(scores, gene_sets, n_permutations=10)
    assert found.es[0, 0] == pytest.approx(-1)
    assert np.isnan(found.nes[0, 0])
    assert found.pvalue[0, 0] == 1


@pytest.mark.parametrize(
    ("scores", "gene_sets", "arguments", "message"),
    [
        (np.ones((5, 1)), np.eye(4), {}, r"\(5, 1\) and gene_sets \(4, 4\)"),
        (np.ones(5), np.eye(5), {}, r"\(n_genes, n_rankings\)"),
        (np.full((5, 1), np.nan), np.eye(5), {}, "NaN or infinite"),
        (np.ones((5, 1)), np.zeros((5, 2)), {}, "Of 2 gene sets 2 have no gene and 0 all"),
        (np.ones((5, 1)), np.ones((5, 2)), {}, "0 have no gene and 2 all of them"),
        (np.ones((5, 1)), np.ones((5, 0)), {}, "Of 0 gene sets"),
        (np.ones((5, 1)), np.eye(5), {"n_permutations": 0}, "n_permutations=0"),
    ],
)
def test_bad_input(scores, gene_sets, arguments, message):
    with pytest.raises(ValueError, match=message):
        prerank(scores, gene_sets, **arguments)
