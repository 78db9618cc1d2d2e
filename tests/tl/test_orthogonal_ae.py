"""One call from counts to latent, and everything that can be wrong with what it is handed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

import pellucid as pld

QUICK = {"max_epochs": 1, "accelerator": "cpu", "enable_progress_bar": False}


def test_is_written(counts):
    layers = {name: counts.layers[name] for name in counts.layers}
    matrix = counts.X.copy()
    model = pld.tl.orthogonal_ae(counts, n_latent=5, random_state=3, **QUICK)
    assert isinstance(model, pld.model.OrthogonalAE)
    np.testing.assert_array_equal(
        counts.obsm["X_orthogonal_ae"], model.get_latent_representation()
    )
    record = counts.uns["X_orthogonal_ae"]
    assert record["params"]["n_latent"] == 5
    assert record["params"]["random_state"] == 3
    assert len(record["history"]) == 1
    assert set(counts.obsm) == {"X_orthogonal_ae"}
    assert not counts.varm
    assert set(counts.layers) == set(layers)
    np.testing.assert_array_equal(counts.X.toarray(), matrix.toarray())


def test_is_the_long_way(counts):
    """Register, build, train, write: the same, step by step."""
    short = counts.copy()
    pld.tl.orthogonal_ae(short, n_latent=5, batch_size=16, random_state=1, **QUICK)
    pld.model.OrthogonalAE.setup_anndata(counts)
    with pld.train.seeded(1):
        model = pld.model.OrthogonalAE(counts, n_latent=5)
        model.train(batch_size=16, **QUICK)
    pld.tl.latent(counts, model)
    np.testing.assert_array_equal(short.obsm["X_orthogonal_ae"], counts.obsm["X_orthogonal_ae"])


def test_layer_and_key(counts):
    expected = counts.copy()
    pld.tl.orthogonal_ae(expected, n_latent=5, **QUICK)
    counts.layers["counts"] = counts.X.copy()
    counts.X.data = np.log1p(counts.X.data)
    pld.tl.orthogonal_ae(counts, n_latent=5, layer="counts", key_added="X_mine", **QUICK)
    np.testing.assert_array_equal(counts.obsm["X_mine"], expected.obsm["X_orthogonal_ae"])
    assert "X_orthogonal_ae" not in counts.obsm


def test_input_type_is_the_models(counts):
    counts.X.data = np.log1p(counts.X.data)
    model = pld.tl.orthogonal_ae(counts, n_latent=5, input_type="log", **QUICK)
    assert model.module.input_type == "log"
    assert counts.uns["X_orthogonal_ae"]["params"]["input_type"] == "log"


def test_preset_and_what_it_leaves_open(counts, monkeypatch):
    """It sets the model and the epochs, and yields to whatever else is given."""
    seen = {}

    def train(self, **kwargs):
        seen.update(kwargs)

    monkeypatch.setattr(pld.model.OrthogonalAE, "train", train)
    monkeypatch.setattr(
        "pellucid.tl._orthogonal_ae.latent",
        lambda adata, *_, key_added: adata.uns.update({key_added: {"params": {}}}),
    )
    model = pld.tl.orthogonal_ae(
        counts, n_latent=3, preset="kinalis2019", train_size=0.5, batch_size=8
    )
    assert model.module.n_latent == 64
    assert model.module.input_type == "counts"
    assert seen["max_epochs"] == 500
    assert seen["train_size"] == 0.5
    assert seen["batch_size"] == 8
    assert seen["plan_kwargs"]["lr"] == 1e-3


def dense(change):
    """Change a dense copy of X."""

    def spoil(adata):
        matrix = adata.X.toarray()
        change(matrix)
        adata.X = matrix
        return adata

    return spoil


def in_sparse(value):
    def spoil(adata):
        adata.X.data[17] = value
        return adata

    return spoil


def with_x(make):
    def spoil(adata):
        adata.X = make(adata.X)
        return adata

    return spoil


def double_names(adata):
    adata.var_names = ["GENE/1", "GENE/1", "CD4", "CD4", *adata.var_names[4:]]
    return adata


BAD_DATA = {
    "log": (with_x(np.log1p), r"adata\.X holds values that are not whole numbers \(such as"),
    "scaled": (
        with_x(lambda x: x.toarray() - x.toarray().mean(0)),
        r"adata\.X holds negative values \(lowest -\d.*Pass layer= with counts or log data",
    ),
    "nan": (dense(lambda x: x.__setitem__((3, 4), np.nan)), r"adata\.X holds NaN or infinite"),
    "inf": (dense(lambda x: x.__setitem__((3, 4), np.inf)), r"adata\.X holds NaN or infinite"),
    "nan_in_sparse": (in_sparse(np.nan), r"adata\.X holds NaN or infinite"),
    "inf_in_sparse": (in_sparse(np.inf), r"adata\.X holds NaN or infinite"),
    "negative_in_sparse": (in_sparse(-2), r"adata\.X holds negative values \(lowest -2\)"),
    "half_in_sparse": (in_sparse(2.5), r"whole numbers \(such as 2\.5\), .*input_type='log'"),
    "zeros": (dense(lambda x: x.fill(0)), r"adata\.X holds nothing but zeros"),
    "zeros_in_sparse": (
        with_x(lambda x: sparse.csr_matrix(x.shape, dtype=np.float32)),
        r"adata\.X holds nothing but zeros",
    ),
    "no_cells": (lambda a: a[:0].copy(), r"adata\.X is empty: 0 cells x 30 genes"),
    "no_genes": (lambda a: a[:, :0].copy(), r"adata\.X is empty: 90 cells x 0 genes"),
    "doubled_genes": (
        double_names,
        r"2 gene names stand more than once in adata\.var_names \(such as 'GENE/1', 'CD4'\)",
    ),
    "no_x": (with_x(lambda x: None), r"adata\.X is None; pass layer="),
    "one_cell": (lambda a: a[:1].copy(), r"adata has 1 cell\(s\), of which none"),
    "two_cells": (lambda a: a[:2].copy(), r"adata has 2 cell\(s\), of which none"),
}


@pytest.mark.parametrize(("spoil", "message"), BAD_DATA.values(), ids=BAD_DATA)
def test_bad_data(counts, unchanged, spoil, message):
    adata = spoil(counts)
    with unchanged(adata), pytest.raises(ValueError, match=message):
        pld.tl.orthogonal_ae(adata, n_latent=5, **QUICK)


REGISTERED_ANYWAY = {"log", "half_in_sparse", "one_cell", "two_cells"}


@pytest.mark.parametrize("name", sorted(set(BAD_DATA) - REGISTERED_ANYWAY))
def test_bad_data_are_not_registered(counts, unchanged, name):
    spoil, message = BAD_DATA[name]
    adata = spoil(counts)
    with unchanged(adata), pytest.raises(ValueError, match=message):
        pld.model.OrthogonalAE.setup_anndata(adata)


def test_bad_layer_is_named(counts, unchanged):
    counts.layers["raw/counts"] = -counts.X
    with unchanged(counts), pytest.raises(ValueError, match=r"adata\.layers\['raw/counts'\] hol"):
        pld.tl.orthogonal_ae(counts, layer="raw/counts", **QUICK)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"layer": "counts"}, KeyError, r"layer 'counts' not found in adata\.layers, which hol"),
        ({"preset": "kinalis"}, KeyError, r"preset 'kinalis' not found; .*'kinalis2019'"),
        ({"preset": "kinalis2019", "layer": "log"}, ValueError, r"\['log'\] holds .* not whole"),
        ({"input_type": "raw"}, ValueError, r"input_type='raw' is unknown; choose 'library_sc"),
        ({"plan_kwargs": {"optimizer": "?"}}, ValueError, r"optimizer='\?' is unknown"),
        ({"plan_kwargs": {"learning_rate": 1}}, TypeError, r"learning_rate"),
        ({"n_epochs": 5}, TypeError, r"n_epochs"),
        ({"batch_size": 16, "train_size": 2.0}, ValueError, r"Invalid train_size"),
        ({"train_size": 1.0}, ValueError, r"adata has 90 cell.*a smaller train_size"),
    ],
)
def test_bad_arguments(counts, unchanged, arguments, error, message):
    counts.layers["log"] = np.log1p(counts.X)
    with unchanged(counts), pytest.raises(error, match=message):
        pld.tl.orthogonal_ae(counts, **{**QUICK, "n_latent": 5, **arguments})


def test_failure_leaves_an_earlier_registration(counts, unchanged):
    """A model that was there before goes on working."""
    model = pld.tl.orthogonal_ae(counts, n_latent=5, **QUICK)
    with unchanged(counts), pytest.raises(ValueError, match="is unknown"):
        pld.tl.orthogonal_ae(counts, n_latent=5, input_type="raw", **QUICK)
    np.testing.assert_array_equal(
        model.get_latent_representation(counts), counts.obsm["X_orthogonal_ae"]
    )
