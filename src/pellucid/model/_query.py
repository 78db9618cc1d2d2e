"""What a model needs to meet cells that it was not trained on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from pellucid._compat import (
    REGISTRY_KEYS,
    SETUP_ARGS_KEY,
    get_loaded_data,
    initialize_model,
)
from pellucid._validate import check_genes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from anndata import AnnData
    from torch import Tensor

    from pellucid.module import AnnotatedAEModule

_COVARIATE_WEIGHTS = ("covariate_decoder.weight", "covariate_decoder.0.weight")


def known_levels(registry: dict[str, Any]) -> dict[str, Any]:
    """Levels of each categorical covariate that a registry knows."""
    fields = registry["field_registries"][REGISTRY_KEYS.CAT_COVS_KEY]
    return fields["state_registry"].get("mappings", {})


def with_new_levels(
    state: dict[str, Tensor], before: Sequence[int], after: Sequence[int]
) -> tuple[dict[str, Tensor], Tensor]:
    """Weights for more levels of the covariates; a new one starts as the mean of the old.

    Parameters
    ----------
    state
        Weights of the trained module.
    before, after
        Levels of each categorical covariate, the new ones last.

    Returns
    -------
    The weights, and which columns of the weight that reads covariates are new.
    """
    key = next((key for key in _COVARIATE_WEIGHTS if key in state), None)
    if key is None:
        return state, torch.zeros(0, dtype=torch.bool)
    weight, parts, new, start = state[key], [], [], 0
    for n_before, n_after in zip(before, after, strict=True):
        known = weight[:, start : start + n_before]
        parts += [known, known.mean(1, keepdim=True).expand(-1, n_after - n_before)]
        new += [False] * n_before + [True] * (n_after - n_before)
        start += n_before
    parts.append(weight[:, start:])
    new += [False] * parts[-1].shape[1]
    return {**state, key: torch.cat(parts, dim=1)}, torch.tensor(new)


def freeze(module: AnnotatedAEModule, new: Tensor) -> None:
    """Leave to training the encoder, its norms apart, and the effects of new levels."""
    trainable = {id(weight) for weight in module.encoder.parameters()}
    for name, weight in module.named_parameters():
        if name in _COVARIATE_WEIGHTS and new.any():
            weight.register_hook(lambda gradient: gradient * new.to(gradient.device))
        else:
            weight.requires_grad_(id(weight) in trainable)
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
        effects of known levels and the norms of the encoder stay as they are, so that factors and
        the size of their scores keep their meaning.

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
        cls.setup_anndata(  # type: ignore[attr-defined]
            adata, source_registry=registry, extend_categories=True, **registry[SETUP_ARGS_KEY]
        )
        model = initialize_model(cls, adata, registry, attributes, None)
        before = [len(levels) for levels in known_levels(registry).values()]
        state, new = with_new_levels(state, before, model._n_categories)
        model.module.load_state_dict(state)
        if not unfrozen:
            freeze(model.module, new)
        model.is_trained_ = True
        return model
