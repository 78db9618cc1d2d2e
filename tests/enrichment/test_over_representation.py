from __future__ import annotations

from math import comb

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import fisher_exact

from pellucid.enrichment import over_representation_test


@pytest.fixture
def drawn():
    random = np.random.default_rng(0)
    return random.random((50, 3)) < [0.1, 0.3, 0], random.random((50, 20)) < 0.2


def test_fisher(drawn):
    selected, gene_sets = drawn
    overlap, odds_ratio, p = over_representation_test(selected, gene_sets)
    for found in (overlap, odds_ratio, p):
        assert found.shape == (20, 3)
    for unit, taken in enumerate(selected.T):
        for number, members in enumerate(gene_sets.T):
            table = np.array(
                [[(taken == a)[members == b].sum() for a in (True, False)] for b in (True, False)]
            )
            assert overlap[number, unit] == table[0, 0]
            expected = fisher_exact(table, alternative="greater").pvalue
            assert p[number, unit] == pytest.approx(expected, rel=1e-9)
            half = table + 0.5
            expected = half[0, 0] * half[1, 1] / half[0, 1] / half[1, 0]
            assert odds_ratio[number, unit] == pytest.approx(expected)
    np.testing.assert_array_equal(p[:, 2], 1)


def test_gseapy(drawn):
    from gseapy.stats import calc_pvalues

    selected, gene_sets = drawn
    overlap, odds_ratio, p = over_representation_test(selected, sparse.csr_array(gene_sets))
    sets = {
        f"{number:02d}": set(np.flatnonzero(genes)) for number, genes in enumerate(gene_sets.T)
    }
    taken = set(np.flatnonzero(selected[:, 1]))
    name, pvalue, ratio, found, *_ = calc_pvalues(taken, sets, set(range(50)))
    at = [int(one) for one in name]
    assert len(at) == (overlap[:, 1] > 0).sum()
    np.testing.assert_array_equal(overlap[at, 1], found)
    np.testing.assert_allclose(p[at, 1], pvalue)
    np.testing.assert_allclose(odds_ratio[at, 1], ratio)


def test_small_p_is_exact():
    whole = np.arange(1000)[:, None] < 30
    _, _, p = over_representation_test(whole, whole)
    assert p.item() == pytest.approx(1 / comb(1000, 30), rel=1e-9)


def test_other_genes(drawn):
    with pytest.raises(ValueError, match=r"\(50, 3\) and gene_sets \(49, 20\).*same genes"):
        over_representation_test(drawn[0], drawn[1][1:])
