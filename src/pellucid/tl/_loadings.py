from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from pellucid import _keys
from pellucid._validate import check_same_genes

if TYPE_CHECKING:
    from anndata import AnnData

    from pellucid._compat import BaseModelClass


def loadings(
    adata: AnnData, model: BaseModelClass, *, key_added: str | None = None, copy: bool = False
) -> AnnData | None:
    """Write what each latent unit of a model with a linear decoder adds to each gene.

    Parameters
    ----------
    adata
        With the genes of the model's AnnData.
    model
        A trained model that has `get_loadings`: :class:`~pellucid.model.AnnotatedAE`, or
        :class:`scvi.model.LinearSCVI`.
    key_added
        Key under which the result is added; `"annotated_ae_loadings"` and the like if `None`.
    copy
        Whether to return a copy of `adata` rather than write to it.

    Returns
    -------
    `None`, or an AnnData if `copy=True`. Sets the following fields:

    `adata.varm[key_added]` : :class:`numpy.ndarray`, float32, shape `(n_vars, n_latent)`
        Loadings: what a score of 1 adds to each gene. Zeros are exact.
    `adata.varm[f"{key_added}_annotated"]` : :class:`scipy.sparse.csr_matrix`, bool, the same shape
        Whether the gene stands in the factor's set; for :class:`~pellucid.model.AnnotatedAE`.
    `adata.uns[key_added]` : :class:`dict`
        `params`, `latent_names`, and `kinds`, those of :class:`~pellucid.model.AnnotatedAE`'s
        factors.

    Raises
    ------
    TypeError
        If the model's decoder is not linear, so that it has no loadings.
    ValueError
        If `adata` has other genes than the model.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> pld.pp.add_gene_sets(adata, pld.datasets.blood_markers())
    >>> model = pld.tl.annotated_ae(adata, likelihood="nb", max_epochs=2)
    >>> pld.tl.loadings(adata, model)
    >>> adata.varm["annotated_ae_loadings"].shape
    (765, 21)
    """
    if not hasattr(model, "get_loadings"):
        raise TypeError(
            f"{type(model).__name__} has no loadings: its decoder is not linear. "
            "tl.attribute(adata, model) tells which genes its units read."
        )
    check_same_genes(adata, model)
    values = np.asarray(model.get_loadings(), dtype=np.float32)
    adata = adata.copy() if copy else adata
    key = _keys.loadings(model) if key_added is None else key_added
    adata.varm[key] = values
    adata.uns[key] = {
        "params": _keys.record("tl.loadings", model=model, key_added=key),
        "latent_names": _keys.latent_names(model, values.shape[1]),
    }
    if hasattr(model, "factor_kinds"):
        in_set = model.module.in_set.cpu().numpy()
        adata.varm[_keys.annotated(key)] = sparse.csr_matrix(in_set.T)
        adata.uns[key]["kinds"] = model.factor_kinds
    return adata if copy else None
