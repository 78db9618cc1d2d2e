"""Checks of what a user hands in, made before anything is registered, trained or written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

    import pandas as pd
    from anndata import AnnData

    from ._compat import BaseModelClass

_ROWS_AT_ONCE = 4096
# No logarithm of expression is larger.
_LARGEST_LOG = 20
# So many cells tell counts from log expression.
_ROWS_TO_TELL = 256


def expression_source(layer: str | None) -> str:
    """How a message names the matrix that was read."""
    return "adata.X" if layer is None else f"adata.layers[{layer!r}]"


def expression_matrix(adata: AnnData, layer: str | None) -> Any:
    """The matrix to model, in the form it came in (dense, sparse or on disk)."""
    if layer is not None and layer not in adata.layers:
        # anndata 0.13 lists X among the layers, under the key None.
        found = sorted(name for name in adata.layers if name is not None)
        raise KeyError(f"layer {layer!r} not found in adata.layers, which holds: {found}.")
    matrix = adata.X if layer is None else adata.layers[layer]
    if matrix is None:
        raise ValueError("adata.X is None; pass layer= to name the matrix to model.")
    return matrix


def check_writable(adata: AnnData, *, copy: bool) -> None:
    """Raise before any work if its result could not be written to `adata`, or to its copy.

    anndata copies a backed AnnData to a file alone, and a view of one where it is written to.
    """
    if adata.isbacked and (copy or adata.is_view):
        raise ValueError(
            "A backed AnnData cannot be copied, nor a view of one written to; use "
            "adata.to_memory() first, or copy=False on the whole."
        )


def check_finite(matrix: Any, source: str) -> np.ndarray:
    """The values of a matrix, once it is known that all are finite."""
    values = matrix.data if sparse.issparse(matrix) else np.asarray(matrix)
    if not np.isfinite(values).all():
        raise ValueError(
            f"{source} holds NaN or infinite values; remove those cells or genes, or fill the "
            "values, before modelling."
        )
    return values


def check_unique(names: pd.Index, what: str) -> None:
    """Raise if a gene name stands more than once."""
    if not names.is_unique:
        doubled = names[names.duplicated()].unique()
        raise ValueError(
            f"{len(doubled):,} gene names stand more than once in {what} (such as "
            f"{', '.join(map(repr, doubled[:3]))}). Make them unique, for example with "
            "adata.var_names_make_unique(), or sum their counts."
        )


def check_expression(
    adata: AnnData,
    layer: str | None = None,
    *,
    counts: bool = False,
    log: bool = False,
    scaled: bool = False,
) -> None:
    """Raise unless the expression matrix can be modelled.

    Parameters
    ----------
    adata
        Cells x genes.
    layer
        Layer to check; `adata.X` if `None`.
    counts
        Whether the values must be counts: whole numbers, of which at least one exceeds 0.
    log
        Whether they must be log expression: not whole numbers throughout, of which one is large.
    scaled
        Whether they may be negative, as scaled data are.
    """
    source = expression_source(layer)
    matrix = expression_matrix(adata, layer)
    if 0 in adata.shape:
        raise ValueError(f"{source} is empty: {adata.n_obs} cells x {adata.n_vars} genes.")
    check_unique(adata.var_names, "adata.var_names")
    largest, whole = -np.inf, True
    for block in row_blocks(matrix):
        values = check_finite(block, source)
        if not scaled and (values < 0).any():
            raise ValueError(
                f"{source} holds negative values (lowest {values.min():.3g}), as scaled data do; "
                "expression here must be non-negative. Pass layer= with counts or log data."
            )
        whole = whole and not (values != np.round(values)).any()
        if counts and not whole:
            found = values[values != np.round(values)][0]
            raise ValueError(
                f"{source} holds values that are not whole numbers (such as {found:.4g}), as log "
                "or normalised data do, but counts are due. Pass layer= to name the layer that "
                "holds the counts, or model log data (input_type='log' or likelihood='normal', "
                "whichever the model has)."
            )
        largest = max(largest, float(np.abs(values).max(initial=0)))
    if largest == 0:
        raise ValueError(f"{source} holds nothing but zeros.")
    if log and whole and largest > _LARGEST_LOG:
        raise ValueError(
            f"{source} holds whole numbers up to {largest:,.0f}, as counts are, but log "
            "expression is due. Normalise it (sc.pp.normalize_total, sc.pp.log1p), or choose the "
            "model's setting for counts (likelihood='nb')."
        )


def row_blocks(matrix: Any) -> Iterator[Any]:
    """The matrix as it is, or in blocks of rows where it is on disk."""
    if sparse.issparse(matrix) or isinstance(matrix, np.ndarray):
        yield matrix
    else:
        for start in range(0, matrix.shape[0], _ROWS_AT_ONCE):
            yield matrix[start : start + _ROWS_AT_ONCE]


def dense_expression(adata: AnnData, layer: str | None = None) -> np.ndarray:
    """The expression matrix as floating-point numbers, dense and in memory."""
    matrix = expression_matrix(adata, layer)
    blocks = [b.toarray() if sparse.issparse(b) else np.asarray(b) for b in row_blocks(matrix)]
    dense = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
    return dense if np.issubdtype(dense.dtype, np.floating) else dense.astype(np.float32)


def group_labels(adata: AnnData, groupby: str, *, argument: str = "groupby") -> pd.Categorical:
    """`adata.obs[groupby]` as a categorical, its unused categories removed."""
    if groupby not in adata.obs:
        raise KeyError(
            f"{argument}={groupby!r} not found in adata.obs, which holds: "
            f"{list(adata.obs.columns)}."
        )
    labels = adata.obs[groupby]
    if labels.isna().all():
        raise ValueError(f"adata.obs[{groupby!r}] holds no label: every value is missing.")
    return labels.astype("category").cat.remove_unused_categories().array


def check_same_genes(adata: AnnData, model: BaseModelClass) -> None:
    """Raise unless `adata` has the genes of the model's AnnData, in the same order."""
    check_genes(adata, model.get_var_names())


def check_genes(adata: AnnData, names: Any) -> None:
    """Raise unless `adata` has a model's genes, in the same order."""
    expected = np.asarray(names, dtype=str)
    found = np.asarray(adata.var_names, dtype=str)
    if np.array_equal(found, expected):
        return
    n_shared = np.isin(expected, found).sum()
    reordered = " in another order" if n_shared == found.size == expected.size else ""
    raise ValueError(
        f"adata has {found.size} genes, the model {expected.size}, of which {n_shared} are in "
        f"adata.var_names{reordered}. "
        "Bring adata to the model's genes with pellucid.pp.align_genes(adata, "
        "model.get_var_names())."
    )


def check_cells(adata: AnnData, model: BaseModelClass) -> None:
    """Raise unless a model can read these cells: its genes, and values as it was trained on."""
    check_same_genes(adata, model)
    if adata is model.adata:
        return
    if adata.n_obs == 0:
        raise ValueError("adata has no cells.")
    layer = model.adata_manager._get_setup_method_args()["setup_args"].get("layer")
    matrix = expression_matrix(adata, layer)
    for block in row_blocks(matrix):
        check_finite(block, expression_source(layer))
    found = value_kind(matrix)
    due = value_kind(expression_matrix(model.adata, layer))
    if {found, due} == {"counts", "log expression"}:
        raise ValueError(
            f"{expression_source(layer)} looks like {found}, but the model was trained on {due}; "
            f"put {due} in that place, which is where the model reads."
        )


def value_kind(matrix: Any) -> Literal["counts", "log expression"] | None:
    """What the values of the first cells look like, where that is plain."""
    head = matrix[:_ROWS_TO_TELL]
    values = head.data if sparse.issparse(head) else np.asarray(head)
    if not (values.size and (values >= 0).all()):
        return None
    if (values == np.round(values)).all():
        return "counts" if values.max() > 1 else None
    return "log expression" if values.max() <= _LARGEST_LOG else None
