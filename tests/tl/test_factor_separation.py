from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import pellucid as pld
from pellucid.tl._factor_separation import _logistic_regressions


def results(adata, **kwargs):
    kwargs = {"groupby": "condition", "group": "stim/1"} | kwargs
    pld.tl.factor_separation(adata, **kwargs)
    return adata.uns["factor_separation"]["results"]


def by_hand(x, y, *, n_folds=5, random_state=0):
    """One factor by scikit-learn."""
    regression = LogisticRegression(solver="newton-cholesky", tol=1e-10)
    pipeline = make_pipeline(StandardScaler(), regression)
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=random_state)
    x = x[:, None]
    return {
        "accuracy": pipeline.fit(x, y).score(x, y),
        "cv_accuracy": cross_val_score(pipeline, x, y, cv=folds).mean(),
        "auroc": roc_auc_score(y, x),
        "majority": max(y.mean(), 1 - y.mean()),
    }


@pytest.mark.parametrize("n_folds", [2, 5])
def test_agrees_with_scikit_learn(factors, n_folds):
    found = results(factors, n_folds=n_folds, random_state=3)
    y = (factors.obs["condition"] == "stim/1").to_numpy()
    scores = factors.obsm["X_annotated_ae"].astype(float)
    assert found["factor"].to_list() == list(factors.uns["X_annotated_ae"]["latent_names"])
    for (_, row), x in zip(found.iterrows(), scores.T, strict=True):
        assert (row["group"], row["reference"]) == ("stim/1", "rest")
        for name, expected in by_hand(x, y, n_folds=n_folds, random_state=3).items():
            assert row[name] == pytest.approx(expected, abs=1e-12), name


def test_scale_and_sign_do_not_matter(factors):
    before = results(factors).copy()
    factors.obsm["X_annotated_ae"] = factors.obsm["X_annotated_ae"] * np.float32(-1024)
    after = results(factors)
    for name in ("accuracy", "cv_accuracy", "majority"):
        np.testing.assert_allclose(after[name], before[name])
    np.testing.assert_allclose(after["auroc"], 1 - before["auroc"])


def test_a_deactivated_factor_says_nothing(factors):
    row = results(factors).iloc[2]
    assert row["accuracy"] == row["cv_accuracy"] == row["majority"] == 0.6
    assert row["auroc"] == 0.5


@pytest.mark.parametrize("reference", ["rest", "type 2"])
def test_each_group_in_turn(factors, reference):
    found = results(factors, groupby="cell_type", group=None, reference=reference, n_folds=3)
    groups = [name for name in factors.obs["cell_type"].cat.categories if name != reference]
    assert found["group"].drop_duplicates().to_list() == groups
    assert set(found["reference"]) == {reference}
    assert len(found) == 6 * len(groups)
    alone = results(factors, groupby="cell_type", group="type 7", reference=reference, n_folds=3)
    pd.testing.assert_frame_equal(
        found[found["group"] == "type 7"].reset_index(drop=True), alone.reset_index(drop=True)
    )


def test_cells_without_a_label_are_left_out(factors):
    left_out = np.arange(factors.n_obs) % 3 == 0
    expected = results(factors[~left_out].copy())
    factors.obs.loc[left_out, "condition"] = np.nan
    factors.obsm["X_annotated_ae"][left_out] = 100
    pd.testing.assert_frame_equal(results(factors), expected)


@pytest.mark.parametrize("scale", [1e-3, 1, 1e4])
@pytest.mark.parametrize("n_group", [1, 30])
def test_newton_finds_the_optimum(scale, n_group):
    """Outliers, separated groups and lone cells, where a whole Newton step overshoots."""
    rng = np.random.default_rng(0)
    y = np.arange(60) < n_group
    x = scale * rng.standard_t(1, (60, 200)) ** 3
    x[:, 0] = y
    intercept, slope = _logistic_regressions(x, y)
    p = 1 / (1 + np.exp(-np.clip(intercept + slope * x, -700, 700)))
    residual = p - y[:, None]
    assert np.abs(residual.sum(axis=0)).max() < 1e-6
    gradient = (residual * x).sum(axis=0) + slope
    assert np.all(np.abs(gradient) < 1e-6 * (1 + np.abs(x).max(axis=0)))


def test_copy(factors, unchanged):
    with unchanged(factors):
        copied = pld.tl.factor_separation(factors, groupby="condition", copy=True, key_added="k")
    assert len(pld.get.factor_separation(copied, key="k")) == 12
    params = copied.uns["k"]["params"]
    assert params["function"] == "tl.factor_separation"
    assert "group" not in params


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"groupby": "state"}, KeyError, r"groupby='state' not found in adata\.obs"),
        ({"group": "sham"}, ValueError, r"group='sham' is not among .*\['ctrl', 'stim/1'\]"),
        ({"reference": "sham"}, ValueError, r"reference='sham' is not among"),
        ({"reference": "stim/1"}, ValueError, "group and reference are both 'stim/1'"),
        ({"n_folds": 1}, ValueError, "n_folds=1"),
        ({"n_folds": 49}, ValueError, r"'stim/1' .* too few cells, 48: n_folds=49 needs one"),
        ({"groupby": "lone", "group": "a"}, ValueError, "'a' .* too few cells, 1: .*NaN"),
        ({"groupby": "one", "group": None}, ValueError, "one group only, 'x'"),
        ({"groupby": "none"}, ValueError, "holds no label"),
        ({"use_rep": "X_scvi"}, KeyError, r"'X_scvi'.*tl\.latent"),
        ({"use_rep": "broken"}, ValueError, "NaN or infinite values in 1 of 6 factors"),
        ({"use_rep": "short"}, ValueError, "has 6 factors, .* names 2"),
    ],
)
def test_bad_input(factors, unchanged, kwargs, error, message):
    factors.obs["lone"] = pd.Categorical(["a"] + ["b"] * 119)
    factors.obs["one"], factors.obs["none"] = "x", np.nan
    for name in ("broken", "short"):
        factors.obsm[name] = factors.obsm["X_annotated_ae"].copy()
        factors.uns[name] = dict(factors.uns["X_annotated_ae"])
    factors.obsm["broken"][0, 0] = np.nan
    factors.uns["short"]["latent_names"] = np.array(["a", "b"])
    with unchanged(factors), pytest.raises(error, match=message):
        results(factors, **kwargs)


def test_a_group_too_small_is_left_out_of_all(factors, caplog):
    factors.obs["small"] = pd.Categorical(["a"] + ["b"] * 50 + ["c"] * 69)
    with caplog.at_level("WARNING", "pellucid"):
        pld.tl.factor_separation(factors, groupby="small", group=None)
    assert set(pld.get.factor_separation(factors)["group"]) == {"b", "c"}
    (message,) = [r.getMessage() for r in caplog.records if "left out" in r.getMessage()]
    assert message.startswith("'a' of adata.obs['small'] is left out: it has too few cells, 1")
    factors.obs["all small"] = pd.Categorical([f"group {cell}" for cell in range(120)])
    with pytest.raises(ValueError, match=r"No group of .*'all small'.* has enough cells"):
        pld.tl.factor_separation(factors, groupby="all small", group=None)
