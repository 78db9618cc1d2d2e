"""Every result survives h5ad and zarr. A new function that writes is one more entry of `CALLS`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest

import pellucid as pld

QUICK = {"max_epochs": 2, "accelerator": "cpu", "enable_progress_bar": False}
UNITS = ["unit/0", "unit 1", "Ünit/2"]
SETS = {f"SET/{i} é": [f"gene{g}" for g in range(10 * i, 10 * i + 8)] for i in range(3)}


def attribute(adata, model, **kwargs):
    pld.tl.attribute(adata, model, groupby="cell/type", **kwargs)


def attribution_agreement(adata, model, **kwargs):
    keys = ["saliency", "guided"]
    for key, method in zip(keys, ("saliency", "guided_backprop"), strict=True):
        pld.tl.attribute(adata, model, method=method, key_added=key)
    pld.tl.attribution_agreement(adata, keys, **kwargs)


def gene_set_impact(adata, model, **kwargs):
    attribute(adata, model)
    pld.pp.add_gene_sets(adata, SETS, min_genes=1)
    pld.tl.gene_set_impact(adata, group=["T/NK", "B"], reference="mono/DC", **kwargs)


def enrich(adata, model, **kwargs):
    attribute(adata, model)
    pld.tl.enrich(adata, SETS, min_genes=1, **kwargs)


def gsea(adata, model, **kwargs):
    attribute(adata, model)
    options = {"min_genes": 1, "n_permutations": 10, "groupby": "cell/type"}
    pld.tl.gsea(adata, SETS, **options, **kwargs)


def annotated_ae(adata, *, key_added="X_annotated_ae"):
    return pld.tl.annotated_ae(
        adata, gene_sets=SETS, n_sparse=1, likelihood="nb", key_added=key_added, **QUICK
    )


def rank_factors(adata, model, **kwargs):
    annotated_ae(adata)
    pld.tl.rank_factors(adata, **kwargs)


def transfer_labels(adata, model, **kwargs):
    reference = pld.tl.latent(adata, model, copy=True)
    pld.tl.latent(adata, model)
    pld.tl.transfer_labels(
        reference,
        adata,
        labels_key="cell/type",
        use_rep="X_orthogonal_ae",
        k=7,
        prediction_key="predicted",
        **kwargs,
    )


def of_factors(function):
    """A function that compares groups by their scores."""

    def call(adata, model, **kwargs):
        pld.tl.latent(adata, model)
        function(adata, groupby="cell/type", use_rep="X_orthogonal_ae", **kwargs)

    return call


def fit_populations(adata, model, **kwargs):
    adata.obs["donor"] = "donor/1"
    small = {"model_kwargs": {"n_hidden": (6, 4)}, "train_kwargs": {"max_epochs": 1}}
    pld.tl.fit_populations(adata, "donor", n_cells_per_bin=90, n_latent=2, **small, **kwargs)


def of_populations(function, *arguments, **options):
    """A function that compares populations by what their models left."""

    def call(adata, model, **kwargs):
        rng = np.random.default_rng(0)
        adata.obs["donor"] = pd.Categorical([f"donor/{i // 15}" for i in range(90)])
        adata.obs["state"] = pd.Categorical(np.repeat(["ctrl/é", "stim", "stim"], 30))
        adata.varm["populations_loadings"] = rng.normal(size=(30, 6, 2))
        adata.varm["populations_centrality"] = rng.random((30, 6))
        adata.varm["populations_mean"] = rng.random((30, 6))
        adata.uns["populations"] = {
            "params": {"population_key": "donor"},
            "populations": np.array([f"donor/{i}" for i in range(6)]),
            "bins": np.zeros(6, dtype=int),
            "n_cells": np.full(6, 15),
        }
        function(adata, *arguments, **options, **kwargs)

    return call


CALLS = {
    "annotated_ae": (lambda adata, model, **kwargs: annotated_ae(adata, **kwargs), "X_annotated"),
    "associate_centrality": (
        of_populations(pld.tl.associate_centrality, "state", gene_sets=SETS, min_genes=1),
        "centrality_association",
    ),
    "associate_edges": (
        of_populations(pld.tl.associate_edges, "state", percentile=40, min_populations=2),
        "edge_association",
    ),
    "attribute": (attribute, "attribution"),
    "attribution_agreement": (attribution_agreement, "attribution_agreement"),
    "enrich": (enrich, "enrichment"),
    "deep_ae": (
        lambda adata, model, **kwargs: pld.tl.deep_ae(
            adata, n_latent=3, depth=2, **kwargs, **QUICK
        ),
        "X_deep_ae",
    ),
    "compare_networks": (of_populations(pld.tl.compare_networks), "network_comparison"),
    "compression_benchmark": (
        lambda adata, model, **kwargs: pld.tl.compression_benchmark(
            adata, methods={"SVD/é": "svd"}, n_latent=2, train_size=0.3, n_repeats=2, **kwargs
        ),
        "compression_benchmark",
    ),
    "degree_centrality": (pld.tl.degree_centrality, "degree_centrality"),
    "factor_separation": (of_factors(pld.tl.factor_separation), "factor_separation"),
    "factor_test": (of_factors(pld.tl.factor_test), "factor_test"),
    "fit_populations": (fit_populations, "populations"),
    "gene_neighbors": (
        lambda adata, model, **kwargs: pld.tl.gene_neighbors(
            adata, method="clr", n_neighbors=3, **kwargs
        ),
        "gene_neighbors",
    ),
    "gsea": (gsea, "gsea"),
    "gene_set_impact": (gene_set_impact, "gene_set_impact"),
    "latent": (lambda adata, model, **kwargs: pld.tl.latent(adata, model, **kwargs), "X_ortho"),
    "loadings": (
        lambda adata, model, **kwargs: pld.tl.loadings(adata, annotated_ae(adata), **kwargs),
        "annotated_ae_loadings",
    ),
    "orthogonal_ae": (
        lambda adata, model, **kwargs: pld.tl.orthogonal_ae(adata, n_latent=3, **kwargs, **QUICK),
        "X_ortho",
    ),
    "rank_factors": (rank_factors, "factors"),
    "reconstruction_metrics": (
        lambda adata, model, **kwargs: pld.tl.reconstruction_metrics(
            adata, {"a/b é": adata.X.toarray() + 1}, **kwargs
        ),
        "reconstruction_metrics",
    ),
    "sivae": (
        lambda adata, model, **kwargs: pld.tl.sivae(
            adata, n_hidden=(8, 4), likelihood="nb", **kwargs, **QUICK
        ),
        "X_sivae",
    ),
    "transfer_labels": (transfer_labels, "transfer_labels"),
}
WRITE_NOTHING = {"orthogonality", "sample_expression"}
# Those that need what the tests do not install, and make the round trip in their own tests.
ELSEWHERE = {"tune"}


@pytest.fixture
def adata(counts):
    counts.obs["cell/type"] = pd.Categorical(np.repeat(["B", "mono/DC", "T/NK"], 30))
    counts.var_names = [f"gene{i}" for i in range(29)] + ["gene/29"]
    return counts


@pytest.fixture
def model(adata, monkeypatch):
    names = property(lambda self: np.array(UNITS))
    monkeypatch.setattr(pld.model.OrthogonalAE, "latent_names", names)
    pld.model.OrthogonalAE.setup_anndata(adata)
    with pld.train.seeded(0):
        model = pld.model.OrthogonalAE(adata, n_latent=3, n_hidden=8)
        model.train(**QUICK)
    return model


def check_storable(value, where: str) -> None:
    """Names stand in string arrays, and no key or column is one of them."""
    if isinstance(value, Mapping):
        for key in value:
            assert isinstance(key, str), where
            assert "/" not in key, f"{where}[{key!r}]"
            check_storable(value[key], f"{where}[{key!r}]")
    elif isinstance(value, pd.DataFrame):
        assert not any("/" in column for column in value.columns), where
        for column in value:
            numbers = pd.api.types.is_numeric_dtype(value[column])
            assert numbers or all(isinstance(one, str) for one in value[column]), where
    elif isinstance(value, np.ndarray):
        assert value.dtype.kind in "Ubif", where
    else:
        assert isinstance(value, str | bool | int | float | np.generic), f"{where}: {value!r}"


def test_every_function_that_writes_is_here():
    assert set(CALLS) | WRITE_NOTHING | ELSEWHERE == set(pld.tl.__all__)


# One zarr of everything, below, takes as long as one of a single result.
@pytest.mark.parametrize("round_trip", ["h5ad"], indirect=True)
@pytest.mark.parametrize("key_added", [None, "mine"])
@pytest.mark.parametrize("name", CALLS)
def test_round_trip(name, key_added, adata, model, round_trip, assert_same):
    call, start = CALLS[name]
    before = set(adata.uns)
    call(adata, model, **({} if key_added is None else {"key_added": key_added}))
    written = set(adata.uns) - before
    assert any(key == key_added or key.startswith(start) for key in written)
    # No layer is written; anndata 0.13 lists X among them, under the key None.
    for slot in ("uns", "obsm", "varm", "obsp", "varp"):
        for key in getattr(adata, slot):
            assert "/" not in key, f"{slot}[{key!r}]"
    for key in written:
        check_storable(adata.uns[key], f"uns[{key!r}]")
    # The user's own column: a name that no file can hold.
    del adata.obs["cell/type"]
    assert_same(round_trip(adata), adata)


def test_everything_comes_back(adata, model, round_trip, assert_same):
    """What is read of the file is what was read of the AnnData, names whole."""
    for call, _ in CALLS.values():
        call(adata, model)
    tables = {
        name: getattr(pld.get, name)
        for name in (
            "attribution",
            "attribution_agreement",
            "centrality_association",
            "compression_benchmark",
            "edge_association",
            "enrichment",
            "factor_separation",
            "factor_test",
            "factors",
            "gene_neighbors",
            "gene_set_impact",
            "gene_sets",
            "gsea",
            "gsea_frequency",
            "history",
            "latent",
            "loadings",
            "network_comparison",
            "populations",
            "reconstruction_metrics",
            "transfer_labels",
        )
    }
    before = {name: table(adata) for name, table in tables.items()}
    del adata.obs["cell/type"]
    back = round_trip(adata)
    assert_same(back, adata)
    for name, table in tables.items():
        pd.testing.assert_frame_equal(table(back), before[name], obj=name)
    impact = back.uns["gene_set_impact"]
    assert list(impact["set_names"]) == list(SETS)
    assert list(impact["groups"]) == ["B", "T/NK", "mono/DC"]
    assert list(impact["params"]["group"]) == ["T/NK", "B"]
    assert impact["params"]["reference"] == "mono/DC"
    for record in (impact, back.uns["attribution"], back.uns["X_orthogonal_ae"]):
        assert list(record["latent_names"]) == UNITS
    assert back.uns["attribution"]["params"]["groupby"] == "cell/type"
    assert back.varm["attribution_cell_type"].shape == (30, 3, 3)


def test_results_of_one_file_go_on(adata, model, round_trip):
    """Sets and attributions of a file are all that impact needs."""
    attribute(adata, model)
    pld.pp.add_gene_sets(adata, SETS, min_genes=1)
    expected = pld.tl.gene_set_impact(adata, group="B", copy=True).uns["gene_set_impact"]
    del adata.obs["cell/type"]
    back = round_trip(adata)
    pld.tl.gene_set_impact(back, group="B")
    found = back.uns["gene_set_impact"]
    assert set(found) == set(expected)
    for key in set(expected) - {"params"}:
        np.testing.assert_array_equal(found[key], expected[key], err_msg=key)
