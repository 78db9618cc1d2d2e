from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from pellucid import _keys
from pellucid._validate import check_same_genes, check_writable
from pellucid.model import SIVAE

if TYPE_CHECKING:
    from anndata import AnnData

    from pellucid._compat import BaseModelClass


def loadings(
    adata: AnnData,
    model: BaseModelClass,
    *,
    layer: int = 1,
    key_added: str | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Write the loadings of each gene on a model's latent units.

    Of a linear decoder, what each unit adds to each gene. Of :class:`~pellucid.model.SIVAE`,
    where each gene lies in the space of the cells' scores. Of :class:`~pellucid.model.DeepAE`,
    the product of the encoder's weights from each gene to each unit.

    Parameters
    ----------
    adata
        With the genes of the model's AnnData.
    model
        A trained model that has `get_loadings`: :class:`~pellucid.model.AnnotatedAE`,
        :class:`~pellucid.model.SIVAE`, :class:`~pellucid.model.DeepAE` or
        :class:`scvi.model.LinearSCVI`.
    layer
        Hidden layer of the genes' decoder, for :class:`~pellucid.model.SIVAE` alone; 1 is the
        embedding. See :meth:`~pellucid.model.SIVAE.get_loadings`.
    key_added
        Key under which the result is added; `"annotated_ae_loadings"`, `"sivae_loadings"` and the
        like if `None`, followed by the layer if that is not 1.
    copy
        Whether to return a copy of `adata` rather than write to it; not of a backed one.

    Returns
    -------
    `None`, or an AnnData if `copy=True`. Sets the following fields:

    `adata.varm[key_added]` : :class:`numpy.ndarray`, float32, shape `(n_vars, n_latent)`
        Loadings: what a score of 1 adds to each gene; of :class:`~pellucid.model.DeepAE`, what
        each gene would add to a score, were all slopes of the encoder 1. Zeros are exact. (For a
        hidden layer: its width in place of `n_latent`.)
    `adata.varm[f"{key_added}_annotated"]` : :class:`scipy.sparse.csr_matrix`, bool, the same shape
        Whether the gene stands in the factor's set; for :class:`~pellucid.model.AnnotatedAE`.
    `adata.uns[key_added]` : :class:`dict`
        `params`, `latent_names`, and `kinds`, those of :class:`~pellucid.model.AnnotatedAE`'s
        factors.

    Raises
    ------
    TypeError
        If the model has no loadings, or none of hidden layers.
    ValueError
        If `adata` has other genes than the model, or the model has no such layer.

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
    check_writable(adata, copy=copy)
    if not hasattr(model, "get_loadings"):
        raise TypeError(
            f"{type(model).__name__} has no loadings: its decoder is not linear. "
            "tl.attribute(adata, model) tells which genes its units read."
        )
    check_same_genes(adata, model)
    if layer == 1:
        table = model.get_loadings()
    elif isinstance(model, SIVAE):
        table = model.get_loadings(layer)
    else:
        raise TypeError(
            f"layer={layer}: the loadings of {type(model).__name__} have one layer; only SIVAE "
            "embeds genes in more."
        )
    values = np.asarray(table, dtype=np.float32)
    adata = adata.copy() if copy else adata
    key = key_added
    if key is None:
        key = _keys.loadings(model) + (f"_{layer}" if layer > 1 else "")
    adata.varm[key] = values
    adata.uns[key] = {
        "params": _keys.record("tl.loadings", model=model, layer=layer, key_added=key),
        "latent_names": _keys.string_array(table.columns),
    }
    if hasattr(model, "factor_kinds"):
        in_set = model.module.in_set.cpu().numpy()
        adata.varm[_keys.annotated(key)] = sparse.csr_matrix(in_set.T)
        adata.uns[key]["kinds"] = model.factor_kinds
    return adata if copy else None
