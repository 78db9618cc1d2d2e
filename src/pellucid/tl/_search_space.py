"""What a search varies and what it holds, checked before any trial: each would fail by it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ._search import distributions, import_tune

if TYPE_CHECKING:
    from pellucid.model._base import BaseAutoencoder

# What calls hand in themselves.
_HANDED_IN = {"self", "adata", "kwargs", "module", "stage"}
_REFUSED = {
    "loss": "the losses of models with another one are on other scales and cannot be compared; "
    "search with each in a call of its own, as model_kwargs={'loss': ...}",
    **dict.fromkeys(
        ("max_epochs", "train_size"), "it is the same in all trials; pass it to tl.tune itself"
    ),
    **dict.fromkeys(
        ("trial", "status", "seconds"), "the table of trials has a column of that name"
    ),
}


def published_space(name: str) -> dict[str, Any] | None:
    """The ranges that a model's paper searched, if it prints any."""
    tune, _ = import_tune()
    if name == "OrthogonalAE":
        return {
            "model_kwargs": {
                "n_hidden": tune.randint(50, 141),
                "n_latent": tune.randint(35, 76),
                "orthogonality_weight": tune.loguniform(1e-25, 1e-5),
            },
            "train_kwargs": {"plan_kwargs": {"lr": tune.loguniform(1e-5, 1e-3)}},
        }
    if name == "SIVAE":
        return {
            "model_kwargs": {"n_latent": tune.choice([16, 32, 64])},
            "train_kwargs": {
                "plan_kwargs": {
                    "lr": tune.choice([1e-4, 1e-3, 1e-2]),
                    "weight_decay": tune.choice([1e-3, 1e-2]),
                }
            },
        }
    return None


def checked_space(
    model_cls: type[BaseAutoencoder], search_space: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What to vary, once it is known that the model has it and that trials can be compared."""
    if search_space is None:
        published = published_space(model_cls.__name__)
        if published is None:
            raise ValueError(
                f"The paper of {model_cls.__name__} prints no ranges; pass search_space=, such as "
                "{'train_kwargs': {'plan_kwargs': {'lr': ray.tune.loguniform(1e-4, 1e-2)}}}."
            )
        return published
    if unknown := set(search_space) - {"model_kwargs", "train_kwargs"}:
        raise ValueError(
            f"search_space has {', '.join(map(repr, sorted(unknown)))}; its keys are "
            "'model_kwargs' and 'train_kwargs'."
        )
    check_names(model_cls, search_space)
    space = {name: dict(domains) for name, domains in search_space.items()}
    found = distributions(space)
    names = [path.rpartition("/")[2] for path in found]
    if not found or len(_leaves(space)) > len(found) or len(set(names)) < len(names):
        raise ValueError(
            f"search_space varies {', '.join(names) or 'nothing'} of "
            f"{', '.join(_leaves(space)) or 'nothing'}; each value must be a domain of ray.tune "
            "(such as ray.tune.loguniform(1e-4, 1e-2)) and stand under one name. What is fixed "
            "goes to model_kwargs= and train_kwargs=."
        )
    for name in names:
        if name in _REFUSED:
            raise ValueError(f"search_space varies {name!r}, which it may not: {_REFUSED[name]}.")
    return space


def check_names(model_cls: type[BaseAutoencoder], given: Mapping[str, Any]) -> None:
    """Raise if the model, its `train` or its training plan lacks an argument that is given."""
    model, plan = model_cls.__name__, model_cls._training_plan_cls
    train = given.get("train_kwargs", {})
    of_plan = train.get("plan_kwargs", {}) if isinstance(train, Mapping) else {}
    for key, names, what, function in (
        ("model_kwargs", given.get("model_kwargs", {}), model, model_cls.__init__),
        ("train_kwargs", train, f"{model}.train", model_cls.train),
        ("plan_kwargs", of_plan, plan.__name__, plan.__init__),
    ):
        if not isinstance(names, Mapping):
            raise TypeError(
                f"{key} is a {type(names).__name__}; expected a mapping of arguments by name, "
                "such as {'lr': 1e-3}, or in search_space {'lr': ray.tune.loguniform(1e-4, 1e-2)}."
            )
        known = set(inspect.signature(function).parameters) - _HANDED_IN
        if unknown := set(names) - known:
            raise ValueError(
                f"{what} has no argument {', '.join(map(repr, sorted(unknown)))}; it has: "
                f"{', '.join(sorted(known))}. Those of the model go to 'model_kwargs', those of "
                "its training to 'train_kwargs', the plan's, such as lr, to 'plan_kwargs' in that."
            )


def _leaves(space: Mapping[str, Any]) -> list[str]:
    return [
        name
        for key, value in space.items()
        for name in (_leaves(value) if isinstance(value, Mapping) else [key])
    ]
