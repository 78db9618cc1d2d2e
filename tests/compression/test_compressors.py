"""What every compressor keeps to: codes of K numbers, of which alone it rebuilds a cell."""

from __future__ import annotations

import gc
import warnings
import weakref

import anndata as ad
import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone

from pellucid.compression import CSSMAF, KSVD, SVD, DeepAECompressor, GeneMeans, SparseNMF

DEEP = {"model_kwargs": {"depth": 1}, "train_kwargs": {"max_epochs": 2, "accelerator": "cpu"}}
LINEAR = [SVD, KSVD, SparseNMF, CSSMAF]
ALL = [*LINEAR, lambda n_latent: DeepAECompressor(n_latent, **DEEP), lambda n_latent: GeneMeans()]
NAMES = ["svd", "ksvd", "snmf", "cs_smaf", "deep_ae", "mean"]
every = pytest.mark.parametrize("make", ALL, ids=NAMES)


@pytest.fixture
def cells():
    """Log counts of 6 modules in 40 training and 30 test cells, 50 genes; one cell is empty."""
    rng = np.random.default_rng(0)
    rates = rng.gamma(0.5, size=(70, 6)) @ rng.gamma(0.3, size=(6, 50))
    log = np.log1p(rng.poisson(3 * rates))
    log[3] = log[50] = 0
    return log[:40], log[40:]


@every
def test_a_cell_is_rebuilt_from_its_codes(make, cells):
    train, test = cells
    model = make(4).fit(train)
    codes = model.transform(test)
    assert codes.shape == (30, model.n_latent)
    found = model.inverse_transform(codes)
    assert found.shape == test.shape
    assert np.isfinite(found).all()
    # No cell depends on the others that are coded with it, and the model keeps no cell.
    order = np.random.default_rng(1).permutation(30)[:7]
    again = model.inverse_transform(model.transform(test[order]))
    np.testing.assert_allclose(again, found[order], atol=1e-5)


@every
@pytest.mark.parametrize("form", [sparse.csr_matrix, np.float32, np.asfortranarray])
def test_form_of_the_matrix(make, form, cells):
    train, test = cells
    expected = make(4).fit(train.astype(np.float32)).transform(test.astype(np.float32))
    found = make(4).fit(form(train.astype(np.float32))).transform(form(test.astype(np.float32)))
    np.testing.assert_allclose(found, expected, atol=1e-4)


@every
def test_same_seed_same_codes(make, cells):
    train, test = cells
    np.random.seed(0)  # noqa: NPY002 - no global state may matter
    first = make(4).fit(train).transform(test)
    np.random.seed(1)  # noqa: NPY002
    np.testing.assert_array_equal(make(4).fit(train).transform(test), first)


@pytest.mark.parametrize("make", LINEAR)
def test_better_than_the_mean(make, cells):
    train, test = cells
    floor = np.linalg.norm(test - train.mean(axis=0))
    for n_latent in (6, 40):
        model = make(n_latent).fit(train)
        found = model.inverse_transform(model.transform(test))
        assert np.linalg.norm(test - found) < (1 if make is CSSMAF else 0.8) * floor


@pytest.mark.parametrize("make", LINEAR)
def test_z_scores(make, cells):
    """Negative data are compressed too, and come back on their own scale."""
    train, test = cells
    spread = np.where(train.std(axis=0) > 0, train.std(axis=0), 1)
    train, test = ((x - train.mean(axis=0)) / spread for x in (train, test))
    model = make(20).fit(train)
    found = model.inverse_transform(model.transform(test))
    assert found.min() < -0.2
    assert np.corrcoef(found.ravel(), test.ravel())[0, 1] > 0.4


@every
def test_no_warnings(make, cells):
    train, test = cells
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        model = make(5).fit(np.vstack([train, np.zeros((2, 50))]))
        model.inverse_transform(model.transform(np.vstack([test, np.zeros((2, 50))])))


@every
def test_bad_input(make, cells):
    train, test = cells
    model = make(4)
    with pytest.raises(ValueError, match=r"found shape \(50,\)"):
        model.fit(train[0])
    with pytest.raises(ValueError, match="NaN or infinite"):
        model.fit(np.where(train == train.max(), np.nan, train))
    with pytest.raises(ValueError, match="nothing but zeros"):
        model.fit(np.zeros((40, 50)))
    model.fit(train)
    with pytest.raises(ValueError, match="fitted with 50 genes; this matrix has 49"):
        model.transform(test[:, 1:])
    with pytest.raises(ValueError, match=rf"fitted with {model.n_latent} numbers a cell"):
        model.inverse_transform(np.zeros((3, 7)))


@pytest.mark.parametrize("make", ALL[:5], ids=NAMES[:5])
@pytest.mark.parametrize("n_latent", [0, 41])
def test_n_latent(make, n_latent, cells):
    with pytest.raises(ValueError, match=rf"n_latent={n_latent}, with 40 training.* 1 to 40"):
        make(n_latent).fit(cells[0])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (KSVD(4, n_nonzero=5), "n_nonzero=5; a code has 1 to n_latent=4"),
        (KSVD(4, n_iter=0), "n_iter=0; it must be at least 1"),
        (SparseNMF(4, penalty=-1), "penalty=-1; it must be above 0"),
        (CSSMAF(4, n_active=5), "n_active=5; n_latent=4 measurements tell of 1 to 4"),
        (CSSMAF(4, penalty=1), "penalty=1; it must lie between 0 and 1"),
        (CSSMAF(4, n_modules=0), "n_modules=0; it must be at least 1"),
    ],
)
def test_arguments(model, message, cells):
    with pytest.raises(ValueError, match=message):
        model.fit(cells[0])


def test_no_module_is_found(cells):
    for same in (np.full((10, 6), -1.0), np.tile(-np.arange(1.0, 7), (10, 1))):
        with pytest.raises(ValueError, match=r"finds no module of genes .*\(it is 0\.01\)"):
            CSSMAF(3).fit(same)


def test_scikit_learn_knows_them(cells):
    model = clone(KSVD(4, n_nonzero=2)).set_params(n_latent=6)
    assert model.get_params() == {"n_latent": 6, "n_nonzero": 2, "n_iter": 20, "random_state": 0}
    assert model.fit(cells[0]).transform(cells[1]).shape == (30, 6)


def test_deep_ae_keeps_no_cells(cells):
    """scvi-tools keeps what was registered with it for as long as the process runs."""
    train, test = cells
    compressor = DeepAECompressor(4, **DEEP).fit(train)
    kept = weakref.ref(compressor.model_.adata)
    compressor.transform(test)
    del compressor
    gc.collect()
    assert kept() is None


def test_deep_ae_codes_are_the_models(cells):
    train, test = cells
    compressor = DeepAECompressor(4, **DEEP).fit(train)
    expected = compressor.model_.get_latent_representation(ad.AnnData(test.astype(np.float32)))
    np.testing.assert_allclose(compressor.transform(test), expected, atol=1e-6)
