from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData


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
