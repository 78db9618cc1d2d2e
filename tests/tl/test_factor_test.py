from __future__ import annotations

from itertools import product

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.linear_model import LinearRegression

import pellucid as pld


def results(adata, **kwargs):
    kwargs = {"groupby": "condition", "group": "stim/1"} | kwargs
    pld.tl.factor_test(adata, **kwargs)
    return adata.uns["factor_test"]["results"]


def cells(scores, **obs) -> ad.AnnData:
    names = np.array([f"factor/{i}" for i in range(scores.shape[1])])
    return ad.AnnData(
        obs=pd.DataFrame(obs, index=[f"cell{i}" for i in range(len(scores))]),
        obsm={"X_annotated_ae": scores},
        uns={"X_annotated_ae": {"latent_names": names}},
    )


def pvalues(scores, labels, **kwargs) -> np.ndarray:
    return results(
        cells(scores, group=labels, **kwargs.pop("obs", {})), groupby="group", group="a", **kwargs
    )["pvalue"]


def test_agrees_with_scipy(factors):
    found = results(factors, n_permutations=9999, random_state=1)
    group = (factors.obs["condition"] == "stim/1").to_numpy()
    names = factors.uns["X_annotated_ae"]["latent_names"]
    for (_, row), x in zip(
        found.iterrows(), factors.obsm["X_annotated_ae"].astype(float).T, strict=True
    ):
        a, b = x[group], x[~group]
        u, p = stats.mannwhitneyu(a, b)
        assert row["auroc"] == pytest.approx(u / (len(a) * len(b)))
        assert row["mean_difference"] == pytest.approx(a.mean() - b.mean())
        if row["factor"] == names[2]:
            continue
        # Four standard errors of the permutations' share; the normal approximation adds little.
        assert row["pvalue"] == pytest.approx(p, abs=4 * np.sqrt(p / 9999) + 1.1e-4 + 0.01 * p)
        pooled = np.sqrt(
            ((len(a) - 1) * a.var(ddof=1) + (len(b) - 1) * b.var(ddof=1)) / (len(x) - 2)
        )
        assert row["effect_size"] == pytest.approx((a.mean() - b.mean()) / pooled)


def test_agrees_with_scipys_permutations():
    """Small groups with ties, where the exact distribution can be had."""
    rng = np.random.default_rng(0)
    scores, group = rng.poisson(1.5, (11, 5)).astype(float), np.arange(11) < 4
    found = pvalues(scores, np.where(group, "a", "b"), n_permutations=20_000)
    for p, x in zip(found, scores.T, strict=True):
        ranks = stats.rankdata(x) - 6

        def statistic(first, second, axis):
            return np.abs(first.sum(axis=axis))

        exact = stats.permutation_test(
            (ranks[group], ranks[~group]),
            statistic,
            n_resamples=np.inf,
            alternative="greater",
            vectorized=True,
        ).pvalue
        assert p == pytest.approx(exact, abs=4 * np.sqrt(exact / 20_000))


def test_adjusted_over_active_factors(factors):
    found = results(factors, groupby="cell_type", group=None, n_permutations=200)
    for _, table in found.groupby("group"):
        active = table["factor"] != table["factor"].iloc[2]
        expected = stats.false_discovery_control(table["pvalue"][active])
        np.testing.assert_allclose(table["padj"][active], expected)
    deactivated = found[found["factor"] == found["factor"].iloc[2]]
    assert (deactivated[["pvalue", "padj"]] == 1).all(axis=None)
    assert (deactivated[["mean_difference", "effect_size"]] == 0).all(axis=None)
    assert (deactivated["auroc"] == 0.5).all()


def test_finds_the_planted_factor(factors):
    found = results(factors).set_index("factor")
    significant = found.index[found["padj"] < 0.05]
    assert set(significant) == set(factors.uns["X_annotated_ae"]["latent_names"][:2])
    assert (found.loc[significant, "effect_size"] > 0.8).all()


def test_redundancy(factors):
    found = results(factors)
    scores = factors.obsm["X_annotated_ae"].astype(float)
    names = factors.uns["X_annotated_ae"]["latent_names"]
    active = [0, 1, 3, 4, 5]
    for k in active:
        others = scores[:, [other for other in active if other != k]]
        expected = LinearRegression().fit(others, scores[:, k]).score(others, scores[:, k])
        row = found.iloc[k]
        assert row["redundancy"] == pytest.approx(expected, abs=1e-8)
        r = [
            0 if other in (k, 2) else np.corrcoef(scores[:, k], scores[:, other])[0, 1]
            for other in range(6)
        ]
        assert row["closest"] == names[np.argmax(np.abs(r))]
        assert row["closest_r"] == pytest.approx(r[np.argmax(np.abs(r))])
    assert found.iloc[2][["redundancy", "closest_r"]].isna().all()
    assert found.iloc[2]["closest"] == ""


def test_redundancy_of_copies_and_of_more_factors_than_cells():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(50, 4))
    labels = np.where(np.arange(50) < 20, "a", "b")
    copied = np.column_stack([scores, scores[:, 0], -2 * scores[:, 1]])
    found = results(cells(copied, group=labels), groupby="group", group="a")
    np.testing.assert_allclose(found["redundancy"].iloc[[0, 1, 4, 5]], 1, atol=1e-9)
    assert (found["redundancy"].iloc[2:4] < 0.5).all()
    np.testing.assert_allclose(found["closest_r"].iloc[[0, 1, 4, 5]], [1, -1, 1, -1])
    assert found["closest"].iloc[5] == "factor/1"
    found = results(cells(rng.normal(size=(50, 80)), group=labels), groupby="group", group="a")
    np.testing.assert_allclose(found["redundancy"], 1, atol=1e-9)
    lone = results(cells(scores[:, :1], group=labels), groupby="group", group="a").iloc[0]
    assert (lone["redundancy"], lone["closest"]) == (0, "")


def test_samples_that_are_pairs():
    """All ways to flip the signs of the differences within eight donors, one by one."""
    rng = np.random.default_rng(0)
    donor, group = np.repeat(np.arange(8), 12), np.tile(np.arange(12) < 5, 8)
    scores = rng.normal(size=(96, 4)) + 20 * rng.normal(size=(8, 4))[donor]
    scores[group] += 0.4 * np.arange(4)
    adata = cells(scores, group=np.where(group, "a", "b"), donor=donor)
    found = results(adata, groupby="group", group="a", sample_key="donor", n_permutations=20_000)
    for (_, row), x in zip(found.iterrows(), scores.T, strict=True):
        a = np.array([x[(donor == d) & group].mean() for d in range(8)])
        b = np.array([x[(donor == d) & ~group].mean() for d in range(8)])
        size = stats.rankdata(np.abs(a - b)) - 0.5
        sums = np.array(list(product([-1, 1], repeat=8))) @ size
        exact = np.mean(np.abs(sums) >= np.abs(np.sign(a - b) @ size))
        assert row["pvalue"] == pytest.approx(exact, abs=4 * np.sqrt(exact / 20_000))
        assert row["mean_difference"] == pytest.approx((a - b).mean())
        assert row["effect_size"] == pytest.approx(
            (a - b).mean() / np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2)
        )
        assert row["auroc"] == pytest.approx(stats.mannwhitneyu(a, b).statistic / 64)


def test_samples_of_one_side_each_are_permuted_whole():
    rng = np.random.default_rng(0)
    sizes = rng.integers(3, 9, 14)
    sample = np.repeat(np.arange(14), sizes)
    scores = (rng.normal(size=(14, 3)) + np.arange(14)[:, None] / 6)[sample]
    scores += rng.normal(size=scores.shape)
    found = results(
        cells(scores, group=np.where(sample < 6, "a", "b"), sample=sample),
        groupby="group",
        group="a",
        sample_key="sample",
        n_permutations=20_000,
    )
    for p, x in zip(found["pvalue"], scores.T, strict=True):
        means = np.array([x[sample == s].mean() for s in range(14)])
        exact = stats.mannwhitneyu(means[:6], means[6:], method="exact").pvalue
        assert p == pytest.approx(exact, abs=4 * np.sqrt(exact / 20_000))


def shuffled(rng, n, n_group):
    return np.where(rng.permutation(n) < n_group, "a", "b")


@pytest.mark.parametrize("n_group", [100, 12])
@pytest.mark.parametrize("kind", ["continuous", "ties", "skewed"])
def test_uniform_under_shuffled_labels(kind, n_group):
    """The same scores, structured as they may be, under labels that say nothing."""
    rng = np.random.default_rng(5)
    scores = {
        "continuous": rng.normal(size=(200, 3)),
        "ties": rng.poisson(2, (200, 3)),
        "skewed": np.maximum(rng.lognormal(0, 2, (200, 3)) - 1, 0),
    }[kind].astype(float)
    p = np.array(
        [
            pvalues(scores, shuffled(rng, 200, n_group), n_permutations=499, random_state=i)
            for i in range(150)
        ]
    )
    assert stats.kstest(p.ravel(), "uniform").pvalue > 0.01
    assert np.mean(p <= 0.05) < 0.08


@pytest.mark.parametrize("design", ["paired", "one side", "mixed"])
def test_uniform_for_samples(design):
    """Donors differ, the condition does nothing: uniform by donors, far from it by cells."""
    rng = np.random.default_rng(6)
    n_donors, n_each = 24, 10
    donor = np.repeat(np.arange(n_donors), n_each)
    by_cells, by_donors = [], []
    for i in range(100):
        scores = rng.normal(size=(240, 3)) + rng.normal(size=(n_donors, 3))[donor]
        # The batch of a donor and side has a level too.
        side = np.tile(np.arange(n_each) < 3, n_donors)
        scores += 2 * rng.normal(size=(2, n_donors, 3))[side.astype(int), donor]
        whole = {"paired": 0, "one side": n_donors, "mixed": 12}[design]
        group = np.where(donor < whole, np.isin(donor, rng.permutation(whole)[: whole // 3]), side)
        labels = np.where(group, "a", "b")
        kwargs = {"n_permutations": 499, "random_state": i, "obs": {"donor": donor}}
        by_donors.append(pvalues(scores, labels, sample_key="donor", **kwargs))
        by_cells.append(pvalues(scores, labels, **kwargs))
    by_donors, by_cells = np.array(by_donors), np.array(by_cells)
    assert stats.kstest(by_donors.ravel(), "uniform").pvalue > 0.01
    assert np.mean(by_donors <= 0.05) < 0.09
    assert np.mean(by_cells <= 0.05) > 0.15


def test_cells_without_label_or_sample_are_left_out(factors):
    left_out = np.arange(factors.n_obs) % 15 == 0
    without = factors[~left_out].copy()
    expected = results(without, sample_key="donor")
    columns = ["mean_difference", "effect_size", "auroc", "pvalue", "padj"]
    for column in ("condition", "donor"):
        adata = factors.copy()
        adata.obs.loc[left_out, column] = np.nan
        pd.testing.assert_frame_equal(
            results(adata, sample_key="donor")[columns], expected[columns]
        )


def test_same_seed_same_result(factors):
    whole = results(factors, groupby="cell_type", group=None, random_state=4).copy()
    alone = results(factors, groupby="cell_type", group="type 7", random_state=4)
    pd.testing.assert_frame_equal(
        whole[whole["group"] == "type 7"].reset_index(drop=True), alone.reset_index(drop=True)
    )
    other = results(factors, groupby="cell_type", group="type 7", random_state=5)
    assert not other["pvalue"].equals(alone["pvalue"])


def test_blocks_of_permutations(factors, monkeypatch):
    """Many cells take several blocks; the count of permutations is kept."""
    monkeypatch.setattr("pellucid.tl._factor_test._AT_ONCE", 700)
    found = results(factors, n_permutations=99)
    assert found["pvalue"].iloc[1] == 0.01
    assert (found["pvalue"] >= 0.01).all()


def test_warns_where_significance_is_out_of_reach(factors, caplog):
    results(factors, n_permutations=20)
    assert "n_permutations=20 is small for 5 factors; take 100 or more" in caplog.text
    caplog.clear()
    factors.obs["litter"] = (np.arange(120) // 40).astype(str)
    results(factors, sample_key="litter")
    assert "there are 8 ways to permute them, so that no p value can be below 0.25" in caplog.text
    caplog.clear()
    results(factors, n_permutations=200)
    results(factors, sample_key="donor")
    assert not caplog.text


def test_copy(factors, unchanged):
    with unchanged(factors):
        copied = pld.tl.factor_test(
            factors, groupby="condition", sample_key="donor", copy=True, key_added="k"
        )
    assert len(pld.get.factor_test(copied, key="k")) == 12
    assert copied.uns["k"]["params"]["sample_key"] == "donor"


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"groupby": "state"}, KeyError, r"groupby='state' not found in adata\.obs"),
        ({"sample_key": "mouse"}, KeyError, r"sample_key='mouse' not found in adata\.obs"),
        ({"group": "sham"}, ValueError, r"group='sham' is not among .*\['ctrl', 'stim/1'\]"),
        ({"reference": "sham"}, ValueError, r"reference='sham' is not among"),
        ({"reference": "stim/1"}, ValueError, "group and reference are both 'stim/1'"),
        ({"groupby": "lone", "group": "a"}, ValueError, "'a' .* too few cells, 1: .*NaN"),
        ({"groupby": "one", "group": None}, ValueError, "one group only, 'x'"),
        ({"sample_key": "one"}, ValueError, r"'stim/1' has cells of 1 sample of .*'one'"),
        ({"n_permutations": 0}, ValueError, "n_permutations=0"),
        ({"use_rep": "X_scvi"}, KeyError, r"'X_scvi'.*tl\.latent"),
    ],
)
def test_bad_input(factors, unchanged, kwargs, error, message):
    factors.obs["lone"] = pd.Categorical(["a"] + ["b"] * 119)
    factors.obs["one"] = "x"
    with unchanged(factors), pytest.raises(error, match=message):
        results(factors, **kwargs)
