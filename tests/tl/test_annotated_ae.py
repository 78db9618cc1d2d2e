"""One call from expression to named factors."""

from __future__ import annotations

import numpy as np
import pytest

import pellucid as pld

QUICK = {"max_epochs": 2, "accelerator": "cpu", "enable_progress_bar": False}
SETS = {"B/1": ["gene0", "gene1", "gene2"], "T": ["gene10", "gene11", "gene12"]}
CALL = {"gene_sets": SETS, "n_sparse": 1, "likelihood": "nb", **QUICK}


def test_is_written(counts):
    counts.obs["batch"] = np.tile(["one", "two"], 45)
    model = pld.tl.annotated_ae(
        counts, categorical_covariate_keys=["batch"], random_state=3, **CALL
    )
    assert isinstance(model, pld.model.AnnotatedAE)
    np.testing.assert_array_equal(counts.obsm["X_annotated_ae"], model.get_latent_representation())
    record = counts.uns["X_annotated_ae"]
    assert record["latent_names"].tolist() == ["B/1", "T", "sparse_0"]
    params = record["params"]
    assert (params["random_state"], params["likelihood"], params["n_sparse"]) == (3, "nb", 1)
    assert {"n_active_factors", "penalty", "reconstruction_loss_validation"} <= set(
        record["history"]
    )
    assert {"annotated_ae_loadings", "annotated_ae_loadings_annotated"} == set(counts.varm)
    assert model.module.covariate_decoder.weight.shape == (30, 2)


def test_is_the_long_way(counts):
    """Register, build, train, write: the same, step by step."""
    short = counts.copy()
    pld.tl.annotated_ae(short, random_state=1, **CALL)
    pld.model.AnnotatedAE.setup_anndata(counts)
    with pld.train.seeded(1):
        model = pld.model.AnnotatedAE(counts, gene_sets=SETS, n_sparse=1, likelihood="nb")
        model.train(**QUICK)
    pld.tl.latent(counts, model)
    pld.tl.loadings(counts, model)
    for slot, key in (("obsm", "X_annotated_ae"), ("varm", "annotated_ae_loadings")):
        np.testing.assert_array_equal(getattr(short, slot)[key], getattr(counts, slot)[key])


def test_key_added(counts):
    pld.tl.annotated_ae(counts, key_added="mine", **CALL)
    assert set(counts.obsm) == {"mine"}
    assert set(counts.varm) == {"mine_loadings", "mine_loadings_annotated"}
    pld.tl.rank_factors(counts, loadings_key="mine_loadings", use_rep="mine")
    assert len(pld.get.factors(counts)) == 3


FAILS = {
    "log data": ({"likelihood": "normal", "layer": "large"}, ValueError, "log expression is due"),
    "no such layer": ({"layer": "other"}, KeyError, "layer 'other' not found"),
    "empty set": ({"gene_sets": {"empty": []}}, ValueError, "have no gene"),
    "no sets": ({"gene_sets": "gene_sets"}, KeyError, r"pp\.add_gene_sets"),
    "batch of one": ({"batch_size": 1}, ValueError, "at least 2 cells"),
    "while training": ({"plan_kwargs": {"optimizer": "none"}}, ValueError, "is unknown"),
    "no such covariate": ({"categorical_covariate_keys": ["donor"]}, KeyError, "'donor'"),
}


@pytest.mark.parametrize(("arguments", "error", "message"), FAILS.values(), ids=FAILS)
def test_failure_leaves_no_trace(counts, unchanged, arguments, error, message):
    counts.layers["large"] = counts.X * 10
    counts.obs["batch"] = np.tile(["one", "two"], 45)
    given = {"categorical_covariate_keys": ["batch"], **CALL, **arguments}
    with unchanged(counts), pytest.raises(error, match=message):
        pld.tl.annotated_ae(counts, **given)
