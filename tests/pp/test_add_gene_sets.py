from __future__ import annotations

import logging
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import pellucid as pld

SETS = {
    "T / NK cell": ["CD3D", "NKG7", "GNLY", "ABSENT1"],
    "B cell": ["CD79A", "MS4A1"],
    "Small": ["CD3D"],
}


def make(var_names=("CD3D", "CD79A", "NKG7", "MS4A1", "ACTB", "GNLY"), kind=sparse.csr_matrix):
    counts = np.arange(4 * len(var_names), dtype=np.float32).reshape(4, -1) % 5
    return ad.AnnData(
        kind(counts),
        obs=pd.DataFrame({"group": list("abab")}, index=list("wxyz")),
        var=pd.DataFrame(index=list(var_names)),
    )


def mask_of(adata, key="gene_sets"):
    mask = adata.varm[key]
    return {
        name: set(adata.var_names[mask[:, [column]].toarray().ravel()])
        for column, name in enumerate(adata.uns[key]["names"])
    }


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_matrix, np.asarray])
def test_what_is_written(kind):
    adata = make(kind=kind)
    before = adata.X.copy()
    assert pld.pp.add_gene_sets(adata, SETS, min_genes=2) is None
    mask = adata.varm["gene_sets"]
    assert sparse.isspmatrix_csr(mask)
    assert mask.dtype == bool
    assert mask_of(adata) == {
        "T / NK cell": {"CD3D", "NKG7", "GNLY"},
        "B cell": {"CD79A", "MS4A1"},
    }
    written = adata.uns["gene_sets"]
    assert written["n_found"].tolist() == [3, 2]
    assert written["n_total"].tolist() == [4, 2]
    assert written["names"].dtype.kind == "U"
    assert written["params"]["function"] == "pp.add_gene_sets"
    assert written["params"]["min_genes"] == 2
    assert "max_genes" not in written["params"]
    assert abs(adata.X - before).max() == 0


def test_round_trip_with_a_slash_in_a_name(round_trip, assert_same):
    adata = make()
    pld.pp.add_gene_sets(adata, SETS, min_genes=1, max_genes=3, key_added="blood")
    again = round_trip(adata)
    assert_same(again, adata)
    assert again.uns["blood"]["names"][0] == "T / NK cell"
    assert mask_of(again, "blood") == mask_of(adata, "blood")


def test_sets_are_read_from_whatever_read_gene_sets_reads(tmp_path):
    (tmp_path / "sets.gmt").write_text("B cell\tx\tCD79A\tMS4A1\n")
    adata = make()
    pld.pp.add_gene_sets(adata, tmp_path / "sets.gmt", min_genes=2)
    assert mask_of(adata) == {"B cell": {"CD79A", "MS4A1"}}


def test_max_genes():
    adata = make()
    pld.pp.add_gene_sets(adata, SETS, min_genes=2, max_genes=2)
    assert list(mask_of(adata)) == ["B cell"]


def test_case_is_ignored_unless_asked_for_and_an_exact_match_comes_first():
    adata = make(["Cd3d", "CD3D", "Ms4a1", "Actb"])
    sets = {"A": ["CD3D", "ms4a1", "ACTB"]}
    pld.pp.add_gene_sets(adata, sets, min_genes=1)
    assert mask_of(adata) == {"A": {"CD3D", "Ms4a1", "Actb"}}
    pld.pp.add_gene_sets(adata, sets, min_genes=1, case_sensitive=True)
    assert mask_of(adata) == {"A": {"CD3D"}}


def test_genes_that_match_several_once_case_is_ignored_are_left_out():
    adata = make(["Cd3d", "CD3D", "MS4A1"])
    with pytest.warns(UserWarning, match=r"1 genes match several var_names .* 'cd3d'\)\. Pass"):
        pld.pp.add_gene_sets(adata, {"A": ["cd3d", "MS4A1"]}, min_genes=1)
    assert mask_of(adata) == {"A": {"MS4A1"}}


def test_two_spellings_of_one_gene_count_once():
    adata = make()
    pld.pp.add_gene_sets(adata, {"A": ["CD3D", "Cd3d", "MS4A1"]}, min_genes=1)
    assert adata.uns["gene_sets"]["n_found"].tolist() == [2]
    assert adata.uns["gene_sets"]["n_total"].tolist() == [3]


def test_share_of_each_set_is_logged(caplog):
    with caplog.at_level(logging.INFO, logger="pellucid"):
        pld.pp.add_gene_sets(make(), SETS, min_genes=2)
    assert "T / NK cell: 3 of 4 genes in var_names (75%)" in caplog.messages
    assert caplog.messages[-1].startswith("Kept 2 of 3 gene sets; 5 of their 6 genes")


def test_low_share_warns():
    names = [f"GENE{i}" for i in range(100)]
    sets = {"A": ["GENE1", *(f"OTHER{i}" for i in range(99))]}
    with pytest.warns(UserWarning, match=r"Only 1 of 100 genes of the gene sets"):
        pld.pp.add_gene_sets(make(names), sets, min_genes=1)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "error", UserWarning
        )  # a panel that is in the sets in full is no cause for one
        pld.pp.add_gene_sets(make(["GENE1", "OTHER5"]), sets, min_genes=1)


def test_copy(unchanged):
    adata = make()
    with unchanged(adata):
        new = pld.pp.add_gene_sets(adata, SETS, min_genes=2, copy=True)
    assert mask_of(new)["B cell"] == {"CD79A", "MS4A1"}


def test_view_becomes_an_anndata_of_its_own():
    whole = make()
    view = whole[:2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ad.ImplicitModificationWarning)
        pld.pp.add_gene_sets(view, SETS, min_genes=2)
    assert list(mask_of(view)) == ["T / NK cell", "B cell"]
    assert not view.is_view
    assert "gene_sets" not in whole.varm


def test_backed(tmp_path, unchanged):
    make().write_h5ad(tmp_path / "adata.h5ad")
    adata = ad.read_h5ad(tmp_path / "adata.h5ad", backed="r")
    for target, copy in ((adata, True), (adata[:2], False)):
        with (
            unchanged(adata),
            pytest.raises(ValueError, match=r"A backed AnnData cannot be copied.*to_memory"),
        ):
            pld.pp.add_gene_sets(target, SETS, copy=copy)
    pld.pp.add_gene_sets(adata, SETS, min_genes=2)
    assert adata.isbacked
    assert list(mask_of(adata)) == ["T / NK cell", "B cell"]
    adata.file.close()


ENSEMBL = [f"ENSG{i:011d}" for i in range(6)]


@pytest.mark.parametrize(
    ("var_names", "sets", "arguments", "message"),
    [
        (
            ENSEMBL,
            SETS,
            {},
            r"None of the 6 genes of 3 gene sets is in adata.var_names. var_names look like "
            r"Ensembl ids, such as 'ENSG00000000000'.*, the gene sets like symbols in capitals .*"
            r"'CD3D'.* Map one to the other with pp.align_genes",
        ),
        (
            ["CD3D", "MS4A1"],
            {"A": ENSEMBL},
            {},
            r"var_names look like symbols in capitals .*, the gene sets like Ensembl ids",
        ),
        (
            [f"{name}.7" for name in ENSEMBL],
            {"A": ENSEMBL},
            {},
            r"agree without the version suffixes",
        ),
        (
            ["CD3D", "MS4A1"],
            {"A": ["915", "931"]},
            {},
            r"the gene sets like Entrez ids, such as '915'",
        ),
        (
            ["Cd3d", "Ms4a1"],
            {"A": ["CD3D", "MS4A1"]},
            {"case_sensitive": True},
            r"var_names look like capitalised symbols \(as of mouse genes\).*in capitals \(as of",
        ),
        (["CD3D", "CD3D", "MS4A1"], SETS, {}, r"1 gene names stand more than once.*'CD3D'"),
        (
            ["CD3D", "CD79A", "MS4A1"],
            SETS,
            {"min_genes": 3},
            r"None of 3 gene sets has at least 3 genes in adata.var_names: they have 1 to 2 "
            r"\(median 1\)",
        ),
        (
            ["CD3D", "NKG7", "CD79A", "MS4A1"],
            {"A": ["CD3D", "NKG7"]},
            {"min_genes": 1, "max_genes": 1},
            r"at least 1 and at most 1 genes .* they have 2 to 2",
        ),
        (["CD3D"], SETS, {"min_genes": 0}, r"min_genes=0 and max_genes=None; expected 1 <="),
        (["CD3D"], SETS, {"min_genes": 5, "max_genes": 3}, r"min_genes=5 and max_genes=3"),
        (["CD3D"], {}, {}, r"No gene set with a gene in it"),
    ],
)
def test_bad_input_raises_and_changes_nothing(unchanged, var_names, sets, arguments, message):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # anndata's, on doubled names
        adata = make(var_names)
    adata.varm["gene_sets"] = np.ones((adata.n_vars, 1))
    adata.uns["gene_sets"] = {"names": np.array(["earlier"])}
    with unchanged(adata), pytest.raises(ValueError, match=message):
        pld.pp.add_gene_sets(adata, sets, **arguments)


def test_a_column_of_var_that_holds_the_genes_is_named(unchanged):
    adata = make(ENSEMBL)
    adata.var["length"] = 1.0
    adata.var["symbol"] = pd.Categorical(["CD3D", "CD79A", "NKG7", "MS4A1", "ACTB", "GNLY"])
    with (
        unchanged(adata),
        pytest.raises(ValueError, match=r"adata.var\['symbol'\] holds 5 of them"),
    ):
        pld.pp.add_gene_sets(adata, SETS)


def test_real_hallmark_on_paul15(real_data):
    """1,298 genes, as counted when the files were put together."""
    adata = real_data("paul15")
    pld.pp.add_gene_sets(adata, real_data("gene_sets", "hallmark_mouse"), case_sensitive=True)
    assert (adata.varm["gene_sets"].sum(axis=1) > 0).sum() == 1298
    assert len(adata.uns["gene_sets"]["names"]) == 50
