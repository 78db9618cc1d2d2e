"""Training that says nothing but warnings."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# What they have to say of one model is too much of a hundred.
_TALKATIVE = ("lightning.pytorch", "lightning.fabric", "scvi")


@contextmanager
def quiet(*others: str) -> Iterator[None]:
    """No message below a warning from what trains the model, nor below an error from others."""
    wanted = dict.fromkeys(_TALKATIVE, logging.WARNING) | dict.fromkeys(others, logging.ERROR)
    levels = {name: logging.getLogger(name).level for name in wanted}
    for name, level in wanted.items():
        logging.getLogger(name).setLevel(level)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
