"""Autoencoders for single-cell data whose latent units a biologist can read."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import datasets, get, model, pl, pp, tl

__all__ = ["datasets", "get", "model", "pl", "pp", "tl"]

__version__ = version("pellucid")


def __getattr__(name: str):
    # Submodules load on first use: figures must be drawable where torch cannot be imported.
    if name in __all__:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
