"""One model a bin of cells, each by itself, and its result on disk as it ends."""

from __future__ import annotations

import json
import os
import threading
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import joblib
import numpy as np
import torch
from anndata import AnnData
from scipy import sparse
from threadpoolctl import threadpool_limits

from pellucid._keys import DEAD_BELOW
from pellucid._quiet import quiet
from pellucid._validate import expression_matrix
from pellucid.model import SIVAE
from pellucid.networks import reconstructed_variance
from pellucid.train import seeded

if TYPE_CHECKING:
    from collections.abc import Sequence

# As scanpy's tutorials clip: a gene of a few cells has values beyond, which would rule the fit.
_LARGEST = 10
_SETTINGS = "settings.json"
# Of a digest, so that it is of the values and not of where they are kept.
_ROWS_AT_ONCE = 4096
# Seeds, threads and output belong to the process: with threads as workers, one at a time.
_ONE_AT_A_TIME = threading.Lock()


class Bin(NamedTuple):
    """Cells of one population that a model is fitted to."""

    population: str
    number: int
    cells: np.ndarray


class Fit(NamedTuple):
    """What is kept of a model of one bin."""

    loadings: np.ndarray
    """(n_vars, n_latent), float32."""
    centrality: np.ndarray
    """(n_vars,), float32."""
    mean: np.ndarray
    """(n_vars,), float32: mean expression of the bin, as it came in."""
    n_dead: np.ndarray
    """Number of units that carry nothing, without dimensions."""


class Scaling(NamedTuple):
    """Mean and standard deviation of each gene."""

    mean: np.ndarray
    deviation: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Centred and scaled expression, clipped."""
        return np.clip((x - self.mean) / self.deviation, -_LARGEST, _LARGEST, dtype=np.float32)


class Job(NamedTuple):
    """What is the same in all fits."""

    scaling: Scaling
    model_kwargs: dict[str, Any]
    train_kwargs: dict[str, Any]
    random_state: int

    def fit(self, x: Any) -> Fit:
        """Fit a model to cells x genes, on one thread: more would add in another order."""
        with _ONE_AT_A_TIME:
            n_threads = torch.get_num_threads()
            try:
                torch.set_num_threads(1)
                with (
                    threadpool_limits(1),
                    quiet("pellucid"),
                    # scvi-tools prints why it stops early, once a stage.
                    redirect_stdout(None),
                    seeded(self.random_state),
                ):
                    return self._fit(x.toarray() if sparse.issparse(x) else np.asarray(x))
            finally:
                torch.set_num_threads(n_threads)

    def _fit(self, x: np.ndarray) -> Fit:
        adata = AnnData(self.scaling(x))
        SIVAE.setup_anndata(adata)
        model = SIVAE(adata, **self.model_kwargs)
        model.train(**self.train_kwargs)
        deviation = model.get_latent_representation().std(axis=0)
        # A gene that is the same in all cells of the bin has nothing to be explained.
        explained = np.nan_to_num(reconstructed_variance(model).all_cells)
        return Fit(
            model.get_loadings().to_numpy(dtype=np.float32),
            explained.astype(np.float32),
            x.mean(axis=0, dtype=np.float64).astype(np.float32),
            np.array((deviation <= DEAD_BELOW * deviation.max()).sum()),
        )


def scaling(adata: AnnData, layer: str | None) -> tuple[Scaling, str]:
    """How genes are scaled over all cells, and a digest of their expression."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler(with_mean=False)
    digests = []
    matrix = expression_matrix(adata, layer)
    matrix = matrix.tocsr() if sparse.issparse(matrix) else matrix
    for start in range(0, adata.n_obs, _ROWS_AT_ONCE):
        block = matrix[start : start + _ROWS_AT_ONCE]
        if sparse.issparse(block):
            block = block.tocsr()
            where = (part.astype(np.int64) for part in (block.indices, block.indptr))
            parts = [block.data, *where]
        else:
            block = np.ascontiguousarray(block)
            parts = [block]
        scaler.partial_fit(block)
        digests.append([joblib.hash(part) for part in parts])
    return Scaling(scaler.mean_, scaler.scale_), joblib.hash(digests)


def bins(labels: Any, n_cells: int, random_state: int) -> list[Bin]:
    """Full bins of each population, drawn at random; the cells that are left over are dropped."""
    found = []
    for code, name in enumerate(labels.categories):
        cells = np.flatnonzero(labels.codes == code)
        order = np.random.default_rng([random_state, code]).permutation(cells)
        found += [
            Bin(str(name), number, np.sort(order[number * n_cells : (number + 1) * n_cells]))
            for number in range(len(cells) // n_cells)
        ]
    return found


class Folder:
    """Fits of one AnnData and its settings, a file each.

    Raises
    ------
    ValueError
        If the folder is of other data or settings, or holds something else.
    """

    def __init__(self, path: str | Path, of: dict[str, Any]):
        self._path = Path(path)
        self._path.mkdir(parents=True, exist_ok=True)
        of = json.loads(json.dumps(of, default=repr))
        settings = self._path / _SETTINGS
        if not settings.exists() and any(self._path.iterdir()):
            raise ValueError(
                f"directory={str(path)!r} is not empty, and not of this function; pass a new "
                "one, or one that an earlier call wrote."
            )
        if not any(self._path.glob("fit_*[0-9].npz")):
            # Nothing ended under those of an earlier call, which may have failed by them.
            _write(settings, json.dumps(of, indent=1).encode())
        before = json.loads(settings.read_text(encoding="utf-8"))
        other = [name for name in of | before if before.get(name) != of.get(name)]
        if other:
            listed = "; ".join(f"{x}: {before.get(x)} there, {of.get(x)} here" for x in other)
            raise ValueError(
                f"directory={str(path)!r} holds fits of other data or settings ({listed}); pass "
                "another directory, or the data and settings of that one."
            )

    def _file(self, number: int) -> Path:
        return self._path / f"fit_{number:05d}.npz"

    def has(self, number: int) -> bool:
        """Whether this fit has ended before."""
        return self._file(number).exists()

    def read(self, number: int) -> Fit:
        """A fit that has ended."""
        with np.load(self._file(number)) as file:
            return Fit(**{name: file[name] for name in Fit._fields})

    def write(self, number: int, fit: Fit) -> None:
        """Keep a fit, whole or not at all."""
        file = self._file(number)
        # numpy gives every other name this ending.
        partial = file.with_suffix(f".{os.getpid()}.partial.npz")
        np.savez(partial, **fit._asdict())
        partial.replace(file)


def _write(path: Path, content: bytes) -> None:
    partial = path.with_suffix(".partial")
    partial.write_bytes(content)
    partial.replace(path)


def fit_one(job: Job, x: Any, number: int, folder: Folder | None) -> Fit:
    """Fit a bin, in a process of its own where there are several."""
    fit = job.fit(x)
    if folder is not None:
        folder.write(number, fit)
    return fit


def fit_all(
    adata: AnnData,
    layer: str | None,
    found: Sequence[Bin],
    job: Job,
    folder: Folder | None,
    n_jobs: int | None,
) -> list[Fit]:
    """All fits; those that the folder has are read from it."""
    known = [] if folder is None else [n for n in range(len(found)) if folder.has(n)]
    left = [number for number in range(len(found)) if number not in known]
    # The matrix is cut as workers ask for more: each gets the cells of its bin alone.
    new = joblib.Parallel(n_jobs=n_jobs, batch_size=1)(
        joblib.delayed(fit_one)(
            job, expression_matrix(adata[found[number].cells], layer), number, folder
        )
        for number in left
    )
    fits = dict(zip(left, new, strict=True))
    if folder is not None:
        fits |= {number: folder.read(number) for number in known}
    return [fits[number] for number in range(len(found))]
