"""Rank sums and rank correlations, many at once, against scipy and against all orders."""

from __future__ import annotations

import math
import tracemalloc
from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from pellucid.networks import adjacency, rank_sum, spearman


@pytest.mark.parametrize("size", [(3, 3), (2, 9), (8, 20), (10, 10), (1, 6)])
@pytest.mark.parametrize("tied", [False, True])
def test_rank_sum_is_scipys(size, tied):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(12, sum(size)))
    if tied:
        values = np.round(values)
    members = rng.permuted(np.tile(np.arange(sum(size)) < size[0], (12, 1)), axis=1)
    expected = [
        stats.mannwhitneyu(row[of], row[~of], method="auto").pvalue
        for row, of in zip(values, members, strict=True)
    ]
    np.testing.assert_allclose(rank_sum(values, members), expected, rtol=1e-10)
    one = stats.mannwhitneyu(values[0][members[3]], values[0][~members[3]]).pvalue
    assert rank_sum(values[:1], members)[3] == pytest.approx(one)


def test_rank_sum_of_nothing_but_ties():
    assert rank_sum(np.ones((1, 5)), np.arange(5)[None] < 2) == 1


@pytest.mark.parametrize("tied", [False, True])
def test_spearman_is_scipys(tied):
    rng = np.random.default_rng(0)
    values, other = rng.normal(size=(20, 11)), rng.normal(size=11)
    if tied:
        values, other = np.round(values), np.round(other)
    correlation, pvalue = spearman(values, other)
    for row, rho, p in zip(values, correlation, pvalue, strict=True):
        assert stats.spearmanr(row, other) == pytest.approx((rho, p))


@pytest.mark.parametrize("tied", [False, True])
def test_spearman_of_few_counts_all_orders(tied):
    rng = np.random.default_rng(0)
    values, other = rng.normal(size=(6, 5)), rng.normal(size=5)
    if tied:
        values, other = np.round(values), np.round(other)
    correlation, pvalue = spearman(values, other)
    for row, rho, p in zip(values, correlation, pvalue, strict=True):
        null = [stats.spearmanr(row, order).statistic for order in permutations(other)]
        assert rho == pytest.approx(stats.spearmanr(row, other).statistic)
        assert p == pytest.approx(np.mean(np.abs(null) >= abs(rho) - 1e-9))


def test_spearman_of_one_value():
    correlation, pvalue = spearman(np.ones((1, 6)), np.arange(6.0))
    assert np.isnan(correlation).all()
    assert pvalue == 1


def test_adjacency_by_hand():
    """Three genes near each other, of which two are nearest, and one far off."""
    points = np.array([[0.0, 0], [1, 0], [0, 3], [40, 0]])
    near = adjacency(points, percentile=35).toarray()
    assert near.dtype == bool
    np.testing.assert_array_equal(near.nonzero(), [[0, 0, 1, 2], [1, 2, 0, 0]])
    nearest = adjacency(points, n_neighbors=1).toarray()
    np.testing.assert_array_equal(nearest.nonzero(), [[0, 0, 1, 1, 2, 3], [1, 2, 0, 3, 0, 1]])
    assert adjacency(np.zeros((4, 2)), percentile=50).nnz == 0
    assert (adjacency(np.zeros((4, 2)), n_neighbors=1).sum(axis=1) > 0).all()


def test_rank_sum_ranks_one_row_once():
    """No array of tests x values is made of it."""
    rng = np.random.default_rng(0)
    values, members = rng.normal(size=(1, 50)), rng.random((20_000, 50)) < 0.5
    tracemalloc.start()
    found = rank_sum(values, members)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(found, rank_sum(np.repeat(values, 20_000, axis=0), members))
    assert peak < 2 * 8 * members.size


def test_spearman_of_nine_counts_all_orders():
    """Of all orders, two are as far from chance as one that rises throughout."""
    rising = np.arange(9.0)
    swapped = rising[[1, 0, *range(2, 9)]]
    rho, pvalue = spearman(np.stack([rising, swapped]), rising)
    n_orders = math.factorial(9)
    assert pvalue[0] == 2 / n_orders
    # 8 swaps of two that follow each other, and as many of the order that falls.
    assert pvalue[1] == pytest.approx((2 + 16) / n_orders)
    assert rho[1] == pytest.approx(1 - 12 / (9 * 80))


@pytest.mark.parametrize("n", [10, 16, 200])
def test_spearman_is_no_smaller_than_orders_allow(n):
    rising = np.arange(float(n))
    _, pvalue = spearman(np.stack([rising, rising[::-1]]), rising)
    np.testing.assert_array_equal(pvalue, 2 / math.factorial(n))
