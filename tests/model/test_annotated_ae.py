"""What only AnnotatedAE does."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

import pellucid as pld
from pellucid.model import AnnotatedAE

QUIET = {"accelerator": "cpu", "enable_progress_bar": False}
SETS = {
    name: [f"gene{gene}" for gene in range(start, start + 8)]
    for name, start in (("B", 0), ("T", 10), ("NK", 20))
}


def build(adata, *, setup=None, **kwargs) -> AnnotatedAE:
    AnnotatedAE.setup_anndata(adata, **(setup or {}))
    with pld.train.seeded(0):
        return AnnotatedAE(
            adata,
            **{"gene_sets": SETS, "n_sparse": 1, "n_hidden": 12, "likelihood": "nb", **kwargs},
        )


def fit(model: AnnotatedAE, max_epochs: int = 3, **kwargs) -> AnnotatedAE:
    with pld.train.seeded(0):
        model.train(max_epochs, **{"batch_size": 16, **QUIET, **kwargs})
    return model


@pytest.fixture
def log(counts) -> ad.AnnData:
    """Log-normalised, with two covariates."""
    x = counts.X.toarray()
    counts.X = sparse.csr_matrix(np.log1p(x / x.sum(1, keepdims=True) * 40).astype(np.float32))
    counts.obs["batch"] = np.tile(["one", "two", "three"], 30)
    counts.obs["age"] = np.linspace(20, 80, 90)
    return counts


@pytest.fixture
def planted() -> tuple[ad.AnnData, np.ndarray, dict[str, list[str]]]:
    """Log expression of 4 factors, sets with a fifth of their genes wrong, and 4 decoys."""
    rng = np.random.default_rng(0)
    n_cells, n_genes = 600, 500
    scores = rng.normal(size=(n_cells, 4))
    loadings = np.zeros((4, n_genes))
    sets: dict[str, list[str]] = {}
    for factor in range(4):
        genes = rng.choice(n_genes, 24, replace=False)
        loadings[factor, genes[4:]] = rng.uniform(0.5, 1, 20)
        sets[f"set/{factor}"] = [f"gene{gene}" for gene in genes[:20]]
    for decoy in range(4):
        genes = rng.choice(n_genes, 20, replace=False)
        sets[f"decoy {decoy}"] = [f"gene{gene}" for gene in genes]
    x = 5 + scores @ loadings + 0.7 * rng.normal(size=(n_cells, n_genes))
    adata = ad.AnnData(
        np.maximum(x, 0).astype(np.float32),
        var=pd.DataFrame(index=[f"gene{gene}" for gene in range(n_genes)]),
    )
    adata.obs_names = adata.obs_names.astype(str)
    return adata, scores, sets


def test_planted_sets_are_told_from_decoys(planted, caplog):
    """Scores follow the truth, decoys go, what training changed in the sets is right."""
    adata, truth, sets = planted
    with caplog.at_level("WARNING", "pellucid"):
        model = fit(
            build(adata, gene_sets=sets, n_hidden=64, likelihood="normal"), 120, batch_size=64
        )
    scores, loadings = model.get_latent_representation(), model.get_loadings()
    for factor in range(4):
        # Not |r|: the factor is the right way up.
        assert np.corrcoef(scores[:, factor], truth[:, factor])[0, 1] > 0.95
    active = (loadings != 0).any()
    assert active.iloc[:4].all()
    assert not active.iloc[4:8].any()
    assert (scores[:, 4:8] == 0).all()
    (deactivated,) = [r.getMessage() for r in caplog.records if "deactivated" in r.getMessage()]
    assert "decoy 0, decoy 1, decoy 2, decoy 3" in deactivated
    assert "set/" not in deactivated


def test_sets_that_were_replaced_are_named(planted, caplog):
    """A set whose only gene follows a factor of 23 others has to take them in."""
    adata, _, sets = planted
    alone = {"one gene": sets["set/0"][-1:], **{name: sets[name] for name in list(sets)[1:4]}}
    with caplog.at_level("WARNING", "pellucid"):
        fit(
            build(adata, gene_sets=alone, n_sparse=0, n_hidden=64, likelihood="normal"),
            120,
            batch_size=64,
        )
    (message,) = [r.getMessage() for r in caplog.records if "outside their set" in r.getMessage()]
    assert "one gene" in message
    assert "set/1" not in message


def test_penalties_of_nothing_leave_everything(log):
    nothing = dict.fromkeys(
        ("outside_weight", "inside_weight", "sparse_weight", "group_weight"), 0.0
    )
    model = fit(
        build(log, likelihood="normal", **nothing), plan_kwargs={"warmup": 0.0}, batch_size=32
    )
    assert (model.get_loadings() != 0).all(axis=None)


@pytest.mark.parametrize("weight", ["outside_weight", "group_weight"])
def test_penalties_of_a_million(log, caplog, weight):
    with caplog.at_level("WARNING", "pellucid"):
        model = fit(build(log, likelihood="normal", **{weight: 1e6}))
    loadings, scores = model.get_loadings(), model.get_latent_representation()
    messages = [r.getMessage() for r in caplog.records if r.name == "pellucid"]
    if weight == "group_weight":
        assert (loadings == 0).all(axis=None)
        assert (scores == 0).all()
        assert any(m.startswith("Every factor was deactivated") for m in messages)
        np.testing.assert_allclose(
            model.get_reconstruction()[0], log.X.toarray().mean(0), rtol=1e-4, atol=1e-5
        )
    else:
        for name, genes in SETS.items():
            assert (loadings.loc[genes, name] != 0).any()
            assert (loadings[name].drop(genes) == 0).all()


def test_every_kind_of_factor(log):
    model = build(log, n_sparse=2, n_dense=1, likelihood="normal")
    assert model.latent_names.tolist() == ["B", "T", "NK", "sparse_0", "sparse_1", "dense_0"]
    assert model.factor_kinds.tolist() == ["annotated"] * 3 + ["sparse"] * 2 + ["dense"]
    module = model.module
    np.testing.assert_allclose(module.inside_weight, [0.1] * 3 + [0.25] * 2 + [0])
    np.testing.assert_allclose(module.outside_weight, [0.4] * 3 + [0.25] * 2 + [0])
    np.testing.assert_allclose(module.group_weight, 0.3 * np.sqrt([8] * 5 + [30]), rtol=1e-6)
    fit(model)
    assert model.get_latent_representation().shape == (90, 6)


def test_group_weight_without_sizes(log):
    module = build(log, likelihood="normal", weight_by_set_size=False).module
    np.testing.assert_allclose(module.group_weight, 0.3)


def test_no_sets_at_all(log):
    model = fit(build(log, gene_sets=None, n_sparse=2, likelihood="normal"))
    assert model.latent_names.tolist() == ["sparse_0", "sparse_1"]


def test_sets_of_the_anndata_are_those_of_a_mapping(log):
    pld.pp.add_gene_sets(log, SETS, min_genes=1)
    by_key = build(log, gene_sets="gene_sets", likelihood="normal")
    by_mapping = build(log, likelihood="normal")
    assert torch.equal(by_key.module.in_set, by_mapping.module.in_set)
    assert by_key.latent_names.tolist() == by_mapping.latent_names.tolist()


def test_sets_are_saved_with_the_model(log, tmp_path):
    pld.pp.add_gene_sets(log, SETS, min_genes=1)
    model = fit(build(log, gene_sets="gene_sets", likelihood="normal"))
    model.save(tmp_path / "model")
    bare = ad.AnnData(log.X.copy(), obs=log.obs.copy(), var=pd.DataFrame(index=log.var_names))
    loaded = AnnotatedAE.load(tmp_path / "model", adata=bare, accelerator="cpu")
    assert loaded.latent_names.tolist() == model.latent_names.tolist()
    assert torch.equal(loaded.module.in_set, model.module.in_set)
    pd.testing.assert_frame_equal(loaded.get_loadings(), model.get_loadings())


def test_factors_are_the_right_way_up(log):
    model = fit(build(log, likelihood="normal"))
    before = model.get_latent_representation(), model.get_reconstruction()
    module = model.module
    with torch.no_grad():
        module.loadings[1].mul_(-1)
        module.encoder[-2].weight[1].mul_(-1)
        module.encoder[-1].running_mean[1].mul_(-1)
    turned = model.get_latent_representation()
    np.testing.assert_allclose(turned[:, 1], -before[0][:, 1], rtol=1e-4, atol=1e-5)
    module.settle()
    np.testing.assert_allclose(model.get_latent_representation(), before[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.get_reconstruction(), before[1], rtol=1e-4, atol=1e-5)
    for name, genes in SETS.items():
        assert model.get_loadings().loc[genes, name].sum() >= 0


def test_scores_vary_by_one(planted):
    adata, _, sets = planted
    model = fit(build(adata, gene_sets=sets, likelihood="normal"), 30, batch_size=64)
    active = model.module.active.numpy()
    deviation = model.get_latent_representation().std(0)[active]
    np.testing.assert_allclose(deviation, 1, atol=0.15)


def test_loadings_are_in_the_unit_of_the_data(planted):
    adata, _, sets = planted
    model = fit(build(adata, gene_sets=sets, likelihood="normal"), 60, batch_size=64)
    centred = model.get_reconstruction() - adata.X.mean(0)
    product = model.get_latent_representation() @ model.get_loadings().to_numpy().T
    np.testing.assert_allclose(product, centred, atol=1e-3)


def test_first_third_of_the_warmup_is_the_sets_alone(log):
    """With nothing after it, no gene outside a set has entered a factor."""
    seen = []

    class Look(pld.train._annotated_plan.AnnotatedAETrainingPlan):
        def on_train_batch_end(self, *args):
            loadings = self.module.loadings.detach()
            outside = (loadings[:3] != 0) & ~self.module.in_set[:3]
            seen.append((self._progress(), bool(outside.any()), bool((loadings[3] != 0).any())))

    model = build(log, likelihood="normal", outside_weight=0.01, sparse_weight=0.01)
    model._training_plan_cls = Look
    fit(model, 12, plan_kwargs={"warmup": 0.5})
    progress, outside, unannotated = (np.array(each) for each in zip(*seen, strict=True))
    assert not outside[progress <= 0.5].any()
    assert outside[progress > 0.6].any()
    assert not unannotated[progress < 0.5 / 3].any()
    assert unannotated[progress > 0.3].any()


def test_preset_is_the_papers(log):
    preset = AnnotatedAE.preset("rybakov2020")
    model = build(log, likelihood="normal", **preset.model_kwargs)
    assert model.latent_names.tolist() == list(SETS)
    assert model.module.score_weight == 0.1
    assert isinstance(model.module.encoder[-1], torch.nn.Linear)
    np.testing.assert_array_equal(model.module.inside_weight, 0)
    fit(model, **{**preset.train_kwargs, "max_epochs": 2})
    sgd = build(log, likelihood="normal", **preset.model_kwargs)
    fit(sgd, plan_kwargs={"optimizer": "SGD", "lr": 1e-3, "warmup": 0.0})
    assert np.isfinite(sgd.get_latent_representation()).all()


COVARIATES = {"categorical_covariate_keys": ["batch"], "continuous_covariate_keys": ["age"]}


@pytest.mark.parametrize("n_hidden_covariates", [0, 6])
@pytest.mark.parametrize("likelihood", ["normal", "nb"])
def test_covariates_are_taken_out_of_the_scores(n_hidden_covariates, likelihood):
    """Half the genes are shifted in one batch: the covariate explains it, the factors do not."""
    rng = np.random.default_rng(0)
    scores, batch = rng.normal(size=(400, 1)), np.repeat(["a", "b"], 200)
    loadings = np.zeros((1, 40))
    loadings[0, :10] = 0.7
    shift = np.zeros(40)
    shift[:20] = rng.choice([-1, 1], 20)
    log_mean = 2 + scores @ loadings + np.outer(batch == "b", shift)
    x = rng.poisson(np.exp(log_mean)).astype(np.float32)
    adata = ad.AnnData(
        np.log1p(x) if likelihood == "normal" else x,
        obs=pd.DataFrame({"batch": batch}, index=[f"cell{i}" for i in range(400)]),
        var=pd.DataFrame(index=[f"gene{i}" for i in range(40)]),
    )
    setup = {"categorical_covariate_keys": ["batch"]}
    kwargs = {
        "gene_sets": {"s": [f"gene{i}" for i in range(10)]},
        "n_sparse": 0,
        "likelihood": likelihood,
        "n_hidden_covariates": n_hidden_covariates,
    }
    found = {}
    for name, given in (("with", setup), ("without", {})):
        model = fit(build(adata, setup=given, **kwargs), 60, batch_size=50)
        factor = model.get_latent_representation()[:, 0]
        found[name] = abs(np.corrcoef(factor, batch == "b")[0, 1])
        error = model.get_reconstruction() - adata.X
        found[f"{name}, error"] = np.square(error).mean()
    assert found["with, error"] < 0.9 * found["without, error"]
    assert found["with"] < 0.25


def test_unseen_level(log, tmp_path, unchanged):
    log.obs["batch"] = np.repeat(["one", "two", "three"], 30)
    known, new = log[:60].copy(), log[60:].copy()
    model = fit(build(known, setup=COVARIATES, likelihood="normal"))
    model.save(tmp_path / "model")
    message = r"levels that the model was not trained on: \['three'\].*load_query_data"
    with unchanged(new), pytest.raises(ValueError, match=message):
        model.get_latent_representation(new)
    with unchanged(new), pytest.raises(ValueError, match=message):
        AnnotatedAE.load(tmp_path / "model", adata=new, accelerator="cpu")


@pytest.mark.parametrize("n_hidden_covariates", [0, 6])
@pytest.mark.parametrize("source", ["model", "folder"])
def test_query(log, tmp_path, n_hidden_covariates, source):
    """Projection reads as the reference does; training leaves what factors mean alone."""
    log.obs["batch"] = np.repeat(["one", "two", "three"], 30)
    known, new = log[:60].copy(), log[60:].copy()
    model = fit(
        build(
            known,
            setup=COVARIATES,
            likelihood="normal",
            n_hidden_covariates=n_hidden_covariates,
        )
    )
    model.save(tmp_path / "model")
    reference = model if source == "model" else tmp_path / "model"
    query = AnnotatedAE.load_query_data(new, reference)
    as_known = new.copy()
    as_known.obs["batch"] = "one"
    expected = model.get_latent_representation(as_known)
    np.testing.assert_array_equal(query.get_latent_representation(), expected)

    first = next(k for k in query.module.state_dict() if k.startswith("covariate_decoder"))
    before = {key: value.clone() for key, value in query.module.state_dict().items()}
    # Levels in the order they were met: "one" and "two" sorted, then "three"; then the age.
    assert before[first].shape[1] == 4
    torch.testing.assert_close(before[first][:, 2], before[first][:, :2].mean(1))
    fit(query, 3)
    after = query.module.state_dict()
    assert torch.equal(after["loadings"], before["loadings"])
    assert torch.equal(after[first][:, [0, 1, 3]], before[first][:, [0, 1, 3]])
    assert not torch.equal(after[first][:, 2], before[first][:, 2])
    for key in before:
        if "running" in key:
            assert torch.equal(after[key], before[key]), key
    assert not np.array_equal(query.get_latent_representation(), expected)
    assert query.latent_names.tolist() == model.latent_names.tolist()
    # The reference is as it was.
    np.testing.assert_array_equal(model.get_latent_representation(as_known), expected)


def test_unfrozen_query_trains_everything(log):
    model = fit(build(log, likelihood="normal"))
    query = AnnotatedAE.load_query_data(log[:50].copy(), model, unfrozen=True)
    fit(query, 3)
    assert not torch.equal(query.module.loadings, model.module.loadings)


def test_query_with_other_genes(log, unchanged):
    model = fit(build(log, likelihood="normal"))
    other = log[:, ::-1].copy()
    with unchanged(other), pytest.raises(ValueError, match=r"another order.*align_genes"):
        AnnotatedAE.load_query_data(other, model)


BAD = {
    "no gene of a set": (
        {"gene_sets": {"B": SETS["B"], "absent": ["x", "y"], "empty": []}},
        ValueError,
        r"2 of 3 gene sets have no gene in adata\.var_names: absent, empty\. .*add_gene_sets",
    ),
    "no sets there": ({"gene_sets": "gene_sets"}, KeyError, r"pp\.add_gene_sets"),
    "no factor": ({"gene_sets": None, "n_sparse": 0}, ValueError, "There is no factor"),
    "a name twice": ({"gene_sets": {"sparse_0": ["gene1"]}}, ValueError, "rename it"),
    "likelihood": ({"likelihood": "gaussian"}, ValueError, "choose 'normal'.*or 'nb'"),
    "counts for logs": (
        {"likelihood": "normal"},
        ValueError,
        r"whole numbers up to \d+, as counts are, but log expression is due.*likelihood='nb'",
    ),
}


@pytest.mark.parametrize(("arguments", "error", "message"), BAD.values(), ids=BAD)
def test_bad_arguments(counts, unchanged, arguments, error, message):
    counts.X[0, 0] = 50
    AnnotatedAE.setup_anndata(counts)
    with unchanged(counts), pytest.raises(error, match=message):
        AnnotatedAE(counts, **{"gene_sets": SETS, "likelihood": "nb", **arguments})


def test_log_expression_where_counts_are_due(log):
    with pytest.raises(ValueError, match=r"not whole numbers.*counts are due"):
        build(log, likelihood="nb")


WRONG = {
    "absent": ({"categorical_covariate_keys": ["donor"]}, KeyError, "'donor' not found"),
    "a string": ({"categorical_covariate_keys": "batch"}, TypeError, r"pass a list: \['batch'\]"),
    "gaps": ({"categorical_covariate_keys": ["gaps"]}, ValueError, "no value for 3 cells"),
    "words": ({"continuous_covariate_keys": ["batch"]}, ValueError, "not made of finite numbers"),
    "infinite": ({"continuous_covariate_keys": ["endless"]}, ValueError, "not made of finite"),
}


@pytest.mark.parametrize(("setup", "error", "message"), WRONG.values(), ids=WRONG)
def test_bad_covariates(log, unchanged, setup, error, message):
    log.obs["gaps"] = log.obs["batch"].where(np.arange(90) > 2)
    log.obs["endless"] = np.where(np.arange(90) > 2, 1.0, np.inf)
    with unchanged(log), pytest.raises(error, match=message):
        AnnotatedAE.setup_anndata(log, **setup)


def test_batches_of_one(log):
    with pytest.raises(ValueError, match="at least 2 cells"):
        fit(build(log, likelihood="normal"), batch_size=1)


def test_a_last_batch_of_one_cell_is_left_out(log):
    """81 training cells in batches of 16 leave one over."""
    fit(build(log, likelihood="normal"), train_size=0.9)
    left = {"train_size": 0.9, "datasplitter_kwargs": {"drop_last": False}}
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        fit(build(log, likelihood="normal"), **left)


def test_plan_arguments(log):
    model = build(log, likelihood="normal")
    with pytest.raises(ValueError, match="optimizer='RMSprop' is unknown"):
        fit(model, plan_kwargs={"optimizer": "RMSprop"})
    with pytest.raises(ValueError, match=r"warmup=1\.5 is not a share"):
        fit(model, plan_kwargs={"warmup": 1.5})
