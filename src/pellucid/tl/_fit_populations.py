from __future__ import annotations

import inspect
import json
import logging
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np

from pellucid import __version__, _keys
from pellucid._validate import check_expression, check_writable, group_labels
from pellucid.model import SIVAE

from ._population_fits import Folder, Job, bins, fit_all, scaling

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd
    from anndata import AnnData

logger = logging.getLogger("pellucid")

_NOT_HERE = {"self", "adata", "n_latent", "likelihood", "gene_wise", "labels_key"}


def fit_populations(
    adata: AnnData,
    population_key: str,
    *,
    layer: str | None = None,
    n_cells_per_bin: int = 1000,
    n_latent: int = 16,
    model_kwargs: Mapping[str, Any] | None = None,
    train_kwargs: Mapping[str, Any] | None = None,
    n_jobs: int | None = None,
    directory: str | Path | None = None,
    random_state: int = 0,
    key_added: str = _keys.POPULATIONS,
    copy: bool = False,
) -> AnnData | None:
    r"""A :class:`~pellucid.model.SIVAE` for each population of cells :cite:p:`Choi2023`.

    Cells of each population (donor, cell line, condition) are drawn into bins of equal size, so
    that every model learns from as many cells. Each bin gets a model of its own, whose embedding
    of genes is an implicit gene network. :func:`~pellucid.tl.compare_networks`,
    :func:`~pellucid.tl.associate_centrality` and :func:`~pellucid.tl.associate_edges` compare
    them.

    Parameters
    ----------
    adata
        Cells x genes: log expression of highly variable genes. The paper takes the union of those
        of each population and of all cells.
    population_key
        Column of `adata.obs` that names the population of a cell. Cells without one are left out.
    layer
        Layer that holds the expression; `adata.X` if `None`.
    n_cells_per_bin
        Cells of a bin; the paper's. Cells that fill no bin are dropped, and with them, after a
        warning, populations that have fewer.
    n_latent
        Number of units of each model, K. The paper prints none for its populations; 2 is the
        default of the authors' program, 64 what the paper takes for the networks of one data set.
    model_kwargs
        Other arguments of :class:`~pellucid.model.SIVAE`, such as `n_hidden`.
    train_kwargs
        Arguments of :meth:`~pellucid.model.SIVAE.train`; the CPU and no progress bar unless they
        say otherwise.
    n_jobs
        How many models are fitted at once, as :class:`joblib.Parallel` has it: `None` is 1, or
        what :func:`joblib.parallel_config` says. The backend, too, is what that says: see Notes.
    directory
        Folder in which the result of each model is kept as it ends, and from which those of a call
        that was stopped are read. Once a model has ended, it is of one AnnData and its settings,
        and refuses others.
    random_state
        Seed of the bins, and of every model.
    key_added
        Key in `adata.uns`, and what keys in `adata.varm` begin with.
    copy
        Whether to return a copy of `adata` rather than write to it; not of a backed one.

    Returns
    -------
    `None`, or an AnnData if `copy=True`. Sets the following fields, in which a fit is one bin of
    one population:

    `adata.varm[f"{key_added}_loadings"]` : float32, shape `(n_vars, n_fits, n_latent)`
        Loadings of the genes. No two fits share their axes: only distances within a fit mean
        anything.
    `adata.varm[f"{key_added}_centrality"]` : float32, shape `(n_vars, n_fits)`
        Degree centrality: share of the gene's variance in the bin that the model explains.
    `adata.varm[f"{key_added}_mean"]` : float32, shape `(n_vars, n_fits)`
        Mean expression of the gene in the bin, as it came in.
    `adata.uns[key_added]` : :class:`dict`
        `params`; and of each fit `populations`, its name, `bins`, its number within the
        population, `n_cells`, and `n_dead_units`, those that carry nothing.

    Raises
    ------
    KeyError
        If `population_key` or `layer` is not in `adata`.
    ValueError
        If the expression cannot be modelled, no population fills a bin, two have one name, an
        argument of the model is unknown, `directory` is of other data or settings, or a fit
        diverged. Nothing is written to `adata` then.

    Notes
    -----
    *Scaling.* Genes are centred and scaled to variance 1 over all cells of `adata`, as in the
    paper, and values beyond 10 standard deviations set to 10. Each model then centres them once
    more over its own cells, so that a population's mean is not what its network is made of.
    The paper's centrality is one less the squared error of the scaled values. By it, a gene that
    varies less in one population is more central there, whether anything explains it or not. Here
    the error is divided by the gene's variance in the bin.

    *Many machines.* Models are fitted by joblib, on the backend that
    :func:`joblib.parallel_config` names: processes of this machine (`"loky"`), `"dask"`, or
    `"ray"` after :func:`ray.util.joblib.register_ray`; threads (`"threading"`) take turns. A
    worker is sent the cells of its bin, no more; each fit has one thread, and the same result on
    every backend, bit for bit on machines of one kind. On several machines `directory` should be
    one that all of them see: each result is written where it is found.

    Examples
    --------
    >>> import numpy as np
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()[:, :60].copy()
    >>> adata.X = np.log1p(adata.X.toarray())
    >>> pld.tl.fit_populations(
    ...     adata,
    ...     "phase",
    ...     n_cells_per_bin=180,
    ...     n_latent=4,
    ...     model_kwargs={"n_hidden": (8, 4)},
    ...     train_kwargs={"max_epochs": 1},
    ... )
    >>> adata.uns["populations"]["populations"].tolist()
    ['G1', 'G1', 'S']
    >>> adata.varm["populations_loadings"].shape
    (60, 3, 4)
    """
    check_writable(adata, copy=copy)
    _check(model_kwargs or {}, n_latent, adata.n_vars)
    model_kwargs = {"n_latent": n_latent, **(model_kwargs or {})}
    train_kwargs = {"accelerator": "cpu", "enable_progress_bar": False, **(train_kwargs or {})}
    labels = group_labels(adata, population_key, argument="population_key")
    check_expression(adata, layer, log=True, scaled=True)
    _check_sizes(labels, population_key, n_cells_per_bin)
    found = bins(labels, n_cells_per_bin, random_state)
    how, digest = scaling(adata, layer)
    settings = {"model_kwargs": model_kwargs, "train_kwargs": train_kwargs}
    of = {
        "pellucid": __version__,
        "expression": digest,
        "genes": _digest(adata.var_names),
        "populations": _digest([f"{one.population} {one.cells.tolist()}" for one in found]),
        "random_state": random_state,
        **settings,
    }
    folder = None if directory is None else Folder(directory, of)
    job = Job(how, model_kwargs, train_kwargs, random_state)
    fits = fit_all(adata, layer, found, job, folder, n_jobs)
    loadings = np.stack([fit.loadings for fit in fits], axis=1)
    centrality = np.stack([fit.centrality for fit in fits], axis=1)
    finite = np.isfinite(loadings).all(axis=(0, 2)) & np.isfinite(centrality).all(axis=0)
    if not finite.all():
        names = {one.population for one, good in zip(found, finite, strict=True) if not good}
        raise ValueError(
            f"{(~finite).sum()} of {len(fits)} fits diverged ({', '.join(sorted(names)[:5])}): "
            "their loadings are not finite. Train at a lower rate: "
            "train_kwargs={'plan_kwargs': {'lr': 3e-4}}."
        )

    adata = adata.copy() if copy else adata
    adata.varm[f"{key_added}_loadings"] = loadings
    adata.varm[f"{key_added}_centrality"] = centrality
    adata.varm[f"{key_added}_mean"] = np.stack([fit.mean for fit in fits], axis=1)
    adata.uns[key_added] = {
        "params": _keys.record(
            "tl.fit_populations",
            population_key=population_key,
            layer=layer,
            n_cells_per_bin=n_cells_per_bin,
            n_latent=n_latent,
            random_state=random_state,
            key_added=key_added,
            # Values of any type, which no file has to hold as such.
            **{name: json.dumps(values, default=repr) for name, values in settings.items()},
        ),
        "populations": _keys.string_array(one.population for one in found),
        "bins": np.array([one.number for one in found]),
        "n_cells": np.array([len(one.cells) for one in found]),
        "n_dead_units": np.array([int(fit.n_dead) for fit in fits]),
    }
    return adata if copy else None


def _digest(names: Any) -> str:
    return str(joblib.hash([str(name) for name in names]))


def _check(model_kwargs: Mapping[str, Any], n_latent: int, n_vars: int) -> None:
    known = set(inspect.signature(SIVAE.__init__).parameters) - _NOT_HERE
    if unknown := set(model_kwargs) - known:
        raise ValueError(
            f"model_kwargs has {', '.join(map(repr, sorted(unknown)))}; models of populations "
            f"take {', '.join(sorted(known))}. The number of units goes to n_latent=, and what is "
            "of the training to train_kwargs=."
        )
    if not 1 <= n_latent <= n_vars:
        raise ValueError(
            f"n_latent={n_latent}, but adata has {n_vars} genes; expected 1 to {n_vars} units."
        )


def _check_sizes(labels: pd.Categorical, population_key: str, n_cells_per_bin: int) -> None:
    if n_cells_per_bin < 3:
        raise ValueError(f"n_cells_per_bin={n_cells_per_bin}; a model needs 3 cells at least.")
    names = labels.categories.astype(str)
    if not names.is_unique:
        doubled = names[names.duplicated()][0]
        raise ValueError(
            f"Two populations of adata.obs[{population_key!r}] are written {doubled!r}, as a "
            "number and its text are; expected one name each. Make all of them text."
        )
    sizes = np.bincount(labels.codes[labels.codes >= 0], minlength=len(labels.categories))
    small = sizes < n_cells_per_bin
    if small.all():
        raise ValueError(
            f"None of the {len(sizes)} populations of adata.obs[{population_key!r}] has "
            f"n_cells_per_bin={n_cells_per_bin:,} cells; the largest, "
            f"{str(labels.categories[sizes.argmax()])!r}, has {sizes.max():,}. Pass fewer cells a "
            "bin."
        )
    if small.any():
        logger.warning(
            "%d of %d populations have fewer cells than a bin of %d and are left out: %s.",
            small.sum(),
            len(sizes),
            n_cells_per_bin,
            ", ".join(
                f"{str(name)!r} ({size})"
                for name, size in zip(labels.categories[small], sizes[small], strict=True)
            ),
        )
