from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import numpy as np
import torch

from pellucid import _keys
from pellucid._validate import check_cells, check_writable, group_labels
from pellucid.attribution import (
    Aggregate,
    Attributor,
    Method,
    Side,
    aggregate_attributions,
    decoder_of,
    encoder_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData
    from torch import Tensor

    from pellucid._compat import BaseModelClass

# Cells whose signals are held at once.
_CELLS = 1024
# Cells that gradient SHAP draws its baselines from.
_BACKGROUND = 100


def attribute(
    adata: AnnData,
    model: BaseModelClass,
    *,
    method: Method = "guided_backprop",
    side: Side = "encoder",
    aggregate: Aggregate = "mean_abs",
    groupby: str | None = None,
    random_state: int = 0,
    key_added: str = _keys.ATTRIBUTION,
    copy: bool = False,
) -> AnnData | None:
    r"""How strongly each gene moves each latent unit, or each unit each gene.

    Kinalis et al. read the encoder by guided back-propagation :cite:p:`Kinalis2019`, Choi et al.
    the decoder by the whole family below :cite:p:`Choi2023`: with :math:`f` the network, x what it
    reads of a cell and b a baseline, the attribution of output o to input i is

    ======================== ==========================================================
    `saliency`               :math:`\partial f_o / \partial x_i`
    `guided_backprop`        the same, where the gradient that arrives at an activation is
                             clipped at 0 from below before it is multiplied by its slope
    `grad_x_input`           :math:`x_i \, \partial f_o / \partial x_i`
    `integrated_gradients`   :math:`(x_i - b_i) \int_0^1 \partial f_o / \partial x_i
                             \, (b + t (x - b)) \, dt`, in 50 steps by Gauss and Legendre
    `deep_lift`              :math:`x_i - b_i` times the gradient in which the slope of each
                             activation is that of its secant from b to x (rescale rule)
    `gradient_shap`          integrated gradients, where b is drawn from 100 cells of `adata`
                             and t evenly, 5 times a cell
    ======================== ==========================================================

    in every cell, aggregated over cells. The baseline of `integrated_gradients` and `deep_lift` is
    0 in what the network reads, so that attributions add up to :math:`f(x) - f(0)`.

    Parameters
    ----------
    adata
        Cells to aggregate over, with the genes of the model's AnnData.
    model
        A trained model of :mod:`pellucid.model`, or a model of scvi-tools built on its VAE
        (:class:`~scvi.model.SCVI`, :class:`~scvi.model.LinearSCVI`, :class:`~scvi.model.SCANVI`).
        Where the latent is a distribution its mean is read.
    method
        One of the table. With guided back-propagation the activation of a unit counts; genes have
        none, and may be negative.
    side
        ``'encoder'``: units as a function of genes, by what the encoder reads: for
        :class:`~pellucid.model.OrthogonalAE` with `input_type="library_scaled"` and for
        scvi-tools' models that is log expression. ``'decoder'``: genes as a function of units, at
        the unit values that the encoder gives each cell. Of scvi-tools' models and others that end
        in a softmax over genes the decoder is read below it: log expression, up to a constant of
        the cell. Covariates stay what they are in the cell, baselines included.
    aggregate
        ``'mean_abs'``, Kinalis et al.'s: mean over cells of the absolute value. ``'mean'``:
        signed. ``'pca'``, Choi et al.'s: of each unit, the first principal component of its
        attributions, cells x genes, centred over cells; of norm 1. Its sign, which is arbitrary,
        is chosen so that attribution rises along it with :math:`x - b`, and for `saliency` and
        `guided_backprop` so that its product with the mean attribution is positive. Where
        attributions do not differ between cells, as those of `saliency` of a linear decoder, it
        is the direction of their mean.
    groupby
        Column of `adata.obs`; also aggregates over the cells of each group. Cells without a label
        count in the whole only.
    random_state
        Seed of `gradient_shap`; nothing else is random.
    key_added
        Key under which the result is added.
    copy
        Whether to return a copy of `adata` rather than write to it; not of a backed one.

    Returns
    -------
    `None`, or an AnnData if `copy=True`. Sets the following fields:

    `adata.varm[key_added]` : :class:`numpy.ndarray`, float32, shape `(n_vars, n_latent)`
        Aggregate over all cells, genes x units for either side.
    `adata.varm[f"{key_added}_{groupby}"]` : float32, shape `(n_vars, n_groups, n_latent)`
        Aggregate over the cells of each group, if `groupby` is given.
    `adata.uns[key_added]` : :class:`dict`
        `params`, `latent_names`, and with `groupby` `groups` and `group_sizes`.

    Raises
    ------
    ValueError
        If an argument is unknown, `adata` has no cells or other genes than the model, or it holds
        log expression where the model was trained on counts or the reverse.
    KeyError
        If `groupby` is not in `adata.obs`, or the layer that the model reads not in `adata`.
    TypeError
        If the model has no encoder or decoder that can be read.

    Notes
    -----
    A stack of linear layers, batch normalisation and elementwise activations is read by one chain
    of matrix products, from a unit backwards through an encoder and forwards through a decoder,
    so that the cost of either is that of as many passes as there are units. Nothing of size cells
    x genes x units is held. Any other network goes through autograd one unit at a time, with the
    same result, and `deep_lift` of it through captum. Costs differ from `saliency`'s as follows:

    - `integrated_gradients` and `gradient_shap` take the slopes at 50 or 5 points, but the product
      with the weight of the genes only once where no activation follows it.
    - `guided_backprop` of a decoder with more than one layer of activations has to run backwards
      from each gene, in each cell: the clip of a forward pass does not exist. It costs up
      to n_vars / n_latent times `saliency`; so does `deep_lift` of a decoder that goes through
      captum. Pass some of the cells.
    - `aggregate="pca"` takes one pass where attributions are one product of signals and a weight,
      and about ten where genes are many and something comes after that product: the encoder's
      methods that multiply by the input, and decoders with an activation at their end.

    captum's `GuidedBackprop` clips at ReLU only: on the SoftPlus of Kinalis et al. it returns the
    plain gradient.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> model = pld.tl.orthogonal_ae(adata, n_latent=8, max_epochs=2)
    >>> pld.tl.attribute(adata, model, groupby="bulk_labels")
    >>> adata.varm["attribution"].shape
    (765, 8)

    The decoder, as Choi et al. read it:

    >>> pld.tl.attribute(adata, model, method="deep_lift", side="decoder", aggregate="pca")
    >>> bool(((adata.varm["attribution"] ** 2).sum(axis=0) < 1.0001).all())
    True
    """
    check_writable(adata, copy=copy)
    for name, value, known in (
        ("method", method, get_args(Method)),
        ("side", side, get_args(Side)),
        ("aggregate", aggregate, get_args(Aggregate)),
    ):
        if value not in known:
            raise ValueError(f"{name}={value!r} is unknown; choose one of {known}.")
    check_cells(adata, model)
    labels = None if groupby is None else group_labels(adata, groupby)
    codes = np.zeros(adata.n_obs, int) if labels is None else labels.codes
    # A model that was not trained yet stands in training mode: dropout would act.
    was_training = model.module.training
    model.module.eval()
    try:
        part = encoder_of(model) if side == "encoder" else decoder_of(model)
        model._check_if_trained(warn=True)
        validated = model._validate_anndata(adata)

        @torch.no_grad()
        def batches(cells: np.ndarray) -> Iterator[Tensor]:
            for tensors in model._make_data_loader(validated, indices=cells, batch_size=_CELLS):
                yield part.read({name: value.to(model.device) for name, value in tensors.items()})

        background = None
        if method == "gradient_shap":
            rng = np.random.default_rng(random_state)
            drawn = rng.choice(adata.n_obs, min(adata.n_obs, _BACKGROUND), replace=False)
            background = torch.cat([*batches(np.sort(drawn))])
        attributor = Attributor(
            part.network.eval(),
            method,
            side,
            n_read=part.n_read,
            background=background,
            random_state=random_state,
        )
        whole, groups = aggregate_attributions(attributor, batches, codes, aggregate=aggregate)
    finally:
        model.module.train(was_training)

    adata = adata.copy() if copy else adata
    record = {
        "params": _keys.record(
            "tl.attribute",
            model=model,
            method=method,
            side=side,
            aggregate=aggregate,
            groupby=groupby,
            random_state=random_state if method == "gradient_shap" else None,
            key_added=key_added,
        ),
        "latent_names": _keys.latent_names(model, len(whole)),
    }
    adata.varm[key_added] = np.ascontiguousarray(whole.T, dtype=np.float32)
    if labels is not None and groupby is not None:
        adata.varm[_keys.grouped(key_added, groupby)] = np.ascontiguousarray(
            groups.transpose(2, 0, 1), dtype=np.float32
        )
        record["groups"] = _keys.string_array(labels.categories)
        record["group_sizes"] = np.bincount(codes[codes >= 0])
    adata.uns[key_added] = record
    return adata if copy else None
