from __future__ import annotations

import random

import numpy as np
import pytest
import scvi
import torch

from pellucid.train import seeded


@pytest.fixture(autouse=True)
def seed_as_found():
    before = scvi.settings.seed
    yield
    scvi.settings.seed = before


def draw() -> tuple[float, float, float]:
    return random.random(), np.random.random(), torch.rand(1).item()  # noqa: NPY002


def test_same_seed_same_draws():
    with seeded(3):
        first = draw()
        assert scvi.settings.seed == 3
    with seeded(3):
        again = draw()
    with seeded(4):
        other = draw()
    assert first == again
    assert all(a != b for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("before", [None, 11])
def test_generators_go_on_as_if_nothing_was(before):
    scvi.settings.seed = 5
    scvi.settings.seed = before
    state = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    expected = draw()
    random.setstate(state[0])
    np.random.set_state(state[1])  # noqa: NPY002
    torch.set_rng_state(state[2])

    def fail_within():
        draw()
        raise RuntimeError("within")

    with pytest.raises(RuntimeError, match="within"), seeded(3):
        fail_within()
    assert scvi.settings.seed == before
    assert draw() == expected
