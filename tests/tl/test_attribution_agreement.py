from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

import pellucid as pld


def put(adata, key, values, *, aggregate=None, model_class="SIVAE", names=None):
    params = {"model_class": model_class} | ({"aggregate": aggregate} if aggregate else {})
    units = [f"Z_{unit}" for unit in range(values.shape[1])] if names is None else names
    adata.varm[key] = values.astype(np.float32)
    adata.uns[key] = {"params": params, "latent_names": np.array(units)}


@pytest.fixture
def adata():
    random = np.random.default_rng(0)
    adata = ad.AnnData(
        np.ones((2, 40), np.float32), var=pd.DataFrame(index=[f"gene{i}" for i in range(40)])
    )
    loadings = random.normal(size=(40, 3))
    put(adata, "loadings", loadings)
    # With ties, as of genes that no unit reads.
    signed = np.round(loadings + random.normal(size=(40, 3)), 1)
    put(adata, "mean", np.where(np.abs(signed) < 0.3, 0, signed), aggregate="mean")
    put(adata, "abs", np.abs(loadings + random.normal(size=(40, 3))), aggregate="mean_abs")
    adata.varm["attribution_group"] = np.zeros((40, 5, 3))
    adata.varm["gene_sets"] = np.zeros((40, 2), bool)
    adata.uns["gene_sets"] = {"names": np.array(["a", "b"])}
    return adata


def test_spearman_of_each_unit(adata):
    assert pld.tl.attribution_agreement(adata) is None
    found = adata.uns["attribution_agreement"]
    assert found["names"].tolist() == ["loadings", "mean", "abs"]
    assert found["latent_names"].tolist() == ["Z_0", "Z_1", "Z_2"]
    assert found["magnitude"].tolist() == [[0, 0, 1], [0, 0, 1], [1, 1, 1]]
    assert found["params"]["function"] == "tl.attribution_agreement"
    assert found["params"]["keys"].tolist() == ["loadings", "mean", "abs"]
    for name in ("correlation", "pvalue"):
        assert found[name].shape == (3, 3, 3)
        assert found[name].dtype == np.float64
    for unit in range(3):
        for i, first in enumerate(found["names"]):
            for j, second in enumerate(found["names"]):
                x, y = adata.varm[first][:, unit], adata.varm[second][:, unit]
                if "abs" in (first, second):
                    x, y = np.abs(x), np.abs(y)
                expected = spearmanr(x, y)
                assert found["correlation"][unit, i, j] == pytest.approx(expected.statistic)
                assert found["pvalue"][unit, i, j] == pytest.approx(expected.pvalue, abs=1e-12)


def test_an_unsigned_result_agrees_with_its_opposite(adata):
    put(adata, "abs", np.abs(adata.varm["loadings"]), aggregate="mean_abs")
    put(adata, "mean", -adata.varm["loadings"], aggregate="mean")
    pld.tl.attribution_agreement(adata)
    found = adata.uns["attribution_agreement"]
    np.testing.assert_allclose(found["correlation"][:, 0, 2], 1)
    np.testing.assert_allclose(found["correlation"][:, 0, 1], -1)
    np.testing.assert_allclose(found["pvalue"][:, 0, 1], 0, atol=1e-100)


def test_constant_or_missing_is_nan(adata):
    adata.varm["mean"][:, 1] = 0.7
    adata.varm["abs"][4, 2] = np.nan
    pld.tl.attribution_agreement(adata)
    found = adata.uns["attribution_agreement"]
    for name in ("correlation", "pvalue"):
        expected = np.zeros((3, 3, 3), bool)
        expected[1, 1] = expected[1, :, 1] = expected[2, 2] = expected[2, :, 2] = True
        np.testing.assert_array_equal(np.isnan(found[name]), expected)


def test_few_genes(adata):
    """Two genes: no test."""
    few = adata[:, :2].copy()
    pld.tl.attribution_agreement(few)
    found = few.uns["attribution_agreement"]
    np.testing.assert_allclose(np.abs(found["correlation"][:, 0, 1]), 1)
    assert np.isnan(found["pvalue"]).all()


def test_some_of_them_in_order(adata, unchanged):
    with unchanged(adata):
        other = pld.tl.attribution_agreement(
            adata, ["abs", "loadings"], key_added="mine", copy=True
        )
    assert other.uns["mine"]["names"].tolist() == ["abs", "loadings"]
    assert "attribution_agreement" not in other.uns


def test_results_of_other_models_are_left_out(adata):
    put(adata, "other", np.ones((40, 3)), model_class="VAE")
    put(adata, "wider", np.ones((40, 4)))
    pld.tl.attribution_agreement(adata)
    assert adata.uns["attribution_agreement"]["names"].tolist() == ["loadings", "mean", "abs"]
    # They are compared if that is what one wants.
    pld.tl.attribution_agreement(adata, ["loadings", "other"])


def test_which_of_two_models(adata, unchanged):
    for key in ("first", "second"):
        put(adata, key, np.ones((40, 3)), model_class="VAE")
    with unchanged(adata), pytest.raises(ValueError, match=r"2 models: .*'abs'.* and .*'first'"):
        pld.tl.attribution_agreement(adata)


@pytest.mark.parametrize(
    ("keys", "error", "message"),
    [
        (["loadings"], ValueError, "1 results to compare"),
        ("loadings", ValueError, "1 results to compare"),
        ([], ValueError, "0 results"),
        (["abs", "abs"], ValueError, "two or more different ones"),
        (["abs", "saliency"], KeyError, r"'saliency'.*tl\.attribute"),
        (["abs", "attribution_group"], KeyError, r"uns\['attribution_group'\]"),
        (["abs", "turned"], ValueError, r"3: Z_1, Z_0, Z_2.*than 'abs' \(3: Z_0, Z_1, Z_2\)"),
        (["abs", "cut"], ValueError, r"has shape \(40, 2\).*\(40, 3\), are due"),
    ],
)
def test_bad_input(keys, error, message, adata, unchanged):
    put(adata, "turned", np.ones((40, 3)), names=["Z_1", "Z_0", "Z_2"])
    put(adata, "cut", np.ones((40, 2)), names=["Z_0", "Z_1", "Z_2"])
    with unchanged(adata), pytest.raises(error, match=message):
        pld.tl.attribution_agreement(adata, keys)


def test_nothing_to_compare(adata, unchanged):
    for key in ("mean", "abs"):
        del adata.varm[key]
    with unchanged(adata), pytest.raises(ValueError, match=r"1 results .*'loadings'.*tl\.attri"):
        pld.tl.attribution_agreement(adata)


def test_get(adata):
    pld.tl.attribution_agreement(adata)
    table = pld.get.attribution_agreement(adata)
    assert list(table) == ["first", "second", "unit", "correlation", "pvalue", "magnitude"]
    assert len(table) == 9
    found = adata.uns["attribution_agreement"]
    position = {name: i for i, name in enumerate(found["names"])}
    for row in table.itertuples():
        i, j = position[row.first], position[row.second]
        assert i < j
        unit = int(row.unit.removeprefix("Z_"))
        assert row.correlation == found["correlation"][unit, i, j]
        assert row.pvalue == found["pvalue"][unit, i, j]
        assert row.magnitude == found["magnitude"][i, j]
    with pytest.raises(KeyError, match=r"tl\.attribution_agreement"):
        pld.get.attribution_agreement(adata, key="mine")
