"""What a model needs to meet cells that it was not trained on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from pellucid._compat import (
    SETUP_ARGS_KEY,
    get_loaded_data,
    initialize_model,
)
from pellucid._validate import check_genes

from ._covariates import known_levels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    from anndata import AnnData
    from torch import Tensor

    from pellucid.module._transferable import Transferable


def with_new_levels(
    state: dict[str, Tensor],
    reading: Mapping[str, int],
    before: Sequence[int],
    after: Sequence[int],
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Weights for more levels of the covariates; a new one starts as the mean of the old.

    Parameters
    ----------
    state
        Weights of the trained module.
    reading
        Those whose last columns read covariates, and the first of these columns.
    before, after
        Levels of each categorical covariate, the new ones last.

    Returns
    -------
    The weights, and which columns of those that read covariates are new.
    """
    state, new = dict(state), {}
    for key, start in reading.items():
        weight = state[key]
        parts, is_new = [weight[:, :start]], [False] * start
        for n_before, n_after in zip(before, after, strict=True):
            known = weight[:, start : start + n_before]
            parts += [known, known.mean(1, keepdim=True).expand(-1, n_after - n_before)]
            is_new += [False] * n_before + [True] * (n_after - n_before)
            start += n_before
        parts.append(weight[:, start:])
        is_new += [False] * parts[-1].shape[1]
        state[key], new[key] = torch.cat(parts, dim=1), torch.tensor(is_new)
    return state, new


def freeze(module: Transferable, new: Mapping[str, Tensor]) -> None:
    """Leave to training the encoder, its norms apart, and the effects of new levels."""
    trainable = {id(weight) for weight in module.encoding_parameters()}
    for name, weight in module.named_parameters():
        if id(weight) in trainable:
            continue
        if name in new and new[name].any():
            columns = new[name]
            weight.register_hook(
                lambda gradient, columns=columns: gradient * columns.to(gradient.device)
            )
        else:
            weight.requires_grad_(False)
    module.hold_norms()


class QueryMixin:
    """Loading a trained model for cells that it has not seen."""

    @classmethod
    def load_query_data(
        cls,
        adata: AnnData,
        reference_model: Self | str | Path,
        *,
        unfrozen: bool = False,
    ) -> Self:
        """Make a trained model ready for cells that it has not seen.

        :meth:`get_latent_representation` of what is returned projects the cells without training.
        :meth:`train` fine-tunes it: the encoder learns the new cells, and new levels of the
        categorical covariates, such as a batch, get effects of their own. The loadings, the
        decoder, the effects of known levels and the norms of the encoder stay as they are, so that
        units and the size of their scores keep their meaning.

        Parameters
        ----------
        adata
            New cells, with the genes of the reference's AnnData and the same layer and covariates.
        reference_model
            A trained model, or the folder in which one was saved.
        unfrozen
            Whether training may change everything.

        Returns
        -------
        A model of `adata`, with the reference's weights. A new level starts with the mean effect
        of the known ones.

        Raises
        ------
        ValueError
            If `adata` has other genes, or its expression cannot be modelled.
        KeyError
            If `adata` lacks the layer or a covariate.

        Examples
        --------
        >>> import pellucid as pld
        >>> adata = pld.datasets.pbmc68k_reduced()
        >>> pld.pp.add_gene_sets(adata, pld.datasets.blood_markers())
        >>> known, new = adata[:600].copy(), adata[600:].copy()
        >>> model = pld.tl.annotated_ae(known, likelihood="nb", max_epochs=2)
        >>> query = pld.model.AnnotatedAE.load_query_data(new, model)
        >>> query.get_latent_representation().shape
        (100, 21)
        """
        if isinstance(reference_model, Path):
            reference_model = str(reference_model)
        attributes, genes, state, _ = get_loaded_data(reference_model, device="cpu")
        check_genes(adata, genes)
        registry = attributes.pop("registry_")
        cls.setup_anndata(  # type: ignore[attr-defined]  # of the class beside this mixin
            adata, source_registry=registry, extend_categories=True, **registry[SETUP_ARGS_KEY]
        )
        model = initialize_model(cls, adata, registry, attributes, None)
        before = [len(levels) for levels in known_levels(registry).values()]
        reading = model.module.covariate_weights
        state, new = with_new_levels(state, reading, before, model._n_categories)
        model.module.load_state_dict(state)
        if not unfrozen:
            freeze(model.module, new)
        model.is_trained_ = True
        return model
