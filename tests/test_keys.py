from __future__ import annotations

import numpy as np
import pytest

import pellucid as pld
from pellucid import _keys


def test_names_become_a_string_array():
    names = _keys.string_array(["HALLMARK/A", 3, None])
    assert names.dtype.kind == "U"
    assert names.tolist() == ["HALLMARK/A", "3", "None"]


def test_no_names():
    names = _keys.string_array([])
    assert names.dtype.kind == "U"
    assert names.shape == (0,)


def test_groups_have_a_key_that_no_file_reads_as_a_path():
    assert _keys.grouped("attribution", "cell_type") == "attribution_cell_type"
    assert _keys.grouped("attribution", "T/NK cells/all") == "attribution_T_NK cells_all"


def test_latent_key_is_named_after_the_model():
    class OrthogonalAE: ...

    class LinearSCVI: ...

    assert _keys.latent(OrthogonalAE()) == "X_orthogonal_ae"
    assert _keys.latent(LinearSCVI()) == "X_linearscvi"


def test_every_model_has_a_key():
    assert set(_keys.LATENT) == set(pld.model.__all__)


def test_latent_names_are_the_models_own_or_numbered():
    class Named:
        latent_names = np.array(["a/b", "c"])

    assert _keys.latent_names(Named(), 2).tolist() == ["a/b", "c"]
    assert _keys.latent_names(object(), 3).tolist() == ["Z_0", "Z_1", "Z_2"]


def test_record_holds_what_a_file_can_hold():
    class OrthogonalAE: ...

    params = _keys.record(
        "tl.attribute", model=OrthogonalAE(), groupby=None, group=["a", "b"], n=3, scale="minmax"
    )
    assert params.pop("group").tolist() == ["a", "b"]
    assert params == {
        "function": "tl.attribute",
        "pellucid_version": pld.__version__,
        "model_class": "OrthogonalAE",
        "n": 3,
        "scale": "minmax",
    }


def test_record_without_a_model():
    assert set(_keys.record("pp.add_gene_sets")) == {"function", "pellucid_version"}


def test_require(counts):
    counts.varm["attribution"] = np.ones((30, 2))
    found = _keys.require(counts, "varm", "attribution", "tl.attribute")
    assert found.shape == (30, 2)
    with pytest.raises(
        KeyError,
        match=r"adata\.varm\['gene_sets'\] not found; it is written by pp\.add_gene_sets\. "
        r"adata\.varm holds: \['attribution'\]",
    ):
        _keys.require(counts, "varm", "gene_sets", "pp.add_gene_sets")
