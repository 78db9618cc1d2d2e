from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sklearn.exceptions import ConvergenceWarning

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def as_far_as_it_came() -> Iterator[None]:
    """A factorisation that is short of its optimum is one, too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
