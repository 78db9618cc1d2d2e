"""One call from expression to scores and loadings."""

from __future__ import annotations

import numpy as np
import pytest

import pellucid as pld

QUICK = {"max_epochs": 2, "accelerator": "cpu", "enable_progress_bar": False}
CALL = {"likelihood": "nb", "n_latent": 3, "n_hidden": (8, 4), **QUICK}


def test_is_written(counts):
    counts.obs["batch"] = np.tile(["one", "two"], 45)
    counts.obs["age"] = np.linspace(0, 1, 90)
    model = pld.tl.sivae(
        counts, batch_key="batch", continuous_covariate_keys=["age"], random_state=3, **CALL
    )
    assert isinstance(model, pld.model.SIVAE)
    np.testing.assert_array_equal(counts.obsm["X_sivae"], model.get_latent_representation())
    np.testing.assert_array_equal(counts.varm["sivae_loadings"], model.get_loadings())
    record = counts.uns["X_sivae"]
    assert record["latent_names"].tolist() == ["Z_0", "Z_1", "Z_2"]
    params = record["params"]
    assert (params["random_state"], params["likelihood"], params["n_latent"]) == (3, "nb", 3)
    assert {"train_loss", "train_loss_cells", "train_loss_genes"} <= set(record["history"])
    assert set(counts.varm) == {"sivae_loadings"}
    assert model.module.gene_effects.weight.shape == (30, 3)


def test_is_the_long_way(counts):
    """Register, build, train, write: the same, step by step."""
    short = counts.copy()
    pld.tl.sivae(short, random_state=1, **CALL)
    pld.model.SIVAE.setup_anndata(counts)
    with pld.train.seeded(1):
        model = pld.model.SIVAE(counts, n_latent=3, n_hidden=(8, 4), likelihood="nb")
        model.train(**QUICK)
    pld.tl.latent(counts, model)
    pld.tl.loadings(counts, model)
    for slot, key in (("obsm", "X_sivae"), ("varm", "sivae_loadings")):
        np.testing.assert_array_equal(getattr(short, slot)[key], getattr(counts, slot)[key])


def test_key_added(counts):
    pld.tl.sivae(counts, key_added="mine", **CALL)
    assert set(counts.obsm) == {"mine"}
    assert set(counts.varm) == {"mine_loadings"}


FAILS = {
    "log expression": ({"layer": "log"}, ValueError, "counts are due"),
    "no such layer": ({"layer": "other"}, KeyError, "layer 'other' not found"),
    "no such batch": ({"batch_key": "other"}, KeyError, "'other' not found in adata.obs"),
    "units": ({"n_latent": 40}, ValueError, "n_latent=40, but adata has 30 genes"),
    "epochs": ({"max_epochs": (1, 2)}, ValueError, "one number, or three"),
}


@pytest.mark.parametrize(("arguments", "error", "message"), FAILS.values(), ids=FAILS)
def test_failure_leaves_no_trace(counts, unchanged, arguments, error, message):
    counts.layers["log"] = np.log1p(counts.X.toarray())
    with unchanged(counts), pytest.raises(error, match=message):
        pld.tl.sivae(counts, **{**CALL, **arguments})
