from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from anndata import AnnData

from pellucid import _keys
from pellucid._validate import check_same_genes

if TYPE_CHECKING:
    from pellucid._compat import BaseModelClass


def sample_expression(
    adata: AnnData,
    model: BaseModelClass,
    *,
    n_cells: int | None = None,
    prior: bool = False,
    random_state: int = 0,
) -> AnnData:
    """Draw expression of new cells from a model :cite:p:`Choi2023`.

    What a generative model has learned of how genes vary together can be read of the cells that it
    draws, by any method that infers a network; see `sampled` of
    :func:`pellucid.tl.gene_neighbors`.

    Parameters
    ----------
    adata
        With the genes of the model's AnnData. It is not changed.
    model
        A trained :class:`~pellucid.model.SIVAE`.
    n_cells
        Number of cells; as many as `adata` has if `None`, as in the paper.
    prior
        Whether cells come from the standard normal prior. Else each is drawn from the posterior of
        a cell of the model's AnnData, so that populations are there in their shares.
    random_state
        Seed of the draws. The global generators are left as they were.

    Returns
    -------
    An AnnData of these cells with `adata.var`: expression in the unit of the model's data in `X`
    (log or scaled expression, or counts), and the arguments in `uns["sample_expression"]`.

    Raises
    ------
    TypeError
        If the model draws no expression.
    ValueError
        If `adata` has other genes than the model, or `n_cells` is below 1.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> model = pld.tl.sivae(adata, likelihood="nb", n_hidden=(32, 16), max_epochs=1)
    >>> pld.tl.sample_expression(adata, model, n_cells=200).shape
    (200, 765)
    """
    if not hasattr(model, "sample"):
        raise TypeError(
            f"{type(model).__name__} draws no expression: it gives each cell one reconstruction "
            "(get_reconstruction). pellucid.model.SIVAE is a generative model."
        )
    check_same_genes(adata, model)
    n_cells = adata.n_obs if n_cells is None else n_cells
    drawn = model.sample(n_cells, prior=prior, random_state=random_state)
    names = pd.Index([f"sampled_{cell}" for cell in range(n_cells)])
    record = _keys.record(
        "tl.sample_expression",
        model=model,
        n_cells=n_cells,
        prior=prior,
        random_state=random_state,
    )
    return AnnData(
        drawn,
        obs=pd.DataFrame(index=names),
        var=adata.var.copy(),
        uns={_keys.SAMPLE_EXPRESSION: {"params": record}},
    )
