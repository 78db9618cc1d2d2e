from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from pellucid import _keys
from pellucid._validate import check_writable, dense_expression, expression_source
from pellucid.compression import Original

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData


def reconstruction_metrics(
    adata: AnnData,
    reconstruction: str
    | Sequence[str]
    | np.ndarray
    | sparse.spmatrix
    | pd.DataFrame
    | Mapping[str, Any],
    *,
    layer: str | None = None,
    key_added: str = _keys.RECONSTRUCTION_METRICS,
    copy: bool = False,
) -> AnnData | None:
    r"""How well reconstructions agree with the expression they are of :cite:p:`Zhang2020`.

    Parameters
    ----------
    adata
        Cells x genes. To judge a model, pass cells that it was not trained on.
    reconstruction
        Name or names of layers, a matrix of cells x genes, or a mapping of names to matrices. A
        matrix is dense, sparse or a table, its cells and genes in the order of `adata`. Of a
        model: its `get_reconstruction`, or `decode` of its codes.
    layer
        Layer that holds the original; `adata.X` if `None`.
    key_added
        Key in `adata.uns`.
    copy
        Whether to return a copy of `adata` rather than write to it; not of a backed one.

    Returns
    -------
    `None`, or an AnnData if `copy=True`. Sets `adata.uns[key_added]`, a :class:`dict` of

    `results` : :class:`~pandas.DataFrame`
        A row for each `reconstruction`, by the name of its layer:

        * `pcc`, `spearman`: Pearson's (equation 5) and Spearman's correlation of the flattened
          matrices
        * `em`: Euclidean metric (equation 6), the Frobenius norm of the difference
        * `mae`: mean absolute error (equation 7)
        * `gene_pcc`: mean over genes of Pearson's correlation over cells
        * `cell_pcc`: mean over cells of Pearson's correlation over genes
    `params`
        The arguments.

    Raises
    ------
    KeyError
        If a layer is not in `adata`.
    ValueError
        If a reconstruction has another shape than the original, or either has values that are not
        finite. Nothing is written then.

    Notes
    -----
    The paper's three metrics are of the flattened matrix. Genes differ more than cells do, so that
    a model that rebuilds every cell as the genes' means has a high `pcc`. In `gene_pcc` it has 0:
    a gene whose reconstruction is constant counts 0 there, and one that is constant itself is left
    out; the same goes for cells.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> model = pld.tl.deep_ae(adata, depth=1, n_latent=10, max_epochs=2)
    >>> adata.layers["rebuilt"] = model.get_reconstruction(adata)
    >>> pld.tl.reconstruction_metrics(adata, "rebuilt")
    >>> pld.get.reconstruction_metrics(adata).shape
    (1, 7)
    """
    check_writable(adata, copy=copy)
    if isinstance(reconstruction, str):
        reconstruction = [reconstruction]
    if isinstance(reconstruction, np.ndarray | pd.DataFrame) or sparse.issparse(reconstruction):
        given: dict[str, Any] = {"reconstruction": reconstruction}
    elif isinstance(reconstruction, Mapping):
        given = dict(reconstruction)
    elif all(isinstance(name, str) for name in reconstruction):
        given = {name: dense_expression(adata, name) for name in reconstruction}
    else:
        raise TypeError(
            f"reconstruction is a {type(reconstruction).__name__}; expected names of layers, a "
            "matrix, or a mapping of names to matrices."
        )
    if not given:
        raise ValueError("No reconstruction; pass a layer's name or a matrix.")
    values = dense_expression(adata, layer)
    _check_finite(values, expression_source(layer))
    original = Original(values)
    rows = []
    for name, matrix in given.items():
        matrix = matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix)
        if matrix.shape != adata.shape:
            raise ValueError(
                f"reconstruction {name!r} has shape {matrix.shape}, adata {adata.shape}; they "
                "must have the same cells and genes."
            )
        _check_finite(matrix, f"reconstruction {name!r}")
        rows.append({"reconstruction": str(name), **original.compare(matrix)})

    adata = adata.copy() if copy else adata
    adata.uns[key_added] = {
        "params": _keys.record(
            "tl.reconstruction_metrics",
            reconstruction=[*map(str, given)],
            layer=layer,
            key_added=key_added,
        ),
        "results": pd.DataFrame(rows),
    }
    return adata if copy else None


def _check_finite(matrix: np.ndarray, what: str) -> None:
    if not np.isfinite(matrix).all():
        raise ValueError(f"{what} holds NaN or infinite values; expected finite ones.")
