from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from pellucid import _keys
from pellucid._validate import check_writable

if TYPE_CHECKING:
    from anndata import AnnData


def rank_factors(
    adata: AnnData,
    *,
    loadings_key: str = _keys.LOADINGS["AnnotatedAE"],
    use_rep: str = _keys.LATENT["AnnotatedAE"],
    key_added: str = _keys.FACTORS,
    copy: bool = False,
) -> AnnData | None:
    r"""Rank factors by what they explain, and count what training changed in their sets.

    The paper ranks factors by the L2 norm of their loadings :cite:p:`Rybakov2020`. Scores and
    loadings may trade size against each other, so the rank here is of the norm times the standard
    deviation of the factor's score: the standard deviation of what it adds to expression, over all
    genes.

    Parameters
    ----------
    adata
        With loadings from :func:`pellucid.tl.loadings` and scores from
        :func:`pellucid.tl.latent`; :func:`pellucid.tl.annotated_ae` writes both.
    loadings_key
        Key of the loadings in `adata.varm` and of their record in `adata.uns`.
    use_rep
        Key of the scores in `adata.obsm`.
    key_added
        Key under which the result is added.
    copy
        Whether to return a copy of `adata` rather than write to it; not of a backed one.

    Returns
    -------
    `None`, or an AnnData if `copy=True`. Sets the following field:

    `adata.uns[key_added]` : :class:`dict`
        `params`, and `results`: a :class:`pandas.DataFrame`, one row a factor by its name, the
        first-ranked first, with the columns

        - `rank`, 1 for the factor that explains most
        - `kind`, `"annotated"`, `"sparse"` or `"dense"`
        - `active`, whether any loading is not zero
        - `norm`, the L2 norm of the loadings, and `explained`, the same times the standard
          deviation of the score
        - `n_set`, the genes of the factor's set; `n_in_set`, how many of them load; `n_removed`,
          how many do not; `n_added`, how many other genes load
        - `replaced`, the share of the squared loadings that lies outside the set; 0 for a factor
          that has none

    Raises
    ------
    KeyError
        If `adata` lacks the loadings or the scores.
    ValueError
        If scores and loadings are not of the same factors.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> pld.pp.add_gene_sets(adata, pld.datasets.blood_markers())
    >>> model = pld.tl.annotated_ae(adata, likelihood="nb", max_epochs=2)
    >>> pld.tl.rank_factors(adata)
    >>> pld.get.factors(adata).columns[:3].to_list()
    ['rank', 'kind', 'active']
    """
    check_writable(adata, copy=copy)
    weights = np.asarray(
        _keys.require(adata, "varm", loadings_key, "tl.loadings"), dtype=np.float64
    )
    record = _keys.require(adata, "uns", loadings_key, "tl.loadings")
    scores = np.asarray(_keys.require(adata, "obsm", use_rep, "tl.latent"), dtype=np.float64)
    names = _keys.string_array(record["latent_names"])
    if scores.shape[1] != weights.shape[1]:
        raise ValueError(
            f"adata.obsm[{use_rep!r}] has {scores.shape[1]} factors and "
            f"adata.varm[{loadings_key!r}] {weights.shape[1]}; write both with the same model."
        )
    annotated = adata.varm.get(_keys.annotated(loadings_key))
    if annotated is None:
        in_set = np.zeros(weights.shape, dtype=bool)
    else:
        in_set = sparse.csr_array(annotated).toarray()
    loading = weights != 0
    squared = weights**2
    total = squared.sum(0)
    norm = np.sqrt(total)
    explained = norm * scores.std(0)
    n_set, n_in_set = in_set.sum(0), (loading & in_set).sum(0)
    tiny = np.finfo(float).tiny
    has_set = (total > 0) & (n_set > 0)
    results = pd.DataFrame(
        {
            "rank": np.argsort(np.argsort(-explained, kind="stable")) + 1,
            "kind": _keys.string_array(record.get("kinds", ["dense"] * len(names))),
            "active": total > 0,
            "norm": norm,
            "explained": explained,
            "n_set": n_set,
            "n_in_set": n_in_set,
            "n_removed": n_set - n_in_set,
            "n_added": (loading & ~in_set).sum(0),
            "replaced": np.where(has_set, (squared * ~in_set).sum(0) / np.maximum(total, tiny), 0),
        },
        index=pd.Index(names, name="factor"),
    ).sort_values("rank")
    adata = adata.copy() if copy else adata
    adata.uns[key_added] = {
        "params": _keys.record("tl.rank_factors", loadings_key=loadings_key, use_rep=use_rep),
        "results": results,
    }
    return adata if copy else None
