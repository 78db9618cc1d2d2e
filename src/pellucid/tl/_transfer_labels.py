from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score
from sklearn.neighbors import NearestNeighbors

from pellucid import _keys
from pellucid._validate import check_writable, group_labels

from ._common_space import common_space

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData

logger = logging.getLogger("pellucid")

_LISTED = 8


def transfer_labels(
    reference: AnnData,
    query: AnnData,
    *,
    labels_key: str,
    use_rep: str | Iterable[str] = "X",
    k: int | Iterable[int] = range(5, 26),
    layer: str | None = None,
    n_comps: int = 50,
    random_state: int = 0,
    prediction_key: str | None = None,
    key_added: str = _keys.TRANSFER_LABELS,
    copy: bool = False,
) -> AnnData | None:
    r"""How well one data set names the cells of another (Figs. 3 and 4 of :cite:p:`Kinalis2022`).

    A classifier by the `k` nearest neighbours (Euclidean, each with one vote) learns the labels of
    `reference` and names the cells of `query`, in one or several representations. It is scored
    on the cell types that both have. With `prediction_key`, the names are also written.

    Parameters
    ----------
    reference
        Labelled cells, to learn from. They are not changed.
    query
        Cells to name. Where they have labels of their own under `labels_key`, named alike, these
        tell how well it went.
    labels_key
        Column of `obs` that holds the labels, in both. Cells without a label are left out.
    use_rep
        One or several representations to find neighbours in. A key of `obsm` in both data sets,
        such as what :func:`pellucid.tl.latent` wrote **by one model** into each; `"X"` for all
        genes; `"pca"` for principal components of the reference's genes, onto which the query is
        projected.

        The floor of a trained encoder is one that was not trained: build the model, and write its
        representation under a name of its own, as the example does.
    k
        One or several numbers of neighbours. The default is the paper's.
    layer
        Layer that `"X"` and `"pca"` read; `X` if `None`. It should hold log-normalised
        expression: distances of counts are mostly those of sequencing depth.
    n_comps
        Number of components of `"pca"`, at most what the data allow. Take the model's `n_latent`
        to compare at equal size.
    random_state
        Seed of `"pca"`.
    prediction_key
        Column of `query.obs` to write the names of all its cells into, with one `use_rep` and one
        `k`. Here the classifier knows all types of the reference, shared or not, and `query` needs
        no labels. If it has some, this one score is written too: with another `key_added`
        earlier ones stay.
    key_added
        Key in `query.uns`.
    copy
        Whether to return a copy of `query` rather than write to it; not of a backed one.

    Returns
    -------
    `None`, or `query`'s copy if `copy=True`. Sets the following fields of `query`:

    `query.uns[key_added]` : :class:`dict`
        `results`, a :class:`~pandas.DataFrame` with one row for each representation, `k` and
        metric: `use_rep`, `k`, `metric`, `score` and `majority`, the score of naming every cell
        after the query's most abundant type. `types`, the labels that both have, and
        `n_reference` and `n_query`, their numbers of cells. `params`. Not written where `query`
        has no labels.
    `query.obs[prediction_key]` : categorical
        The label most neighbours have.
    `query.obs[prediction_key + "_confidence"]` : float
        The share of the neighbours that have it.

    Raises
    ------
    KeyError
        If a representation, the layer or `labels_key` is missing.
    ValueError
        If the two are one and the same, or share fewer than two labels, `k` exceeds the cells to
        learn from, genes or dimensions differ, values are not finite, or `prediction_key` is given
        with several `k` or representations or would overwrite labels. Nothing is written then.

    Notes
    -----
    Metrics: `accuracy`, the share of cells that are named rightly; `balanced_accuracy`, the mean
    over types of the share of a type's cells; `mean_f1`, the mean over types of

    .. math:: F_1 = \frac{2\,TP}{2\,TP + FP + FN}

    Where types differ in size, accuracy is mostly that of the largest one. Of two types that are
    equally frequent among the neighbours, the first in alphabetical order wins, as in
    :class:`sklearn.neighbors.KNeighborsClassifier`.

    `"X_pca"` as :func:`scanpy.pp.pca` writes it is of each data set alone, and its axes are others
    in each: it is refused where the two differ. Use `"pca"`.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> reference, query = adata[:400].copy(), adata[400:].copy()
    >>> model = pld.tl.orthogonal_ae(reference, n_latent=8, max_epochs=5)
    >>> pld.tl.latent(query, model)
    >>> untrained = pld.model.OrthogonalAE(reference, n_latent=8)
    >>> for cells in (reference, query):
    ...     pld.tl.latent(cells, untrained, key_added="X_untrained")
    >>> pld.tl.transfer_labels(
    ...     reference, query, labels_key="bulk_labels", use_rep=["X_orthogonal_ae", "X_untrained"]
    ... )
    >>> pld.get.transfer_labels(query).shape
    (126, 5)

    The names themselves:

    >>> pld.tl.transfer_labels(
    ...     reference,
    ...     query,
    ...     labels_key="bulk_labels",
    ...     use_rep="X_orthogonal_ae",
    ...     k=15,
    ...     prediction_key="predicted",
    ...     key_added="naming",
    ... )
    >>> bool(query.obs["predicted"].notna().all())
    True
    """
    check_writable(query, copy=copy)
    if reference is query:
        raise ValueError(
            "reference and query are the same AnnData, in which each cell is its own nearest "
            "neighbour; expected cells to learn from and others to name. Pass two parts of it, "
            "such as adata[known].copy() and adata[~known].copy()."
        )
    spaces = [use_rep] if isinstance(use_rep, str) else list(use_rep)
    numbers = _neighbours(k)
    if not spaces or len(set(spaces)) < len(spaces):
        raise ValueError(f"use_rep={spaces}; pass one or several different representations.")
    if prediction_key is not None and len(spaces) * len(numbers) > 1:
        raise ValueError(
            f"prediction_key={prediction_key!r} needs one use_rep and one k; found "
            f"{len(spaces)} and {len(numbers)}. Score several first, then choose."
        )
    labelled_query = labels_key in query.obs and query.obs[labels_key].notna().any()
    if prediction_key == labels_key and labelled_query:
        raise ValueError(
            f"prediction_key={prediction_key!r} would overwrite the labels of query; pass another."
        )
    known = _labels(reference, labels_key)
    scored = prediction_key is None or labelled_query
    true = _labels(query, labels_key) if scored else pd.Series(np.nan, index=query.obs_names)
    types = np.intersect1d(known.dropna(), true.dropna())
    if scored and len(types) < 2:
        raise ValueError(
            f"The data sets share {len(types)} labels under {labels_key!r}; two are due. "
            f"reference: {_listed(known)}. query: {_listed(true)}. Name the same types alike, for "
            "example with query.obs[labels_key].replace(...)."
        )
    shared_known, shared_true = (labels.isin(types).to_numpy() for labels in (known, true))
    labelled = known.notna().to_numpy()
    n_known = int((shared_known if scored else labelled).sum())
    if max(numbers) > n_known:
        raise ValueError(
            f"k={max(numbers)}, but reference has {n_known:,} cells to learn from; pass a "
            "smaller k."
        )

    options: dict[str, Any] = {"layer": layer, "n_comps": n_comps, "random_state": random_state}
    tables, predicted = [], None
    for space in spaces:
        learned, read = common_space(reference, query, space, **options)
        if scored:
            votes = _votes(
                learned[shared_known], known[shared_known], read[shared_true], types, numbers
            )
            tables.append(_scores(space, votes, true[shared_true].to_numpy(), types))
        if prediction_key is not None:
            everything = np.unique(known[labelled])
            predicted = next(_votes(learned[labelled], known[labelled], read, everything, numbers))

    query = query.copy() if copy else query
    if scored:
        query.uns[key_added] = {
            "params": _keys.record(
                "tl.transfer_labels",
                labels_key=labels_key,
                use_rep=spaces,
                k=np.array(numbers),
                prediction_key=prediction_key,
                key_added=key_added,
                **options,
            ),
            "results": pd.concat(tables, ignore_index=True),
            "types": _keys.string_array(types),
            "n_reference": known.value_counts().reindex(types).to_numpy(),
            "n_query": true.value_counts().reindex(types).to_numpy(),
        }
    if predicted is not None:
        number, share = predicted
        query.obs[prediction_key] = pd.Categorical.from_codes(share.argmax(axis=1), everything)
        query.obs[f"{prediction_key}_confidence"] = share.max(axis=1) / number
    return query if copy else None


def _neighbours(k: int | Iterable[int]) -> list[int]:
    numbers = list(k) if isinstance(k, Iterable) else [k]
    whole = [int(number) for number in numbers if number == int(number)]
    if not whole or len(whole) < len(numbers) or min(whole) < 1:
        raise ValueError(f"k={k!r}; pass one or several whole numbers from 1 on.")
    return sorted(set(whole))


def _labels(adata: AnnData, labels_key: str) -> pd.Series:
    """Labels of all cells as text; missing ones stay missing."""
    labels = group_labels(adata, labels_key, argument="labels_key")
    names = _keys.string_array(labels.categories).astype(object)
    return pd.Series(
        np.where(labels.codes >= 0, names[labels.codes], np.nan), index=adata.obs_names
    )


def _listed(labels: pd.Series) -> str:
    names = sorted(labels.dropna().unique())
    return ", ".join(map(repr, names[:_LISTED])) + (", ..." if len(names) > _LISTED else "")


def _votes(
    learned: np.ndarray | sparse.spmatrix,
    labels: pd.Series,
    read: np.ndarray | sparse.spmatrix,
    types: np.ndarray,
    numbers: list[int],
) -> Iterator[tuple[int, np.ndarray]]:
    """Each number of neighbours, and how many of them have each type, cells x types."""
    code = np.searchsorted(types, labels.to_numpy())
    search = NearestNeighbors(n_neighbors=max(numbers)).fit(learned)
    neighbours = code[search.kneighbors(read, return_distance=False)]
    cells = np.arange(len(neighbours))
    count = np.zeros((len(neighbours), len(types)))
    for place, their_type in enumerate(neighbours.T, start=1):
        count[cells, their_type] += 1
        if place in numbers:
            yield place, count


def _scores(
    space: str, votes: Iterator[tuple[int, np.ndarray]], true: np.ndarray, types: np.ndarray
) -> pd.DataFrame:
    """Every metric for each number of neighbours."""

    def measure(predicted: np.ndarray) -> dict[str, float]:
        return {
            "accuracy": accuracy_score(true, predicted),
            "balanced_accuracy": balanced_accuracy_score(true, predicted),
            "mean_f1": f1_score(true, predicted, average="macro", zero_division=0),
        }

    names, sizes = np.unique(true, return_counts=True)
    majority = measure(np.full_like(true, names[sizes.argmax()]))
    rows: list[dict[str, Any]] = [
        {
            "use_rep": space,
            "k": number,
            "metric": metric,
            "score": float(score),
            "majority": float(majority[metric]),
        }
        for number, count in votes
        for metric, score in measure(types[count.argmax(axis=1)]).items()
    ]
    return pd.DataFrame(rows)
