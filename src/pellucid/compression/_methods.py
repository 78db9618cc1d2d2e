from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sklearn.base import clone

from ._cs_smaf import CSSMAF
from ._deep_ae import DeepAECompressor
from ._gene_means import GeneMeans
from ._k_svd import KSVD
from ._sparse_nmf import SparseNMF
from ._svd import SVD

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MEAN = "mean"
METHODS: dict[str, Any] = {
    MEAN: GeneMeans,
    "svd": SVD,
    "ksvd": KSVD,
    "snmf": SparseNMF,
    "cs_smaf": CSSMAF,
    "deep_ae": DeepAECompressor,
}
_VERBS = ("fit", "transform", "inverse_transform")
_SIZES = ("n_latent", "n_components")


def methods_by_name(methods: Sequence[str] | Mapping[str, Any]) -> dict[str, Callable[..., Any]]:
    """What makes the estimator of each method, called with `n_latent` and `random_state`.

    Parameters
    ----------
    methods
        Names out of `METHODS`, or a mapping of a user's names to such names, to functions that
        return an estimator, or to estimators.
    """
    if isinstance(methods, str):
        methods = [methods]
    given = methods if isinstance(methods, Mapping) else {name: name for name in methods}
    found: dict[str, Any] = {}
    for name, method in given.items():
        if isinstance(method, str):
            if method not in METHODS:
                raise ValueError(
                    f"method {method!r} is unknown; choose from {', '.join(METHODS)}, or pass a "
                    "mapping of a name to an estimator or to a function that returns one."
                )
            method = METHODS[method]
        if not isinstance(method, type) and all(hasattr(method, verb) for verb in _VERBS):
            method = _copies_of(name, method)
        elif not callable(method):
            raise TypeError(
                f"method {name!r} is a {type(method).__name__}; expected an estimator with "
                f"{', '.join(_VERBS)}, or a function of n_latent and random_state that returns "
                "one."
            )
        found[str(name)] = method
    if found.pop(MEAN, GeneMeans) is not GeneMeans:
        raise ValueError(f"{MEAN!r} is the name of the training cells' mean; pass another.")
    if not found:
        raise ValueError(
            f"methods={methods!r}; expected one or more beside {MEAN!r}, which is always in the "
            f"table: {', '.join(name for name in METHODS if name != MEAN)}."
        )
    return found


def _copies_of(name: str, estimator: Any) -> Callable[..., Any]:
    """A function that returns unfitted copies of an estimator, of a given size and seed."""
    arguments = estimator.get_params(deep=False) if hasattr(estimator, "get_params") else {}
    size = next((each for each in _SIZES if each in arguments), None)
    if size is None:
        raise TypeError(
            f"method {name!r} is a {type(estimator).__name__} without a parameter "
            f"{' or '.join(_SIZES)}; pass a function of n_latent and random_state that returns it."
        )

    def make(n_latent: int, random_state: int) -> Any:
        changed = {size: n_latent}
        if "random_state" in arguments:
            changed["random_state"] = random_state
        return clone(estimator).set_params(**changed)

    return make
