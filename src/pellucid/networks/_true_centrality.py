from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from scipy import sparse

from ._many_networks import predict_by_many, split_cells
from ._regression import explained_by_regression

if TYPE_CHECKING:
    from collections.abc import Sequence

# Weights of the networks that are trained at once. On a processor ten times as many took 1.7 times
# as long a gene.
_MOST_WEIGHTS = {"cpu": 5 * 10**6, "other": 5 * 10**7}


def true_centrality(
    x: Any,
    *,
    query: Sequence[int] | np.ndarray | None = None,
    method: Literal["regression", "network"] = "regression",
    held_out: float = 0.2,
    n_hidden: Sequence[int] = (128, 512, 1024),
    max_epochs: int = 40,
    learning_rate: float = 1e-3,
    batch_size: int = 512,
    device: str = "cpu",
    random_state: int = 0,
) -> np.ndarray:
    r"""How much of all other genes each gene explains: the yardstick of centralities in the paper.

    For a query gene q, the mean over all other genes g of
    :math:`1 - \mathrm{Var}(x_g - f_g(x_q)) / \mathrm{Var}(x_g)`.

    Parameters
    ----------
    x
        Cells x genes of log-normalised expression, an array or a sparse matrix.
    query
        Positions of the query genes; all if `None`.
    method
        * ``'network'`` - f is the paper's network of one input, three hidden layers and one output
          a gene, one for each query gene; on a GPU many are trained at once. Cells where a gene is
          0 pass through its network as one. Of 2,000 genes and cells each takes seconds of a
          processor, the more the fewer zeros it has.
        * ``'regression'`` - f is the regression on the one number that the network reads: a broken
          line of up to six knots, and a level of its own for each value, such as 0, that one in
          twenty cells has. Thousands of query genes take seconds.
    held_out
        Of the networks: share of the cells that they are measured on and not trained on. The paper
        measured on those that were trained on (0), where a network of millions of weights explains
        noise too, and more with every epoch. The regression is of all cells; of what it explains
        is subtracted what it would explain of a shuffled gene. That varies less from one draw of
        cells to the next: a fifth of PBMC3k's 2,700 cells is too few to rank genes by.
    n_hidden, max_epochs, learning_rate, batch_size
        Of the networks. The paper prints the widths alone. Adam at its usual rate; every network
        keeps the weights of its best epoch, on a tenth of the cells that are not measured on, or
        on all if none are held out.
    device
        Of the networks, such as `"cuda"`.
    random_state
        Seed of the split, the weights and the order of cells.

    Returns
    -------
    Mean explained variance of each query gene, float64. NaN of a gene that is constant in the
    cells that are fitted. Genes that are constant in the cells that are measured on are left out
    of the mean. Of 0 on average for a gene that explains no other, which may be below 0; above 0
    for networks that are measured on the cells they were trained on.
    """
    n_cells, n_genes = x.shape
    genes = np.arange(n_genes) if query is None else np.asarray(query, dtype=np.int64)
    if genes.ndim != 1 or not len(genes) or not ((genes >= 0) & (genes < n_genes)).all():
        raise ValueError(f"query must hold positions of genes from 0 to {n_genes - 1}.")
    if method == "regression":
        return explained_by_regression(x, genes)
    if method != "network":
        raise ValueError(f"method={method!r} is unknown; choose 'regression' or 'network'.")
    cells = split_cells(n_cells, held_out, random_state)
    dense = np.asarray(x.todense() if sparse.issparse(x) else x, dtype=np.float32)
    fitted = dense[cells[0]]
    deviation = fitted.std(axis=0)
    scaled = (dense - fitted.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    values = torch.from_numpy(np.ascontiguousarray(scaled)).to(device)
    widths = [1, *n_hidden, n_genes]
    n_weights = sum(a * b for a, b in pairwise(widths))
    most = _MOST_WEIGHTS["cpu" if values.device.type == "cpu" else "other"]
    n_rounds = min(len(genes), -(-len(genes) * n_weights // most))
    # Networks of one round are given as many rows as the one with the fewest zeros needs.
    order = np.argsort((dense != 0).sum(axis=0)[genes], kind="stable")
    result = np.empty(len(genes))
    for places in np.array_split(order, n_rounds):
        some = genes[places]
        predicted = predict_by_many(
            values[:, some].T[:, :, None],
            values[None],
            n_hidden=n_hidden,
            cells=cells,
            ignored=torch.from_numpy(some).to(device),
            max_epochs=max_epochs,
            learning_rate=learning_rate,
            batch_size=batch_size,
            random_state=random_state,
            same=torch.from_numpy(dense[:, some].T == 0).to(device),
        )
        measured = values[torch.from_numpy(cells[2]).to(device)]
        left = (measured - predicted).var(dim=1, correction=0).double()
        variance = measured.var(dim=0, correction=0).double()
        share = torch.where(variance > 0, 1 - left / variance, torch.nan)
        share[torch.arange(len(some)), torch.from_numpy(some)] = torch.nan
        result[places] = share.nanmean(dim=1).cpu().numpy()
    result[deviation[genes] == 0] = np.nan
    return result
