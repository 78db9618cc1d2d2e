from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from pellucid._compat import (
    REGISTRY_KEYS,
    AnnDataManager,
    CategoricalJointObsField,
    LayerField,
    NumericalJointObsField,
)
from pellucid._validate import check_expression
from pellucid.module import Covariates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData


def known_levels(registry: dict[str, Any]) -> dict[str, Any]:
    """Levels of each categorical covariate that a registry knows."""
    fields = registry["field_registries"].get(REGISTRY_KEYS.CAT_COVS_KEY, {})
    return fields.get("state_registry", {}).get("mappings", {})


class CovariatesMixin:
    """Models that read categorical and continuous columns of `obs` beside expression."""

    adata: AnnData
    adata_manager: AnnDataManager
    registry: dict[str, Any]

    @classmethod
    def _register_with_covariates(
        cls,
        adata: AnnData,
        layer: str | None,
        categorical: list[str] | None,
        continuous: list[str] | None,
        *,
        setup_method_args: dict[str, Any],
        may_be_scaled: bool = False,
        **kwargs,
    ) -> None:
        """What `setup_anndata` does, once the data and the covariates are sound."""
        check_expression(adata, layer, scaled=may_be_scaled)
        known: dict[str, Any] = {}
        if "source_registry" in kwargs and not kwargs.get("extend_categories"):
            known = known_levels(kwargs["source_registry"])
        check_covariates(adata, categorical, continuous, known=known)
        adata_manager = AnnDataManager(
            fields=[
                LayerField(REGISTRY_KEYS.X_KEY, layer, is_count_data=False),
                CategoricalJointObsField(REGISTRY_KEYS.CAT_COVS_KEY, categorical),
                NumericalJointObsField(REGISTRY_KEYS.CONT_COVS_KEY, continuous),
            ],
            setup_method_args=setup_method_args,
        )
        adata_manager.register_fields(adata, **kwargs)
        # A mixin: the class beside it is scvi-tools'.
        cls.register_manager(adata_manager)  # type: ignore[attr-defined]

    def _validate_anndata(self, adata: AnnData | None = None, **kwargs) -> AnnData:
        if adata is not None and adata is not self.adata:
            known = known_levels(self.registry)
            check_covariates(adata, list(known), self._continuous_keys, known=known)
        # Of the class beside this mixin.
        return super()._validate_anndata(adata, **kwargs)  # type: ignore[misc]

    @property
    def _n_categories(self) -> list[int]:
        state = self.adata_manager.get_state_registry(REGISTRY_KEYS.CAT_COVS_KEY)
        return list(state.get("n_cats_per_key", []))

    @property
    def _continuous_keys(self) -> list[str]:
        arguments = self.adata_manager._get_setup_method_args()["setup_args"]
        return list(arguments["continuous_covariate_keys"] or [])

    def _covariates(self) -> Covariates:
        """The covariates of this model's cells, with the moments of the continuous ones."""
        values = self.adata.obs[self._continuous_keys].to_numpy(np.float32)
        deviation = values.std(0)
        return Covariates(
            self._n_categories,
            torch.from_numpy(values.mean(0)),
            torch.from_numpy(np.where(deviation > 0, deviation, 1)),
        )


def check_covariates(
    adata: AnnData,
    categorical: Sequence[str] | None,
    continuous: Sequence[str] | None,
    *,
    known: Mapping[str, Any] | None = None,
) -> None:
    """Raise unless the covariates are columns without gaps.

    Parameters
    ----------
    adata
        Cells.
    categorical, continuous
        Columns of `adata.obs`.
    known
        Levels that a model knows, by column; any other level raises.
    """
    for keys, argument in (
        (categorical, "categorical_covariate_keys"),
        (continuous, "continuous_covariate_keys"),
    ):
        if isinstance(keys, str):
            raise TypeError(f"{argument}={keys!r} is a string; pass a list: [{keys!r}].")
        for key in keys or ():
            if key not in adata.obs:
                raise KeyError(
                    f"{argument}: {key!r} not found in adata.obs, which holds: "
                    f"{list(adata.obs.columns)}."
                )
            if adata.obs[key].isna().any():
                raise ValueError(
                    f"adata.obs[{key!r}] has no value for {adata.obs[key].isna().sum():,} cells; "
                    "remove those cells, or give them a level of their own."
                )
    for key in continuous or ():
        values = adata.obs[key]
        if (
            not pd.api.types.is_numeric_dtype(values)
            or not np.isfinite(values.astype(float)).all()
        ):
            raise ValueError(
                f"continuous_covariate_keys: adata.obs[{key!r}] (dtype {values.dtype}) is not "
                "made of finite numbers; pass it in categorical_covariate_keys instead."
            )
    for key, levels in (known or {}).items():
        unseen = [str(level) for level in adata.obs[key].unique() if level not in set(levels)]
        if unseen:
            raise ValueError(
                f"adata.obs[{key!r}] has levels that the model was not trained on: {unseen}; it "
                f"knows {[str(level) for level in levels]}. Make the model ready for them with "
                "load_query_data(adata, model), and train it."
            )
