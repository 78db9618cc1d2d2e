"""Centrality and a phenotype over populations, with mean expression beside it."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import pellucid as pld
from pellucid.tl._population_networks import read_populations

MODULES = {f"module/{m}": [f"gene{g}" for g in range(10 * m, 10 * m + 10)] for m in range(6)}
ODD = np.arange(16) % 2 == 1


def by_population(adata, what: str) -> np.ndarray:
    """Genes x populations, bins averaged, by pandas."""
    fits = adata.uns["populations"]["populations"]
    table = pd.DataFrame(adata.varm[f"populations_{what}"].astype(float).T)
    return table.groupby(fits).mean().loc[[f"donor/{i}" for i in range(16)]].to_numpy().T


@pytest.mark.parametrize("phenotype", ["rewired", "efficiency"])
def test_is_scipys_and_finds_the_module(populations, phenotype):
    pld.tl.associate_centrality(populations, phenotype)
    found = populations.uns["centrality_association"]
    table = found["results"]
    assert table["gene"].tolist() == populations.var_names.tolist()
    values = populations.obs[phenotype].to_numpy()[::2]
    if phenotype == "rewired":
        assert found["groups"].tolist() == ["as before", "re/wired"]
        values = ODD.astype(float)
    np.testing.assert_array_equal(found["phenotype"], values)
    for what, prefix in (("centrality", ""), ("mean", "mean_")):
        rows = by_population(populations, what)
        expected = [stats.spearmanr(row, values) for row in rows]
        np.testing.assert_allclose(
            table[f"{prefix}correlation"], [x.statistic for x in expected], atol=1e-12
        )
        pvalue = [x.pvalue for x in expected]
        if phenotype == "rewired":
            pvalue = [stats.mannwhitneyu(row[ODD], row[~ODD]).pvalue for row in rows]
        np.testing.assert_allclose(table[f"{prefix}pvalue"], pvalue, rtol=1e-6)
        np.testing.assert_allclose(
            table[f"{prefix}padj"], stats.false_discovery_control(pvalue), rtol=1e-6
        )
    in_module = np.arange(60) < 10
    assert (table["padj"][in_module] < 0.05).all()
    assert (table["padj"][~in_module] < 0.05).sum() <= 2
    assert (table["correlation"][in_module] < -0.6).all()
    assert (table["mean_padj"] > 0.05).all()
    best = pld.get.centrality_association(populations)
    assert best["pvalue"].is_monotonic_increasing
    assert set(best["gene"][:10]) == set(MODULES["module/0"]) or phenotype == "efficiency"


def test_gene_sets(populations):
    pld.tl.associate_centrality(populations, "rewired", gene_sets=MODULES, min_genes=5)
    table = pld.get.centrality_association(populations, of="gene_sets")
    assert table.columns[:3].tolist() == ["ranking", "gene_set", "set_size"]
    first = table[table["ranking"] == "centrality"].iloc[0]
    assert first["gene_set"] == "module/0"
    assert first["nes"] < 0
    assert first["padj"] < 0.01
    assert (table["padj"][table["ranking"] == "mean"] > 0.05).all()


def test_p_values_are_uniform_where_nothing_differs(populations):
    """Among the genes that no rewiring touches, over many labels that say nothing."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(60, 19))
    populations.varm["populations_centrality"] = noise
    found = []
    for n_left_out in (0, 4):
        for _ in range(30):
            labels = rng.permutation(np.arange(16) % 2).astype(float)
            labels[:n_left_out] = np.nan
            populations.obs["label"] = pd.Categorical(np.repeat(labels, 2))
            result = pld.tl.associate_centrality(populations, "label", copy=True)
            found.append(result.uns["centrality_association"]["results"]["pvalue"])
    found = np.concatenate(found)
    for level in (0.01, 0.05, 0.2, 0.5):
        assert found.size * level * 0.6 < (found <= level).sum() < found.size * level * 1.25


def test_populations_without_a_phenotype_are_left_out(populations, caplog):
    populations.obs.loc[populations.obs["donor"] == "donor/3", "efficiency"] = np.nan
    with caplog.at_level(logging.WARNING, logger="pellucid"):
        pld.tl.associate_centrality(populations, "efficiency")
    assert "1 of 16 populations have no 'efficiency' and are left out: 'donor/3'" in caplog.text
    found = populations.uns["centrality_association"]
    assert len(found["populations"]) == 15
    assert "groups" not in found
    rest = np.arange(16) != 3
    row = by_population(populations, "centrality")[5]
    expected = stats.spearmanr(row[rest], populations.obs["efficiency"].to_numpy()[::2][rest])
    assert found["results"]["correlation"].iloc[5] == pytest.approx(expected.statistic)


def test_a_gene_of_one_value(populations):
    populations.varm["populations_centrality"][7] = 0
    pld.tl.associate_centrality(populations, "rewired", gene_sets=MODULES, min_genes=5)
    row = pld.get.centrality_association(populations).set_index("gene").loc["gene7"]
    assert np.isnan(row["correlation"])
    assert row["pvalue"] == row["padj"] == 1


def test_ordered_categories_and_booleans(populations):
    levels = np.repeat(np.arange(16) // 6, 2)
    populations.obs["stage"] = pd.Categorical.from_codes(levels, list("zyx"), ordered=True)
    pld.tl.associate_centrality(populations, "stage")
    found = populations.uns["centrality_association"]
    np.testing.assert_array_equal(found["phenotype"], np.arange(16) // 6)
    populations.obs["is_odd"] = np.repeat(ODD, 2)
    pld.tl.associate_centrality(populations, "is_odd")
    found = populations.uns["centrality_association"]
    assert found["groups"].tolist() == ["False", "True"]
    np.testing.assert_array_equal(found["phenotype"], ODD)


FAILS = {
    "key": ({"key": "other"}, KeyError, "written by tl.fit_populations"),
    "column": ({"phenotype": "age"}, KeyError, "'age' not found in adata.obs"),
    "cells differ": (
        {"phenotype": "cell_type"},
        ValueError,
        "16 have several values .'donor/0' has B, T",
    ),
    "groups": ({"phenotype": "donor"}, ValueError, "has 16 groups.*ordered"),
    "one value": ({"phenotype": "same"}, ValueError, "1 different values; expected 3 populations"),
    "two known": ({"phenotype": "rare"}, ValueError, "known of 2 of 16"),
    "sets": ({"gene_sets": MODULES}, ValueError, "min_genes"),
}


@pytest.mark.parametrize(("arguments", "error", "message"), FAILS.values(), ids=FAILS)
def test_failure_leaves_no_trace(populations, unchanged, arguments, error, message):
    populations.obs["same"] = 1.0
    populations.obs["rare"] = np.repeat([1.0, 2.0] + 14 * [np.nan], 2)
    with unchanged(populations), pytest.raises(error, match=message):
        pld.tl.associate_centrality(populations, **{"phenotype": "rewired", **arguments})


def test_there_are_no_sets_to_get(populations):
    pld.tl.associate_centrality(populations, "rewired")
    with pytest.raises(KeyError, match="pass gene_sets="):
        pld.get.centrality_association(populations, of="gene_sets")
    with pytest.raises(ValueError, match="of='sets' is unknown; choose 'genes' or 'gene_sets'"):
        pld.get.centrality_association(populations, of="sets")


@pytest.mark.parametrize("kind", [bool, int, float, str, "category"])
def test_populations_without_cells_are_left_out(populations, caplog, kind):
    """As those without a phenotype are, whatever the type of the column."""
    values = np.repeat(ODD if kind is bool else np.arange(16) // 4 if kind is int else ODD * 1, 2)
    populations.obs["odd"] = pd.Series(values, index=populations.obs_names).astype(kind)
    populations = populations[populations.obs["donor"] != "donor/3"].copy()
    with caplog.at_level(logging.WARNING, logger="pellucid"):
        pld.tl.associate_centrality(populations, "odd")
    assert "1 of 16 populations have no 'odd' and are left out: 'donor/3'" in caplog.text
    found = populations.uns["centrality_association"]
    assert found["populations"].tolist() == [f"donor/{i}" for i in range(16) if i != 3]
    expected = np.delete(np.arange(16) // 4 if kind is int else ODD, 3)
    np.testing.assert_array_equal(found["phenotype"], expected)


def test_two_numbers_are_two_groups(populations):
    """Student's t knows nothing of so many ties."""
    populations.obs["dose"] = np.where(populations.obs["rewired"] == "re/wired", 2.5, 1)
    populations.obs.loc[populations.obs["donor"] == "donor/3", "dose"] = np.nan
    populations.obs["rewired"] = populations.obs["rewired"].where(populations.obs["dose"].notna())
    pld.tl.associate_centrality(populations, "dose")
    pld.tl.associate_centrality(populations, "rewired", key_added="named")
    found, expected = (populations.uns[key] for key in ("centrality_association", "named"))
    assert found["groups"].tolist() == ["1", "2.5"]
    pd.testing.assert_frame_equal(found["results"], expected["results"])
    np.testing.assert_array_equal(found["phenotype"], expected["phenotype"])


def test_bins_of_one_value_average_to_it(populations):
    """Whatever their number: 1.7 + 1.7 + 1.7 is not 3 x 1.7."""
    n_bins = [1, 3, 7, 6, 1, 3, 7, 6, 5, 2, 9, 10, 1, 1, 1, 1]
    fits = np.repeat(np.arange(16), n_bins)
    rng = np.random.default_rng(0)
    mean = rng.random((60, len(fits))).astype(np.float32)
    mean[0] = 1.7
    mean[1, fits < 8] = 0
    del populations.varm
    populations.varm["populations_mean"] = mean
    populations.varm["populations_centrality"] = rng.random(mean.shape).astype(np.float32)
    populations.uns["populations"]["populations"] = np.array([f"donor/{i}" for i in fits])
    pld.tl.associate_centrality(populations, "efficiency")
    row = populations.uns["centrality_association"]["results"].iloc[0]
    assert np.isnan(row["mean_correlation"])
    assert row["mean_pvalue"] == row["mean_padj"] == 1
    averages = read_populations(populations, "populations").average(mean.astype(float))
    assert (averages[1, :8] == 0).all()
    expected = pd.DataFrame(mean.astype(float).T).groupby(fits).mean().to_numpy().T
    np.testing.assert_allclose(averages, expected)
