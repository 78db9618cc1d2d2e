"""What every model does. A new model is one more entry of `MODELS`."""

from __future__ import annotations

import inspect
import random
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import anndata as ad
import numpy as np
import pytest
import scvi
import torch
from scipy import sparse

import pellucid as pld


class Case(NamedTuple):
    """A model and the call that fits it."""

    fit: Callable
    """Registers, trains and writes the latent in one call."""
    model_arguments: dict[str, Any]
    """A small network, and nothing random in a step unless `draws`."""
    history: set[str]
    """What is recorded each epoch."""
    fit_arguments: dict[str, Any]
    """As many units in one call."""
    latent_names: list[str]
    """What the units are called."""
    smallest_batch: int = 1
    """Fewest cells a step."""
    draws: bool = False
    """Whether a step draws from posteriors, so that the order of a batch's cells matters."""


SETS = {
    name: [f"gene{gene}" for gene in range(start, start + 8)]
    for name, start in (("B/1", 0), ("T", 10), ("NK", 20))
}

MODELS = {
    "OrthogonalAE": Case(
        fit=pld.tl.orthogonal_ae,
        model_arguments={"n_latent": 5, "n_hidden": 12, "dropout_rate": 0.0, "l1_weight": 0.0},
        history={
            "train_loss",
            "validation_loss",
            "reconstruction_loss_train",
            "reconstruction_loss_validation",
            "orthogonality_penalty",
            "representation_norm",
        },
        fit_arguments={"n_latent": 5},
        latent_names=[f"Z_{unit}" for unit in range(5)],
    ),
    "AnnotatedAE": Case(
        fit=pld.tl.annotated_ae,
        model_arguments={
            "gene_sets": SETS,
            "n_sparse": 2,
            "n_hidden": 12,
            "dropout_rate": 0.0,
            "likelihood": "nb",
        },
        history={
            "train_loss",
            "validation_loss",
            "reconstruction_loss_train",
            "reconstruction_loss_validation",
            "n_active_factors",
            "penalty",
        },
        fit_arguments={"gene_sets": SETS, "n_sparse": 2, "likelihood": "nb"},
        latent_names=[*SETS, "sparse_0", "sparse_1"],
        smallest_batch=2,
    ),
    "DeepAE": Case(
        fit=pld.tl.deep_ae,
        model_arguments={"n_latent": 5, "n_hidden": (16, 8), "loss": "nb"},
        history={
            "train_loss",
            "validation_loss",
            "reconstruction_loss_train",
            "reconstruction_loss_validation",
        },
        fit_arguments={"n_latent": 5, "depth": 2, "loss": "nb"},
        latent_names=[f"Z_{unit}" for unit in range(5)],
    ),
    "SIVAE": Case(
        fit=pld.tl.sivae,
        model_arguments={"n_latent": 5, "n_hidden": (16, 8), "likelihood": "nb"},
        history={
            f"{term}{stage}"
            for stage in ("", "_cells", "_genes")
            for term in (
                "train_loss",
                "validation_loss",
                "reconstruction_loss_train",
                "reconstruction_loss_validation",
            )
        }
        | {"kl_cells_train", "kl_genes_validation", "interpretability_loss_train"},
        fit_arguments={"n_latent": 5, "likelihood": "nb", "n_hidden": (16, 8)},
        latent_names=[f"Z_{unit}" for unit in range(5)],
        draws=True,
    ),
}

QUIET = {"accelerator": "cpu", "enable_progress_bar": False}
BATCH_SIZES = {"smallest": None, "mini_batch": 16, "full_batch": 90}
PUBLIC = sorted(
    {
        (name, member)
        for name in MODELS
        for member, value in inspect.getmembers(getattr(pld.model, name))
        if not member.startswith("_")
        and (inspect.isroutine(value) or isinstance(value, property))
        and any(
            member in vars(cls) and cls.__module__.startswith("pellucid")
            for cls in getattr(pld.model, name).__mro__
        )
    }
)


@pytest.fixture(params=MODELS)
def name(request) -> str:
    return request.param


@pytest.fixture
def case(name) -> Case:
    return MODELS[name]


@pytest.fixture
def model_cls(name) -> type:
    return getattr(pld.model, name)


def build(name: str, adata: ad.AnnData, *, seed: int = 0, **setup):
    """An untrained model; its weights come from the seed."""
    cls = getattr(pld.model, name)
    cls.setup_anndata(adata, **setup)
    with pld.train.seeded(seed):
        return cls(adata, **MODELS[name].model_arguments)


def train(model, *, seed: int = 0, **kwargs):
    """Two epochs of mini-batches unless told otherwise."""
    with pld.train.seeded(seed):
        model.train(**{"max_epochs": 2, "batch_size": 16, **QUIET, **kwargs})
    return model


TRAINED: dict[str, Any] = {}


@pytest.fixture
def trained(name, counts):
    """A model trained on `counts`: one for all tests, none of which may change it."""
    if name not in TRAINED:
        TRAINED[name] = train(build(name, counts.copy()))
    return TRAINED[name]


def weights(model) -> dict[str, torch.Tensor]:
    return model.module.state_dict()


def same_weights(one, other) -> bool:
    return all(torch.equal(value, weights(other)[key]) for key, value in weights(one).items())


def test_every_model_is_here():
    assert set(MODELS) == set(pld.model.__all__)


@pytest.mark.parametrize("batch_size", BATCH_SIZES.values(), ids=BATCH_SIZES)
def test_trains_and_answers(name, case, counts, batch_size):
    model = build(name, counts)
    before = {key: value.clone() for key, value in weights(model).items()}
    train(model, batch_size=batch_size or case.smallest_batch)
    assert any(not torch.equal(before[key], value) for key, value in weights(model).items())

    latent = model.get_latent_representation()
    assert latent.shape == (90, 5)
    assert latent.dtype == np.float32
    assert np.isfinite(latent).all()
    assert latent.std(0).max() > 0

    reconstruction = model.get_reconstruction()
    assert reconstruction.shape == (90, 30)
    assert reconstruction.dtype == np.float32
    assert np.isfinite(reconstruction).all()

    names = model.latent_names
    assert names.dtype.kind == "U"
    assert names.tolist() == case.latent_names

    assert case.history <= set(model.history)
    for key in case.history:
        assert len(model.history[key]) == 2, key
        assert np.isfinite(model.history[key].to_numpy(float)).all(), key


def test_learns(name, counts):
    """Training beats the untrained network on cells that it did not see."""
    model = train(build(name, counts), max_epochs=15, plan_kwargs={"lr": 1e-2})
    loss = model.history["reconstruction_loss_validation"].iloc[:, 0].astype(float)
    assert loss.iloc[-1] < loss.iloc[0] - 0.1


@pytest.mark.parametrize("method", ["get_latent_representation", "get_reconstruction"])
def test_chosen_cells_in_any_batches(trained, method):
    everything = getattr(trained, method)()
    chosen = getattr(trained, method)(indices=[7, 3, 40], batch_size=2)
    np.testing.assert_allclose(chosen, everything[[7, 3, 40]], rtol=1e-5, atol=1e-6)


def test_cells_do_not_depend_on_each_other(trained, counts):
    """A cell is read the same alone, in a view and in another AnnData."""
    everything = trained.get_latent_representation()
    alone = trained.get_latent_representation(counts[7].copy())
    np.testing.assert_allclose(alone, everything[[7]], rtol=1e-5, atol=1e-6)
    view = trained.get_latent_representation(counts[5:9])
    np.testing.assert_allclose(view, everything[5:9], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("library_size", [1.0, 1e4])
def test_normalized_expression_sums_to_the_library_size(trained, library_size):
    expression = trained.get_normalized_expression(library_size=library_size)
    assert expression.shape == (90, 30)
    assert expression.dtype == np.float32
    assert (expression >= 0).all()
    np.testing.assert_allclose(expression.sum(1), library_size, rtol=1e-5)
    shares = trained.get_reconstruction() / expression
    np.testing.assert_allclose(shares, np.broadcast_to(shares[:, :1], shares.shape), rtol=1e-4)


@pytest.mark.parametrize("with_data", [False, True], ids=["adata_given", "adata_saved"])
def test_save_and_load(trained, model_cls, counts, tmp_path, with_data):
    trained.save(tmp_path / "model", save_anndata=with_data)
    loaded = model_cls.load(
        tmp_path / "model", adata=None if with_data else counts.copy(), accelerator="cpu"
    )
    assert same_weights(loaded, trained)
    np.testing.assert_array_equal(
        loaded.get_latent_representation(), trained.get_latent_representation()
    )
    np.testing.assert_array_equal(loaded.get_reconstruction(), trained.get_reconstruction())
    assert loaded.latent_names.tolist() == trained.latent_names.tolist()
    assert loaded.history.keys() == trained.history.keys()
    for key, frame in trained.history.items():
        np.testing.assert_array_equal(
            loaded.history[key].to_numpy(float), frame.to_numpy(float), err_msg=key
        )


def test_load_on_other_cells_takes_nothing_from_them(trained, model_cls, counts, tmp_path):
    trained.save(tmp_path / "model")
    others = counts[:40].copy()
    others.X = others.X * 10
    loaded = model_cls.load(tmp_path / "model", adata=others, accelerator="cpu")
    assert same_weights(loaded, trained)
    np.testing.assert_array_equal(
        loaded.get_latent_representation(), trained.get_latent_representation(others)
    )


def test_load_on_few_cells(trained, model_cls, counts, tmp_path):
    """Nothing of the network hangs on how many cells there are."""
    trained.save(tmp_path / "model")
    few = counts[:3].copy()
    expected = trained.get_latent_representation(few.copy())
    loaded = model_cls.load(tmp_path / "model", adata=few, accelerator="cpu")
    np.testing.assert_array_equal(loaded.get_latent_representation(), expected)
    query = model_cls.load_query_data(counts[:3].copy(), trained)
    np.testing.assert_array_equal(query.get_latent_representation(), expected)


def test_trains_on_after_loading(trained, model_cls, counts, tmp_path):
    trained.save(tmp_path / "model")
    loaded = model_cls.load(tmp_path / "model", adata=counts.copy(), accelerator="cpu")
    before = {key: value.clone() for key, value in weights(loaded).items()}
    train(loaded)
    assert any(not torch.equal(before[key], value) for key, value in weights(loaded).items())


@pytest.mark.parametrize("batch_size", [None, 16], ids=["smallest", "mini_batch"])
def test_same_seed_same_result(case, counts, batch_size):
    # A cell a step takes long.
    cells = counts if batch_size else counts[::3]

    def fit(seed: int):
        adata = cells.copy()
        model = case.fit(
            adata,
            **case.fit_arguments,
            max_epochs=2,
            batch_size=batch_size or case.smallest_batch,
            random_state=seed,
            key_added="X",
            **QUIET,
        )
        return model, adata.obsm["X"]

    (first, latent), (second, again), (other, _) = fit(0), fit(0), fit(1)
    assert same_weights(first, second)
    np.testing.assert_array_equal(latent, again)
    assert not same_weights(first, other)


def test_one_call_leaves_the_generators_alone(case, counts):
    seed = scvi.settings.seed
    scvi.settings.seed = 7
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    case.fit(counts, **case.fit_arguments, max_epochs=1, random_state=1, **QUIET)
    assert scvi.settings.seed == 7
    assert random.getstate() == before[0]
    for found, expected in zip(np.random.get_state(), before[1], strict=True):  # noqa: NPY002
        np.testing.assert_array_equal(found, expected)
    assert torch.equal(torch.get_rng_state(), before[2])
    scvi.settings.seed = seed


FORMS = {
    "csr": lambda matrix: matrix,
    "csc": sparse.csc_matrix,
    "csr_array": sparse.csr_array,
    "dense": lambda matrix: matrix.toarray(),
    "fortran": lambda matrix: np.asfortranarray(matrix.toarray()),
    "float64": lambda matrix: matrix.astype(np.float64),
    "int64": lambda matrix: matrix.astype(np.int64),
    "uint8": lambda matrix: matrix.toarray().astype(np.uint8),
}


@pytest.mark.filterwarnings("ignore:Training will be faster")
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_of_the_matrix_reads_the_same(name, trained, counts, form):
    expected = trained.get_latent_representation()
    counts.X = form(counts.X)
    matrix = counts.X
    found = train(build(name, counts)).get_latent_representation()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert counts.X.dtype == matrix.dtype
    assert type(counts.X) is type(matrix)


def test_layer(name, trained, counts):
    expected = trained.get_latent_representation()
    counts.layers["counts"] = counts.X
    counts.X = None
    found = train(build(name, counts, layer="counts")).get_latent_representation()
    np.testing.assert_array_equal(found, expected)


@pytest.mark.filterwarnings("ignore:Training will be faster")
@pytest.mark.parametrize("form", ["csr", "csc", "dense"])
def test_backed_file(name, trained, case, counts, tmp_path, form):
    expected = trained.get_latent_representation()
    counts.X = FORMS[form](counts.X)
    counts.write_h5ad(tmp_path / "counts.h5ad")
    backed = ad.read_h5ad(tmp_path / "counts.h5ad", backed="r")
    model = train(build(name, backed))
    assert backed.isbacked
    found = model.get_latent_representation()
    # From disk, cells of a batch come in the order of the file.
    if not case.draws:
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    in_memory = model.get_latent_representation(counts)
    np.testing.assert_allclose(found, in_memory, rtol=1e-5, atol=1e-6)
    train(model, batch_size=case.smallest_batch, max_epochs=1, limit_train_batches=5)
    backed.file.close()


def test_view_is_refused(name, counts, unchanged):
    view = counts[:, :20]
    with unchanged(view), pytest.raises(ValueError, match=r"adata\.copy\(\)"):
        build(name, view)


@pytest.mark.parametrize("n_cells", [1, 2, 3, 9])
def test_too_few_cells(case, counts, unchanged, n_cells):
    few = counts[:n_cells].copy()
    with unchanged(few), pytest.raises(ValueError, match=f"adata has {n_cells} cell"):
        case.fit(few, **case.fit_arguments, max_epochs=1, early_stopping=True, **QUIET)


@pytest.mark.parametrize("arguments", [{"train_size": 0.5}, {"early_stopping": False}])
def test_three_cells_do(case, counts, arguments):
    few = counts[[0, 40, 80]].copy()
    model = case.fit(few, **case.fit_arguments, max_epochs=1, **arguments, **QUIET)
    assert np.isfinite(model.get_latent_representation()).all()


def test_early_stopping_stops(name, counts):
    """Steps of almost no length improve nothing by more than nothing."""
    model = train(
        build(name, counts),
        max_epochs=50,
        early_stopping=True,
        early_stopping_patience=3,
        early_stopping_min_delta=1.0,
        plan_kwargs={"lr": 1e-6},
    )
    assert len(model.history["train_loss"]) == 4


def test_early_stopping_can_be_off(name, counts):
    model = train(
        build(name, counts), max_epochs=6, early_stopping=False, plan_kwargs={"lr": 1e-9}
    )
    assert len(model.history["train_loss"]) == 6


def test_all_cells_can_be_trained_on(name, counts):
    model = train(build(name, counts), early_stopping=False, train_size=1.0)
    assert len(model.history["train_loss"]) == 2
    assert "validation_loss" not in model.history


@pytest.mark.parametrize("method", ["get_latent_representation", "get_reconstruction"])
def test_untrained_model_warns(name, counts, method):
    model = build(name, counts)
    with pytest.warns(UserWarning, match="untrained"):
        getattr(model, method)()


def sections(member) -> tuple[str, set[str]]:
    """The Parameters section of a docstring, and the names of all of its sections."""
    doc = inspect.getdoc(member) or ""
    parts = re.split(r"^(\w[\w ]*)\n-+\n", doc, flags=re.M)
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    return found.get("Parameters", ""), set(found)


def listed(documented: str) -> set[str]:
    """Names that a Parameters section explains."""
    lines = re.findall(r"^(\*{0,2}\w.*)$", documented, re.M)
    return {each.lstrip("*") for line in lines for each in line.split(", ")}


@pytest.mark.parametrize(("name", "member"), PUBLIC)
def test_public_methods_are_documented(name, member):
    value = inspect.getattr_static(getattr(pld.model, name), member)
    assert (inspect.getdoc(getattr(pld.model, name).__dict__.get(member, value)) or "").strip()
    if isinstance(value, property):
        return
    method = getattr(pld.model, name).__dict__.get(member) or value
    function = inspect.unwrap(getattr(method, "__func__", method))
    documented, found = sections(getattr(getattr(pld.model, name), member))
    parameters = inspect.signature(function).parameters.values()
    expected = {
        p.name for p in parameters if p.name not in ("self", "cls") and p.kind is not p.VAR_KEYWORD
    }
    missing = expected - listed(documented)
    assert not missing, f"{name}.{member} does not document {missing}"
    if inspect.signature(function).return_annotation not in ("None", None):
        assert "Returns" in found
    if re.search(r"^\s+raise ", inspect.getsource(function), re.M):
        assert "Raises" in found


def test_classes_are_documented(name):
    documented, found = sections(getattr(pld.model, name))
    assert {"Parameters", "Raises", "Examples"} <= found
    for parameter in inspect.signature(getattr(pld.model, name).__init__).parameters:
        assert parameter == "self" or parameter in listed(documented)
