"""A representation's scores and the names of its factors, as tools and figures read them."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

import numpy as np

from . import _keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

_LISTED = 5


def factor_scores(adata: AnnData, use_rep: str) -> tuple[np.ndarray, np.ndarray]:
    """Copy of the scores, cells x factors in float64, and the factors' names."""
    scores = np.array(_keys.require(adata, "obsm", use_rep, "tl.latent"), dtype=np.float64)
    record = _keys.require(adata, "uns", use_rep, "tl.latent")
    names = _keys.string_array(record["latent_names"])
    if scores.shape[1] != len(names):
        raise ValueError(
            f"adata.obsm[{use_rep!r}] has {scores.shape[1]} factors, adata.uns[{use_rep!r}] names "
            f"{len(names)}; call tl.latent again."
        )
    if not np.isfinite(scores).all():
        raise ValueError(
            f"adata.obsm[{use_rep!r}] holds NaN or infinite values in "
            f"{(~np.isfinite(scores)).any(axis=0).sum()} of {len(names)} factors; see whether the "
            "model's training diverged (get.history), then call tl.latent again."
        )
    return scores, names


def factor_positions(names: np.ndarray, wanted: Sequence[str], argument: str) -> list[int]:
    """Where each of the wanted factors stands among the names."""
    known = {name: position for position, name in enumerate(names.tolist())}
    unknown = [name for name in wanted if name not in known]
    if unknown or not wanted:
        likely = [
            name for name in known if any(str(one).lower() in name.lower() for one in unknown)
        ] or get_close_matches(str(next(iter(unknown), "")), known, cutoff=0.5)
        listed = ", ".join(map(repr, (likely or list(known))[:_LISTED]))
        raise ValueError(
            f"{argument}: {', '.join(map(repr, unknown)) or 'no factor'} is none of the "
            f"{len(known)} factors, such as {listed}."
        )
    return [known[name] for name in wanted]
