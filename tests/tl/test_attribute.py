"""What `tl.attribute` writes, for the models here and for scvi-tools'."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pandas as pd
import pytest
import scvi
import torch

import pellucid as pld
from pellucid.attribution import Method

METHODS = ("guided_backprop", "saliency")
AGGREGATES = ("mean_abs", "mean")
# Torch's own sums are of float32.
CLOSE = {"rtol": 1e-4, "atol": 1e-7}


def gradients(encode, x: torch.Tensor) -> np.ndarray:
    """Gradient of every unit in every cell by what is read, cells x genes x units."""
    x = x.clone().requires_grad_()
    units = encode(x)
    each = [
        torch.autograd.grad(units[:, unit].sum(), x, retain_graph=True)[0]
        for unit in range(units.shape[1])
    ]
    return torch.stack(each, dim=2).numpy()


def read_by(model) -> torch.Tensor:
    x = torch.from_numpy(model.adata.X.toarray())
    return model.module.encoder_input(x)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_is_written(counts, model, method, aggregate):
    pld.tl.attribute(counts, model, method=method, aggregate=aggregate)
    attribution = counts.varm["attribution"]
    assert attribution.shape == (30, 5)
    assert attribution.dtype == np.float32
    assert np.isfinite(attribution).all()
    assert (attribution != 0).any(axis=0).all()
    record = counts.uns["attribution"]
    assert set(record) == {"params", "latent_names"}
    assert record["latent_names"].tolist() == model.latent_names.tolist()
    params = record["params"]
    assert params["function"] == "tl.attribute"
    assert params["model_class"] == "OrthogonalAE"
    assert params["pellucid_version"] == pld.__version__
    assert (params["method"], params["aggregate"], params["side"]) == (
        method,
        aggregate,
        "encoder",
    )
    assert "groupby" not in params


@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_saliency_is_autograds(counts, model, aggregate):
    each = gradients(model.module.encoder, read_by(model))
    expected = (np.abs(each) if aggregate == "mean_abs" else each).mean(axis=0)
    pld.tl.attribute(counts, model, method="saliency", aggregate=aggregate)
    np.testing.assert_allclose(counts.varm["attribution"], expected, **CLOSE)


def test_methods_and_aggregates_differ(counts, model):
    found = []
    for method in METHODS:
        for aggregate in AGGREGATES:
            pld.tl.attribute(counts, model, method=method, aggregate=aggregate)
            found.append(counts.varm["attribution"])
    for i, one in enumerate(found):
        assert not any(np.allclose(one, other) for other in found[:i])


def test_default_is_the_papers(counts, model):
    pld.tl.attribute(counts, model, key_added="default")
    pld.tl.attribute(counts, model, method="guided_backprop", aggregate="mean_abs")
    np.testing.assert_array_equal(counts.varm["default"], counts.varm["attribution"])
    assert counts.uns["default"]["params"]["key_added"] == "default"


@pytest.mark.parametrize("method", get_args(Method))
@pytest.mark.parametrize("side", ["encoder", "decoder"])
@pytest.mark.parametrize("aggregate", [*AGGREGATES, "pca"])
def test_every_method_side_and_aggregate(counts, model, method, side, aggregate):
    """Genes x units for either side; each choice is recorded, and none is another."""
    pld.tl.attribute(counts, model, method=method, side=side, aggregate=aggregate)
    attribution = counts.varm["attribution"]
    assert attribution.shape == (30, 5)
    assert attribution.dtype == np.float32
    assert (attribution != 0).any(axis=0).all()
    params = counts.uns["attribution"]["params"]
    assert (params["method"], params["side"], params["aggregate"]) == (method, side, aggregate)
    assert ("random_state" in params) == (method == "gradient_shap")
    if aggregate == "pca":
        np.testing.assert_allclose(np.linalg.norm(attribution, axis=0), 1, rtol=1e-5)
    if aggregate == "mean_abs":
        assert (attribution >= 0).all()
    other = "saliency" if method != "saliency" else "grad_x_input"
    pld.tl.attribute(counts, model, method=other, side=side, aggregate=aggregate)
    assert not np.allclose(attribution, counts.varm["attribution"], rtol=1e-3)


@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_components_of_groups_are_of_their_cells(counts, model, side):
    counts.obs["group"] = pd.Categorical(["b"] * 40 + ["a"] * 30 + [None] * 19 + ["one"])
    arguments = {"method": "grad_x_input", "side": side, "aggregate": "pca"}
    pld.tl.attribute(counts, model, groupby="group", **arguments)
    record = counts.uns["attribution"]
    assert record["groups"].tolist() == ["a", "b", "one"]
    assert record["group_sizes"].tolist() == [30, 40, 1]
    whole, by_group = counts.varm["attribution"], counts.varm["attribution_group"]
    np.testing.assert_allclose(np.linalg.norm(by_group, axis=0), 1, rtol=1e-5)
    for number, group in enumerate(record["groups"]):
        subset = counts[counts.obs["group"] == group].copy()
        pld.tl.attribute(subset, model, **arguments)
        np.testing.assert_allclose(by_group[:, number], subset.varm["attribution"], atol=1e-4)
    pld.tl.attribute(counts, model, **arguments)
    np.testing.assert_allclose(whole, counts.varm["attribution"], atol=1e-4)


@pytest.mark.parametrize("aggregate", [*AGGREGATES, "pca"])
def test_one_group_of_all_cells_is_the_whole(counts, model, aggregate):
    counts.obs["group"] = "all"
    pld.tl.attribute(counts, model, side="decoder", aggregate=aggregate, groupby="group")
    np.testing.assert_allclose(
        counts.varm["attribution_group"][:, 0], counts.varm["attribution"], **CLOSE
    )


def test_gradient_shap_is_repeatable_and_near_integrated_gradients(counts, model):
    """Of a baseline that is no cell: they differ by what the mean cell has over it."""
    found = []
    for seed in (0, 0, 1):
        pld.tl.attribute(
            counts, model, method="gradient_shap", aggregate="mean", random_state=seed
        )
        assert counts.uns["attribution"]["params"]["random_state"] == seed
        found.append(counts.varm["attribution"])
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.allclose(found[0], found[2])
    # Cells less cells: nothing on average, up to the draw.
    pld.tl.attribute(counts, model, method="integrated_gradients", aggregate="mean")
    assert np.abs(found[0]).sum() < 0.5 * np.abs(counts.varm["attribution"]).sum()


@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_model_is_left_in_its_mode(counts, model, side):
    for mode in (True, False):
        model.module.train(mode)
        pld.tl.attribute(counts, model, side=side)
        assert all(module.training == mode for module in model.module.modules())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_groups_are_their_cells(counts, model, method, aggregate):
    counts.obs["group"] = pd.Categorical(["b/c"] * 7 + ["a"] * 50 + ["d"] * 33)
    pld.tl.attribute(counts, model, method=method, aggregate=aggregate, groupby="group")
    by_group = counts.varm["attribution_group"]
    assert by_group.shape == (30, 3, 5)
    assert by_group.dtype == np.float32
    record = counts.uns["attribution"]
    assert record["groups"].tolist() == ["a", "b/c", "d"]
    assert record["groups"].dtype.kind == "U"
    assert record["group_sizes"].tolist() == [50, 7, 33]
    assert record["params"]["groupby"] == "group"
    for number, group in enumerate(record["groups"]):
        subset = counts[counts.obs["group"] == group].copy()
        pld.tl.attribute(subset, model, method=method, aggregate=aggregate)
        np.testing.assert_allclose(by_group[:, number], subset.varm["attribution"], **CLOSE)

    whole = counts.varm["attribution"]
    weighted = np.tensordot(record["group_sizes"] / 90, by_group, axes=(0, 1))
    np.testing.assert_allclose(whole, weighted, rtol=1e-4, atol=1e-6)
    pld.tl.attribute(counts, model, method=method, aggregate=aggregate)
    np.testing.assert_allclose(whole, counts.varm["attribution"], **CLOSE)


def test_cells_without_a_label_count_in_the_whole_alone(counts, model):
    counts.obs["group"] = pd.Categorical(["a"] * 30 + [None] * 30 + ["b"] * 30)
    pld.tl.attribute(counts, model, groupby="group")
    record = counts.uns["attribution"]
    assert record["groups"].tolist() == ["a", "b"]
    assert record["group_sizes"].tolist() == [30, 30]
    whole = counts.varm["attribution"]
    pld.tl.attribute(counts, model)
    np.testing.assert_allclose(whole, counts.varm["attribution"], **CLOSE)


@pytest.mark.parametrize(
    ("labels", "groups"),
    [
        (pd.Categorical(["z"] * 45 + ["y"] * 45, categories=["z", "unused", "y"]), ["z", "y"]),
        (["z"] * 45 + ["y"] * 45, ["y", "z"]),
        ([1] * 45 + [0] * 45, ["0", "1"]),
        ([True] * 45 + [False] * 45, ["False", "True"]),
        ([*"abcdef"] + ["rest"] * 84, [*"abcdef", "rest"]),
    ],
    ids=["order_and_unused", "strings", "integers", "booleans", "single_cells"],
)
def test_kinds_of_labels(counts, model, labels, groups):
    counts.obs["a/b"] = labels
    before = counts.obs.copy()
    pld.tl.attribute(counts, model, groupby="a/b")
    assert counts.uns["attribution"]["groups"].tolist() == groups
    assert counts.varm["attribution_a_b"].shape == (30, len(groups), 5)
    pd.testing.assert_frame_equal(counts.obs, before)


def test_many_cells_go_in_chunks(counts, model, monkeypatch):
    pld.tl.attribute(counts, model, groupby="population", key_added="whole")
    monkeypatch.setattr("pellucid.tl._attribute._CELLS", 7)
    pld.tl.attribute(counts, model, groupby="population")
    for key in ("attribution", "attribution_population"):
        found, expected = counts.varm[key], counts.varm[key.replace("attribution", "whole")]
        np.testing.assert_allclose(found, expected, **CLOSE)


def test_copy(counts, model, unchanged):
    with unchanged(counts):
        other = pld.tl.attribute(counts, model, groupby="population", copy=True)
    assert pld.tl.attribute(counts, model, groupby="population") is None
    for key in ("attribution", "attribution_population"):
        np.testing.assert_array_equal(other.varm[key], counts.varm[key])


def test_other_cells_than_those_trained_on(counts, model):
    other = counts[::2].copy()
    other.uns.clear()
    pld.tl.attribute(other, model, method="saliency")
    x = model.module.encoder_input(torch.from_numpy(other.X.toarray()))
    expected = np.abs(gradients(model.module.encoder, x)).mean(axis=0)
    np.testing.assert_allclose(other.varm["attribution"], expected, **CLOSE)


def test_a_view_becomes_an_anndata_of_its_own(counts, model):
    view = counts[5:20]
    expected = pld.tl.attribute(view.copy(), model, copy=True)
    pld.tl.attribute(view, model)
    np.testing.assert_allclose(view.varm["attribution"], expected.varm["attribution"], **CLOSE)
    assert "attribution" not in counts.varm


def test_written_anew(counts, model):
    """Nothing of an earlier, grouped call is left in the record."""
    pld.tl.attribute(counts, model, groupby="population")
    pld.tl.attribute(counts, model)
    assert set(counts.uns["attribution"]) == {"params", "latent_names"}


@pytest.mark.parametrize("arguments", [{"batch_size": 1}, {}], ids=["online", "mini_batch"])
@pytest.mark.parametrize("input_type", ["counts", "log", "library_scaled"])
def test_gradient_is_by_what_the_encoder_reads(counts, input_type, arguments):
    if input_type == "log":
        counts.X.data = np.log1p(counts.X.data)
    model = pld.tl.orthogonal_ae(
        counts,
        n_latent=3,
        input_type=input_type,
        max_epochs=1,
        accelerator="cpu",
        enable_progress_bar=False,
        **arguments,
    )
    x = torch.from_numpy(counts.X.toarray())
    if input_type == "library_scaled":
        x = torch.log(1 + x / x.sum(1, keepdim=True) * x.sum(1).quantile(0.5))
    expected = np.abs(gradients(model.module.encoder, x)).mean(axis=0)
    pld.tl.attribute(counts, model, method="saliency")
    np.testing.assert_allclose(counts.varm["attribution"], expected, rtol=1e-3, atol=1e-6)


SCVI_MODELS = {
    "SCVI": (scvi.model.SCVI, {}, {}),
    "SCVI_deep": (scvi.model.SCVI, {}, {"n_layers": 3}),
    "SCVI_batches": (scvi.model.SCVI, {"batch_key": "batch"}, {}),
    "SCVI_layer_norm": (
        scvi.model.SCVI,
        {},
        {"use_layer_norm": "both", "use_batch_norm": "none"},
    ),
    "SCVI_without_log": (scvi.model.SCVI, {}, {"log_variational": False}),
    "LinearSCVI": (scvi.model.LinearSCVI, {}, {}),
    "SCANVI": (
        scvi.model.SCANVI,
        {"labels_key": "population", "unlabeled_category": "unknown"},
        {},
    ),
}


def scvi_model(name: str, adata, *, trained: bool = True, **more):
    cls, setup, arguments = SCVI_MODELS[name]
    adata.obs["batch"] = ["one", "two"] * 45
    cls.setup_anndata(adata, **setup)
    with pld.train.seeded(0):
        model = cls(adata, n_latent=4, n_hidden=10, **arguments, **more)
        if trained:
            model.train(max_epochs=1, accelerator="cpu", enable_progress_bar=False)
    return model


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SCVI_MODELS)
def test_scvi_tools_models(counts, name, method, by_hooks):
    """The mean of the latent distribution, by log expression, as the model itself encodes it."""
    model = scvi_model(name, counts)
    x = torch.from_numpy(counts.X.toarray())
    if model.module.log_variational:
        x = torch.log1p(x)
    z_encoder = model.module.z_encoder

    class MeanEncoder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.z_encoder = z_encoder

        def forward(self, x):
            return self.z_encoder.mean_encoder(self.z_encoder.encoder(x))

    encode = MeanEncoder().eval()
    # The model's own way to its latent agrees that this is its mean encoder.
    with torch.no_grad():
        np.testing.assert_allclose(
            encode(x).numpy(), model.get_latent_representation(), rtol=1e-4, atol=1e-5
        )
    if method == "saliency":
        expected = np.abs(gradients(encode, x)).mean(axis=0)
    else:
        expected = by_hooks(encode, x, guided=True).T / 90
    pld.tl.attribute(counts, model, method=method)
    assert counts.varm["attribution"].shape == (30, 4)
    np.testing.assert_allclose(counts.varm["attribution"], expected, rtol=1e-4, atol=1e-6)
    record = counts.uns["attribution"]
    assert record["params"]["model_class"] == name.split("_")[0]
    assert record["latent_names"].tolist() == ["Z_0", "Z_1", "Z_2", "Z_3"]


def test_encoder_that_reads_covariates(counts):
    model = scvi_model("SCVI_batches", counts, encode_covariates=True)
    x = torch.from_numpy(np.log1p(counts.X.toarray()))
    batch = torch.from_numpy((counts.obs["batch"] == "two").to_numpy(int))[:, None]
    z_encoder = model.module.eval().z_encoder
    each = gradients(lambda x: z_encoder.mean_encoder(z_encoder.encoder(x, batch)), x)
    pld.tl.attribute(counts, model, method="saliency")
    np.testing.assert_allclose(counts.varm["attribution"], np.abs(each).mean(axis=0), **CLOSE)


@pytest.mark.filterwarnings("ignore:.*untrained")
def test_untrained_network_with_dropout_is_read_in_evaluation(counts):
    model = scvi_model("SCVI", counts, trained=False)
    pld.tl.attribute(counts, model)
    first = counts.varm["attribution"]
    pld.tl.attribute(counts, model)
    np.testing.assert_array_equal(first, counts.varm["attribution"])
    assert model.module.training


def test_untrained_model_warns(counts):
    pld.model.OrthogonalAE.setup_anndata(counts)
    model = pld.model.OrthogonalAE(counts, n_latent=3)
    with pytest.warns(UserWarning, match="untrained"):
        pld.tl.attribute(counts, model)
    assert counts.varm["attribution"].shape == (30, 3)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"method": "lrp"}, ValueError, r"method='lrp' is unknown; .*'guided_backprop'"),
        ({"side": "genes"}, ValueError, r"side='genes' is unknown; .*'decoder'"),
        ({"aggregate": "sum"}, ValueError, r"aggregate='sum' is unknown; .*'mean_abs'"),
        ({"groupby": "louvain"}, KeyError, r"groupby='louvain' not found.*'population'"),
        ({"groupby": "nothing"}, ValueError, r"holds no label: every value is missing"),
    ],
)
@pytest.mark.parametrize("registered", [True, False])
def test_bad_arguments(counts, model, unchanged, arguments, error, message, registered):
    adata = counts if registered else counts.copy()
    adata.obs["nothing"] = np.nan
    if not registered:
        adata.uns.clear()
    with unchanged(adata), pytest.raises(error, match=message):
        pld.tl.attribute(adata, model, **arguments)


@pytest.mark.parametrize(
    ("choose", "message"),
    [
        (lambda a: a[:, :20], r"adata has 20 genes, the model 30, of which 20 are in"),
        (lambda a: a[:, ::-1], r"of which 30 are in adata\.var_names in another order.*align_gen"),
        (
            lambda a: a[:, [*range(29), 0]],
            r"adata has 30 genes, the model 30, of which 29 are in adata\.var_names\. Bring",
        ),
    ],
    ids=["fewer", "reordered", "doubled"],
)
def test_other_genes(counts, model, unchanged, choose, message):
    other = choose(counts).copy()
    other.uns.clear()
    with unchanged(other), pytest.raises(ValueError, match=message):
        pld.tl.attribute(other, model)


def test_genes_of_other_names(counts, model, unchanged):
    other = counts.copy()
    other.var_names = [f"ENSG{i:011d}" for i in range(30)]
    with unchanged(other), pytest.raises(ValueError, match="of which 0 are in"):
        pld.tl.attribute(other, model)


def test_no_cells(counts, model, unchanged):
    none = counts[:0].copy()
    none.uns.clear()
    with unchanged(none), pytest.raises(ValueError, match="adata has no cells"):
        pld.tl.attribute(none, model)


@pytest.mark.parametrize("side", ["encoder", "decoder"])
@pytest.mark.parametrize("cls", [scvi.model.CondSCVI, scvi.model.AmortizedLDA])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_model_without_such_an_encoder_is_refused(counts, unchanged, cls, side):
    labels = {"labels_key": "population"} if cls is scvi.model.CondSCVI else {}
    cls.setup_anndata(counts, **labels)
    model = cls(counts, n_hidden=8)
    with unchanged(counts), pytest.raises(TypeError, match=f"{cls.__name__} has no .*coder that"):
        pld.tl.attribute(counts, model, side=side)
