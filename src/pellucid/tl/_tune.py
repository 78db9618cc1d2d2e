from __future__ import annotations

import hashlib
import inspect
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import sparse

from pellucid import _keys
from pellucid._validate import expression_matrix
from pellucid.model._base import BaseAutoencoder
from pellucid.model._factors import factor_sets

from ._fit import undone_on_failure
from ._search import Job, Study, distributions, import_tune, run_trials, trial
from ._search_space import check_names, checked_space

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData

_ROWS_AT_ONCE = 4096


def tune(
    adata: AnnData,
    model_cls: type[BaseAutoencoder],
    *,
    search_space: Mapping[str, Any] | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
    train_kwargs: Mapping[str, Any] | None = None,
    sampler: Literal["gp", "tpe"] = "gp",
    n_trials: int = 40,
    max_epochs: int = 100,
    refit_epochs: int = 400,
    train_size: float = 0.95,
    resources: Mapping[str, float] | None = None,
    folder: str | Path | None = None,
    random_state: int = 0,
    key_added: str = _keys.TUNE,
) -> BaseAutoencoder:
    """Search a model's settings for the least loss of held-out cells :cite:p:`Kinalis2022`.

    The paper's search: 40 trials of 100 epochs on 95% of the cells, each judged by the
    reconstruction loss of the other 5%, the next settings proposed by a Gaussian process and
    expected improvement; the best settings are then trained for 400 epochs more. Ray Tune runs
    the trials, in processes of their own, and prints a table of how they go on; Optuna proposes
    them. Both come with the extra ``pellucid[tune]``.

    Parameters
    ----------
    adata
        Cells, registered by `model_cls.setup_anndata`.
    model_cls
        A class of :mod:`pellucid.model`.
    search_space
        What to vary: `"model_kwargs"`, a mapping of arguments of the class, and
        `"train_kwargs"`, one of arguments of its `train` (which may hold `"plan_kwargs"`), each
        to a domain of Ray Tune: `ray.tune.loguniform(1e-4, 1e-2)`, `ray.tune.randint(35, 76)`
        (the last value excluded) or `ray.tune.choice([16, 32])`. `None` for the ranges that the
        model's paper prints:

        * :class:`~pellucid.model.OrthogonalAE` (the "simple model" of :cite:p:`Kinalis2022`):
          `lr` from 1e-5 to 1e-3 and `orthogonality_weight` from 1e-25 to 1e-5, both by their
          logarithm, `n_hidden` from 50 to 140, `n_latent` from 35 to 75. The "complex model" has
          `l1_weight` and `weight_decay` from 1e-25 to 1e-5 besides.
        * :class:`~pellucid.model.SIVAE` (:cite:p:`Choi2023`): `lr` of 1e-4, 1e-3 or 1e-2,
          `weight_decay` of 1e-3 or 1e-2, `n_latent` of 16, 32 or 64.
    model_kwargs, train_kwargs
        Arguments that are the same in all trials, such as those of
        :meth:`~pellucid.model.OrthogonalAE.preset`. `max_epochs` and `train_size` here give way
        to this function's.
    sampler
        `"gp"`, a Gaussian process with (the logarithm of) expected improvement, or `"tpe"`, the
        tree-structured Parzen estimator, which is quicker where trials are many.
    n_trials
        Number of trials, those of an earlier call in the same `folder` included.
    max_epochs
        Epochs of a trial at most.
    refit_epochs
        Epochs that the best settings are trained beyond those. As all trials have one seed, that
        is as if the best trial went on.
    train_size
        Share of the cells to train on.
    resources
        What a trial takes; as many run at a time as fit. `{"cpu": 1}` if `None`;
        `{"cpu": 1, "gpu": 0.5}` puts two on a GPU. To run on a cluster, call `ray.init` with its
        address before, or set the variable `RAY_ADDRESS`; `folder` must then be seen by all of
        its machines.
    folder
        Where trials are kept. A call that was cut off goes on where it was when it is made again
        with the same folder, data and arguments: what ended, well or not, is not repeated, what
        was running is run again. `None` for a temporary one.
    random_state
        Seed of the weights, the split, the order of cells and the proposals. Where trials run side
        by side, proposals depend on which of them ends first.
    key_added
        Key in `adata.uns`.

    Returns
    -------
    The model of the best settings, trained on `adata`. Sets `adata.uns[key_added]`, a
    :class:`dict` of

    `results` : :class:`~pandas.DataFrame`
        One row a trial, in the order of proposal: `trial`, `status` (`"complete"` or `"failed"`),
        `loss` of the held-out cells (NaN if failed, infinite if it diverged), `seconds` from
        proposal to end, and a column for each setting, as text if its choices are of several
        types.
    `settings`
        Names of these columns.
    `logarithmic`
        Whether each was searched by its logarithm.
    `params`
        The arguments.

    Raises
    ------
    ImportError
        If Ray or Optuna is not installed.
    TypeError
        If `model_cls` is no model of this package, or arguments are not given by their names.
    ValueError
        If `adata` is not registered, the model, its `train` or its training plan lacks an argument
        that is given, `search_space` is empty, varies `loss`, `max_epochs` or `train_size`, or is
        not given where no paper has one, or `folder` holds a search of other data or arguments.
    RuntimeError
        If every trial failed or diverged, or the search was stopped before it had `n_trials`.

    Notes
    -----
    The loss is the reconstruction's alone, so that weights of penalties can be compared; of a
    search over them expect the weakest, unless they help to fit held-out cells. Losses of data
    read in other ways (`input_type`, `likelihood`) are on other scales: do not search over these.

    A trial costs what a training of `max_epochs` costs, so time one before you ask for forty. Ray
    starts workers that import all of this once, which takes some ten seconds.

    Examples
    --------
    The paper's ranges, in a folder, so that a search that is cut off can go on:

    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> pld.model.OrthogonalAE.setup_anndata(adata)
    >>> model = pld.tl.tune(  # doctest: +SKIP
    ...     adata, pld.model.OrthogonalAE, folder="tuning", n_trials=20
    ... )
    >>> pld.get.tune(adata).nsmallest(3, "loss")  # doctest: +SKIP

    Ranges of your own, a few short trials, and what is the same in all of them:

    >>> from ray import tune  # doctest: +SKIP
    >>> model = pld.tl.tune(  # doctest: +SKIP
    ...     adata,
    ...     pld.model.OrthogonalAE,
    ...     search_space={
    ...         "model_kwargs": {"n_latent": tune.randint(8, 33)},
    ...         "train_kwargs": {"plan_kwargs": {"lr": tune.loguniform(1e-4, 1e-2)}},
    ...     },
    ...     model_kwargs={"dropout_rate": 0.0},
    ...     n_trials=6,
    ...     max_epochs=20,
    ...     refit_epochs=40,
    ... )
    >>> pld.pl.tune(adata)  # doctest: +SKIP
    """
    if not (isinstance(model_cls, type) and issubclass(model_cls, BaseAutoencoder)):
        raise TypeError(f"model_cls={model_cls!r}; expected a class of pellucid.model.")
    if sampler not in ("gp", "tpe"):
        raise ValueError(f"sampler={sampler!r} is unknown; choose 'gp' or 'tpe'.")
    if n_trials < 1:
        raise ValueError(f"n_trials={n_trials}; at least 1 is due.")
    import_tune()
    manager = model_cls._get_most_recent_anndata_manager(adata)
    if manager is None:
        raise ValueError(
            f"adata is not registered; call {model_cls.__name__}.setup_anndata(adata) first."
        )
    space = checked_space(model_cls, search_space)
    # Other arguments of training may be for the Trainer, which says itself what it lacks.
    plan_kwargs = (train_kwargs or {}).get("plan_kwargs") or {}
    check_names(
        model_cls,
        {"model_kwargs": model_kwargs or {}, "train_kwargs": {"plan_kwargs": plan_kwargs}},
    )
    fixed = dict(train_kwargs or {}) | {"train_size": train_size}
    job = Job(
        model_cls,
        dict(manager._get_setup_method_args()["setup_args"]),
        dict(model_kwargs or {}),
        {"enable_progress_bar": False, **fixed},
        random_state,
    )
    found = distributions(space)
    paths = sorted(found)
    about = {
        "model": model_cls.__name__,
        "search space": {path: repr(found[path]) for path in paths},
        "fixed arguments": [repr(job.model_kwargs), repr(fixed), repr(job.setup_kwargs)],
        "max_epochs": max_epochs,
        "random_state": random_state,
        "data": [*adata.shape, _digest(adata, job)],
    }
    with undone_on_failure(adata), TemporaryDirectory() as temporary:
        study = Study(Path(temporary if folder is None else folder), about)
        if len(study.done()) < n_trials:
            run_trials(
                study,
                trial,
                n_trials,
                space=space,
                sampler=sampler,
                resources={"cpu": 1} if resources is None else resources,
                random_state=random_state,
                job=job,
                adata=adata.to_memory() if adata.isbacked else adata,
                max_epochs=max_epochs,
            )
        table = study.table(paths)
        if len(table) < n_trials:
            raise RuntimeError(
                f"The search stopped after {len(table)} of {n_trials} trials; call again with the "
                "same folder to go on."
            )
        if not np.isfinite(table["loss"]).any():
            failed = table["status"] == "failed"
            by = f", the first by {study.error}" if failed.any() else ""
            raise RuntimeError(
                f"All {len(table)} trials failed or diverged ({failed.sum()} failed{by}). Change "
                "the ranges, or what all trials share in model_kwargs and train_kwargs"
                + ("." if folder is None else f", and the folder: {folder} holds these as done.")
            )
        model = job.fit(adata, study.best(), max_epochs + refit_epochs)
    adata.uns[key_added] = {
        "params": _keys.record(
            "tl.tune",
            model=model,
            sampler=sampler,
            n_trials=n_trials,
            max_epochs=max_epochs,
            refit_epochs=refit_epochs,
            train_size=train_size,
            random_state=random_state,
            key_added=key_added,
        ),
        "results": table,
        "settings": _keys.string_array(path.rpartition("/")[2] for path in paths),
        "logarithmic": np.array([getattr(found[path], "log", False) for path in paths]),
    }
    return model


def _digest(adata: AnnData, job: Job) -> str:
    """What trials read of the data, as one number."""
    arguments = job.setup_kwargs | job.model_kwargs
    matrix = expression_matrix(adata, arguments["layer"])
    digest = hashlib.sha256()
    for start in range(0, adata.n_obs, _ROWS_AT_ONCE):
        # The same values are the same data, be they dense, sparse or on disk, of whichever type.
        block = sparse.csr_matrix(matrix[start : start + _ROWS_AT_ONCE], copy=True)
        block.sum_duplicates()
        block.eliminate_zeros()
        for part in (block.indptr, block.indices, block.data):
            digest.update(part.astype(np.float64).tobytes())
    read = [adata.var_names]
    for name, value in arguments.items():
        if name.endswith(("_key", "_keys")):
            columns = [value] if isinstance(value, str) else value or []
            read += [adata.obs[column] for column in columns if column in adata.obs]
    digest.update(json.dumps([[*map(str, values)] for values in read]).encode())
    known = inspect.signature(job.model_cls.__init__).parameters
    if "gene_sets" in known:
        sets = factor_sets(adata, arguments.get("gene_sets", known["gene_sets"].default))
        digest.update(json.dumps(sets).encode())
    return digest.hexdigest()
