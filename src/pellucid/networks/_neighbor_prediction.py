from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import sparse

from ._many_networks import predict_by_many, split_cells

if TYPE_CHECKING:
    from collections.abc import Sequence

# Numbers that the networks of one round read.
_MOST_NUMBERS = 5 * 10**7


def neighbor_prediction(
    x: Any,
    neighbors: np.ndarray,
    *,
    query: Sequence[int] | np.ndarray | None = None,
    held_out: float = 0.2,
    n_hidden: Sequence[int] = (16, 8, 4),
    max_epochs: int = 60,
    learning_rate: float = 1e-2,
    batch_size: int = 128,
    device: str = "cpu",
    random_state: int = 0,
) -> np.ndarray:
    r"""How much of a gene's variance its neighbours explain: the paper's yardstick of neighbours.

    The expression of the neighbours enters a network of three hidden layers, one for each query
    gene, and all are trained at once.

    Parameters
    ----------
    x
        Cells x genes of log-normalised expression, an array or a sparse matrix.
    neighbors
        Positions of each query gene's neighbours, query genes x neighbours; -1 where a gene has
        fewer.
    query
        Positions of the query genes, in the order of `neighbors`; all genes if `None`.
    held_out
        Share of the cells that are measured on and not trained on. The paper does not say on which
        it measured; 0 measures on those that were trained on.
    n_hidden, max_epochs, learning_rate, batch_size
        Of the networks. The paper prints the widths alone. Every network keeps the weights of its
        best epoch on a tenth of the cells that are not measured on.
    device
        Of the networks, such as `"cuda"`.
    random_state
        Seed of the split, the weights and the order of cells.

    Returns
    -------
    Share of each query gene's variance, :math:`1 - \mathrm{Var}(x_q - f(x)) / \mathrm{Var}(x_q)`,
    float64. NaN of a gene that is constant in the cells that are measured on.
    """
    n_cells, n_genes = x.shape
    genes = np.arange(n_genes) if query is None else np.asarray(query, dtype=np.int64)
    neighbors = np.asarray(neighbors, dtype=np.int64)
    if neighbors.ndim != 2 or len(neighbors) != len(genes):
        raise ValueError(
            f"neighbors has shape {neighbors.shape}, but there are {len(genes)} query genes; "
            "expected a row for each of them."
        )
    if neighbors.min() < -1 or neighbors.max() >= n_genes or (neighbors == genes[:, None]).any():
        raise ValueError(
            f"neighbors must hold positions of other genes, from 0 to {n_genes - 1}, or -1."
        )
    cells = split_cells(n_cells, held_out, random_state)
    dense = np.asarray(x.todense() if sparse.issparse(x) else x, dtype=np.float32)
    fitted = dense[cells[0]]
    deviation = fitted.std(axis=0)
    scaled = (dense - fitted.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    # A neighbour that is missing is a gene that never varies.
    values = torch.from_numpy(np.hstack([scaled, np.zeros_like(scaled[:, :1])]).T.copy())
    values = values.to(device)
    n_rounds = -(-neighbors.size * n_cells // _MOST_NUMBERS)
    found = []
    for part in np.array_split(np.arange(len(genes)), n_rounds):
        read = torch.from_numpy(neighbors[part]).to(device)
        target = values[torch.from_numpy(genes[part]).to(device)][:, :, None]
        predicted = predict_by_many(
            values[read].transpose(1, 2).contiguous(),
            target,
            n_hidden=n_hidden,
            cells=cells,
            ignored=None,
            max_epochs=max_epochs,
            learning_rate=learning_rate,
            batch_size=batch_size,
            random_state=random_state,
        )
        measured = target[:, torch.from_numpy(cells[2]).to(device)]
        left = (measured - predicted).var(dim=(1, 2), correction=0).double()
        variance = measured.var(dim=(1, 2), correction=0).double()
        found.append(torch.where(variance > 0, 1 - left / variance, torch.nan).cpu().numpy())
    return np.concatenate(found)
