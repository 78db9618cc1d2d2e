from __future__ import annotations

import logging

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import pellucid as pld
from pellucid.enrichment import prerank

COLUMNS = [
    *("group", "unit", "gene_set", "set_size", "es", "nes", "pvalue", "padj", "leading_edge"),
]
GROUPS = ["a/b", "c", "d"]
UNITS = ["Z_0", "Z/1", "silent"]
PATHWAY = [f"GENE{gene}" for gene in range(20)]
QUICK = {"n_permutations": 50}


@pytest.fixture
def sets():
    random = np.random.default_rng(1)
    others = {f"S/{i}": [f"GENE{g}" for g in random.choice(300, 20, False)] for i in range(12)}
    return {"planted/pathway": PATHWAY, **others}


@pytest.fixture
def adata():
    """300 genes; in group c the first unit reads a pathway, and in d it reads it less."""
    random = np.random.default_rng(0)
    by_group = random.gamma(1, size=(300, 1, 3)) + 0.2 * random.gamma(1, size=(300, 3, 3))
    by_group[:20, 1, 0] += 3
    by_group[:20, 2, 0] *= 0.1
    by_group[:, :, 2] = 0
    sizes = np.array([10, 20, 30])
    whole = np.tensordot(sizes / 60, by_group, axes=(0, 1))
    return ad.AnnData(
        np.ones((2, 300), np.float32),
        var=pd.DataFrame(index=[f"GENE{gene}" for gene in range(300)]),
        varm={
            "attribution": whole.astype(np.float32),
            "attribution_cell_type": by_group.astype(np.float32),
        },
        uns={
            "attribution": {
                "params": {"groupby": "cell/type"},
                "latent_names": np.array(UNITS),
                "groups": np.array(GROUPS),
                "group_sizes": sizes,
            }
        },
    )


def test_planted_pathway(adata, sets, caplog):
    with caplog.at_level(logging.WARNING, "pellucid"):
        assert pld.tl.gsea(adata, sets, groupby="cell/type") is None
    assert "none ranks: 'silent'" in caplog.text
    record = adata.uns["gsea"]
    assert record["params"]["function"] == "tl.gsea"
    assert record["params"]["groupby"] == "cell/type"
    assert record["groups"].tolist() == GROUPS
    assert record["latent_names"].tolist() == UNITS
    assert record["set_names"].tolist() == list(sets)
    assert record["set_sizes"].tolist() == [20] * 13
    table = pld.get.gsea(adata)
    assert list(table) == COLUMNS
    assert len(table) == 3 * 3 * 13
    planted = table.query("gene_set == 'planted/pathway' and unit == 'Z_0'").set_index("group")
    assert planted.loc["c", "es"] > 0.8
    assert planted.loc["c", "padj"] < 0.05
    assert planted.loc["d", "es"] < -0.5
    assert planted.loc["d", "padj"] < 0.05
    assert set(planted.loc["c", "leading_edge"].split(";")) <= set(PATHWAY)
    silent = table[table["unit"] == "silent"]
    assert silent[["es", "nes"]].isna().all(axis=None)
    assert (silent[["pvalue", "padj"]] == 1).all(axis=None)
    assert (silent["leading_edge"] == "").all()


def test_each_list_is_its_groups_less_that_of_all(adata, sets):
    pld.tl.gsea(adata, sets, groupby="cell/type", **QUICK)
    whole = adata.varm["attribution"].astype(float)
    by_group = adata.varm["attribution_cell_type"].astype(float)
    members = np.array([adata.var_names.isin(genes) for genes in sets.values()]).T
    lists = dict(list(adata.uns["gsea"]["results"].groupby(["group", "unit"], sort=False)))
    assert list(lists) == [(group, unit) for group in GROUPS for unit in UNITS]
    for g, group in enumerate(GROUPS):
        for u, unit in enumerate(UNITS[:2]):
            rows = lists[group, unit]
            assert rows["gene_set"].to_list() == list(sets)
            scores = by_group[:, g, u] - whole[:, u]
            expected = prerank(scores[:, None], members, **QUICK)
            for name in ("es", "nes", "pvalue", "padj"):
                np.testing.assert_array_equal(rows[name], getattr(expected, name)[:, 0])
            order = np.argsort(-scores)
            for row, edge in zip(rows.itertuples(), expected.edge[:, 0], strict=True):
                lead = order[: edge + 1] if row.es > 0 else order[edge:][::-1]
                names = [name for name in adata.var_names[lead] if name in sets[row.gene_set]]
                assert row.leading_edge == ";".join(names)
                assert names


def test_counts(adata, sets):
    pld.tl.gsea(adata, sets, groupby="cell/type", alpha=0.3)
    record = adata.uns["gsea"]
    significant = record["results"].query("padj < 0.3")
    counted = significant.groupby(["gene_set", "unit"]).size()
    frequency = pld.get.gsea_frequency(adata)
    assert frequency.shape == (13, 3)
    assert frequency.index.to_list() == list(sets)
    assert frequency.columns.to_list() == UNITS
    assert frequency.loc["planted/pathway", "Z_0"] >= 2
    assert frequency.to_numpy().sum() == len(significant) > 0
    for pair, number in counted.items():
        assert frequency.loc[pair] == number
    np.testing.assert_array_equal(record["n_significant"], frequency)


def test_without_subtraction(adata, sets):
    options = {"groupby": "cell/type", "subtract_global": False, **QUICK}
    pld.tl.gsea(adata, sets, **options)
    rows = adata.uns["gsea"]["results"].query("group == 'd' and unit == 'Z/1'")
    members = np.array([adata.var_names.isin(genes) for genes in sets.values()]).T
    scores = adata.varm["attribution_cell_type"][:, 2, 1:2].astype(float)
    np.testing.assert_array_equal(rows["es"], prerank(scores, members, **QUICK).es[:, 0])


def test_of_all_cells_and_of_loadings(adata, sets):
    """One list a unit, and no column of groups."""
    adata.varm["loadings"] = np.random.default_rng(2).normal(size=(300, 2))
    adata.varm["loadings"][:20, 1] -= 2
    adata.uns["loadings"] = {"latent_names": np.array(["f", "g"])}
    pld.tl.gsea(adata, sets, attribution_key="loadings", key_added="mine")
    record = adata.uns["mine"]
    assert "groups" not in record
    assert "groupby" not in record["params"]
    table = pld.get.gsea(adata, key="mine")
    assert list(table) == COLUMNS[1:]
    assert table["unit"].unique().tolist() == ["f", "g"]
    first = table[table["unit"] == "g"].iloc[0]
    assert first["gene_set"] == "planted/pathway"
    assert first["es"] < 0
    # A negative score's leading edge begins at the bottom.
    lowest = adata.varm["loadings"][:20, 1].argmin()
    assert first["leading_edge"].startswith(f"GENE{lowest};")
    assert pld.get.gsea_frequency(adata, key="mine").loc["planted/pathway", "g"] == 1
    # Groups are left alone unless they are asked for.
    pld.tl.gsea(adata, sets, **QUICK)
    assert "group" not in pld.get.gsea(adata)


@pytest.mark.parametrize("engine", ["gseapy", "multilevel"])
def test_engines_agree(engine, adata, sets):
    options = {"groupby": "cell/type", "key_added": "theirs"}
    pld.tl.gsea(adata, sets, engine=engine, **options)
    pld.tl.gsea(adata, sets, groupby="cell/type")
    ours, theirs = (adata.uns[key]["results"] for key in ("gsea", "theirs"))
    assert adata.uns["theirs"]["params"]["engine"] == engine
    for column in ("group", "unit", "gene_set", "set_size", "leading_edge"):
        assert ours[column].to_list() == theirs[column].to_list(), column
    np.testing.assert_allclose(ours["es"], theirs["es"], atol=1e-8)
    np.testing.assert_allclose(ours["nes"], theirs["nes"], rtol=0.1)
    np.testing.assert_allclose(ours["pvalue"], theirs["pvalue"], atol=0.08)
    planted = (ours["gene_set"] == "planted/pathway") & (ours["unit"] == "Z_0")
    assert (theirs["padj"][planted & (ours["group"] == "c")] < 0.05).all()
    if engine == "multilevel":
        assert theirs["pvalue"].min() < 1e-4


def test_same_seed_same_result(adata, sets):
    tables = []
    for seed in (0, 0, 1):
        pld.tl.gsea(adata, sets, groupby="cell/type", random_state=seed, **QUICK)
        tables.append(adata.uns["gsea"]["results"])
    pd.testing.assert_frame_equal(tables[0], tables[1])
    assert not tables[0].equals(tables[2])


def test_copy_and_backed(adata, sets, unchanged, tmp_path):
    options = {"groupby": "cell/type", **QUICK}
    view = adata[:, :250]
    with unchanged(view):
        other = pld.tl.gsea(view, sets, min_genes=5, copy=True, **options)
    assert (other.uns["gsea"]["set_sizes"] <= 20).all()
    adata.write_h5ad(tmp_path / "adata.h5ad")
    backed = ad.read_h5ad(tmp_path / "adata.h5ad", backed="r")
    for one in (adata, backed):
        pld.tl.gsea(one, sets, **options)
    pd.testing.assert_frame_equal(pld.get.gsea(backed), pld.get.gsea(adata))
    backed.file.close()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"engine": "fast"}, ValueError, r"engine='fast' is unknown; choose 'batched'"),
        ({"n_permutations": 0}, ValueError, "n_permutations=0"),
        ({"alpha": 5}, ValueError, r"alpha=5; expected a level"),
        ({"groupby": "sample"}, KeyError, r"of groups by 'cell/type'; call tl\.attribute with"),
        ({"groupby": "sample", "attribution_key": "cells"}, KeyError, r"of all cells only"),
        ({"attribution_key": "mine"}, KeyError, r"'mine'.*tl\.attribute or tl\.loadings"),
        ({"groupby": "cell/type", "attribution_key": "cut"}, ValueError, r"\(300, 2, 3\)"),
        ({"groupby": "cell/type", "attribution_key": "nan"}, ValueError, r"1 NaN or infinite"),
        ({"groupby": "cell/type", "attribution_key": "lost"}, KeyError, r"lost_cell_type"),
        ({"min_genes": 21}, ValueError, "at least 21"),
        ({"gene_sets": {"s": ["ENSG00000141510"]}}, ValueError, "Ensembl ids"),
        (
            {"gene_sets": {"s": [f"GENE{g}" for g in range(300)]}},
            ValueError,
            "1 all of them; expected sets with some genes",
        ),
    ],
)
def test_bad_input(arguments, error, message, adata, sets, unchanged):
    whole, by_group = adata.varm["attribution"], adata.varm["attribution_cell_type"]
    for key in ("cells", "cut", "nan", "lost"):
        adata.varm[key] = whole
        adata.uns[key] = dict(adata.uns["attribution"])
    adata.uns["cells"] = {"latent_names": np.array(UNITS)}
    adata.varm["cut_cell_type"] = by_group[:, :2]
    adata.varm["nan_cell_type"] = by_group.copy()
    adata.varm["nan_cell_type"][0, 0, 0] = np.nan
    with unchanged(adata), pytest.raises(error, match=message):
        pld.tl.gsea(adata, **{"gene_sets": sets, **QUICK, **arguments})


def test_an_old_gseapy(adata, sets, unchanged, monkeypatch):
    import gseapy

    monkeypatch.setattr(gseapy, "prerank", lambda rnk: None)
    with unchanged(adata), pytest.raises(ImportError, match="no multilevel p values"):
        pld.tl.gsea(adata, sets, engine="multilevel")


@pytest.mark.parametrize("reader", ["gsea", "gsea_frequency"])
def test_no_result(reader, adata):
    with pytest.raises(KeyError, match=r"'gsea'.*tl\.gsea"):
        getattr(pld.get, reader)(adata)
