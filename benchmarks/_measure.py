"""Seconds and memory of contestants, each in a process of its own, by turns."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
_MEGABYTE = 1e6


class Work(NamedTuple):
    """What a contestant does once its inputs are built."""

    warm_up: Callable[[], Any]
    """Compiles and caches, on a small part of the inputs; not timed, but its memory counts."""
    run: Callable[[], Any]
    """The work."""


class Contestant(NamedTuple):
    """One way to do the work."""

    name: str
    prepare: Callable[..., Work]
    """A function of a module, called in the contestant's process: imports and builds inputs."""
    arguments: dict[str, Any]


class Measurement(NamedTuple):
    """What a contestant took; of a missing one, only why."""

    answers: Sequence[Any] = ()
    """What each call returned."""
    seconds: Sequence[float] = ()
    megabytes: float = float("nan")
    """Most memory held at once, beyond what the process held when its inputs were built."""
    missing: str | None = None


def _memory(field: str) -> float | None:
    """A field of the process's memory in MB, or `None` where the system does not tell."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    line = next(line for line in status.splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024 / _MEGABYTE


def _peak() -> float:
    peak = _memory("VmHWM:")
    if peak is None:
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _MEGABYTE
    return peak


def _forget_peak() -> float:
    """Lower the peak to what is held now, where the system allows it, and return it."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _serve(
    connection: Connection, threads: int, prepare: Callable[..., Work], arguments: dict[str, Any]
) -> None:
    import torch

    torch.set_num_threads(threads)
    try:
        work = prepare(**arguments)
    except ImportError as error:
        connection.send(f"missing: {error}")
        return
    before = _forget_peak()
    work.warm_up()
    connection.send(None)
    while connection.recv():
        start = time.perf_counter()
        answer = work.run()
        connection.send((answer, time.perf_counter() - start, _peak() - before))


@contextmanager
def _environment(threads: int) -> Iterator[None]:
    """Thread counts that libraries read at import, for processes started here."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def measure(contestants: Sequence[Contestant], *, threads: int, repeats: int) -> list[Measurement]:
    """Let the contestants work by turns, so that what else the machine does meets all alike.

    All stand ready at once, each in a process of its own, and only one works at a time.
    """
    context = get_context("spawn")
    ours, processes = [], []
    for contestant in contestants:
        here, there = context.Pipe()
        process = context.Process(
            target=_serve,
            args=(there, threads, contestant.prepare, contestant.arguments),
            daemon=True,
        )
        with _environment(threads):
            process.start()
        there.close()
        ours.append(here)
        processes.append(process)
    missing = [_receive(here, who) for here, who in zip(ours, contestants, strict=True)]
    reports: list[list[tuple]] = [[] for _ in contestants]
    for _ in range(repeats):
        for contestant, here, why, report in zip(contestants, ours, missing, reports, strict=True):
            if why is None:
                here.send(True)
                report.append(_receive(here, contestant))
    for here, process, why in zip(ours, processes, missing, strict=True):
        if why is None:
            here.send(False)
        process.join()
    return [
        Measurement(missing=why)
        if why is not None
        else Measurement(
            answers=[answer for answer, _, _ in report],
            seconds=[seconds for _, seconds, _ in report],
            megabytes=max(megabytes for _, _, megabytes in report),
        )
        for why, report in zip(missing, reports, strict=True)
    ]


def _receive(connection: Connection, contestant: Contestant) -> Any:
    try:
        return connection.recv()
    except EOFError:
        raise RuntimeError(f"the process of {contestant.name!r} failed; see above.") from None
