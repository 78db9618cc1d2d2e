from __future__ import annotations

import hashlib
import logging
import time
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from pellucid import _keys
from pellucid._compat import track
from pellucid._validate import (
    check_expression,
    check_writable,
    dense_expression,
    expression_source,
)
from pellucid.compression import (
    MEAN,
    METHODS,
    METRICS,
    DeepAECompressor,
    Original,
    ResumedRows,
    check_n_latent,
    methods_by_name,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from anndata import AnnData

    from pellucid.compression import Compressor

logger = logging.getLogger("pellucid")

_TRANSFORMS = ("raw", "log", "zscore")
_KEPT = "kept"
# Cells without which no model of scvi-tools trains.
_FEWEST_OF_NETWORK = 3
# Digits of the expression that is kept for a figure.
_DIGITS = 5


def compression_benchmark(
    adata: AnnData,
    *,
    layer: str | None = None,
    methods: Sequence[str] | Mapping[str, str | Compressor | Callable[..., Any]] = tuple(METHODS),
    n_latent: int | Sequence[int] = (10, 25, 50, 100),
    transform: str | Sequence[Literal["raw", "log", "zscore"]] = ("log",),
    train_size: float = 0.05,
    n_repeats: int = 5,
    random_state: int = 0,
    n_kept: tuple[int, int] = (60, 100),
    resume: str | Path | None = None,
    enable_progress_bar: bool = True,
    key_added: str = _keys.COMPRESSION_BENCHMARK,
    copy: bool = False,
) -> AnnData | None:
    """How well methods rebuild cells that they have not seen from few numbers :cite:p:`Zhang2020`.

    Each method learns from a small part of the cells, codes each of the others as K numbers, and
    rebuilds it from these alone. The split is the same for all methods of a repeat.

    Parameters
    ----------
    adata
        Cells x genes: counts, intensities, or what `transform` makes of them.
    layer
        Layer that holds them; `adata.X` if `None`.
    methods
        Names of methods:

        * `"svd"`: truncated singular value decomposition
        * `"ksvd"`: K-SVD, K atoms of which each cell uses half (Aharon et al. 2006)
        * `"snmf"`: sparse non-negative matrix factorisation
        * `"cs_smaf"`: K random composite measurements, decoded with a dictionary of sparse
          modules (Cleary et al. 2017)
        * `"deep_ae"`: :class:`~pellucid.model.DeepAE` as the paper trains it
        * `"mean"`: every cell as the training cells' mean, from no number at all. It is always in
          the table, with `n_latent` 0: what is no better has learned nothing of cells.

        Or a mapping of your own names to such names, to estimators with `fit`, `transform` and
        `inverse_transform` that have a parameter `n_latent` or `n_components`, as scikit-learn's
        do, or to functions of `n_latent` and `random_state` that return an estimator.
    n_latent
        Numbers a cell, K; the paper's.
    transform
        What is made of the expression, and in which unit the errors are: `"log"` is
        log(1 + x), as in the paper; `"raw"` the values as they are; `"zscore"` gives each
        gene the mean 0 and the variance 1 of the training cells, as they are in `layer`. The
        authors' program standardises each cell, which takes two more numbers a cell to undo.
    train_size
        Share of the cells to learn from; the paper's.
    n_repeats
        Number of splits; the paper's.
    random_state
        Seed of the splits, and with the repeat added to it of the methods.
    n_kept
        How many test cells and genes to keep of the first repeat and all its reconstructions, for
        :func:`pellucid.pl.reconstruction`: cells at random, the most variable genes.
    resume
        File to which each result is appended as it is found, and from which those of a call that
        was stopped are read. It is of one AnnData and its settings; methods, numbers, transforms
        and repeats may be added to it. A method is known by its name.
    enable_progress_bar
        Whether to show how far it is.
    key_added
        Key in `adata.uns`.
    copy
        Whether to return a copy of `adata` rather than write to it; not of a backed one.

    Returns
    -------
    `None`, or an AnnData if `copy=True`. Sets `adata.uns[key_added]`, a :class:`dict` of

    `results` : :class:`~pandas.DataFrame`
        A row for each `method`, `transform`, `n_latent` and `repeat`: `pcc`, `spearman`, `em`,
        `mae`, `gene_pcc` and `cell_pcc` of the test cells (see
        :func:`pellucid.tl.reconstruction_metrics`), NaN if the reconstruction is not finite, and
        the `seconds` to learn, code and rebuild.
    `kept` : :class:`dict`
        The original and the reconstructions of a few test cells.
    `params`
        The arguments.

    Raises
    ------
    ValueError
        If there are fewer training cells or genes than K, or fewer than three such cells for
        `"deep_ae"`, a method or transform is unknown or there is none, the values cannot be
        transformed, a method codes a cell as more than K numbers, `resume` is of other data, or
        `adata` is backed and `copy`. All are found before anything is trained, but what a method
        codes a cell as.
    TypeError
        If a method of your own is neither an estimator nor a function.
    KeyError
        If `layer` is not in `adata`.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> pld.tl.compression_benchmark(
    ...     adata, methods=["svd", "snmf"], n_latent=[5, 10], n_repeats=2, train_size=0.1
    ... )
    >>> adata.uns["compression_benchmark"]["results"].shape
    (10, 11)
    """
    check_writable(adata, copy=copy)
    sizes = [int(n_latent)] if isinstance(n_latent, int | np.integer) else [*map(int, n_latent)]
    transforms = [transform] if isinstance(transform, str) else list(transform)
    makers = methods_by_name(methods)
    # Of numpy's scalars JSON holds none.
    random_state = int(random_state)
    _check_arguments(transforms, sizes, n_repeats, n_kept)
    check_expression(adata, layer, scaled=True)
    values = dense_expression(adata, layer)
    n_train = round(train_size * adata.n_obs)
    if not 1 <= n_train < adata.n_obs:
        raise ValueError(
            f"train_size={train_size} of {adata.n_obs:,} cells leaves {n_train:,} to train on; at "
            "least one must be left to train on and one to test on."
        )
    networks = [name for name, make in makers.items() if make is DeepAECompressor]
    if networks and n_train < _FEWEST_OF_NETWORK:
        raise ValueError(
            f"train_size={train_size} of {adata.n_obs:,} cells leaves {n_train:,} to train on, "
            f"and method {networks[0]!r} trains on {_FEWEST_OF_NETWORK} or more. Pass a larger "
            "train_size, or leave it out of methods."
        )
    check_n_latent(sizes, n_cells=n_train, n_genes=adata.n_vars)
    lowest = values.min()
    if "log" in transforms and lowest < 0:
        raise ValueError(
            f"{expression_source(layer)} holds negative values (lowest {lowest:.3g}), of which "
            "transform='log' has no logarithm. Pass transform='raw' or 'zscore', or a layer of "
            "counts; for mass cytometry, a layer of arcsinh(x / 5) with transform='raw'."
        )
    orders = [
        np.random.default_rng([random_state, repeat]).permutation(adata.n_obs)
        for repeat in range(n_repeats)
    ]
    # Of the first repeat's test cells.
    genes = _most_variable(values if lowest < 0 else np.log1p(values), n_kept[1])
    drawn = np.ix_(np.arange(min(n_kept[0], adata.n_obs - n_train)), genes)
    rows = ResumedRows(
        resume,
        {
            "values": hashlib.sha256(values.tobytes()).hexdigest(),
            "shape": list(adata.shape),
            "train_size": float(train_size),
            "random_state": random_state,
            "n_kept": [*map(int, n_kept)],
        },
    )
    work = [
        (repeat, how, size, name)
        for repeat, how in product(range(n_repeats), transforms)
        for size, name in [(0, MEAN), *product(sizes, makers)]
    ]
    found, originals = [], {}
    split = None
    for repeat, how, size, name in track(work, "Compressing", disable=not enable_progress_bar):
        if split != (repeat, how):
            split = (repeat, how)
            shuffled = values[orders[repeat]]
            train, test = _transformed(shuffled[:n_train], shuffled[n_train:], how)
            original = Original(test)
            if repeat == 0:
                originals[how] = test[drawn]
        make = makers.get(name, METHODS[MEAN])
        arguments = {"n_latent": size, "random_state": random_state + repeat}
        found.append(
            rows(
                {"method": name, "transform": how, "n_latent": size, "repeat": repeat},
                partial(
                    _measured,
                    name,
                    make() if name == MEAN else make(**arguments),
                    size,
                    train,
                    original,
                    drawn if repeat == 0 else None,
                ),
            )
        )

    cells = orders[0][n_train:][drawn[0].ravel()]
    adata = adata.copy() if copy else adata
    adata.uns[key_added] = {
        "params": _keys.record(
            "tl.compression_benchmark",
            layer=layer,
            methods=[MEAN, *makers],
            n_latent=np.array(sizes),
            transform=transforms,
            train_size=train_size,
            n_repeats=n_repeats,
            random_state=random_state,
            n_kept=np.array(n_kept),
            key_added=key_added,
        ),
        "results": pd.DataFrame(found).drop(columns=_KEPT),
        "kept": _kept(found, originals, adata.obs_names[cells], adata.var_names[genes]),
    }
    return adata if copy else None


def _check_arguments(
    transforms: Sequence[str], sizes: Sequence[int], n_repeats: int, n_kept: tuple[int, int]
) -> None:
    for how in transforms:
        if how not in _TRANSFORMS:
            raise ValueError(
                f"transform={how!r} is unknown; choose from {', '.join(map(repr, _TRANSFORMS))}."
            )
    for name, several in (("transform", transforms), ("n_latent", sizes)):
        if not several or len(set(several)) < len(several):
            raise ValueError(f"{name}={list(several)}; expected one or more different ones.")
    if n_repeats < 1:
        raise ValueError(f"n_repeats={n_repeats}; it must be at least 1.")
    if min(n_kept) < 1:
        raise ValueError(f"n_kept={n_kept}; at least 1 cell and 1 gene must be kept.")


def _most_variable(values: np.ndarray, n_genes: int) -> np.ndarray:
    variance = values.var(axis=0, dtype=np.float64)
    return np.sort(np.argsort(-variance, kind="stable")[:n_genes])


def _transformed(train: np.ndarray, test: np.ndarray, how: str) -> tuple[np.ndarray, np.ndarray]:
    if how == "log":
        return np.log1p(train), np.log1p(test)
    if how == "zscore":
        mean, spread = train.mean(axis=0), train.std(axis=0)
        # A gene that is the same in all training cells is centred alone.
        spread[np.ptp(train, axis=0) == 0] = 1
        return (train - mean) / spread, (test - mean) / spread
    return train, test


def _measured(
    name: str,
    model: Any,
    size: int,
    train: np.ndarray,
    original: Original,
    drawn: tuple[np.ndarray, ...] | None,
) -> dict[str, Any]:
    """A row of the results, and a few rebuilt cells as text that JSON holds."""
    start = time.perf_counter()
    model.fit(train)
    codes = np.asarray(model.transform(original.values))
    if codes.shape != (len(original.values), size):
        raise ValueError(
            f"method {name!r} codes {len(original.values):,} cells as {codes.shape}; expected "
            f"n_latent={size} numbers a cell."
        )
    rebuilt = np.asarray(model.inverse_transform(codes))
    seconds = time.perf_counter() - start
    if rebuilt.shape == original.values.shape and not np.isfinite(rebuilt).all():
        logger.warning("%s: the reconstruction from %d numbers is not finite.", name, size)
        metrics = dict.fromkeys(METRICS, float("nan"))
    else:
        metrics = original.compare(rebuilt)
    kept = None
    if drawn is not None:
        kept = [[float(f"{value:.{_DIGITS}g}") for value in row] for row in rebuilt[drawn]]
    return {**metrics, "seconds": seconds, _KEPT: kept}


def _kept(
    found: list[dict[str, Any]], originals: dict[str, np.ndarray], cells: Any, genes: Any
) -> dict[str, Any]:
    """The cells and genes that a figure shows, and what each method made of them."""
    first = [row for row in found if row[_KEPT] is not None]
    return {
        "cells": _keys.string_array(cells),
        "genes": _keys.string_array(genes),
        "original": np.stack([*originals.values()]).astype(np.float32),
        "original_transform": _keys.string_array(originals),
        "reconstruction": np.array([row[_KEPT] for row in first], dtype=np.float32),
        "method": _keys.string_array(row["method"] for row in first),
        "transform": _keys.string_array(row["transform"] for row in first),
        "n_latent": np.array([row["n_latent"] for row in first]),
    }
