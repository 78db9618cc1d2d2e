"""Trials of a model's settings: Ray Tune runs them, Optuna proposes them and keeps a record."""

from __future__ import annotations

import json
import logging
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from pellucid._quiet import quiet
from pellucid.train import BestWeights, seeded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import Literal

    import optuna
    from anndata import AnnData

    from pellucid.model._base import BaseAutoencoder

logger = logging.getLogger("pellucid")

_INSTALL = "install the extra: pip install 'pellucid[tune]'."
_STUDY = "trials.log"
_NAME = "pellucid"


class Job(NamedTuple):
    """What is the same in all trials."""

    model_cls: type[BaseAutoencoder]
    setup_kwargs: dict[str, Any]
    model_kwargs: dict[str, Any]
    train_kwargs: dict[str, Any]
    random_state: int

    def fit(self, adata: AnnData, chosen: Mapping[str, Any], max_epochs: int) -> BaseAutoencoder:
        """Register and train with what was chosen beside what is fixed."""
        model_kwargs = {**self.model_kwargs, **chosen.get("model_kwargs", {})}
        train_kwargs = {**self.train_kwargs, **chosen.get("train_kwargs", {})}
        # Some of a plan's arguments may be fixed and others chosen.
        plan = {
            **(self.train_kwargs.get("plan_kwargs") or {}),
            **chosen.get("train_kwargs", {}).get("plan_kwargs", {}),
        }
        with seeded(self.random_state):
            self.model_cls.setup_anndata(adata, **self.setup_kwargs)
            model = self.model_cls(adata, **model_kwargs)
            model.train(**{**train_kwargs, "plan_kwargs": plan, "max_epochs": max_epochs})
        return model


def import_tune() -> tuple[Any, Any]:
    """`ray.tune` and `optuna`, or an error that says how to get them."""
    try:
        import optuna
        from ray import tune
    except ImportError as error:
        raise ImportError(f"tl.tune needs Ray Tune and Optuna ({error}); {_INSTALL}") from error
    return tune, optuna


def distributions(space: Mapping[str, Any]) -> dict[str, optuna.distributions.BaseDistribution]:
    """Ray's domains as Optuna's, by their path."""
    from ray.tune.search.optuna import OptunaSearch

    return OptunaSearch.convert_search_space(space)


class Study:
    """Trials of a folder, those of an earlier call that was cut off included."""

    def __init__(self, folder: Path, about: dict[str, Any]):
        _, optuna = import_tune()
        from optuna.storages.journal import JournalFileBackend

        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        backend = JournalFileBackend(str(folder / _STUDY))
        self.storage = optuna.storages.JournalStorage(backend)
        self._states = optuna.trial.TrialState
        self._study = optuna.create_study(
            study_name=_NAME, storage=self.storage, direction="minimize", load_if_exists=True
        )
        about = json.loads(json.dumps(about))
        known = self._study.user_attrs.get("about")
        if known is None:
            self._study.set_user_attr("about", about)
        elif known != about:
            other = [name for name in about if known.get(name) != about[name]]
            raise ValueError(
                f"{folder} holds trials of another search (other: {', '.join(other)}); pass "
                "another folder, or the same data and arguments to go on with them."
            )

    def done(self) -> list[optuna.trial.FrozenTrial]:
        """Trials that ended by themselves, well or not."""
        interrupted = self._study.user_attrs.get("interrupted", [])
        ended = (self._states.COMPLETE, self._states.FAIL)
        return [
            trial
            for trial in self._study.get_trials(states=ended)
            if trial.number not in interrupted
        ]

    def take_up(self) -> None:
        """What was running when an earlier call was cut off is to be run again, first."""
        running = self._study.get_trials(states=(self._states.RUNNING,))
        if not running:
            return
        interrupted = self._study.user_attrs.get("interrupted", [])
        self._study.set_user_attr("interrupted", [*interrupted, *(t.number for t in running)])
        for trial in running:
            self._study.tell(trial.number, state=self._states.FAIL)
            if trial.params:
                self._study.enqueue_trial(trial.params)

    def failed_by(self, error: BaseException) -> None:
        """Keep why a trial failed, if it is the first: a later call does not run it again."""
        if "error" not in self._study.user_attrs:
            self._study.set_user_attr("error", f"{type(error).__name__}: {error}")

    @property
    def error(self) -> str:
        """Why the first trial failed."""
        return self._study.user_attrs.get("error", "what the log of a call that was cut off says")

    def table(self, paths: list[str]) -> pd.DataFrame:
        """One row a trial, the settings in columns by their own names."""
        rows = []
        for number, trial in enumerate(self.done()):
            ended = trial.state == self._states.COMPLETE
            seconds = (trial.datetime_complete - trial.datetime_start).total_seconds()
            loss = trial.value if ended else math.nan
            rows.append(
                {"trial": number, "status": "complete" if ended else "failed", "loss": loss}
                | {"seconds": seconds}
                | {path.rpartition("/")[2]: _storable(trial.params.get(path)) for path in paths}
            )
        table = pd.DataFrame(rows)
        # Values of several types, such as None and 16, which files do not hold in one column.
        mixed = [name for name in table if table[name].dtype.kind == "O"]
        return table.astype(dict.fromkeys(mixed, str))

    def best(self) -> dict[str, Any]:
        """The settings of the least loss, nested as the space is."""
        nested: dict[str, Any] = {}
        for path, value in self._study.best_params.items():
            *rooms, name = path.split("/")
            room = nested
            for step in rooms:
                room = room.setdefault(step, {})
            room[name] = value
        return nested


def run_trials(
    study: Study,
    trainable: Callable[..., dict[str, float]],
    n_trials: int,
    *,
    space: Mapping[str, Any],
    sampler: Literal["gp", "tpe"],
    resources: Mapping[str, float],
    random_state: int,
    **shared: Any,
) -> None:
    """Run trials until the study has so many, as many at a time as the resources allow."""
    import ray

    tune, optuna = import_tune()
    from ray.tune.search.optuna import OptunaSearch

    from ._gaussian_process import GaussianProcess

    n_done = len(study.done())
    study.take_up()
    # A sampler that begins anew with the same seed would begin with the same proposals.
    seed = random_state + n_done
    samplers = {"gp": GaussianProcess, "tpe": optuna.samplers.TPESampler}
    search = OptunaSearch(
        distributions(space),
        metric="loss",
        mode="min",
        sampler=samplers[sampler](seed=seed),
        storage=study.storage,
        study_name=_NAME,
    )
    started_here = not ray.is_initialized()
    try:
        found = tune.Tuner(
            tune.with_resources(tune.with_parameters(trainable, **shared), dict(resources)),
            # A new process for each trial would spend longer on imports than a small one trains.
            tune_config=tune.TuneConfig(
                num_samples=n_trials - n_done, search_alg=search, reuse_actors=True
            ),
            run_config=tune.RunConfig(storage_path=str((study.folder / "ray").resolve())),
        ).fit()
    finally:
        if started_here:
            ray.shutdown()
    if found.errors:
        # Ray's own error holds the one that the trial raised.
        study.failed_by(getattr(found.errors[0], "cause", None) or found.errors[0])
        logger.warning("%d trials failed; the first by: %s", len(found.errors), found.errors[0])


def trial(
    config: dict[str, Any], *, job: Job, adata: AnnData, max_epochs: int
) -> dict[str, float]:
    """One trial, in a process of its own: the loss of the held-out cells."""
    # What lies in the store of objects is read-only, and all trials read it.
    with quiet():
        return {"loss": held_out_loss(job.fit(adata.copy(), config, max_epochs))}


def held_out_loss(model: BaseAutoencoder) -> float:
    """Reconstruction loss of the held-out cells by the weights that training ended with."""
    by_epoch = model.history[model._monitor].iloc[:, 0].astype(float)
    callbacks = model.trainer.callbacks if model.trainer is not None else []
    restored = any(isinstance(callback, BestWeights) for callback in callbacks)
    loss = float(by_epoch.min() if restored else by_epoch.iloc[-1])
    return loss if math.isfinite(loss) else math.inf


def _storable(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) else str(value)
