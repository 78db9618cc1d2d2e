"""A model for each population: what it reads, what is kept of it, and how it is cut short."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import time

import anndata as ad
import joblib
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import pellucid as pld
from pellucid.tl import _population_fits
from pellucid.tl._population_fits import scaling

KEYS = ("populations_loadings", "populations_centrality", "populations_mean")
OPTIONS = {
    "n_cells_per_bin": 10,
    "n_latent": 2,
    "model_kwargs": {"n_hidden": (6, 4)},
    "train_kwargs": {"max_epochs": 1, "early_stopping": False},
}


@pytest.fixture
def cells() -> ad.AnnData:
    """Two bins of "a/1", one of "b" with cells left over, none of "c", and cells of none."""
    rng = np.random.default_rng(0)
    sizes = {"a/1": 20, "b": 14, "c": 6}
    names = np.repeat([*sizes, None], [*sizes.values(), 4])[rng.permutation(44)]
    x = rng.poisson(1.0, (44, 12)) * rng.lognormal(size=12)
    return ad.AnnData(
        np.log1p(x).astype(np.float32),
        obs=pd.DataFrame({"donor": pd.Categorical(names)}, index=[f"cell{i}" for i in range(44)]),
        var=pd.DataFrame(index=[f"gene{i}" for i in range(12)]),
    )


def fit(adata: ad.AnnData, **kwargs) -> dict[str, np.ndarray]:
    found = pld.tl.fit_populations(adata, "donor", copy=True, **{**OPTIONS, **kwargs})
    return {key: found.varm[key] for key in KEYS}


def assert_equal(found, expected):
    for key in KEYS:
        np.testing.assert_array_equal(found[key], expected[key], err_msg=key)


def test_each_fit_is_a_model_of_its_bin(cells, caplog):
    cells.X[:, 3] = 0.5  # varies in no cell
    with caplog.at_level(logging.WARNING, logger="pellucid"):
        pld.tl.fit_populations(cells, "donor", random_state=3, **OPTIONS)
    assert "1 of 3 populations have fewer cells than a bin of 10 and are left out: 'c' (6)" in (
        caplog.text
    )
    record = cells.uns["populations"]
    assert record["populations"].tolist() == ["a/1", "a/1", "b"]
    assert record["bins"].tolist() == [0, 1, 0]
    assert record["n_cells"].tolist() == [10, 10, 10]
    assert [cells.varm[key].shape for key in KEYS] == [(12, 3, 2), (12, 3), (12, 3)]
    assert {cells.varm[key].dtype.name for key in KEYS} == {"float32"}

    donor = cells.obs["donor"].to_numpy()
    whole = cells.varm["populations_mean"][:, :2].mean(axis=1)
    np.testing.assert_allclose(whole, cells.X[donor == "a/1"].mean(axis=0), rtol=1e-5)

    # By the means of a bin its cells are known, and with them the model.
    deviation = cells.X.std(axis=0, dtype=float)
    scaled = (cells.X - cells.X.mean(axis=0, dtype=float)) / np.where(deviation, deviation, 1)
    order = np.random.default_rng([3, 1]).permutation(np.flatnonzero(donor == "b"))[:10]
    np.testing.assert_allclose(
        cells.varm["populations_mean"][:, 2], cells.X[order].mean(axis=0), rtol=1e-5
    )
    alone = ad.AnnData(np.clip(scaled, -10, 10).astype(np.float32)[np.sort(order)])
    pld.model.SIVAE.setup_anndata(alone)
    with pld.train.seeded(3):
        model = pld.model.SIVAE(alone, n_latent=2, n_hidden=(6, 4))
        model.train(1, early_stopping=False, accelerator="cpu", enable_progress_bar=False)
    np.testing.assert_allclose(
        cells.varm["populations_loadings"][:, 2], model.get_loadings(), atol=1e-6
    )
    error = ((alone.X - model.get_reconstruction()) ** 2).mean(axis=0)
    explained = 1 - error / np.where(np.arange(12) == 3, 1, alone.X.var(axis=0))
    explained[3] = 0
    np.testing.assert_allclose(cells.varm["populations_centrality"][:, 2], explained, atol=1e-5)
    table = pld.get.populations(cells)
    row = table.set_index(["population", "bin", "gene"]).loc[("b", 0, "gene7")]
    assert row["centrality"] == cells.varm["populations_centrality"][7, 2]
    assert row["mean_expression"] == cells.varm["populations_mean"][7, 2]


def test_sparse_view_of_a_layer(cells):
    twice = ad.concat([cells, cells], index_unique="-")
    twice.layers["log"] = sparse.csr_matrix(twice.X)
    twice.X = twice.X * 100
    view = twice[:44]
    assert view.is_view
    found, expected = fit(view, layer="log"), fit(cells)
    for key in KEYS:
        np.testing.assert_allclose(found[key], expected[key], atol=1e-5)


def test_on_disk(cells, tmp_path):
    expected = fit(cells)
    cells.X = sparse.csr_matrix(cells.X)
    cells.write_h5ad(tmp_path / "cells.h5ad")
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    pld.tl.fit_populations(backed, "donor", **OPTIONS)
    for key in KEYS:
        np.testing.assert_allclose(backed.varm[key], expected[key], atol=1e-5)


def test_two_workers_killed_on_the_way(cells, tmp_path):
    """Those that had ended are not fitted again, and all is as if nothing had happened."""
    options = {"n_cells_per_bin": 5}
    folder = tmp_path / "fits"
    expected = fit(cells, **options)
    n_fits = expected["populations_mean"].shape[1]
    assert n_fits == 7

    def run():
        os.setsid()
        with joblib.parallel_config(backend="multiprocessing", n_jobs=2):
            fit(cells, directory=folder, **options)

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    deadline = time.monotonic() + 300
    while len(done := sorted(folder.glob("fit_*[0-9].npz"))) < 3:
        assert process.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.join()
    done = sorted(folder.glob("fit_*[0-9].npz"))
    assert 3 <= len(done) < n_fits
    written = {path: path.stat().st_mtime_ns for path in done}

    assert_equal(fit(cells, directory=folder, **options), expected)
    assert {path: path.stat().st_mtime_ns for path in done} == written
    assert len(sorted(folder.glob("fit_*[0-9].npz"))) == n_fits


def test_folder_of_others_is_refused(cells, tmp_path, unchanged):
    fit(cells, directory=tmp_path / "fits")
    other = cells.copy()
    other.X[2, 3] += 1
    cases = [
        (other, {}, "of other data or settings .expression"),
        (cells, {"random_state": 1}, "random_state: 0 there, 1 here"),
        (cells, {"train_kwargs": {"max_epochs": 2}}, "train_kwargs"),
        (cells, {"n_cells_per_bin": 7}, "populations"),
        (cells, {"directory": tmp_path}, "not empty, and not of this function"),
    ]
    for adata, options, message in cases:
        with unchanged(adata), pytest.raises(ValueError, match=message):
            pld.tl.fit_populations(
                adata, "donor", **{**OPTIONS, "directory": tmp_path / "fits", **options}
            )


FAILS = {
    "column": ({"population_key": "line"}, KeyError, "population_key='line' not found"),
    "layer": ({"layer": "log"}, KeyError, "layer 'log' not found"),
    "no full bin": ({"n_cells_per_bin": 21}, ValueError, "None of the 3.*'a/1', has 20"),
    "tiny bin": ({"n_cells_per_bin": 2}, ValueError, "needs 3 cells"),
    "model": ({"model_kwargs": {"hidden": 3}}, ValueError, "model_kwargs has 'hidden'"),
    "likelihood": ({"model_kwargs": {"likelihood": "nb"}}, ValueError, "has 'likelihood'"),
    "units of the model": (
        {"model_kwargs": {"n_latent": 5}},
        ValueError,
        "has 'n_latent'.*number of units goes to n_latent=",
    ),
    "units": ({"n_latent": 13}, ValueError, "n_latent=13, but adata has 12 genes"),
    "training": ({"train_kwargs": {"epochs": 3}}, TypeError, "epochs"),
    "diverged": (
        {"train_kwargs": {"max_epochs": 1, "plan_kwargs": {"lr": 1e30}}},
        ValueError,
        "3 of 3 fits diverged .a/1, b.: .*lower rate",
    ),
}


@pytest.mark.parametrize(("arguments", "error", "message"), FAILS.values(), ids=FAILS)
def test_failure_leaves_no_trace(cells, unchanged, arguments, error, message):
    arguments = {"population_key": "donor", **OPTIONS, **arguments}
    with unchanged(cells), pytest.raises(error, match=message):
        pld.tl.fit_populations(cells, **arguments)


def test_counts_are_refused(cells):
    cells.X = np.round(cells.X * 30)
    with pytest.raises(ValueError, match="log expression is due"):
        pld.tl.fit_populations(cells, "donor", **OPTIONS)


def test_ray_cluster_of_two_nodes(cells):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'pellucid[scale]'")
    import ray
    from ray.cluster_utils import Cluster
    from ray.util.joblib import register_ray

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        cluster.add_node(num_cpus=1)
        ray.init(address=cluster.address)
        register_ray()
        with joblib.parallel_config(backend="ray", n_jobs=2):
            found = fit(cells)
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert_equal(found, fit(cells))


def test_threads_take_turns(cells):
    """Seeds, threads and where output goes belong to the process."""
    expected, stdout, level = fit(cells), sys.stdout, logging.getLogger("pellucid").level
    with joblib.parallel_config(backend="threading", n_jobs=3):
        found = fit(cells)
    assert sys.stdout is stdout
    assert logging.getLogger("pellucid").level == level
    assert_equal(found, expected)


def test_folder_of_a_call_that_failed(cells, tmp_path):
    """No fit ended under its settings, so that the corrected ones may take their place."""
    with pytest.raises(TypeError, match="epochs"):
        fit(cells, directory=tmp_path / "fits", train_kwargs={"epochs": 3})
    assert_equal(fit(cells, directory=tmp_path / "fits"), fit(cells))


@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_folder_knows_cells_wherever_they_are_kept(cells, tmp_path, monkeypatch, form):
    monkeypatch.setattr(_population_fits, "_ROWS_AT_ONCE", 7)
    if form == "sparse":
        cells.X = sparse.csr_matrix(cells.X)
    expected, digest = scaling(cells, None)
    cells.write_h5ad(tmp_path / "cells.h5ad")
    other_order = np.asfortranarray if form == "dense" else sparse.csc_matrix
    for other in (
        ad.read_h5ad(tmp_path / "cells.h5ad", backed="r"),
        ad.AnnData(other_order(cells.X)),
        ad.concat([cells, cells], index_unique="-")[:44],
    ):
        found, other_digest = scaling(other, None)
        assert other_digest == digest
        np.testing.assert_array_equal(found.deviation, expected.deviation)
    cells.X[3, 4] += 1
    assert scaling(cells, None)[1] != digest


def test_two_populations_of_one_name(cells, unchanged):
    names = cells.obs["donor"].astype(object)
    cells.obs["mixed"] = pd.Categorical(names.map({"a/1": 1, "b": "1", "c": "c"}))
    with unchanged(cells), pytest.raises(ValueError, match=r"Two populations .* written '1'"):
        pld.tl.fit_populations(cells, "mixed", **OPTIONS)
