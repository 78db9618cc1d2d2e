"""DeepAE's rivals (Zhang et al. 2020), each by its own definition.

The metrics of eqs. 5 to 7 are in tests/compression/test_metrics.py.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import nnls
from sklearn.decomposition import NMF

from pellucid.compression import CSSMAF, KSVD, SVD, GeneMeans, Original, SparseNMF
from pellucid.compression._matching_pursuit import matching_pursuit


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def planted():
    """300 cells of 3 out of 12 atoms each, 60 genes; the atoms, the codes, the cells."""
    rng = np.random.default_rng(2)
    atoms = unit(rng.normal(size=(12, 60)))
    codes = np.zeros((300, 12))
    for row in codes:
        row[rng.choice(12, 3, replace=False)] = rng.choice([-1, 1], 3) * rng.uniform(1, 2, 3)
    return atoms, codes, codes @ atoms


@pytest.fixture(scope="module")
def cells_of_counts():
    """Log counts of 80 cells and 60 genes, of eight overlapping programs."""
    rng = np.random.default_rng(3)
    rates = rng.gamma(0.5, size=(80, 8)) @ rng.gamma(0.5, size=(8, 60))
    return np.log1p(rng.poisson(3 * rates))


@pytest.fixture(scope="module")
def modules():
    """120 cells of 2 out of 6 modules each, 60 genes of which each is in one or two modules."""
    rng = np.random.default_rng(1)
    weights = np.zeros((6, 60))
    for place in range(6):
        weights[place, 9 * place : 9 * place + 14] = rng.uniform(0.5, 1.5, 14)
    activity = np.zeros((120, 6))
    for row in activity:
        row[rng.choice(6, 2, replace=False)] = rng.uniform(1, 4, 2)
    return weights, activity, activity @ weights


def test_matching_pursuit_recovers_planted_codes():
    rng = np.random.default_rng(0)
    atoms = unit(rng.normal(size=(30, 100)))
    codes = np.zeros((50, 30))
    for row in codes:
        row[rng.choice(30, 4, replace=False)] = rng.uniform(1, 2, 4)
    np.testing.assert_allclose(matching_pursuit(codes @ atoms, atoms, 4), codes, atol=1e-10)


def test_matching_pursuit_takes_the_steps_of_its_definition(planted):
    """The atom that correlates most with the residual, then least squares on all so far."""
    atoms, _, x = planted
    found = matching_pursuit(x[:5], atoms, 3)
    for cell, code in zip(x, found, strict=False):
        chosen = []
        residual = cell
        for _ in range(3):
            chosen.append(int(np.abs(atoms @ residual).argmax()))
            weights = np.linalg.lstsq(atoms[chosen].T, cell, rcond=None)[0]
            residual = cell - weights @ atoms[chosen]
        assert set(np.flatnonzero(code)) == set(chosen)
        np.testing.assert_allclose(code[chosen], weights, atol=1e-10)


def test_ksvd_recovers_a_planted_dictionary(planted):
    atoms, _, x = planted
    model = KSVD(12, n_nonzero=3, n_iter=40).fit(x)
    # Aharon et al. count an atom as found if this is above 0.99.
    assert np.abs(atoms @ model.atoms_.T).max(axis=1).min() > 0.99
    rebuilt = model.inverse_transform(model.transform(x))
    assert np.linalg.norm(x - rebuilt) < 0.02 * np.linalg.norm(x)


def test_ksvd_definition(planted):
    _, _, x = planted
    errors = []
    for n_iter in (1, 4, 10):
        model = KSVD(12, n_nonzero=3, n_iter=n_iter).fit(x)
        codes = model.transform(x)
        assert ((codes != 0).sum(axis=1) <= 3).all()
        np.testing.assert_allclose(np.linalg.norm(model.atoms_, axis=1), 1)
        errors.append(np.linalg.norm(x - model.inverse_transform(codes)))
    assert errors[0] > errors[1] > errors[2]


def test_ksvd_updates_an_atom_as_a_rank_1_svd_does(planted):
    _, _, x = planted
    model = KSVD(12, n_nonzero=3, n_iter=1)
    first = model._first_atoms(x)
    model.atoms_ = first.copy()
    codes = model._encode(x)
    model._update_atoms(x, codes)
    users = codes[:, 0] != 0
    others = x[users] - codes[users][:, 1:] @ first[1:]
    expected = np.linalg.svd(others)[2][0]
    assert abs(expected @ model.atoms_[0]) == pytest.approx(1)


def test_ksvd_of_all_atoms_is_svd(modules):
    """With every number in use, only the span of the atoms matters."""
    x = modules[2][:50] + 0.1 * np.random.default_rng(0).normal(size=(50, 60))
    errors = [
        np.linalg.norm(x - model.inverse_transform(model.fit(x).transform(x)))
        for model in (KSVD(5, n_nonzero=5, n_iter=80), SVD(5))
    ]
    assert errors[0] == pytest.approx(errors[1], rel=1e-3)


def test_ksvd_replaces_atoms_that_no_cell_uses():
    """Two kinds of cells, and all first atoms of one kind."""
    x = np.repeat(np.eye(4), [30, 1, 1, 1], axis=0)
    for seed in range(5):
        model = KSVD(4, n_nonzero=1, random_state=seed).fit(x)
        np.testing.assert_allclose(model.inverse_transform(model.transform(x)), x, atol=1e-12)


def test_svd_is_the_truncated_one(modules):
    rng = np.random.default_rng(0)
    x = modules[2] + rng.normal(size=(120, 60))
    right = np.linalg.svd(x)[2][:7]
    model = SVD(7).fit(x)
    new = rng.normal(size=(9, 60))
    np.testing.assert_allclose(
        model.inverse_transform(model.transform(new)), new @ right.T @ right, atol=1e-4
    )


def test_gene_means():
    x = np.random.default_rng(0).normal(size=(8, 5))
    model = GeneMeans().fit(x)
    codes = model.transform(x[:3])
    assert codes.shape == (3, 0)
    np.testing.assert_allclose(model.inverse_transform(codes), np.tile(x.mean(axis=0), (3, 1)))


def test_sparse_nmf_is_not_negative_and_sparse(modules):
    x = modules[2] + np.abs(np.random.default_rng(0).normal(size=(120, 60)))
    sparsity = []
    for penalty in (1e-6, 0.1):
        model = SparseNMF(6, penalty=penalty).fit(x[:80])
        codes = model.transform(x[80:])
        assert codes.min() >= 0
        assert model.nmf_.components_.min() >= 0
        sparsity.append(np.mean(codes == 0))
    assert sparsity[0] + 0.2 < sparsity[1] < 1
    x = modules[2]
    model = SparseNMF(6).fit(x[:80])
    rebuilt = model.inverse_transform(model.transform(x[80:]))
    assert np.linalg.norm(x[80:] - rebuilt) < 0.1 * np.linalg.norm(x[80:])


def test_sparse_nmf_is_hardly_worse_than_nmf(cells_of_counts):
    """The rival is given its due: what the penalty and the early end cost is little."""
    for n_latent in (5, 40):
        model = SparseNMF(n_latent).fit(cells_of_counts)
        rebuilt = model.inverse_transform(model.transform(cells_of_counts))
        free = NMF(n_latent, init="nndsvda", max_iter=1000, tol=1e-4)
        best = free.inverse_transform(free.fit_transform(cells_of_counts))
        error, floor = (np.linalg.norm(cells_of_counts - one) for one in (rebuilt, best))
        assert error < 1.5 * floor


def test_codes_of_new_cells_are_the_penalised_least_squares(modules):
    """Nearly without a penalty they are scipy's non-negative ones; with one, NMF's own."""
    x = modules[2]
    model = SparseNMF(6, penalty=1e-9).fit(x[:80])
    parts = model.nmf_.components_ * model.scale_
    expected = np.array([nnls(parts.T, cell)[0] for cell in x[80:84]])
    np.testing.assert_allclose(model.transform(x[80:84]), expected, atol=0.02)
    model = SparseNMF(6, penalty=1e-2).fit(x[:80])
    model.nmf_.set_params(tol=1e-10, max_iter=5000)
    expected = model.nmf_.transform(x[80:] / model.scale_)
    assert expected.max() > 1
    np.testing.assert_allclose(model.transform(x[80:]), expected, atol=0.02)


def test_sparse_nmf_counts_from_the_lowest_value():
    """Negative data: the shift is the training cells', and no code falls below it."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 20))
    model = SparseNMF(15).fit(x)
    np.testing.assert_array_equal(model.lowest_, x.min(axis=0))
    below = np.full((1, 20), x.min() - 5)
    np.testing.assert_allclose(
        model.inverse_transform(model.transform(below)), [x.min(axis=0)], atol=1e-12
    )
    assert not SparseNMF(5).fit(np.abs(x)).lowest_.any()


def test_smaf_keeps_its_constraints(modules):
    x = modules[2] + np.abs(np.random.default_rng(0).normal(size=(120, 60))) * 0.1
    model = CSSMAF(30, n_modules=10, n_active=2, penalty=0.1).fit(x)
    found = model.modules_
    assert found.min() >= 0
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1)
    assert np.mean(found == 0) > 0.4
    dense = CSSMAF(30, n_modules=10, n_active=2, penalty=0.001).fit(x).modules_
    assert np.mean(dense == 0) < np.mean(found == 0)
    activity = matching_pursuit(x, found, 2)
    assert ((activity != 0).sum(axis=1) <= 2).all()


def test_smaf_finds_planted_modules(modules):
    weights, _, x = modules
    model = CSSMAF(40, n_modules=6, n_active=2).fit(x)
    likeness = unit(weights) @ model.modules_.T
    assert likeness.max(axis=1).min() > 0.9


def test_smaf_sees_a_cell_through_its_measurements_alone(modules):
    x = modules[2]
    model = CSSMAF(30, n_modules=6, n_active=2).fit(x[:80])
    codes = model.transform(x[80:])
    np.testing.assert_allclose(codes, x[80:] @ model.measurements_.T)
    np.testing.assert_allclose(np.linalg.norm(model.measurements_, axis=1), 1)
    found = model.inverse_transform(codes)
    assert Original(x[80:]).compare(found)["pcc"] > 0.9
    # What is not measured is not known: a change that no measurement sees changes nothing.
    hidden = np.linalg.svd(model.measurements_)[2][-1]
    again = model.inverse_transform(model.transform(x[80:] + 5 * hidden))
    np.testing.assert_allclose(again, found, atol=1e-8)


def test_smaf_of_other_measurements_has_the_same_modules(modules):
    x = modules[2]
    first, second = (
        CSSMAF(30, n_modules=6, n_active=2, random_state=seed).fit(x) for seed in (0, 1)
    )
    np.testing.assert_array_equal(first.modules_, second.modules_)
    assert not np.allclose(first.measurements_, second.measurements_)
