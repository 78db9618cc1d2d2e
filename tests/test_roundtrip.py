"""What `tl` writes survives h5ad and zarr, whatever sets, groups and units are called."""

from __future__ import annotations

import inspect

import numpy as np
import pandas as pd
import pytest

import pellucid as pld


@pytest.fixture
def named(counts):
    """Counts with "/" in the names of sets and groups."""
    counts.obs["population"] = counts.obs["population"].cat.rename_categories(
        {"B": "B/plasma", "T": "T cell", "NK": "NK/T"}
    )
    genes = counts.var_names.to_list()
    pld.pp.add_gene_sets(counts, {"Reactome/IFN": genes[:8], "a b": genes[10:18]})
    return counts


@pytest.fixture
def model(named, monkeypatch):
    """A trained model whose units have "/" in their names."""
    model = pld.tl.orthogonal_ae(named, n_latent=3, max_epochs=2, enable_progress_bar=False)
    names = np.array(["Z/0", "Z 1", "Z_2"])
    monkeypatch.setattr(type(model), "latent_names", names)
    return model


def latent(adata, model):
    pld.tl.latent(adata, model)


def attribute(adata, model):
    pld.tl.attribute(adata, model, groupby="population")


def gene_set_impact(adata, model):
    attribute(adata, model)
    pld.tl.gene_set_impact(adata, group="B/plasma", reference=["T cell", "NK/T"])


def orthogonal_ae(adata, model):
    pld.tl.orthogonal_ae(adata, n_latent=3, max_epochs=1, enable_progress_bar=False)


WRITERS = [attribute, gene_set_impact, latent, orthogonal_ae]
# Returns its result and writes nothing.
READERS = {"orthogonality"}


def test_every_function_is_covered():
    assert {writer.__name__ for writer in WRITERS} | READERS == set(pld.tl.__all__)


@pytest.mark.parametrize("write", WRITERS)
def test_result_survives(named, model, write, round_trip, assert_same):
    write(named, model)
    assert_same(round_trip(named), named)


@pytest.mark.parametrize("write", WRITERS)
def test_copy_leaves_the_original(named, model, write, unchanged):
    function = getattr(pld.tl, write.__name__)
    if "copy" not in inspect.signature(function).parameters:
        assert write is orthogonal_ae  # it returns the model
        return
    write(named, model)
    extra = {} if write is gene_set_impact else {"model": model}
    with unchanged(named):
        copied = function(named, **extra, copy=True)
    assert copied is not named


def test_names_are_strings_and_never_keys(named, model):
    gene_set_impact(named, model)
    names = {*named.uns["gene_sets"]["names"], *model.latent_names, *named.obs["population"]}

    def check(value, path: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                assert isinstance(key, str), path
                assert "/" not in key, path
                assert key not in names, path
                check(inner, f"{path}[{key!r}]")
        elif isinstance(value, pd.DataFrame):
            assert not any("/" in column for column in value.columns), path
        elif isinstance(value, np.ndarray):
            assert value.dtype != object, path
        else:
            assert isinstance(value, str | int | float | np.generic), path

    check(dict(named.uns), "uns")
    for slot in (named.varm, named.obsm):
        assert not any("/" in key for key in slot)


def test_figures_redraw_from_the_file(named, model, round_trip):
    gene_set_impact(named, model)
    again = round_trip(named)
    for draw in (
        lambda adata: pld.pl.gene_set_impact(adata, return_fig=True),
        lambda adata: pld.pl.gene_set_impact_difference(adata, return_fig=True),
        lambda adata: pld.pl.unit_activity(adata, groupby="population", return_fig=True),
    ):
        first, second = draw(named), draw(again)
        texts = [
            [text.get_text() for text in figure.findobj(match=_is_text)]
            for figure in (first, second)
        ]
        assert texts[0] == texts[1]


def _is_text(artist) -> bool:
    return hasattr(artist, "get_text") and bool(artist.get_text())
