from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

import pellucid as pld
from pellucid.model import AnnotatedAE, OrthogonalAE

WHY = "Ray Tune is not installed: it comes with the extra `tune`"
QUICK = {"model_kwargs": {"dropout_rate": 0.0}, "train_kwargs": {"accelerator": "cpu"}}


@pytest.fixture
def registered(counts):
    OrthogonalAE.setup_anndata(counts)
    return counts


def space() -> dict:
    tune = pytest.importorskip("ray.tune", reason=WHY)
    return {
        "model_kwargs": {
            "n_latent": tune.randint(2, 30),
            "softplus_beta": tune.choice([1.0, 2.0]),
        },
        "train_kwargs": {"plan_kwargs": {"lr": tune.loguniform(1e-4, 1e-1)}},
    }


def in_this_process(calls: list, error: dict | None = None):
    """What stands in for Ray: the same study, trials one after the other."""

    def run_trials(
        study, trainable, n_trials, *, space, random_state, resources, sampler, **shared
    ):
        import optuna

        from pellucid.tl._search import distributions

        # In one process scvi-tools would take the copy for what was registered.
        shared["adata"] = shared["adata"].copy()
        for name in [name for name in shared["adata"].uns if name.startswith("_scvi")]:
            del shared["adata"].uns[name]
        n_done = len(study.done())
        study.take_up()
        calls.append({"sampler": sampler, "resources": resources, "n_done": n_done})
        study._study.sampler = optuna.samplers.RandomSampler(seed=random_state + n_done)
        for place in range(n_done, n_trials):
            trial = study._study.ask(fixed_distributions=distributions(space))
            if error and place in error:
                if isinstance(error[place], BaseException):
                    raise error[place]
                study._study.tell(trial, state=optuna.trial.TrialState.FAIL)
                study.failed_by(TypeError(error[place]))
                continue
            config: dict = {}
            for path, value in trial.params.items():
                *rooms, name = path.split("/")
                room = config
                for step in rooms:
                    room = room.setdefault(step, {})
                room[name] = value
            study._study.tell(trial, trainable(config, **shared)["loss"])

    return run_trials


@pytest.fixture
def here(monkeypatch):
    """Trials run in this process; returns the calls, and takes what is to go wrong."""
    pytest.importorskip("ray.tune", reason=WHY)
    calls: list = []

    def use(error=None):
        monkeypatch.setattr("pellucid.tl._tune.run_trials", in_this_process(calls, error))
        return calls

    use()
    return use


def search(adata, **kwargs):
    arguments = {"n_trials": 4, "max_epochs": 2, "refit_epochs": 3} | QUICK | kwargs
    if "search_space" not in arguments:
        arguments["search_space"] = space()
    return pld.tl.tune(adata, OrthogonalAE, **arguments)


def test_results_and_the_model(registered, here, round_trip):
    model = search(registered)
    table = pld.get.tune(registered)
    assert table.columns.to_list() == [
        "trial", "status", "loss", "seconds", "n_latent", "softplus_beta", "lr",
    ]  # fmt: skip
    assert table["trial"].to_list() == [0, 1, 2, 3]
    assert set(table["status"]) == {"complete"}
    record = registered.uns["tune"]
    assert dict(zip(record["settings"], record["logarithmic"], strict=True)) == {
        "n_latent": False,
        "softplus_beta": False,
        "lr": True,
    }
    best = table.loc[table["loss"].idxmin()]
    assert model.module.n_latent == best["n_latent"]
    assert model.module.softplus_beta == best["softplus_beta"]
    assert model.module.dropout.p == 0
    assert model.trainer.lightning_module.lr == best["lr"]
    assert model.trainer.max_epochs == 5
    pd.testing.assert_frame_equal(pld.get.tune(round_trip(registered)), table)


def test_the_loss_is_that_of_held_out_cells(registered, here):
    """By hand: a model of the same seed, whose training ended after the trial's epochs."""
    search(registered, n_trials=1, train_size=0.8)
    (row,) = pld.get.tune(registered).to_dict("records")
    with pld.train.seeded(0):
        OrthogonalAE.setup_anndata(registered)
        model = OrthogonalAE(
            registered,
            n_latent=row["n_latent"],
            softplus_beta=row["softplus_beta"],
            dropout_rate=0.0,
        )
        model.train(
            2, train_size=0.8, accelerator="cpu", plan_kwargs={"lr": row["lr"]},
            enable_progress_bar=False,
        )  # fmt: skip
    assert len(model.validation_indices) == 18
    cells = torch.from_numpy(registered.X[model.validation_indices].toarray())
    with torch.inference_mode():
        rate = torch.from_numpy(model.get_reconstruction(indices=model.validation_indices))
        loss = model.module.reconstruction_loss(cells, rate).mean()
    assert row["loss"] == pytest.approx(float(loss), rel=1e-5)


def test_refitting_is_as_if_the_best_trial_went_on(registered, here):
    arguments = {"n_trials": 2, "train_kwargs": {"accelerator": "cpu", "early_stopping": False}}
    model = search(registered, **arguments)
    curve = model.history["reconstruction_loss_validation"].iloc[:, 0]
    assert len(curve) == 5
    assert curve.iloc[1] == pytest.approx(pld.get.tune(registered)["loss"].min())


def test_a_search_that_was_cut_off_goes_on(registered, here, tmp_path, unchanged):
    calls = here(error={2: KeyboardInterrupt()})
    with unchanged(registered), pytest.raises(KeyboardInterrupt):
        search(registered, folder=tmp_path)
    here()
    search(registered, folder=tmp_path)
    assert [call["n_done"] for call in calls] == [0, 2]
    table = pld.get.tune(registered)
    assert len(table) == 4
    assert table["lr"].nunique() == 4
    # Nothing is left to run, and nothing is run.
    search(registered, folder=tmp_path)
    assert len(calls) == 2
    pd.testing.assert_frame_equal(pld.get.tune(registered), table)
    search(registered, folder=tmp_path, n_trials=5)
    pd.testing.assert_frame_equal(pld.get.tune(registered).head(4), table)


@pytest.mark.parametrize("other", [{"max_epochs": 3}, {"random_state": 1}, {"train_size": 0.9}])
def test_another_search_needs_another_folder(registered, here, tmp_path, other):
    search(registered, folder=tmp_path, n_trials=1)
    with pytest.raises(ValueError, match="holds trials of another search"):
        search(registered, folder=tmp_path, n_trials=1, **other)


def other_values(adata):
    adata.X.data[-1] += 1


def other_genes(adata):
    adata.var_names = adata.var_names[::-1]


def other_batches(adata):
    adata.obs["batch"] = adata.obs["batch"].to_numpy()[::-1]


def other_sets(adata):
    sets = {"a": [f"gene{gene}" for gene in range(1, 9)]}
    pld.pp.add_gene_sets(adata, sets, min_genes=1)


def other_storage(adata):
    adata.X = adata.X.toarray().astype(np.float64)
    adata.obs["batch"] = adata.obs["batch"].astype("category")


@pytest.mark.parametrize("change", [other_values, other_genes, other_batches, other_sets])
def test_other_data_need_another_folder(counts, here, tmp_path, change):
    from ray import tune

    counts.obs["batch"] = np.where(np.arange(counts.n_obs) % 3, "a", "b")
    pld.pp.add_gene_sets(counts, {"a": [f"gene{gene}" for gene in range(8)]}, min_genes=1)

    def tuned(adata):
        AnnotatedAE.setup_anndata(adata, categorical_covariate_keys=["batch"])
        pld.tl.tune(
            adata,
            AnnotatedAE,
            search_space={"train_kwargs": {"plan_kwargs": {"lr": tune.choice([1e-3, 1e-2])}}},
            model_kwargs={"likelihood": "nb", "n_hidden": 8},
            train_kwargs={"accelerator": "cpu"},
            n_trials=1,
            max_epochs=1,
            refit_epochs=0,
            folder=tmp_path,
        )

    other = counts.copy()
    change(other)
    same = counts.copy()
    other_storage(same)
    tuned(counts)
    with pytest.raises(ValueError, match=r"another search \(other: data\)"):
        tuned(other)
    tuned(same)
    assert len(here()) == 1


def test_failed_trials_count_and_do_not_win(registered, here):
    here(error={0: "fails", 3: "fails"})
    search(registered)
    table = pld.get.tune(registered)
    assert table["status"].to_list() == ["failed", "complete", "complete", "failed"]
    assert table["loss"].isna().to_list() == [True, False, False, True]


def test_all_failed(registered, here, unchanged, tmp_path):
    calls = here(error=dict.fromkeys(range(4), "no such thing"))
    said = r"All 4 trials failed or diverged \(4 failed, the first by TypeError: no such thing\)"
    with unchanged(registered), pytest.raises(RuntimeError, match=said + r".*train_kwargs\.$"):
        search(registered)
    for _ in range(2):
        with pytest.raises(RuntimeError, match=said + ".*the folder: .* holds these as done"):
            search(registered, folder=tmp_path)
    # The second call in the folder ran nothing, and yet says why.
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("losses", "restored", "expected"),
    [
        ([3.0, 2.0, 4.0], False, 4.0),
        ([3.0, 2.0, np.nan], False, np.inf),
        ([3.0, 2.0, np.nan], True, 2.0),
        ([np.nan, np.nan, np.nan], False, np.inf),
        ([np.nan, np.nan, np.nan], True, np.inf),
    ],
)
def test_the_loss_of_a_fit_that_ends_in_nan(losses, restored, expected):
    from pellucid.tl._search import held_out_loss

    model = SimpleNamespace(
        _monitor="loss",
        history={"loss": pd.DataFrame({"loss": losses})},
        trainer=SimpleNamespace(callbacks=[pld.train.BestWeights("loss")] if restored else []),
    )
    assert held_out_loss(model) == expected


def test_choices_of_several_types(registered, here, round_trip):
    from ray import tune

    choices = {
        "train_kwargs": {
            "batch_size": tune.choice([None, 16]),
            "plan_kwargs": {"gradient_clip_norm": tune.choice([1, 0.5])},
        }
    }
    search(registered, search_space=choices, n_trials=8)
    table = pld.get.tune(registered)
    assert set(table["batch_size"]) == {"None", "16"}
    assert set(table["gradient_clip_norm"]) == {1.0, 0.5}
    found = pld.get.tune(round_trip(registered))
    assert found["batch_size"].to_list() == table["batch_size"].to_list()


def test_a_fit_that_diverges_is_the_worst(registered, here):
    from ray import tune

    diverging = {"train_kwargs": {"plan_kwargs": {"lr": tune.choice([1e-3, 1e30])}}}
    train = {"accelerator": "cpu", "plan_kwargs": {"optimizer": "SGD", "gradient_clip_norm": None}}
    search(registered, search_space=diverging, train_kwargs=train, n_trials=6)
    table = pld.get.tune(registered)
    assert set(table["lr"]) == {1e-3, 1e30}
    assert np.isfinite(table.loc[table["lr"] == 1e-3, "loss"]).all()
    assert np.isposinf(table.loc[table["lr"] == 1e30, "loss"]).all()


@pytest.mark.parametrize(
    ("model_cls", "arguments"),
    [
        (AnnotatedAE, {"gene_sets": {"a": [f"gene{gene}" for gene in range(8)]}, "n_hidden": 8}),
        (pld.model.SIVAE, {"n_hidden": (8, 4)}),
    ],
)
def test_other_models(counts, here, model_cls, arguments):
    from ray import tune

    model_cls.setup_anndata(counts)
    model = pld.tl.tune(
        counts,
        model_cls,
        search_space={"train_kwargs": {"plan_kwargs": {"lr": tune.choice([1e-3, 1e-2])}}},
        model_kwargs={"likelihood": "nb", **arguments},
        train_kwargs={"accelerator": "cpu"},
        n_trials=2,
        max_epochs=1,
        refit_epochs=1,
    )
    assert isinstance(model, model_cls)
    assert np.isfinite(pld.get.tune(counts)["loss"]).all()


@pytest.mark.parametrize(
    ("model_cls", "expected"),
    [
        (OrthogonalAE, {"n_hidden", "n_latent", "orthogonality_weight", "lr"}),
        (pld.model.SIVAE, {"n_latent", "lr", "weight_decay"}),
    ],
)
def test_published_ranges(model_cls, expected):
    pytest.importorskip("ray.tune", reason=WHY)
    from pellucid.tl._search import distributions
    from pellucid.tl._search_space import published_space

    found = distributions(published_space(model_cls.__name__))
    assert {path.rpartition("/")[2] for path in found} == expected
    if model_cls is OrthogonalAE:
        hidden = found["model_kwargs/n_hidden"]
        assert (hidden.low, hidden.high) == (50, 140)
        lr = found["train_kwargs/plan_kwargs/lr"]
        assert (lr.low, lr.high, lr.log) == (1e-5, 1e-3, True)


def test_no_settings_are_proposed_twice():
    """Of a loss that is least at the ends of its ranges, whence a sampler comes back to them."""
    pytest.importorskip("ray.tune", reason=WHY)
    import optuna

    from pellucid.tl._gaussian_process import GaussianProcess

    def loss(trial):
        return -trial.suggest_int("units", 35, 75) - trial.suggest_float("rate", 0, 1)

    def n_repeated(sampler):
        study = optuna.create_study(sampler=sampler(seed=0))
        study.optimize(loss, n_trials=20)
        return study.trials_dataframe().filter(like="params").duplicated().sum()

    assert n_repeated(optuna.samplers.GPSampler) > 0
    assert n_repeated(GaussianProcess) == 0


def test_ray_runs_the_trials(registered, here, monkeypatch, tmp_path):
    """The whole way: a process of Ray's goes on with what another call began."""
    import ray

    from pellucid.tl._search import run_trials

    arguments = {"folder": tmp_path, "sampler": "tpe", "search_space": space()}
    search(registered, n_trials=1, **arguments)  # in this process: a worker's imports take seconds
    first = pld.get.tune(registered)
    monkeypatch.setattr("pellucid.tl._tune.run_trials", run_trials)
    try:
        # Not that of another program on this machine.
        ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False)
        search(registered, n_trials=3, **arguments)
        with pytest.raises(RuntimeError, match=r"1 failed, the first by TypeError: .*batchsize"):
            search(registered, n_trials=1, train_kwargs={"batchsize": 5})
    finally:
        ray.shutdown()
    table = pld.get.tune(registered)
    assert table["status"].to_list() == ["complete"] * 3
    pd.testing.assert_frame_equal(table.head(1), first)
    assert table["lr"].nunique() == 3


@pytest.mark.parametrize(
    ("model_cls", "kwargs", "error", "message"),
    [
        (dict, {}, TypeError, r"model_cls=<class 'dict'>; expected a class of pellucid\.model"),
        (OrthogonalAE, {"sampler": "random"}, ValueError, "sampler='random' is unknown"),
        (OrthogonalAE, {"n_trials": 0}, ValueError, "n_trials=0; at least 1"),
    ],
)
def test_bad_input(registered, unchanged, model_cls, kwargs, error, message):
    with unchanged(registered), pytest.raises(error, match=message):
        pld.tl.tune(registered, model_cls, **kwargs)


def test_bad_space(registered, here, unchanged):
    from ray import tune

    lr = tune.loguniform(1e-4, 1e-2)
    for given, message in (
        ({}, "varies nothing of nothing"),
        ({"lr": lr}, "search_space has 'lr'; its keys are"),
        ({"model_kwargs": {"lr": lr}}, "OrthogonalAE has no argument 'lr'; it has: dropout_rate"),
        ({"train_kwargs": {"lr": lr}}, r"OrthogonalAE\.train has no argument 'lr'; it has: acc"),
        (
            {"train_kwargs": {"plan_kwargs": {"learning_rate": lr}}},
            "OrthogonalAETrainingPlan has no argument 'learning_rate'; it has: gradient_clip_norm",
        ),
        ({"model_kwargs": lr}, "model_kwargs is a Float; expected a mapping"),
        ({"train_kwargs": lr}, "train_kwargs is a Float; expected a mapping"),
        ({"train_kwargs": {"plan_kwargs": lr}}, "plan_kwargs is a Float; expected a mapping"),
        ({"train_kwargs": {"max_epochs": lr}}, "varies 'max_epochs', .* pass it to tl.tune"),
        ({"train_kwargs": {"train_size": lr}}, "varies 'train_size', .* pass it to tl.tune"),
        ({"model_kwargs": {"n_latent": 8}}, "varies nothing of n_latent; .*a domain of ray"),
    ):
        with unchanged(registered), pytest.raises((ValueError, TypeError), match=message):
            search(registered, search_space=given)
    genes = tune.randint(2, 5)
    twice = {"n_genes_per_step": genes, "plan_kwargs": {"n_genes_per_step": genes}}
    for model_cls, given, message in (
        (AnnotatedAE, None, "paper of AnnotatedAE prints no ranges"),
        (pld.model.SIVAE, {"train_kwargs": twice}, "stand under one name"),
        (
            pld.model.DeepAE,
            {"model_kwargs": {"loss": tune.choice(["mae", "mse"])}},
            "varies 'loss', .* other scales and cannot be compared",
        ),
    ):
        model_cls.setup_anndata(registered)
        with unchanged(registered), pytest.raises(ValueError, match=message):
            pld.tl.tune(registered, model_cls, search_space=given)


@pytest.mark.parametrize(
    ("fixed", "error", "message"),
    [
        ({"model_kwargs": {"n_laten": 5}}, ValueError, "OrthogonalAE has no argument 'n_laten'"),
        (
            {"train_kwargs": {"plan_kwargs": {"learning_rate": 1e-3}}},
            ValueError,
            "OrthogonalAETrainingPlan has no argument 'learning_rate'",
        ),
        ({"train_kwargs": {"plan_kwargs": 1e-3}}, TypeError, "plan_kwargs is a float; expected"),
    ],
)
def test_bad_fixed_arguments(registered, here, unchanged, fixed, error, message):
    calls = here()
    with unchanged(registered), pytest.raises(error, match=message):
        search(registered, **fixed)
    assert not calls


@pytest.mark.parametrize(
    ("model_cls", "plan"),
    [
        (OrthogonalAE, {"gradient_clip_norm", "lr", "momentum", "optimizer", "weight_decay"}),
        (AnnotatedAE, {"lr", "optimizer", "warmup"}),
        (pld.model.SIVAE, {"lr", "n_genes_per_step", "weight_decay"}),
        (pld.model.DeepAE, {"lr", "weight_decay"}),
    ],
)
def test_arguments_of_plans(model_cls, plan):
    from pellucid.tl._search_space import check_names

    check_names(model_cls, {"train_kwargs": {"plan_kwargs": dict.fromkeys(plan)}})
    for name in ("stage", "module"):
        with pytest.raises(ValueError, match=f"no argument '{name}'; it has: {sorted(plan)[0]}"):
            check_names(model_cls, {"train_kwargs": {"plan_kwargs": {name: 0}}})


def test_not_registered(counts, here, unchanged):
    with unchanged(counts), pytest.raises(ValueError, match=r"not registered; call Orthogonal"):
        search(counts)


def test_without_ray(registered, monkeypatch, unchanged):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with unchanged(registered), pytest.raises(ImportError, match=r"pellucid\[tune\]"):
        pld.tl.tune(registered, OrthogonalAE)
