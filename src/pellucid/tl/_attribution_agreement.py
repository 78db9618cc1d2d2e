from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from pellucid import _keys
from pellucid._validate import check_writable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData


def attribution_agreement(
    adata: AnnData,
    keys: Sequence[str] | None = None,
    *,
    key_added: str = _keys.ATTRIBUTION_AGREEMENT,
    copy: bool = False,
) -> AnnData | None:
    """How well attributions and loadings of units agree (Fig. 3a of :cite:p:`Choi2023`).

    Spearman's correlation over genes of every two results, unit by unit, with a two-sided test.
    The paper reports the median over units, which :func:`pellucid.pl.attribution_agreement` draws.

    Parameters
    ----------
    adata
        With attributions from :func:`pellucid.tl.attribute`, loadings from
        :func:`pellucid.tl.loadings`, or both.
    keys
        Keys in `adata.varm` and `adata.uns` of the results to compare; they must have the same
        units. `None` for all that there are, if they are of one model.
    key_added
        Key under which the result is added.
    copy
        Whether to return a copy of `adata` rather than write to it; not of a backed one.

    Returns
    -------
    `None`, or an AnnData if `copy=True`. Sets the following field:

    `adata.uns[key_added]` : :class:`dict`
        `params`; `names`, the n keys; `latent_names`; `correlation` and `pvalue`,
        `(n_latent, n, n)` float64; `magnitude`, `(n, n)` bool: whether absolute values were
        compared. They are where one of the two has no sign (`aggregate="mean_abs"`).

    Raises
    ------
    KeyError
        If there is nothing under one of `keys`.
    ValueError
        If there are fewer than two results, they have other units, or `keys` is `None` and the
        results are of several models.

    Notes
    -----
    A unit in which one of the two results is the same for all genes, or NaN for one, has NaN.
    Genes are not independent of each other: the p values, which are those of the paper, take them
    to be, and are too small.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> model = pld.tl.orthogonal_ae(adata, n_latent=8, max_epochs=2)
    >>> for method in ("saliency", "guided_backprop"):
    ...     pld.tl.attribute(adata, model, method=method, key_added=method)
    >>> pld.tl.attribution_agreement(adata)
    >>> adata.uns["attribution_agreement"]["correlation"].shape
    (8, 2, 2)
    """
    check_writable(adata, copy=copy)
    names = _found(adata) if keys is None else [keys] if isinstance(keys, str) else list(keys)
    if len(set(names)) < 2 or len(set(names)) < len(names):
        raise ValueError(
            f"{len(names)} results to compare ({', '.join(map(repr, names)) or 'none'}); two or "
            "more different ones are due. Call tl.attribute with other methods and key_added=, or "
            "tl.loadings."
        )
    units = {name: _units(adata, name) for name in names}
    first = names[0]
    for name in names[1:]:
        if not np.array_equal(units[name], units[first]):
            raise ValueError(
                f"{name!r} has other units ({_listed(units[name])}) than {first!r} "
                f"({_listed(units[first])}); pass keys= of one model's results."
            )
    values = np.stack([np.asarray(adata.varm[name], dtype=np.float64) for name in names])
    unsigned = np.array(
        [adata.uns[name].get("params", {}).get("aggregate") == "mean_abs" for name in names]
    )
    magnitude = unsigned[:, None] | unsigned
    correlation = np.where(magnitude, _spearman(np.abs(values)), _spearman(values))

    adata = adata.copy() if copy else adata
    adata.uns[key_added] = {
        "params": _keys.record("tl.attribution_agreement", keys=names, key_added=key_added),
        "names": _keys.string_array(names),
        "latent_names": units[first],
        "correlation": correlation,
        "pvalue": _two_sided(correlation, adata.n_vars),
        "magnitude": magnitude,
    }
    return adata if copy else None


def _found(adata: AnnData) -> list[str]:
    """Keys of all attributions and loadings, which must be of one model."""
    models: dict[tuple[str, ...], list[str]] = {}
    for key, values in adata.varm.items():
        record = adata.uns.get(key)
        if isinstance(record, Mapping) and "latent_names" in record and np.ndim(values) == 2:
            model_class = str(record.get("params", {}).get("model_class", ""))
            units = _keys.string_array(record["latent_names"])
            models.setdefault((model_class, *units), []).append(key)
    several = [found for found in models.values() if len(found) > 1]
    if len(several) > 1:
        raise ValueError(
            f"There are results of {len(several)} models: {' and '.join(map(repr, several))}; "
            "pass keys= of one of them."
        )
    return several[0] if several else [key for found in models.values() for key in found][:1]


def _units(adata: AnnData, key: str) -> np.ndarray:
    made_by = "tl.attribute or tl.loadings"
    values = _keys.require(adata, "varm", key, made_by)
    record = _keys.require(adata, "uns", key, made_by)
    names = _keys.string_array(record["latent_names"])
    if np.shape(values) != (adata.n_vars, len(names)):
        raise ValueError(
            f"adata.varm[{key!r}] has shape {np.shape(values)}; genes x units, "
            f"{(adata.n_vars, len(names))}, are due."
        )
    return names


def _listed(names: np.ndarray) -> str:
    return f"{len(names)}: {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"


def _spearman(values: np.ndarray) -> np.ndarray:
    """Correlations of ranks, units x results x results, of values, results x genes x units."""
    ranks = stats.rankdata(values, axis=1, nan_policy="propagate")
    ranks = (ranks - ranks.mean(axis=1, keepdims=True)).transpose(2, 0, 1)
    norm = np.linalg.norm(ranks, axis=2, keepdims=True)
    ranks = np.divide(ranks, norm, out=np.full_like(ranks, np.nan), where=norm > 0)
    return np.clip(ranks @ ranks.transpose(0, 2, 1), -1, 1)


def _two_sided(correlation: np.ndarray, n_genes: int) -> np.ndarray:
    """P values by the t distribution."""
    left = np.maximum(1 - correlation**2, 0)
    with np.errstate(divide="ignore"):
        t = np.abs(correlation) * np.sqrt(max(n_genes - 2, 0) / left)
    return 2 * stats.t.sf(t, n_genes - 2)
