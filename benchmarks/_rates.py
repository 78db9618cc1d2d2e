"""What this machine can do: the rates that floors are stated in."""

from __future__ import annotations

import time

import numpy as np

from ._measure import Work


def _fastest(call, seconds: float = 0.3) -> float:
    """Seconds of the fastest call."""
    call()
    fastest, stop = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < stop:
        start = time.perf_counter()
        call()
        fastest = min(fastest, time.perf_counter() - start)
    return fastest


def multiply_adds(size: int = 1024) -> Work:
    """Multiply-adds a second of a square float32 product, by the faster of two libraries."""
    import torch

    a = np.random.default_rng(0).random((size, size), dtype=np.float32)
    b = a.T.copy()
    out = np.empty_like(a)

    def rate() -> float:
        numpy = _fastest(lambda: np.dot(a, b, out=out))
        left, right, into = map(torch.from_numpy, (a, b, out))
        return size**3 / min(numpy, _fastest(lambda: torch.mm(left, right, out=into)))

    return Work(rate, rate)


def copied_bytes(shape: tuple[int, ...]) -> Work:
    """Bytes read and written a second while a float32 array of a shape is copied."""
    source = np.random.default_rng(0).random(shape, dtype=np.float32)
    target = np.empty_like(source)

    def rate() -> float:
        return 2 * source.nbytes / _fastest(lambda: np.copyto(target, source))

    return Work(rate, rate)
