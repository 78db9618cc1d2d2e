from __future__ import annotations

import anndata as ad
import numpy as np
import pytest

from pellucid import networks
from pellucid.networks import _reconstructed_variance as module
from pellucid.networks import reconstructed_variance


def share(x, y):
    return 1 - ((x - y) ** 2).mean(axis=0) / x.var(axis=0)


@pytest.mark.parametrize("at_once", [13, 2**23], ids=["a cell at a time", "all at once"])
def test_share_of_variance(fitted, monkeypatch, at_once):
    adata, model, _ = fitted
    monkeypatch.setattr(module, "_AT_ONCE", at_once)
    x, y = adata.layers["log"].toarray().astype(float), model.get_reconstruction()
    found = reconstructed_variance(model)
    np.testing.assert_allclose(found.all_cells, share(x, y), atol=1e-5)
    cells = model.validation_indices
    assert found.n_held_out == len(cells) == 6
    np.testing.assert_allclose(found.held_out, share(x[cells], y[cells]), atol=1e-5)


def test_of_scaled_genes_is_the_papers(fitted):
    """One less the mean squared error of genes of variance 1."""
    adata, model, _ = fitted
    x, y = adata.layers["log"].toarray().astype(float), model.get_reconstruction()
    error = ((x - y) / x.std(axis=0)) ** 2
    found = reconstructed_variance(model).all_cells
    np.testing.assert_allclose(found, 1 - error.mean(axis=0), atol=1e-5)


def test_counts_are_compared_as_logarithms_of_one_total(fitted):
    adata, _, model = fitted
    x, y = adata.X.toarray().astype(float), model.get_reconstruction().astype(float)
    total = x.sum(axis=1, keepdims=True)
    x, y = (np.log1p(each / total * np.median(total)) for each in (x, y))
    found = reconstructed_variance(model, adata)
    np.testing.assert_allclose(found.all_cells, 1 - (x - y).var(axis=0) / x.var(axis=0), 1e-5)


class Given:
    """A model whose reconstruction is known."""

    _log_setting = "likelihood='normal'"
    train_indices = validation_indices = test_indices = None

    def __init__(self, x, y, model):
        self.adata = ad.AnnData(x, layers={"log": x})
        self.adata_manager, self._y = model.adata_manager, y

    def get_reconstruction(self, adata, cells):
        return self._y[cells]


def test_far_from_the_origin(fitted):
    """The variance of a gene is small beside its square, and found all the same."""
    x = 1000 + np.random.default_rng(0).normal(size=(60, 12))
    y = 1000 + 0.9 * (x - 1000)
    found = reconstructed_variance(Given(x, y, fitted[1]))
    np.testing.assert_allclose(found.all_cells, share(x, y), rtol=1e-9)
    assert np.isnan(found.held_out).all()


def test_constant_gene_has_none(fitted):
    x = np.random.default_rng(0).normal(size=(60, 12))
    x[:, 4] = 0.1
    found = reconstructed_variance(Given(x, 0.9 * x, fitted[1])).all_cells
    assert np.flatnonzero(np.isnan(found)).tolist() == [4]


def test_on_disk(fitted, tmp_path):
    adata, model, _ = fitted
    path = tmp_path / "adata.h5ad"
    adata.write_h5ad(path)
    backed = ad.read_h5ad(path, backed="r")
    found, expected = (reconstructed_variance(model, cells) for cells in (backed, adata))
    for field in found._fields:
        np.testing.assert_array_equal(getattr(found, field), getattr(expected, field))


def test_cells_of_a_query_are_not_told_apart(fitted):
    adata, model, _ = fitted
    found = reconstructed_variance(model, adata[:50].copy())
    assert found.n_held_out == 0
    assert np.isnan(found.held_out).all()
    assert np.isfinite(found.all_cells).all()


def test_room_names_what_it_has():
    assert all(hasattr(networks, name) for name in networks.__all__)


def test_cells_of_the_same_names_are_not_the_same_cells(fitted):
    """anndata gives the cells of all data the names 0, 1, 2 ..."""
    adata, model, _ = fitted
    other = adata.copy()
    other.layers["log"] = other.layers["log"][::-1]
    found = reconstructed_variance(model, other)
    assert found.n_held_out == 0
    assert np.isnan(found.held_out).all()
    same = reconstructed_variance(model, adata.copy())
    np.testing.assert_array_equal(same.held_out, reconstructed_variance(model).held_out)
