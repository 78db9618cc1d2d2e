from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import sparse

from pellucid._validate import expression_matrix, row_blocks

if TYPE_CHECKING:
    from anndata import AnnData

# Numbers of cells x genes that are dense at once.
_AT_ONCE = 2**23
# A gene varies by more than this share of its mean square, which is rounding.
_ROUNDING = 1e-10


class ReconstructedVariance(NamedTuple):
    """What share of each gene's variance a model reconstructs; NaN of a gene that is constant."""

    all_cells: np.ndarray
    held_out: np.ndarray
    """Of the cells that training did not see; NaN where there are none."""
    n_held_out: int


def reconstructed_variance(model: Any, adata: AnnData | None = None) -> ReconstructedVariance:
    r"""What share of each gene's variance over cells a model reconstructs.

    For log or scaled expression, :math:`1 - \mathrm{MSE}_g / \mathrm{Var}_g`: the paper's
    reconstruction error on genes of variance 1, less 1 and with its sign turned. Counts of cells
    and their reconstruction are divided by the cell's total, multiplied by the median total and
    made logarithms; since the logarithm of a mean lies above the mean of logarithms, errors are
    then taken less their mean over cells.

    Parameters
    ----------
    model
        A trained model that has `get_reconstruction`.
    adata
        Cells; those of the model if `None`. Held-out cells are told apart where these are the
        cells that it was trained with: their names and what the model reads of them.

    Returns
    -------
    Three fields; float64, one number a gene. Cells are read in blocks.
    """
    own = adata is None
    adata = model.adata if adata is None else adata
    layer = model.adata_manager._get_setup_method_args()["setup_args"]["layer"]
    matrix = expression_matrix(adata, layer)
    held_out = np.zeros(adata.n_obs, dtype=bool)
    own = own or adata is model.adata
    if own or adata.obs_names.equals(model.adata.obs_names):
        held_out[_held_out(model, adata.n_obs)] = True
    # Names alone do not tell: those that anndata gives are the same in all data.
    compared = None if own or not held_out.any() else expression_matrix(model.adata, layer)
    counts = model._log_setting is None
    reference = _median_total(matrix) if counts else 1.0
    sums = {name: np.zeros((4, adata.n_vars)) for name in ("all", "held out")}
    # Sums of squares are of what is left once the first block's mean is subtracted.
    shift: np.ndarray | None = None
    step = max(1, _AT_ONCE // max(adata.n_vars, 1))
    for start in range(0, adata.n_obs, step):
        rows = slice(start, min(start + step, adata.n_obs))
        x = _dense(matrix[rows])
        if compared is not None and not np.array_equal(x, _dense(compared[rows])):
            held_out[:], compared = False, None
            sums["held out"][:] = 0
        y = np.asarray(model.get_reconstruction(adata, range(rows.start, rows.stop)), np.float64)
        if counts:
            library = np.maximum(x.sum(axis=1, keepdims=True), 1)
            x, y = np.log1p(x * (reference / library)), np.log1p(y * (reference / library))
        shift = x.mean(axis=0) if shift is None else shift
        error, x = x - y, x - shift
        terms = (x, x * x, error, error * error)
        which = held_out[rows]
        sums["all"] += [term.sum(axis=0) for term in terms]
        sums["held out"] += [term[which].sum(axis=0) for term in terms]
    n_held_out = int(held_out.sum())
    least = _ROUNDING * (np.square(np.zeros(adata.n_vars) if shift is None else shift) + 1e-12)
    return ReconstructedVariance(
        _share(sums["all"], adata.n_obs, least, centred=counts),
        _share(sums["held out"], n_held_out, least, centred=counts),
        n_held_out,
    )


def _held_out(model: Any, n_obs: int) -> np.ndarray:
    """Positions of held-out cells; none if the model was trained with another number of cells."""
    found = [
        np.asarray([] if indices is None else indices, dtype=int)
        for indices in (
            getattr(model, f"{part}_indices", None) for part in ("train", "validation", "test")
        )
    ]
    if sum(map(len, found)) != n_obs:
        return found[0][:0]
    return np.concatenate(found[1:])


def _median_total(matrix: Any) -> float:
    totals = [np.asarray(block.sum(axis=1)).ravel() for block in row_blocks(matrix)]
    return float(np.median(np.concatenate(totals))) or 1.0


def _dense(block: Any) -> np.ndarray:
    dense = block.toarray() if sparse.issparse(block) else np.asarray(block)
    return dense.astype(np.float64)


def _share(sums: np.ndarray, n_cells: int, least: np.ndarray, *, centred: bool) -> np.ndarray:
    """One less the error's mean square, or its variance, over the variance."""
    if n_cells == 0:
        return np.full(sums.shape[1], np.nan)
    x, squares, error, squared_errors = sums / n_cells
    variance = squares - x * x
    unexplained = squared_errors - (error * error if centred else 0)
    varies = variance > least
    return 1 - np.divide(unexplained, variance, out=np.full_like(x, np.nan), where=varies)
