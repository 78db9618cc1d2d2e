from __future__ import annotations

import logging
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import pellucid as pld

COUNTS = np.array([[1, 2, 3, 4], [5, 6, 7, 8], [0, 0, 9, 0]])
TARGETS = ["D", "new", "A", "C"]
ALIGNED = np.array([[4, 0, 1, 3], [8, 0, 5, 7], [0, 0, 0, 9]])


def make(kind=sparse.csr_matrix, dtype=np.float32, var_names="ABCD"):
    counts = kind(COUNTS.astype(dtype))
    adata = ad.AnnData(
        counts,
        obs=pd.DataFrame({"cell_type": pd.Categorical(["x", "y", "x"])}, index=list("123")),
        var=pd.DataFrame(index=list(var_names)),
    )
    adata.layers["twice"] = counts + counts
    adata.obsm["X_umap"] = np.arange(6.0).reshape(3, 2)
    adata.obsm["table"] = pd.DataFrame({"a": [1, 2, 3]}, index=adata.obs_names)
    adata.obsp["distances"] = sparse.csr_matrix(np.eye(3))
    adata.uns["nested"] = {"array": np.arange(3)}
    return adata


def dense(matrix):
    return matrix.toarray() if sparse.issparse(matrix) else matrix


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.int32, np.uint16])
@pytest.mark.parametrize(
    "kind", [sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array, np.asarray]
)
def test_order_zeros_and_type(kind, dtype, unchanged):
    adata = make(kind, dtype)
    with unchanged(adata):
        aligned = pld.pp.align_genes(adata, TARGETS)
    assert list(aligned.var_names) == TARGETS
    for found, given, expected in (
        (aligned.X, adata.X, ALIGNED),
        (aligned.layers["twice"], adata.layers["twice"], 2 * ALIGNED),
    ):
        np.testing.assert_array_equal(dense(found), expected)
        assert type(found) is type(given)
        assert found.dtype == dtype
        if sparse.issparse(found):
            assert found.has_sorted_indices
            assert found.nnz == np.count_nonzero(expected)


def test_cells_keep_what_is_theirs(assert_same):
    adata = make()
    aligned = pld.pp.align_genes(adata, TARGETS)
    pd.testing.assert_frame_equal(aligned.obs, adata.obs)
    assert set(aligned.obsm) == {"X_umap", "table"}
    np.testing.assert_array_equal(aligned.obsm["X_umap"], adata.obsm["X_umap"])
    assert (aligned.obsp["distances"] != adata.obsp["distances"]).nnz == 0
    aligned.uns["nested"]["array"][0] = 7
    aligned.obsm["X_umap"][0] = 7
    assert_same(adata, make())


def test_report(caplog):
    with caplog.at_level(logging.INFO, logger="pellucid"):
        report = pld.pp.align_genes(make(), TARGETS).uns["align_genes"]
    assert (report["n_found"], report["n_missing"], report["n_dropped"]) == (3, 1, 1)
    assert report["missing"].tolist() == ["new"]
    assert report["params"]["function"] == "pp.align_genes"
    assert report["params"]["mapped"] is False
    assert caplog.messages == [
        "3 of 4 genes found, 1 filled with zeros, 1 of adata dropped.",
    ]


@pytest.mark.parametrize("targets", [TARGETS, ["C", "A"]])
def test_round_trip(targets, round_trip, assert_same):
    aligned = pld.pp.align_genes(make(), targets)
    assert_same(round_trip(aligned), aligned)


def test_view():
    adata = make()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        aligned = pld.pp.align_genes(adata[[2, 0], ["C", "A"]], ["A", "C"])
    np.testing.assert_array_equal(dense(aligned.X), [[0, 9], [1, 3]])
    assert not aligned.is_view
    for value in (*aligned.obsm.values(), aligned.obs, aligned.layers["twice"]):
        assert "View" not in type(value).__name__


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_matrix, np.asarray])
def test_backed(kind, tmp_path, monkeypatch, unchanged):
    monkeypatch.setattr("pellucid.pp._align_genes._ROWS_AT_ONCE", 2)
    make(kind).write_h5ad(tmp_path / "adata.h5ad")
    adata = ad.read_h5ad(tmp_path / "adata.h5ad", backed="r")
    with unchanged(adata):
        aligned = pld.pp.align_genes(adata, TARGETS)
    assert not aligned.isbacked
    np.testing.assert_array_equal(dense(aligned.X), ALIGNED)
    assert sparse.issparse(aligned.X) == (kind is not np.asarray)
    part = pld.pp.align_genes(adata[1:, ["C", "A"]], ["A", "C"])
    np.testing.assert_array_equal(dense(part.X), [[5, 7], [0, 9]])
    adata.file.close()


def test_without_x():
    adata = ad.AnnData(
        layers={"counts": COUNTS.astype(np.float32)}, var=pd.DataFrame(index=list("ABCD"))
    )
    aligned = pld.pp.align_genes(adata, TARGETS)
    assert aligned.X is None
    np.testing.assert_array_equal(aligned.layers["counts"], ALIGNED)


@pytest.mark.parametrize("as_table", [True, False])
def test_mapping_many_to_one_is_summed_and_one_to_many_repeated(as_table):
    mapping = {"A": "P", "B": "P", "C": ["Q", "R"]}
    if as_table:
        rows = [("A", "P"), ("B", "P"), ("C", "Q"), ("C", "R"), ("C", "R"), ("D", None)]
        mapping = pd.DataFrame(rows, columns=["mouse", "human"])
    aligned = pld.pp.align_genes(make(), ["R", "P", "Q", "D"], mapping=mapping)
    np.testing.assert_array_equal(dense(aligned.X), [[3, 3, 3, 4], [7, 11, 7, 8], [9, 0, 9, 0]])
    report = aligned.uns["align_genes"]
    assert (report["n_found"], report["n_dropped"]) == (4, 0)
    assert report["params"]["mapped"] is True


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int32])
@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_matrix, np.asarray])
@pytest.mark.parametrize("backed", [False, True])
def test_sums_do_not_overflow(kind, dtype, backed, tmp_path, monkeypatch):
    monkeypatch.setattr("pellucid.pp._align_genes._ROWS_AT_ONCE", 2)
    most = np.iinfo(dtype).max
    counts = np.array([[most, most, 1], [most, 3, 2], [0, most, most]], dtype=dtype)
    adata = ad.AnnData(kind(counts), var=pd.DataFrame(index=list("ABC")))
    if backed:
        adata.write_h5ad(tmp_path / "adata.h5ad")
        adata = ad.read_h5ad(tmp_path / "adata.h5ad", backed="r")
    aligned = pld.pp.align_genes(adata, ["C", "P"], mapping={"A": "P", "B": "P"})
    np.testing.assert_array_equal(
        dense(aligned.X), [[1, 2 * int(most)], [2, int(most) + 3], [most, most]]
    )
    assert aligned.X.dtype == np.int64
    # Where nothing is summed, the type stays.
    assert pld.pp.align_genes(adata, ["C", "A"]).X.dtype == dtype


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, [], [None]])
def test_missing_values_of_a_mapping_are_skipped(missing):
    mapping = {"A": "P", "B": missing, "C": ["Q", np.nan]}
    aligned = pld.pp.align_genes(make(), ["P", "Q", "B"], mapping=mapping)
    np.testing.assert_array_equal(dense(aligned.X), [[1, 3, 2], [5, 7, 6], [0, 9, 0]])


ENSEMBL = [f"ENSMUSG{i:011d}" for i in range(4)]


def test_mapping_is_a_column_of_var():
    adata = make(var_names=ENSEMBL)
    adata.var["symbol"] = pd.Categorical(["P", None, "Q", "P"])
    aligned = pld.pp.align_genes(adata, ["Q", "P"], mapping=adata.var["symbol"])
    np.testing.assert_array_equal(dense(aligned.X), [[3, 5], [7, 13], [9, 0]])
    assert aligned.uns["align_genes"]["n_dropped"] == 1


def test_a_gene_mapped_onto_one_that_is_there_is_added_to_it():
    aligned = pld.pp.align_genes(make(), ["A"], mapping={"B": "A"})
    np.testing.assert_array_equal(dense(aligned.X).ravel(), [3, 11, 0])


@pytest.mark.parametrize(
    ("var_names", "targets", "arguments", "message"),
    [
        (
            "ABCD",
            ["A", *"XYZ"],
            {},
            r"1 of 4 genes wanted are among the 4 of adata, fewer than min_fraction=0.5\..*"
            r"They are of one kind: does adata hold a selection",
        ),
        ("ABCD", list("wxyz"), {"min_fraction": 0}, r"0 of 4 genes wanted"),
        ("ABCD", [], {}, r"0 of 0 genes wanted"),
        (
            ENSEMBL,
            ["Cd3d", "Ms4a1"],
            {},
            r"var_names look like Ensembl ids, such as 'ENSMUSG.*the genes wanted like "
            r"capitalised symbols \(as of mouse genes\).*mapping=",
        ),
        (
            ["Cd3d", "Ms4a1", "Actb", "Gapdh"],
            ["CD3D", "MS4A1"],
            {},
            r"as of mouse genes.*as of human genes.*of orthologues. 2 have the same letters but",
        ),
        (
            [f"{name}.3" for name in ENSEMBL],
            ENSEMBL,
            {},
            r"agree without the version suffixes",
        ),
        ("ABCD", ["A", "B", "A"], {}, r"1 gene names stand more than once in var_names .*'A'"),
        ("ABCA", ["A", "B"], {}, r"more than once in adata.var_names"),
        (
            "ABCD",
            ["A"],
            {"mapping": pd.DataFrame({"a": ["A"], "b": ["B"], "score": [1.0]})},
            r"mapping needs two columns.*found 3: 'a', 'b', 'score'",
        ),
        ("ABCD", ["P", "Q"], {"mapping": {"A": "X"}}, r"0 of 2 .* of adata by mapping"),
        (
            "ABCD",
            ["P", "Q", "R"],
            {"mapping": {"P": ["A", "B"], "Q": "C", "D": "R"}},
            r"1 of 3 .*mapping is the other way round.*Exchange its two sides",
        ),
        ("ABCD", ["A"], {"min_fraction": 50}, r"min_fraction=50 is no share"),
    ],
)
def test_bad_input_raises_and_changes_nothing(unchanged, var_names, targets, arguments, message):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # anndata's, on doubled names
        adata = make(var_names=var_names)
    with unchanged(adata), pytest.raises(ValueError, match=message):
        pld.pp.align_genes(adata, targets, **arguments)


@pytest.mark.parametrize(
    ("targets", "arguments", "message"),
    [
        ("ABCD", {}, r"var_names is the string 'ABCD'"),
        (make(), {}, r"var_names is of type AnnData; .*such as reference\.var_names"),
        (None, {}, r"var_names is of type NoneType; "),
        ("AB", {"mapping": "symbol"}, r"mapping is of type str; .*adata\.var\['symbol'\]"),
        (["A"], {"mapping": [("A", "B")]}, r"mapping is of type list; expected a mapping"),
    ],
)
def test_other_types(unchanged, targets, arguments, message):
    adata = make()
    targets = list(targets) if arguments else targets
    with unchanged(adata), pytest.raises(TypeError, match=message):
        pld.pp.align_genes(adata, targets, **arguments)


def test_sums_of_log_expression_are_warned_of(caplog):
    adata = make()
    pld.pp.align_genes(adata, ["A"], mapping={"B": "A"})
    assert "sums of several" not in caplog.text
    adata.X = np.log1p(adata.X)
    pld.pp.align_genes(adata, ["A", "B"])
    assert "sums of several" not in caplog.text
    pld.pp.align_genes(adata, ["A"], mapping={"B": "A"})
    assert "1 genes are sums of several, and adata.X looks like log expression" in caplog.text


def test_min_fraction_lets_fewer_through():
    aligned = pld.pp.align_genes(make(), ["A", *"xyz"], min_fraction=0.25)
    assert aligned.uns["align_genes"]["n_missing"] == 3


def test_real_kang_onto_pbmc3k(real_data):
    kang, reference = real_data("kang_ifnb"), real_data("pbmc3k_labelled")
    aligned = pld.pp.align_genes(kang, reference.var_names)
    shared = kang.var_names.intersection(reference.var_names)
    assert aligned.shape == (2000, 13714)
    assert aligned.uns["align_genes"]["n_found"] == len(shared)
    assert (aligned[:, shared].X != kang[:, shared].X).nnz == 0
    assert aligned.X.sum() == kang[:, shared].X.sum()
