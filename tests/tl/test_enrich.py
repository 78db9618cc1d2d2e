from __future__ import annotations

import logging

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control

import pellucid as pld

COLUMNS = [
    *("unit", "gene_set", "overlap", "set_size", "n_top"),
    *("odds_ratio", "pvalue", "padj", "genes"),
]
PATHWAY = [f"GENE{gene}" for gene in range(10)]


def sets_of(adata, n: int, size: int = 10) -> dict[str, list[str]]:
    """Random sets after the planted one."""
    random = np.random.default_rng(1)
    sets = {f"set/{i}": random.choice(adata.var_names, size, False).tolist() for i in range(n)}
    return {"planted/pathway": PATHWAY, **sets}


@pytest.fixture
def adata():
    """200 genes of three units: the second has 8 of the pathway foremost, some negative."""
    random = np.random.default_rng(0)
    scores = random.normal(size=(200, 3)).astype(np.float32)
    scores[:8, 1] = [9, -8, 7, 6, -5, 4.5, 4.2, -4.1]
    scores[8:10, 1] = 0.01
    return ad.AnnData(
        np.ones((2, 200), np.float32),
        var=pd.DataFrame(index=[f"GENE{gene}" for gene in range(200)]),
        varm={"attribution": scores},
        uns={"attribution": {"params": {}, "latent_names": np.array(["Z_0", "b/1", "Z 2"])}},
    )


def test_planted_pathway(adata):
    assert pld.tl.enrich(adata, sets_of(adata, 40)) is None
    record = adata.uns["enrichment"]
    assert record["params"]["function"] == "tl.enrich"
    assert record["params"]["top"] == 0.1
    assert record["latent_names"].tolist() == ["Z_0", "b/1", "Z 2"]
    assert record["n_top"].tolist() == [20, 20, 20]
    assert len(record["set_names"]) == 41
    assert record["set_sizes"].tolist() == [10] * 41
    table = pld.get.enrichment(adata)
    assert list(table) == COLUMNS
    assert (table["overlap"] > 0).all()
    (best,) = table[table["padj"] < 0.05].itertuples()
    assert (best.unit, best.gene_set, best.overlap) == ("b/1", "planted/pathway", 8)
    # The foremost first, whatever its sign.
    assert best.genes == ";".join(PATHWAY[:8])


def test_each_row_by_hand(adata):
    sets = sets_of(adata, 15)
    pld.tl.enrich(adata, sets, top=0.25)
    table = adata.uns["enrichment"]["results"].set_index(["unit", "gene_set"])
    assert table.index.is_unique
    scores = pd.DataFrame(
        np.abs(adata.varm["attribution"]), adata.var_names, ["Z_0", "b/1", "Z 2"]
    )
    for unit, column in scores.items():
        top = column.sort_values(ascending=False).index[:50]
        shared = {name: [gene for gene in top if gene in genes] for name, genes in sets.items()}
        rows = table.loc[unit]
        assert rows.index.to_list() == [name for name in sets if shared[name]]
        for name, row in rows.iterrows():
            assert row["genes"].split(";") == shared[name]
            assert row["overlap"] == len(shared[name])
            assert (row["set_size"], row["n_top"]) == (10, 50)
        # Sets without a shared gene were tested too.
        p = np.append(rows["pvalue"], np.ones(len(sets) - len(rows)))
        np.testing.assert_allclose(rows["padj"], false_discovery_control(p)[: len(rows)])


def test_gseapy(adata):
    import gseapy

    sets = sets_of(adata, 15)
    pld.tl.enrich(adata, sets)
    found = adata.uns["enrichment"]["results"].query("unit == 'b/1'").set_index("gene_set")
    order = np.argsort(-np.abs(adata.varm["attribution"][:, 1]))
    expected = gseapy.enrich(
        gene_list=adata.var_names[order[:20]].to_list(),
        gene_sets=sets,
        background=adata.var_names.to_list(),
        outdir=None,
        cutoff=1,
    ).results.set_index("Term")
    expected = expected.loc[found.index]
    np.testing.assert_allclose(found["pvalue"], expected["P-value"])
    np.testing.assert_allclose(found["odds_ratio"], expected["Odds Ratio"])
    for ours, theirs in zip(found["genes"], expected["Genes"], strict=True):
        assert set(ours.split(";")) == set(theirs.split(";"))


def test_a_set_is_not_enriched_for_being_measured(adata):
    """All of it is measured and random among what is; of the genome it would be significant."""
    random = np.random.default_rng(2)
    measured = random.choice(adata.var_names, 100, False).tolist()
    elsewhere = [f"OTHER{gene}" for gene in range(2000)]
    sets = {"measured": measured, "unseen": elsewhere[:500] + measured[:5], "planted": PATHWAY}
    pld.tl.enrich(adata, sets)
    table = pld.get.enrichment(adata).set_index(["gene_set", "unit"])
    assert (table.loc["measured", "pvalue"] > 0.05).all()
    assert (table.loc["measured", "set_size"] == 100).all()
    # Genes that are not measured count nowhere.
    assert (table.loc["unseen", "set_size"] == 5).all()
    assert table.loc[("planted", "b/1"), "padj"] < 1e-6
    from scipy.stats import hypergeom

    taken = table.loc[("measured", "Z_0")]
    whole = hypergeom.sf(taken["overlap"] - 1, 2200, 100, taken["n_top"])
    assert whole < 1e-6


def test_p_values_hold_their_level():
    """No unit knows of any set: one in twenty is below 0.05, or fewer as counts are few."""
    random = np.random.default_rng(0)
    adata = ad.AnnData(
        var=pd.DataFrame(index=[f"g{gene}" for gene in range(1000)]),
        varm={"attribution": random.gamma(0.3, size=(1000, 40))},
        uns={"attribution": {"latent_names": np.array([f"Z_{unit}" for unit in range(40)])}},
    )
    sets = {f"s{i}": random.choice(adata.var_names, 60, False).tolist() for i in range(100)}
    pld.tl.enrich(adata, sets)
    p = adata.uns["enrichment"]["results"]["pvalue"]
    n_tests = 40 * 100
    for level in (0.2, 0.05, 0.01):
        share = (p <= level).sum() / n_tests
        assert 0.3 * level < share < level + 3 * np.sqrt(level / n_tests)
    assert (adata.uns["enrichment"]["results"]["padj"] < 0.05).sum() <= 4


def test_zeros_are_never_taken(adata, caplog):
    loadings = np.zeros((200, 4))
    loadings[:7, 0] = -1
    loadings[:, 2] = 0.5
    loadings[:, 3] = np.arange(200)
    adata.varm["loadings"] = loadings
    adata.uns["loadings"] = {"latent_names": np.array(["sparse", "none", "same", "line"])}
    with caplog.at_level(logging.WARNING, "pellucid"):
        pld.tl.enrich(adata, {"PATHWAY": PATHWAY}, key="loadings", key_added="mine")
    assert "none ranks: 'none', 'same'" in caplog.text
    assert adata.uns["mine"]["n_top"].tolist() == [7, 0, 0, 20]
    table = pld.get.enrichment(adata, key="mine")
    assert table["unit"].to_list() == ["sparse"]
    assert table["genes"].to_list() == [";".join(PATHWAY[:7])]


def test_nothing_shared(adata, round_trip, assert_same):
    adata.varm["attribution"][:10] = 0
    pld.tl.enrich(adata, {"PATHWAY": PATHWAY})
    table = pld.get.enrichment(adata)
    assert table.empty
    assert list(table) == COLUMNS
    assert_same(round_trip(adata), adata)


def test_sets_by_size_and_case(adata):
    sets = {
        "lower": [gene.lower() for gene in PATHWAY],
        "few": PATHWAY[:3],
        "all": adata.var_names,
    }
    pld.tl.enrich(adata, {name: list(genes) for name, genes in sets.items()}, max_genes=100)
    assert adata.uns["enrichment"]["set_names"].tolist() == ["lower"]
    pld.tl.enrich(adata, {name: list(genes) for name, genes in sets.items()}, case_sensitive=True)
    assert adata.uns["enrichment"]["set_names"].tolist() == ["all"]
    assert (adata.uns["enrichment"]["results"]["pvalue"] == 1).all()


def test_copy_and_view(adata, unchanged):
    view = adata[:, 20:]
    with unchanged(view):
        other = pld.tl.enrich(view, sets_of(adata, 5), min_genes=1, copy=True)
    assert (other.uns["enrichment"]["results"]["set_size"] <= 10).all()
    assert "planted/pathway" not in other.uns["enrichment"]["set_names"]


def test_backed(adata, tmp_path):
    adata.write_h5ad(tmp_path / "adata.h5ad")
    backed = ad.read_h5ad(tmp_path / "adata.h5ad", backed="r")
    for one in (adata, backed):
        pld.tl.enrich(one, sets_of(adata, 5))
    pd.testing.assert_frame_equal(pld.get.enrichment(backed), pld.get.enrichment(adata))
    backed.file.close()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"top": 0}, ValueError, r"top=0; expected a share"),
        ({"top": 200}, ValueError, r"top=200; expected a share.*such as 0\.1"),
        ({"top": 1}, ValueError, r"top=1; expected"),
        ({"key": "deep"}, KeyError, r"'deep'.*tl\.attribute or tl\.loadings"),
        ({"key": "unrecorded"}, KeyError, r"uns\['unrecorded'\]"),
        ({"key": "cut"}, ValueError, r"shape \(200, 2\).*\(200, 3\), are due"),
        ({"key": "diverged"}, ValueError, r"'diverged'\] holds 2 NaN or infinite"),
        ({"min_genes": 11}, ValueError, r"at least 11.*min_genes"),
        ({"min_genes": 0}, ValueError, r"min_genes=0"),
        ({"gene_sets": {"s": ["ENSG00000141510"]}}, ValueError, r"Ensembl ids"),
        ({"gene_sets": {}}, ValueError, r"No gene set"),
        ({"gene_sets": 3}, TypeError, r"given as int"),
    ],
)
def test_bad_input(arguments, error, message, adata, unchanged):
    scores = adata.varm["attribution"]
    adata.varm["unrecorded"] = scores
    adata.varm["cut"] = scores[:, :2]
    adata.varm["diverged"] = scores.copy()
    adata.varm["diverged"][:2, 0] = np.nan, np.inf
    for key in ("cut", "diverged"):
        adata.uns[key] = adata.uns["attribution"]
    with unchanged(adata), pytest.raises(error, match=message):
        pld.tl.enrich(adata, **{"gene_sets": {"PATHWAY": PATHWAY}, **arguments})


def test_no_result(adata):
    with pytest.raises(KeyError, match=r"'enrichment'.*tl\.enrich"):
        pld.get.enrichment(adata)
