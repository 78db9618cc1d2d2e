from __future__ import annotations

import random
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch

from pellucid._compat import settings

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def seeded(random_state: int) -> Iterator[None]:
    """Seed everything that training draws from, and leave the user's generators as they were."""
    before = settings.seed
    python_state = random.getstate()
    numpy_state = np.random.get_state()  # noqa: NPY002 - scvi-tools seeds the legacy generator
    torch_state = torch.get_rng_state()
    cuda_states = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else None
    settings.seed = random_state
    try:
        yield
    finally:
        settings.seed = before
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002 - as above
        torch.set_rng_state(torch_state)
        if cuda_states is not None:
            torch.cuda.set_rng_state_all(cuda_states)
