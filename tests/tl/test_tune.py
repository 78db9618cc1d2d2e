from __future__ import annotations

import sys

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
        shared["adata"].uns.clear()
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


def test_failed_trials_count_and_do_not_win(registered, here):
    here(error={0: "fails", 3: "fails"})
    search(registered)
    table = pld.get.tune(registered)
    assert table["status"].to_list() == ["failed", "complete", "complete", "failed"]
    assert table["loss"].isna().to_list() == [True, False, False, True]


def test_all_failed(registered, here, unchanged):
    here(error=dict.fromkeys(range(4), "fails"))
    with unchanged(registered), pytest.raises(RuntimeError, match="All 4 trials failed"):
        search(registered)


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
    from pellucid.tl._search import distributions, published_space

    found = distributions(published_space(model_cls.__name__))
    assert {path.rpartition("/")[2] for path in found} == expected
    if model_cls is OrthogonalAE:
        hidden = found["model_kwargs/n_hidden"]
        assert (hidden.low, hidden.high) == (50, 140)
        lr = found["train_kwargs/plan_kwargs/lr"]
        assert (lr.low, lr.high, lr.log) == (1e-5, 1e-3, True)


def test_ray_runs_the_trials(registered, here, monkeypatch, tmp_path):
    """The whole way: a process of Ray's goes on with what another call began."""
    import ray

    from pellucid.tl._search import run_trials

    arguments = {"folder": tmp_path, "sampler": "tpe", "search_space": space()}
    search(registered, n_trials=1, **arguments)  # in this process: a worker's imports take seconds
    first = pld.get.tune(registered)
    monkeypatch.setattr("pellucid.tl._tune.run_trials", run_trials)
    try:
        ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
        search(registered, n_trials=3, **arguments)
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
        ({"model_kwargs": {"n_latent": 8}}, "varies nothing of n_latent; .*a domain of ray"),
        (
            {
                "model_kwargs": {"n_latent": tune.randint(2, 5)},
                "train_kwargs": {"plan_kwargs": {"n_latent": lr}},
            },
            "stand under one name",
        ),
    ):
        with unchanged(registered), pytest.raises((ValueError, TypeError), match=message):
            search(registered, search_space=given)
    AnnotatedAE.setup_anndata(registered)
    with pytest.raises(ValueError, match="paper of AnnotatedAE prints no ranges"):
        pld.tl.tune(registered, AnnotatedAE)


def test_not_registered(counts, here, unchanged):
    with unchanged(counts), pytest.raises(ValueError, match=r"not registered; call Orthogonal"):
        search(counts)


def test_without_ray(registered, monkeypatch, unchanged):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with unchanged(registered), pytest.raises(ImportError, match=r"pellucid\[tune\]"):
        pld.tl.tune(registered, OrthogonalAE)
