"""What methods, transforms and metrics of compression are called in figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_METHODS = {
    "mean": "Gene means",
    "svd": "SVD",
    "ksvd": "k-SVD",
    "snmf": "sNMF",
    "cs_smaf": "CS-SMAF",
    "deep_ae": "DeepAE",
}
TRANSFORMS = {"raw": "raw", "log": "log(1 + x)", "zscore": "z-scored"}


def method_name(method: str) -> str:
    """A method's name as it is printed."""
    return _METHODS.get(method, method.replace("_", " "))


def chosen(wanted: str | Sequence[str] | None, found: list[str], argument: str) -> list[str]:
    """Those of the names that were found which are wanted; all if `None`."""
    if wanted is None:
        return found
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    unknown = [name for name in names if name not in found]
    if unknown or not names:
        raise ValueError(
            f"{argument}: {', '.join(map(repr, unknown)) or 'nothing'} is not in the result, "
            f"which has {', '.join(map(repr, found))}."
        )
    return names
