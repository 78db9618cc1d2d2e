from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from pellucid.model import OrthogonalAE


def orthogonality(model: OrthogonalAE) -> pd.DataFrame:
    r"""How orthogonal the code became, epoch by epoch :cite:p:`Kinalis2019`.

    Parameters
    ----------
    model
        A trained :class:`~pellucid.model.OrthogonalAE`.

    Returns
    -------
    One row an epoch, with the columns

    `orthogonality_penalty`
        :math:`\lVert I - W W^T \rVert_F` at the end of the epoch.
    `representation_norm`
        L2 norm of the singular values of the representation of the training cells, each cell as it
        was encoded when its step was made. The squares of a matrix's singular values sum to the
        squares of its entries, so this is the Frobenius norm, and no decomposition is needed.

    Raises
    ------
    ValueError
        If the model has not been trained.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> model = pld.tl.orthogonal_ae(adata, n_latent=8, max_epochs=2)
    >>> pld.tl.orthogonality(model).shape
    (2, 2)
    """
    columns = ["orthogonality_penalty", "representation_norm"]
    history = model.history or {}
    missing = [name for name in columns if name not in history]
    if missing:
        raise ValueError(
            f"the model's history lacks {missing}; train an OrthogonalAE first (found a "
            f"{type(model).__name__} with: {sorted(history)})."
        )
    return pd.DataFrame({name: history[name].iloc[:, 0].astype(float) for name in columns})
