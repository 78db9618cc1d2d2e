"""Rivals of our factor models, each run by an interpreter of an environment of its own.

Their dependencies exclude each other's and ours. Every runner in `benchmarks/peers` says how to
install its peer and which settings it is given and why.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from benchmarks._measure import THREADS
from benchmarks.peers._exchange import Inputs, Result

_ROOT = Path(__file__).parent.parent


class Missing(NamedTuple):
    """A peer that could not be run here."""

    reason: str


def inputs(
    counts: np.ndarray,
    log: np.ndarray,
    mask: np.ndarray,
    *,
    batch: np.ndarray | None = None,
    names: np.ndarray | None = None,
    held_out: np.ndarray | None = None,
) -> Inputs:
    """What peers are given, in the types they rely on.

    Parameters
    ----------
    counts, log
        Cells x genes, and the same log-normalised. A cell must have a count.
    mask
        Sets x genes, bool.
    batch
        A code for each cell; by default one batch.
    names
        Of the sets.
    held_out
        Indices of cells to score without training on them.
    """
    return Inputs(
        np.asarray(counts, np.float32),
        np.asarray(log, np.float32),
        np.asarray(mask, bool),
        np.zeros(len(log), int) if batch is None else np.asarray(batch, int),
        np.asarray([f"set_{i}" for i in range(len(mask))] if names is None else names, str),
        np.zeros(0, int) if held_out is None else np.asarray(held_out, int),
    )


def run(
    name: str, interpreter: str | Path | None, inputs: Inputs, *, threads: int = 1, **options: Any
) -> Result | Missing:
    """Train a peer and score the cells.

    Parameters
    ----------
    name
        Of a module of `benchmarks/peers`.
    interpreter
        Python of the peer's environment; `None` where the user named none.
    inputs
        See `inputs`.
    threads
        Of everything the peer computes with.
    **options
        `seed` (0 by default), `epochs`, and what else the module's `train` takes.

    Returns
    -------
    The peer's scores, loadings, reconstruction and seconds, or why there are none.
    """
    if interpreter is None:
        return Missing("no interpreter given")
    options = {"seed": 0, **options, "threads": threads}
    environment = {
        **os.environ,
        **dict.fromkeys(THREADS, str(threads)),
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    with TemporaryDirectory() as folder:
        source, destination = Path(folder, "inputs.npz"), Path(folder, "result.npz")
        np.savez(source, **inputs._asdict())
        command = [interpreter, "-m", f"benchmarks.peers.{name}", source, destination]
        try:
            process = subprocess.run(
                [*map(str, command), json.dumps(options)],
                cwd=_ROOT,
                env=environment,
                capture_output=True,
                text=True,
            )
        except OSError as error:
            return Missing(f"{interpreter}: {error.strerror}")
        if process.returncode:
            raise RuntimeError(f"{name} failed:\n{process.stderr[-4000:]}")
        with np.load(destination) as file:
            if "missing" in file:
                return Missing(str(file["missing"]))
            values = {
                field: file[field] if file[field].ndim else file[field].item()
                for field in Result._fields
            }
    return Result(**values)
