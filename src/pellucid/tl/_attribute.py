from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from pellucid import _keys
from pellucid._compat import REGISTRY_KEYS
from pellucid._validate import check_same_genes, group_labels
from pellucid.attribution import encoder_of, sum_attributions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData
    from torch import Tensor

    from pellucid._compat import BaseModelClass

# Cells whose signals are held at once.
_CELLS = 1024


def attribute(
    adata: AnnData,
    model: BaseModelClass,
    *,
    method: Literal["guided_backprop", "saliency"] = "guided_backprop",
    side: Literal["encoder"] = "encoder",
    aggregate: Literal["mean_abs", "mean"] = "mean_abs",
    groupby: str | None = None,
    key_added: str = _keys.ATTRIBUTION,
    copy: bool = False,
) -> AnnData | None:
    """How strongly each gene moves each latent unit :cite:p:`Kinalis2019`.

    The gradient of every unit by every gene, in every cell, aggregated over cells. The gradient is
    taken by what the encoder reads: for :class:`~pellucid.model.OrthogonalAE` with
    `input_type="library_scaled"` and for scvi-tools' models that is log expression.

    Parameters
    ----------
    adata
        Cells to aggregate over, with the genes of the model's AnnData.
    model
        A trained model of :mod:`pellucid.model`, or a model of scvi-tools whose encoder reads
        genes alone (:class:`~scvi.model.SCVI`, :class:`~scvi.model.LinearSCVI`,
        :class:`~scvi.model.SCANVI`); of those the mean of the latent distribution is read.
    method
        ``'guided_backprop'``, the paper's: on its way down, the gradient that arrives at an
        activation is clipped at 0 from below before it is multiplied by the activation's slope.
        The activation of the code counts; the genes do not, and may be negative. ``'saliency'``:
        the gradient, without the clip.
    side
        ``'encoder'``: units by genes.
    aggregate
        ``'mean_abs'``, the paper's: mean over cells of the absolute value. ``'mean'``: signed.
    groupby
        Column of `adata.obs`; also aggregates over the cells of each group, in the same pass.
        Cells without a label count in the whole only.
    key_added
        Key under which the result is added.
    copy
        Whether to return a copy of `adata` rather than write to it.

    Returns
    -------
    `None`, or an AnnData if `copy=True`. Sets the following fields:

    `adata.varm[key_added]` : :class:`numpy.ndarray`, float32, shape `(n_vars, n_latent)`
        Aggregate over all cells.
    `adata.varm[f"{key_added}_{groupby}"]` : float32, shape `(n_vars, n_groups, n_latent)`
        Aggregate over the cells of each group, if `groupby` is given.
    `adata.uns[key_added]` : :class:`dict`
        `params`, `latent_names`, and with `groupby` `groups` and `group_sizes`.

    Raises
    ------
    ValueError
        If an argument is unknown or `adata` has other genes than the model.
    KeyError
        If `groupby` is not in `adata.obs`.
    TypeError
        If the model has no encoder that reads genes alone.

    Notes
    -----
    A stack of linear layers and elementwise activations is read by one chain of matrix products,
    and nothing of size cells x genes x units is held; any other encoder goes through autograd, one
    unit at a time, with the same result. captum's `GuidedBackprop` clips at ReLU only: on the
    SoftPlus of the paper it returns the plain gradient.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> model = pld.tl.orthogonal_ae(adata, n_latent=8, max_epochs=2)
    >>> pld.tl.attribute(adata, model, groupby="bulk_labels")
    >>> adata.varm["attribution"].shape
    (765, 8)
    """
    for name, value, known in (
        ("method", method, ("guided_backprop", "saliency")),
        ("side", side, ("encoder",)),
        ("aggregate", aggregate, ("mean_abs", "mean")),
    ):
        if value not in known:
            raise ValueError(f"{name}={value!r} is unknown; choose one of {known}.")
    check_same_genes(adata, model)
    encoder = encoder_of(model)
    if adata.n_obs == 0:
        raise ValueError("adata has no cells to aggregate over.")
    labels = None if groupby is None else group_labels(adata, groupby)
    codes = np.zeros(adata.n_obs, int) if labels is None else labels.codes
    model._check_if_trained(warn=True)
    validated = model._validate_anndata(adata)

    def batches(cells: np.ndarray) -> Iterator[Tensor]:
        for tensors in model._make_data_loader(validated, indices=cells, batch_size=_CELLS):
            yield encoder.read(tensors[REGISTRY_KEYS.X_KEY].to(model.device))

    # A model that was not trained yet stands in training mode: dropout would act.
    was_training = model.module.training
    model.module.eval()
    try:
        sums = {
            code: sum_attributions(
                encoder.network,
                batches(np.flatnonzero(codes == code)),
                guided=method == "guided_backprop",
                absolute=aggregate == "mean_abs",
            )
            for code in np.unique(codes)
        }
    finally:
        model.module.train(was_training)
    whole = sum(sums.values()) / adata.n_obs

    adata = adata.copy() if copy else adata
    record = {
        "params": _keys.record(
            "tl.attribute",
            model=model,
            method=method,
            side=side,
            aggregate=aggregate,
            groupby=groupby,
            key_added=key_added,
        ),
        "latent_names": _keys.latent_names(model, len(whole)),
    }
    adata.varm[key_added] = np.ascontiguousarray(whole.T, dtype=np.float32)
    if labels is not None and groupby is not None:
        sizes = np.bincount(codes[codes >= 0], minlength=len(labels.categories))
        groups = np.stack([sums[code] / size for code, size in enumerate(sizes)])
        adata.varm[_keys.grouped(key_added, groupby)] = np.ascontiguousarray(
            groups.transpose(2, 0, 1), dtype=np.float32
        )
        record["groups"] = _keys.string_array(labels.categories)
        record["group_sizes"] = sizes
    adata.uns[key_added] = record
    return adata if copy else None
