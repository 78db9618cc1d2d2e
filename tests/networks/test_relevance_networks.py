"""Networks of mutual information, against plain loops over pairs and triples."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import spearmanr
from sklearn.metrics import mutual_info_score

from pellucid.networks import aracne, clr, correlation, mrnet, mutual_information
from pellucid.networks._mutual_information import _binned

N_GENES = 8
PAIRS = list(permutations(range(N_GENES), 2))


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    """Genes that share causes; two of them counts with many zeros, one constant."""
    random = np.random.default_rng(0)
    x = random.normal(size=(300, N_GENES)) + 1.5 * random.normal(size=(300, 2))[:, [0, 1] * 4]
    x[:, 6] = random.poisson(np.exp(x[:, 0] - 2))
    x[:, 7] = 3
    return x


@pytest.fixture(scope="module")
def information() -> np.ndarray:
    random = np.random.default_rng(1)
    values = random.gamma(1, size=(N_GENES, N_GENES)) * random.integers(0, 2, (N_GENES, N_GENES))
    values = values + values.T
    np.fill_diagonal(values, 0)
    return values


@pytest.mark.parametrize("as_sparse", [False, True])
def test_information_of_bins(x, as_sparse):
    codes = _binned(x, 5)
    given = sparse.csr_matrix(x) if as_sparse else x
    plain = mutual_information(given, n_bins=5, miller_madow=False)
    corrected = mutual_information(given, n_bins=5)
    assert plain.dtype == np.float32
    for i, j in PAIRS:
        expected = mutual_info_score(codes[i], codes[j])
        np.testing.assert_allclose(plain[i, j], expected, atol=1e-6)
        held = [len(np.unique(code)) for code in (codes[i], codes[j], 100 * codes[i] + codes[j])]
        excess = (held[2] - held[0] - held[1] + 1) / (2 * len(x))
        np.testing.assert_allclose(corrected[i, j], max(expected - excess, 0), atol=1e-6)
    assert not plain.diagonal().any()


def test_more_bins_than_a_byte_holds():
    x = np.random.default_rng(0).normal(size=(600, 2))
    codes = _binned(x, 300)
    found = mutual_information(x, n_bins=300, miller_madow=False)[0, 1]
    np.testing.assert_allclose(found, mutual_info_score(*codes), rtol=1e-5)


def test_bins_hold_as_many_cells_each_and_equal_values_share_one():
    values = np.arange(100.0)
    assert np.bincount(_binned(values[:, None], 5)[0]).tolist() == [20] * 5
    counts = np.r_[np.zeros(70), np.arange(1, 31)]
    codes = _binned(counts[:, None], 10)[0]
    assert len(set(codes[:70])) == 1
    assert np.bincount(codes)[codes[0]] == 70
    assert np.bincount(codes).tolist() == [70, 10, 10, 10]


def test_number_of_bins():
    x = np.random.default_rng(0).normal(size=(1000, 2))
    np.testing.assert_array_equal(mutual_information(x), mutual_information(x, n_bins=10))


def test_independent_genes_have_none():
    x = np.random.default_rng(0).normal(size=(500, 20))
    pairs = np.triu_indices(20, 1)
    plain = mutual_information(x, n_bins=8, miller_madow=False)[pairs].mean()
    assert plain == pytest.approx(49 / 1000, rel=0.1)
    assert mutual_information(x, n_bins=8)[pairs].mean() < 0.15 * plain


def test_information_of_spearman(x):
    found = mutual_information(sparse.csc_matrix(x), estimator="spearman")
    rho = spearmanr(x[:, :7]).statistic
    np.fill_diagonal(rho, 0)
    np.testing.assert_allclose(found[:7, :7], -0.5 * np.log(1 - rho**2), atol=1e-6)
    assert not found[7].any()
    same = mutual_information(x[:, [0, 0]], estimator="spearman")
    assert np.isfinite(same).all()


@pytest.mark.parametrize("as_sparse", [False, True])
def test_correlation(x, as_sparse, monkeypatch):
    monkeypatch.setattr("pellucid.networks._correlation._ROWS_AT_ONCE", 77)
    found = correlation(sparse.csr_matrix(x) if as_sparse else x)
    expected = np.corrcoef(x[:, :7], rowvar=False)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(found[:7, :7], expected, atol=1e-12)
    assert not found[7].any()


def test_clr(information):
    found = clr(information)
    for i, j in PAIRS:
        z = []
        for gene in (i, j):
            others = np.delete(information[gene], gene)
            z.append(max(0, (information[i, j] - others.mean()) / others.std()))
        np.testing.assert_allclose(found[i, j], np.hypot(*z))
    assert not found.diagonal().any()


def test_aracne(information):
    found = aracne(information)
    for i, j in PAIRS:
        thirds = [k for k in range(N_GENES) if k not in (i, j)]
        goes = any(information[i, j] < min(information[i, k], information[j, k]) for k in thirds)
        assert found[i, j] == (0 if goes else information[i, j])
    assert 0 < (found > 0).sum() < (information > 0).sum()


def test_mrnet(information):
    directed = np.zeros_like(information)
    for gene in range(N_GENES):
        chosen, free = [], [other for other in range(N_GENES) if other != gene]
        while free:
            scores = [
                information[gene, other]
                - (np.mean([information[other, one] for one in chosen]) if chosen else 0)
                for other in free
            ]
            if max(scores) <= 0:
                break
            best = free.pop(int(np.argmax(scores)))
            directed[gene, best] = max(scores)
            chosen.append(best)
    np.testing.assert_allclose(mrnet(information), np.maximum(directed, directed.T))
    assert (directed > 0).sum() > N_GENES


@pytest.mark.parametrize("infer", [clr, mrnet, aracne])
def test_threads_share_genes(information, infer, monkeypatch):
    expected = infer(information)
    monkeypatch.setattr("numba.get_num_threads", lambda: 3)
    np.testing.assert_array_equal(infer(information), expected)
    np.testing.assert_array_equal(infer(information.astype(np.float32)).dtype, np.float64)


@pytest.mark.parametrize("infer", [clr, mrnet, aracne])
def test_no_information_is_no_edge(infer):
    assert not infer(np.zeros((4, 4))).any()
