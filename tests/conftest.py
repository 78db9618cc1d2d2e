"""Fixtures that more than one room's tests use."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import contextmanager

# Numba's threads, which scanpy starts, would give torch as many again, and beside other workers
# these wait for each other twenty times longer than they take. Numba reads this when imported.
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

import pellucid as pld

SLOTS = ("obs", "var", "uns", "layers", "obsm", "varm", "obsp", "varp")


def _contents(adata) -> dict:
    contents = {slot: getattr(adata, slot) for slot in SLOTS}
    contents |= {slot: dict(contents[slot]) for slot in SLOTS[2:]}
    contents["layers"].pop(None, None)  # anndata 0.13 lists X among the layers
    contents["X"] = adata.X[:] if adata.isbacked else adata.X
    if adata.raw is not None:
        contents["raw"] = {"X": adata.raw.X, "var": adata.raw.var, "varm": dict(adata.raw.varm)}
    return contents


def _assert_same(found, expected, where: str) -> None:
    if isinstance(expected, Mapping):
        assert set(found) == set(expected), where
        for key in expected:
            _assert_same(found[key], expected[key], f"{where}[{key!r}]")
    elif isinstance(expected, pd.DataFrame):
        pd.testing.assert_frame_equal(found, expected, obj=where)
    elif sparse.issparse(expected):
        assert sparse.issparse(found), where
        assert found.format == expected.format, where
        _assert_same(found.toarray(), expected.toarray(), where)
    elif isinstance(expected, np.ndarray | pd.api.extensions.ExtensionArray):
        found, expected = np.asarray(found), np.asarray(expected)
        # A string array comes back from a file as one of objects, or of another length.
        if expected.dtype.kind in "OUT":
            assert found.dtype.kind in "OUT", where
        else:
            assert found.dtype == expected.dtype, where
        np.testing.assert_array_equal(found, expected, err_msg=where)
    else:
        assert found == expected, where


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    """Give a test, and the fixtures made for it, the same draws whatever ran before it."""
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - what the packages underneath draw from


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Threads that share a tiny product wait for each other where the cores are busy."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def assert_same():
    """Assert that two AnnData objects hold the same in every slot."""

    def check(found: ad.AnnData, expected: ad.AnnData) -> None:
        _assert_same(_contents(found), _contents(expected), "adata")

    return check


@pytest.fixture(scope="session")
def unchanged():
    """Context in which an AnnData must not change: `with unchanged(adata), pytest.raises(...)`."""

    @contextmanager
    def context(adata: ad.AnnData):
        before, was_view = _contents(adata.to_memory(copy=True)), adata.is_view
        yield
        assert adata.is_view == was_view
        _assert_same(_contents(adata), before, "adata")

    return context


@pytest.fixture(params=["h5ad", "zarr"])
def round_trip(request, tmp_path):
    """Write an AnnData and read it again."""

    def write_and_read(adata: ad.AnnData) -> ad.AnnData:
        path = tmp_path / f"adata.{request.param}"
        getattr(adata, f"write_{request.param}")(path)
        return getattr(ad, f"read_{request.param}")(path)

    return write_and_read


@pytest.fixture(scope="session")
def real_data():
    """Load a data set by the name of its function, or skip where it cannot be had."""

    def load(name: str, *arguments: str):
        try:
            return getattr(pld.datasets, name)(*arguments)
        except FileNotFoundError as error:
            pytest.skip(str(error))

    return load


@pytest.fixture
def attributed():
    """Gene sets and attributions of a made-up model: "/" in names, a silent unit, a lone cell."""
    rng = np.random.default_rng(0)
    names, units, groups = ["S/1", "S 2", "S-3"], ["Z_0", "Z/1", "Z_2", "Z_3"], ["a/b", "c", "d"]
    sizes = np.array([12, 17, 1])
    by_group = rng.lognormal(size=(60, 3, 4)).astype(np.float32)
    by_group[:, :, 3] = 0
    mask = np.zeros((60, 3), dtype=bool)
    for column, size in enumerate((10, 5, 20)):
        mask[rng.choice(60, size, replace=False), column] = True
    whole = np.tensordot(sizes / sizes.sum(), by_group, axes=(0, 1)).astype(np.float32)
    return ad.AnnData(
        rng.poisson(1.0, (30, 60)).astype(np.float32),
        obs=pd.DataFrame(
            {"cell_type": pd.Categorical(np.repeat(groups, sizes))},
            index=[f"cell{cell}" for cell in range(30)],
        ),
        var=pd.DataFrame(index=[f"gene{gene}" for gene in range(60)]),
        varm={
            "gene_sets": sparse.csr_matrix(mask),
            "attribution": whole,
            "attribution_cell_type": by_group,
        },
        uns={
            "gene_sets": {
                "params": {"function": "pp.add_gene_sets"},
                "names": np.array(names),
                "n_found": mask.sum(axis=0),
                "n_total": np.array([20, 5, 40]),
            },
            "attribution": {
                "params": {"function": "tl.attribute", "groupby": "cell_type"},
                "latent_names": np.array(units),
                "groups": np.array(groups),
                "group_sizes": sizes,
            },
        },
    )


FACTORS = (
    "REACTOME_ANTIVIRAL_MECHANISM_BY_IFN_STIMULATED_GENES", "REACTOME/INTERFERON_SIGNALING",
    "SET 2/$B$", "REACTOME_SIGNALING_BY_THE_B_CELL_RECEPTOR_BCR", "sparse_0", "dense_0",
)  # fmt: skip
DEACTIVATED = 2


@pytest.fixture(scope="session")
def make_factors():
    """Make what a model of named factors leaves behind, with one of them deactivated.

    The second factor is higher in "stim/1", the first repeats it, and each donor has a level.
    """

    def make(n_obs: int = 120, n_vars: int = 60) -> ad.AnnData:
        rng = np.random.default_rng(0)
        names, n_factors = np.array(FACTORS), len(FACTORS)
        condition = np.where(np.arange(n_obs) % 5 < 2, "stim/1", "ctrl")
        donor = np.arange(n_obs) * 8 // n_obs
        scores = rng.normal(size=(n_obs, n_factors)) + 0.5 * rng.normal(size=(8, 1))[donor]
        scores[condition == "stim/1", 1] += 1.5
        scores[:, 0] = scores[:, 1] + 0.1 * rng.normal(size=n_obs)
        scores[:, 4] = np.maximum(scores[:, 4], 0)
        in_set = rng.random((n_vars, n_factors)) < 0.3
        in_set[:, 4:] = False
        loadings = rng.normal(size=in_set.shape)
        loadings[rng.random(in_set.shape) > np.where(in_set, 0.9, 0.1)] = 0
        loadings[:, 5] = rng.normal(size=n_vars)
        scores[:, DEACTIVATED] = loadings[:, DEACTIVATED] = 0
        used = loadings != 0
        squares = loadings**2
        norm = np.sqrt(squares.sum(axis=0))
        factors = pd.DataFrame(
            {
                "kind": ["annotated"] * 4 + ["sparse", "dense"],
                "active": norm > 0,
                "norm": norm,
                "explained": scores.std(axis=0) * norm,
                "n_set": in_set.sum(axis=0),
                "n_in_set": (in_set & used).sum(axis=0),
                "n_added": (~in_set & used).sum(axis=0),
                "n_removed": (in_set & ~used).sum(axis=0),
                "replaced": (squares * ~in_set).sum(axis=0) / np.where(norm > 0, norm, 1) ** 2,
            },
            index=pd.Index(names, name="factor"),
        ).sort_values("explained", ascending=False)
        factors["rank"] = np.arange(n_factors) + 1
        return ad.AnnData(
            rng.poisson(1.0, (n_obs, n_vars)).astype(np.float32),
            obs=pd.DataFrame(
                {
                    "condition": pd.Categorical(condition),
                    "donor": pd.Categorical([f"donor/{i}" for i in donor]),
                    "cell_type": pd.Categorical([f"type {i % 13}" for i in range(n_obs)]),
                    "age": donor * 1.5,
                },
                index=[f"cell{cell}" for cell in range(n_obs)],
            ),
            var=pd.DataFrame(index=[f"gene{gene}" for gene in range(n_vars)]),
            obsm={"X_annotated_ae": scores.astype(np.float32)},
            varm={
                "annotated_ae_loadings": loadings.astype(np.float32),
                "annotated_ae_loadings_annotated": sparse.csr_matrix(in_set),
            },
            uns={
                "X_annotated_ae": {"latent_names": names},
                "annotated_ae_loadings": {
                    "latent_names": names,
                    "kinds": np.array(["annotated"] * 4 + ["sparse", "dense"]),
                },
                "factors": {"params": {"function": "tl.rank_factors"}, "results": factors},
            },
        )

    return make


@pytest.fixture
def factors(make_factors) -> ad.AnnData:
    """Scores, loadings and ranks of a made-up model, 120 cells of 8 donors x 60 genes."""
    return make_factors()


@pytest.fixture
def populations() -> ad.AnnData:
    """What `tl.fit_populations` leaves of 16 populations, 3 of them in two bins; made up.

    Genes of a module lie in one direction of the embedding. In every other population those of the
    first module lie near the origin, where the last genes always do. Means tell nothing.
    """
    rng = np.random.default_rng(0)
    names = [f"donor/{i}" for i in range(16)]
    fits = np.sort(np.concatenate([np.arange(16), [1, 4, 6]]))
    module = np.repeat(np.arange(6), 10)
    direction = np.vstack([3 * np.eye(5), np.zeros(5)])
    points = np.tile(direction[module][:, None], (1, len(fits), 1))
    points[:10, fits % 2 == 1] = 0
    points += 0.3 * rng.normal(size=points.shape)
    length = np.linalg.norm(points, axis=2)
    rewired = np.array(["as before", "re/wired"])[np.arange(16) % 2]
    return ad.AnnData(
        np.zeros((32, 60), dtype=np.float32),
        obs=pd.DataFrame(
            {
                "donor": pd.Categorical(np.repeat(names, 2)),
                "rewired": pd.Categorical(np.repeat(rewired, 2)),
                "efficiency": np.repeat(np.arange(16) % 2 + np.linspace(0, 0.1, 16), 2),
                "cell_type": pd.Categorical(["B", "T"] * 16),
            },
            index=[f"cell{i}" for i in range(32)],
        ),
        var=pd.DataFrame({"module": module}, index=[f"gene{i}" for i in range(60)]),
        varm={
            "populations_loadings": points.astype(np.float32),
            "populations_centrality": (0.03 * length**2).astype(np.float32),
            "populations_mean": rng.normal(size=length.shape).astype(np.float32),
        },
        uns={
            "populations": {
                "params": {"function": "tl.fit_populations", "population_key": "donor"},
                "populations": np.array(names)[fits],
                "bins": np.array([int(f in fits[:i]) for i, f in enumerate(fits)]),
                "n_cells": np.full(len(fits), 1000),
                "n_dead_units": np.zeros(len(fits), dtype=int),
            }
        },
    )


@pytest.fixture
def counts() -> ad.AnnData:
    """Counts of three populations, 90 cells x 30 genes, sparse; each has genes of its own."""
    rng = np.random.default_rng(0)
    population = np.repeat(["B", "T", "NK"], 30)
    mean = np.full((90, 30), 0.5)
    for start, name in zip((0, 10, 20), ("B", "T", "NK"), strict=True):
        mean[population == name, start : start + 8] = 5
    return ad.AnnData(
        sparse.csr_matrix(rng.poisson(mean).astype(np.float32)),
        obs=pd.DataFrame(
            {"population": pd.Categorical(population)}, index=[f"cell{i}" for i in range(90)]
        ),
        var=pd.DataFrame(index=[f"gene{i}" for i in range(30)]),
    )


@pytest.fixture(scope="session")
def by_hooks():
    """Sum over cells of every unit's gradient, units x genes, by hooks on autograd.

    What arrives at an activation is what its output's gradient is; guided back-propagation clips
    it there. One unit at a time, and nothing of the package.
    """
    import torch
    from torch import nn

    linear = (nn.Linear, nn.BatchNorm1d, nn.LayerNorm, nn.Dropout, nn.Identity)

    def clip_what_arrives(module, inputs, output):
        output.register_hook(lambda gradient: gradient.clamp(min=0))

    def compute(network, x, *, guided: bool, absolute: bool = True) -> np.ndarray:
        leaves = [module for module in network.modules() if not list(module.children())]
        handles = [
            module.register_forward_hook(clip_what_arrives)
            for module in leaves
            if guided and not isinstance(module, linear)
        ]
        x = x.clone().requires_grad_()
        units = network(x)
        each = [
            torch.autograd.grad(units[:, unit].sum(), x, retain_graph=True)[0].numpy()
            for unit in range(units.shape[1])
        ]
        for handle in handles:
            handle.remove()
        return np.stack([(np.abs(g) if absolute else g).sum(axis=0, dtype=float) for g in each])

    return compute
