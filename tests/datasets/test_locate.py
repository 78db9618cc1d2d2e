from __future__ import annotations

import hashlib

import pooch
import pytest
import scanpy as sc

import pellucid as pld

GMT = "SET_A\tdescription\tCD3D\tCD3E\n"


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """The two dataset folders, empty, with the network cut off."""
    chosen, scanpys = tmp_path / "chosen", tmp_path / "scanpy"
    chosen.mkdir()
    scanpys.mkdir()
    monkeypatch.setenv("PELLUCID_DATASETDIR", str(chosen))

    def no_network(url, **arguments):
        raise ConnectionError(f"cannot reach {url}")

    monkeypatch.setattr(pooch, "retrieve", no_network)
    # monkeypatch cannot put back a property of the class that scanpy's settings are.
    before, sc.settings.datasetdir = sc.settings.datasetdir, scanpys
    yield chosen, scanpys
    sc.settings.datasetdir = before


def put(folder, path, text=GMT):
    (folder / path).parent.mkdir(exist_ok=True)
    (folder / path).write_text(text)


def test_the_chosen_folder_comes_before_scanpys(folders):
    chosen, scanpys = folders
    path = "genesets/c2.cp.reactome.v4.0.symbols.gmt"
    put(scanpys, path, GMT.replace("SET_A", "SET_B"))
    assert list(pld.datasets.gene_sets("reactome")) == ["SET_B"]
    put(chosen, path)
    assert list(pld.datasets.gene_sets("reactome")) == ["SET_A"]


def test_without_the_variable_scanpys_folder_is_searched(folders, monkeypatch):
    monkeypatch.delenv("PELLUCID_DATASETDIR")
    put(folders[1], "genesets/iris_dmap_blood.symbols.gmt")
    assert pld.datasets.gene_sets("iris_dmap") == {"SET_A": ["CD3D", "CD3E"]}


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("pbmc3k_labelled", "pbmc3k_labelled.h5ad"),
        ("kang_ifnb", "kang_ifnb_2k.h5ad"),
        ("zeisel", "zeisel_400genes.h5ad"),
        ("sc_mixology", "sc_mixology_3cl.h5ad"),
        ("panc8", "panc8_small.h5ad"),
        ("cytof_bcrxl", "cytof_bcrxl_small.h5ad"),
    ],
)
def test_a_file_without_address_says_what_was_sought_where_and_what_to_set(folders, name, file):
    with pytest.raises(FileNotFoundError) as caught:
        getattr(pld.datasets, name)()
    message = str(caught.value)
    for part in (
        file,
        *map(str, folders),
        "Set the environment variable PELLUCID_DATASETDIR",
        "without a public address",
    ):
        assert part in message


@pytest.mark.parametrize("name", ["paul15", "pbmc3k_raw"])
def test_a_failed_download_says_so(folders, name):
    with pytest.raises(FileNotFoundError, match=r"could not be downloaded from https://.*cannot"):
        getattr(pld.datasets, name)()


def test_a_download_goes_to_the_cache_and_is_checked(folders, monkeypatch, tmp_path):
    asked = {}

    def retrieve(url, known_hash, fname, path):
        asked.update(url=url, known_hash=known_hash)
        put(path.parent, path.relative_to(path.parent) / fname)
        return str(path / fname)

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache")
    (tmp_path / "cache").mkdir()
    assert pld.datasets.gene_sets("hallmark") == {"SET_A": ["CD3D", "CD3E"]}
    assert asked["url"].startswith("https://")
    assert asked["known_hash"].startswith("sha256:")


def test_unknown_collection_lists_those_there_are():
    with pytest.raises(ValueError, match=r"'kegg'; expected one of 'hallmark', 'hallmark_mouse'"):
        pld.datasets.gene_sets("kegg")


@pytest.mark.parametrize(
    ("name", "n_sets"),
    [
        ("hallmark", 50),
        ("hallmark_mouse", 50),
        ("reactome", 674),
        ("iris_dmap", 61),
        ("go_biological_process", 6036),
        ("wikipathways", 462),
    ],
)
def test_real_collections(real_data, name, n_sets):
    sets = real_data("gene_sets", name)
    assert len(sets) == n_sets
    assert all(sets.values())


@pytest.mark.parametrize("name", ["hallmark", "go_biological_process"])
def test_stored_copies_are_what_the_address_holds(real_data, name):
    """The hash of the download is that of the files the tests were written with."""
    from pellucid.datasets._gene_sets import _COLLECTIONS
    from pellucid.datasets._locate import locate

    real_data("gene_sets", name)
    found = hashlib.sha256(locate(_COLLECTIONS[name]).read_bytes()).hexdigest()
    assert found == _COLLECTIONS[name].sha256
