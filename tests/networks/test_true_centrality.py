from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse
from scipy.stats import spearmanr

from pellucid.networks import _many_networks as many_networks
from pellucid.networks import _true_centrality as module
from pellucid.networks import neighbor_prediction, true_centrality
from pellucid.networks._many_networks import predict_by_many, split_cells


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    """A hub, 6 genes that follow it along a curve or a line, and 5 that follow nothing."""
    random = np.random.default_rng(0)
    x = random.normal(size=(400, 12))
    x[:, 1:4] = (x[:, [0]] ** 2 - 1) / np.sqrt(2) + 0.5 * x[:, 1:4]
    x[:, 4:7] = x[:, [0]] + x[:, 4:7]
    return x.astype(np.float32)


def test_regression_is_least_squares(x):
    """What a straight line explains of all others, less what it would of shuffled cells."""
    two = x[:, [0, 4, 5]].copy()
    two[:, 0] = two[:, 0] > 0
    found = true_centrality(two, query=[0])
    squared = np.corrcoef(two, rowvar=False)[0, 1:] ** 2
    assert found[0] == pytest.approx(1 - (1 - squared.mean()) * 399 / 398, abs=1e-6)


def test_regression_sees_curves(x):
    found = true_centrality(x)
    assert found.argmax() == 0
    assert found[0] == pytest.approx((3 * 0.8 + 3 * 0.5) / 11, abs=0.03)
    assert np.abs(found[7:]).max() < 0.01


def test_a_gene_that_explains_nothing_has_0():
    random = np.random.default_rng(0)
    x = random.poisson(0.2 + random.gamma(1, size=60), size=(300, 60))
    found = true_centrality(sparse.csr_matrix(np.log1p(x)))
    assert abs(found.mean()) < 1e-3
    assert np.abs(found).max() < 5e-3
    assert np.isfinite(found).all()


@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_array])
def test_regression_of_sparse(x, form):
    counts = np.log1p(np.floor(np.exp(x)))
    counts[:, 3] = 0
    found = true_centrality(form(counts))
    np.testing.assert_allclose(found, true_centrality(counts), atol=1e-9)
    assert np.flatnonzero(np.isnan(found)).tolist() == [3]


def test_networks_agree_with_regression(x):
    options = {"n_hidden": (16, 16), "max_epochs": 30, "learning_rate": 0.01}
    found = true_centrality(x, method="network", **options)
    expected = true_centrality(x)
    assert found.argmax() == 0
    assert found[0] == pytest.approx(expected[0], abs=0.06)
    assert spearmanr(found, expected).statistic > 0.8
    assert found[7:].max() < found[:7].min()


def test_cells_that_are_measured_on_teach_nothing(x):
    """Noise: networks explain it of the cells that they learned, and not of others."""
    noise = x[:60, 7:]
    options = {"method": "network", "n_hidden": (64, 64), "max_epochs": 200, "learning_rate": 0.02}
    assert true_centrality(noise, held_out=0, **options).mean() > 0.1
    assert true_centrality(noise, **options).mean() < 0.05


@pytest.mark.parametrize("most", [1, 60])
def test_networks_are_split_into_rounds(x, monkeypatch, most):
    """A round is a network where one alone has more weights than a round may have."""
    options = {"method": "network", "n_hidden": (4,), "max_epochs": 1}
    expected = true_centrality(x, query=[2, 5], **options)
    rounds, many = [], module.predict_by_many
    monkeypatch.setitem(module._MOST_WEIGHTS, "cpu", most)
    monkeypatch.setattr(
        module, "predict_by_many", lambda *a, **k: rounds.append(len(a[0])) or many(*a, **k)
    )
    found = true_centrality(x, query=[2, 5], **options)
    assert rounds == [1, 1]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_zeros_pass_as_one(x, monkeypatch):
    """Of genes with zeros few rows are left, and what is found is what it would have been."""
    counts = np.log1p(np.random.default_rng(1).poisson(np.exp(x - 1.5)))
    options = {"method": "network", "n_hidden": (8,), "max_epochs": 5, "query": [5, 2, 7]}
    n_rows, merged, many = [], many_networks._merged, module.predict_by_many

    def watched(*args):
        result = merged(*args)
        n_rows.append((args[0].shape[1], result[0].shape[1]))
        return result

    monkeypatch.setattr(many_networks, "_merged", watched)
    found = true_centrality(counts, **options)
    before, after = np.sum(n_rows, axis=0)
    n_zeros = (counts[:, options["query"]] == 0).mean(axis=0).min()
    assert after == pytest.approx(before * (1 - n_zeros), rel=0.1)
    monkeypatch.setattr(module, "predict_by_many", lambda *a, same, **k: many(*a, **k))
    np.testing.assert_allclose(found, true_centrality(counts, **options), atol=1e-5)


@pytest.mark.parametrize("n_targets", [1, 3])
def test_equal_cells_pass_as_one(x, n_targets):
    """Cells of which a network reads the same are merged, and it learns what it would have."""
    inputs = torch.from_numpy(x[:, :3].T.copy())[:, :, None].clamp(min=0)
    targets = torch.from_numpy(np.stack([x[:, 3:8] + 1, x[:, 4:9], x[:, 5:10]])[:n_targets])
    inputs[2] = 1  # a network of which all cells are one
    options = {
        "n_hidden": (8, 4),
        "cells": split_cells(400, 0.2, 0),
        "ignored": torch.tensor([0, 3, 1]),
        "max_epochs": 20,
        "learning_rate": 0.01,
        "batch_size": 50,
        "random_state": 0,
    }
    expected = predict_by_many(inputs, targets, **options)
    same = inputs[:, :, 0] == torch.tensor([0.0, 0.0, 1.0])[:, None]
    found = predict_by_many(inputs, targets, same=same, **options)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert (expected[0].std(dim=0) > 0.1).all()
    assert 0.4 < same[:2].float().mean() < 0.6


def test_neighbours_predict(x):
    neighbors = np.array([[4, 5, 6], [7, 8, -1], [5, 6, -1], [0, 2, -1]])
    query = [0, 10, 4, 1]
    found = neighbor_prediction(x, neighbors, query=query)
    assert found[0] == pytest.approx(0.75, abs=0.15)  # three lines with noise of 1
    assert found[1] < 0.05
    assert found[3] == pytest.approx(0.8, abs=0.1)  # a curve
    assert 0.3 < found[2] < found[0]
    again = neighbor_prediction(sparse.csr_matrix(x), neighbors, query=query)
    np.testing.assert_array_equal(again, found)


def test_constant_gene_is_not_predicted(x):
    constant = np.hstack([x, np.ones((400, 1))])
    found = neighbor_prediction(constant, [[0], [12]], query=[12, 0], max_epochs=1)
    assert np.isnan(found[0])
    assert abs(found[1]) < 0.01


def test_split():
    train, chosen, test = split_cells(100, 0.2, 0)
    assert (len(train), len(chosen), len(test)) == (72, 8, 20)
    assert sorted(np.concatenate([train, chosen, test])) == list(range(100))
    assert all(len(part) == 100 for part in split_cells(100, 0, 0))


FAILS = {
    "query": (lambda x: true_centrality(x, query=[12]), "positions of genes from 0 to 11"),
    "no query": (lambda x: true_centrality(x, query=[]), "positions of genes"),
    "method": (lambda x: true_centrality(x, method="forest"), "'forest' is unknown"),
    "held out": (
        lambda x: true_centrality(x, method="network", held_out=1),
        "held_out=1; expected a share",
    ),
    "few cells": (
        lambda x: true_centrality(x[:4], method="network", held_out=0.5),
        "4 cells are too few",
    ),
    "rows": (lambda x: neighbor_prediction(x, [[1]]), "expected a row for each"),
    "itself": (lambda x: neighbor_prediction(x, [[0]], query=[0]), "positions of other genes"),
    "no gene": (lambda x: neighbor_prediction(x, [[12]], query=[0]), "positions of other genes"),
}


@pytest.mark.parametrize("case", FAILS)
def test_bad_input(x, case):
    call, message = FAILS[case]
    with pytest.raises(ValueError, match=message):
        call(x)
