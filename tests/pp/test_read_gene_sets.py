from __future__ import annotations

import gzip

import gseapy
import pandas as pd
import pooch
import pytest

import pellucid as pld

read = pld.pp.read_gene_sets


@pytest.fixture
def gmt(tmp_path):
    """Write a GMT file."""

    def write(text, name="sets.gmt"):
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


def test_gmt(gmt):
    text = "T / NK cell (GO:1)\thttp://x\tCD3D\tCD3E\tCD3D\nB cell\t\tMS4A1\tCD79A\t\n"
    expected = {"T / NK cell (GO:1)": ["CD3D", "CD3E"], "B cell": ["MS4A1", "CD79A"]}
    for path in (gmt(text), str(gmt(text)), gmt(gzip.compress(text.encode()), "sets.gmt.gz")):
        assert read(path) == expected
        assert list(read(path)) == list(expected)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_gmt_with_empty_lines_and_other_line_ends(gmt, newline):
    lines = ["", "A\tx\tG1\tG2", "   ", "\t\t", "B\tx\tG3 ", "", ""]
    assert read(gmt(newline.join(lines))) == {"A": ["G1", "G2"], "B": ["G3"]}


def test_gmt_with_byte_order_mark_and_weights(gmt):
    assert read(gmt("\ufeffA\tx\tG1,1.0\tG2,0.5\n")) == {"A": ["G1", "G2"]}


def test_several_files_are_put_together(gmt):
    paths = [gmt("A\tx\tG1\n", "a.gmt"), gmt("B\tx\tG2\n", "b.gmt")]
    assert read(paths) == {"A": ["G1"], "B": ["G2"]}
    assert read([paths[1], {"C": ["G3"]}]) == {"B": ["G2"], "C": ["G3"]}


def test_doubled_names_hold_the_genes_of_all_and_are_named(gmt):
    with pytest.warns(UserWarning, match=r"1 gene-set names .* more than once: 'A'\. .* all"):
        sets = read(gmt("A\tx\tG1\tG2\nB\tx\tG1\nA\ty\tG2\tG3\n"))
    assert sets == {"A": ["G1", "G2", "G3"], "B": ["G1"]}


def test_sets_without_genes_are_left_out_and_named(gmt):
    with pytest.warns(UserWarning, match=r"1 gene sets have no genes and are left out: 'A'"):
        assert read(gmt("A\tx\t\t\nB\tx\tG1\n")) == {"B": ["G1"]}


def test_gmt_line_too_short_is_named_by_number(gmt):
    with pytest.raises(ValueError, match=r"line 3: .* at least three fields .* found 2: 'B"):
        read(gmt("A\tx\tG1\n\nB\tG1\n"))


@pytest.mark.parametrize(
    ("contents", "found"),
    [
        ("<!DOCTYPE html>\n<html>", "'<!DOCTYPE html>'"),
        ("set,gene\nA,G1\n", "'set,gene'"),
        ("", "an empty file"),
        (b"\x89HDF\r\n\x1a\n\x00\x00\t\t", "HDF"),
    ],
)
def test_not_a_gmt_file(gmt, contents, found):
    with pytest.raises(ValueError, match=r"is not a GMT file: expected .* tabs; found") as caught:
        read(gmt(contents))
    assert found in str(caught.value)


def test_folder(tmp_path):
    with pytest.raises(ValueError, match=r"is a folder; give its GMT files as a list"):
        read(tmp_path)


@pytest.mark.parametrize("name", ["nowhere.gmt", "nowhere.gmt.gz", "folder/nowhere"])
def test_missing_file(name):
    with pytest.raises(FileNotFoundError, match=r"No gene-set file at .*nowhere"):
        read(name)


def test_mapping_keeps_order_and_drops_doubled_genes():
    sets = read({"B": ("G2", "G1", "G2"), "A": {"G1": 1}})
    assert list(sets.items()) == [("B", ["G2", "G1"]), ("A", ["G1"])]


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"A": "CD3D"}, r"Genes of set 'A' given as str \('CD3D'\); expected a list"),
        ({"A": 3}, r"Genes of set 'A' given as int"),
        ({"A": ["CD3D", 7]}, r"Set 'A' holds 7 \(int\); expected .* strings"),
        ({"A": ["CD3D", float("nan")]}, r"Set 'A' holds nan"),
        ({1: ["CD3D"]}, r"Set 1 holds 1 \(int\)"),
    ],
)
def test_mapping_of_wrong_types(mapping, message):
    with pytest.raises(TypeError, match=message):
        read(mapping)


def test_table():
    expected = {"B": ["G2", "G1"], "A": ["G1"]}
    rows = [("B", "G2"), ("A", "G1"), ("B", "G1"), ("A", None)]
    assert read(pd.DataFrame(rows, columns=["x", "y"])) == expected
    named = pd.DataFrame(rows, columns=["set", "gene"]).assign(source="s")[
        ["source", "gene", "set"]
    ]
    assert read(named) == expected
    assert read(named.rename(columns={"set": "gene_set"})) == expected
    assert list(read(named.astype("category"))) == ["B", "A"]


def test_table_with_other_columns():
    table = pd.DataFrame({"pathway": ["A"], "symbol": ["G1"], "p": [0.1]})
    with pytest.raises(ValueError, match=r"'set' and 'gene'.*found 3: 'pathway', 'symbol', 'p'"):
        read(table)


@pytest.mark.parametrize("nothing", [{}, [], pd.DataFrame({"set": [], "gene": []})])
def test_no_gene_set(nothing):
    with pytest.raises(ValueError, match="No gene set with a gene in it"):
        read(nothing)


def test_other_types():
    with pytest.raises(TypeError, match=r"Gene sets given as int; expected the path of a GMT"):
        read(3)


@pytest.fixture
def enrichr(monkeypatch, tmp_path):
    """Enrichr with two libraries, and the calls made to it."""
    calls = []

    def get_library_name(organism):
        return ["GO_Biological_Process_2021", "KEGG_2021_Human"]

    def get_library(name, organism, max_size):
        calls.append((name, organism))
        assert max_size > 20_000
        return {"a / b": ["G1", "G2"]}

    monkeypatch.setattr(gseapy, "get_library_name", get_library_name)
    monkeypatch.setattr(gseapy, "get_library", get_library)
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path)
    return calls


def test_library_is_read_from_the_network_once(enrichr, monkeypatch):
    sets = {"a / b": ["G1", "G2"]}
    assert read("KEGG_2021_Human") == sets
    monkeypatch.delattr(gseapy, "get_library")
    monkeypatch.delattr(gseapy, "get_library_name")
    assert read("KEGG_2021_Human") == sets
    assert enrichr == [("KEGG_2021_Human", "human")]


def test_libraries_of_two_organisms_are_kept_apart(enrichr):
    read("KEGG_2021_Human")
    read("KEGG_2021_Human", organism="fly")
    assert enrichr == [("KEGG_2021_Human", "human"), ("KEGG_2021_Human", "fly")]


def test_unknown_library_names_those_near(enrichr):
    with pytest.raises(ValueError, match=r"neither a file nor one of the 2 libraries.*'KEGG_2021"):
        read("KEGG_2021")


def test_no_network(enrichr, monkeypatch):
    def unreachable(organism):
        raise OSError("no route")

    monkeypatch.setattr(gseapy, "get_library_name", unreachable)
    with pytest.raises(
        ConnectionError, match=r"No file is called 'KEGG_2021_Human'.*not be reached"
    ):
        read("KEGG_2021_Human")
