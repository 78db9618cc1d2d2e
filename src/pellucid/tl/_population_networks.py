"""What `tl.fit_populations` wrote, as those that compare populations read it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from pellucid import _keys
from pellucid._validate import check_unique
from pellucid.networks import adjacency

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

logger = logging.getLogger("pellucid")

_MADE_BY = "tl.fit_populations"
_FEWEST = 3


class Populations(NamedTuple):
    """Fits, and the populations that they are of."""

    key: str
    column: str
    names: np.ndarray
    """Of each population."""
    member: np.ndarray
    """Of each fit, the position of its population."""

    def average(self, values: np.ndarray) -> np.ndarray:
        """Averages over the bins of each population; fits are the last axis."""
        share = np.eye(len(self.names))[self.member]
        # From the first bin on: a sum of equal values over their number may be another value,
        # and populations that are the same would have ranks.
        _, first = np.unique(self.member, return_index=True)
        start = values[..., first]
        return start + (values - start[..., self.member]) @ (share / share.sum(axis=0))

    def majority(self, has: np.ndarray) -> np.ndarray:
        """What more than half of the bins of each population have; fits are the last axis."""
        order = np.argsort(self.member, kind="stable")
        n_bins = np.bincount(self.member)
        votes = np.add.reduceat(
            has[..., order], np.cumsum(n_bins) - n_bins, axis=-1, dtype=np.int32
        )
        return 2 * votes > n_bins


class Phenotype(NamedTuple):
    """A number for each population."""

    values: np.ndarray
    """NaN of a population that has none."""
    groups: list[str] | None
    """Of a phenotype of two groups: their names, those of 0 and 1."""


def read_populations(adata: AnnData, key: str) -> Populations:
    """The record of fits, with populations in the order of their first fits."""
    record = _keys.require(adata, "uns", key, _MADE_BY)
    member, names = pd.factorize(np.asarray(record["populations"]).astype(object))
    return Populations(
        key, str(record["params"]["population_key"]), _keys.string_array(names), member
    )


def of_fits(adata: AnnData, key: str, what: str) -> np.ndarray:
    """Loadings, centrality or mean of each fit, in double precision."""
    return np.asarray(_keys.require(adata, "varm", f"{key}_{what}", _MADE_BY), dtype=np.float64)


def nodes(
    adata: AnnData, key: str, genes: Sequence[str] | None, n_central: int, *, added: bool
) -> np.ndarray:
    """Positions of the genes of the networks, rising.

    `genes` if given, with the most central ones of each fit beside them if `added`; else the
    latter alone.
    """
    named = np.zeros(adata.n_vars, dtype=bool)
    if genes is not None:
        named[positions(adata, genes)] = True
    if genes is None or added:
        centrality = of_fits(adata, key, "centrality")
        if n_central < 2:
            raise ValueError(f"n_central={n_central}; expected 2 genes at least.")
        foremost = np.argsort(-centrality, axis=0, kind="stable")[:n_central]
        named[foremost.ravel()] = True
    if named.sum() < 3:
        raise ValueError(f"{named.sum()} genes make no network; name 3 at least.")
    return np.flatnonzero(named)


def positions(adata: AnnData, genes: Sequence[str]) -> np.ndarray:
    """Where genes stand in `adata.var_names`."""
    if isinstance(genes, str):
        raise TypeError(f"genes={genes!r}; expected a list of genes.")
    check_unique(adata.var_names, "adata.var_names")
    found = adata.var_names.get_indexer(pd.Index(list(genes)))
    if (found < 0).any():
        missing = [gene for gene, place in zip(genes, found, strict=True) if place < 0]
        raise KeyError(
            f"{len(missing)} of {len(found)} genes are not in adata.var_names (such as "
            f"{', '.join(map(repr, missing[:3]))})."
        )
    return found


def networks(
    adata: AnnData,
    key: str,
    which: np.ndarray,
    *,
    n_neighbors: int,
    percentile: float | None,
    min_centrality: float,
) -> list[sparse.csr_array]:
    """The network of each fit among some genes."""
    if percentile is not None and not 0 < percentile < 100:
        raise ValueError(f"percentile={percentile}; expected a number between 0 and 100.")
    if percentile is None and not 1 <= n_neighbors < len(which):
        raise ValueError(
            f"n_neighbors={n_neighbors}; expected 1 to {len(which) - 1}, the others of "
            f"{len(which)} genes."
        )
    loadings = of_fits(adata, key, "loadings")[which]
    explained = of_fits(adata, key, "centrality")[which] >= min_centrality
    found = []
    for fit, genes in enumerate(map(np.flatnonzero, explained.T)):
        graph = sparse.coo_array(np.zeros((0, 0), dtype=bool))
        if len(genes) > 1:
            few = min(n_neighbors, len(genes) - 1)
            graph = sparse.coo_array(
                adjacency(loadings[genes, fit], n_neighbors=few, percentile=percentile)
            )
        ends = (genes[graph.row], genes[graph.col])
        found.append(sparse.csr_array((graph.data, ends), shape=(len(which), len(which))))
    n_empty = sum(graph.nnz == 0 for graph in found)
    if n_empty:
        logger.warning(
            "%d of %d networks have no edge: of %d genes their fits explain none, or one, to "
            "min_centrality=%g of its variance. Fit larger bins or train longer, or lower "
            "min_centrality.",
            n_empty,
            len(found),
            len(which),
            min_centrality,
        )
    return found


def read_phenotype(adata: AnnData, populations: Populations, phenotype: str) -> Phenotype:
    """A column of `adata.obs` that is the same in all cells of a population."""
    for column in (phenotype, populations.column):
        if column not in adata.obs:
            raise KeyError(
                f"{column!r} not found in adata.obs, which holds: {list(adata.obs.columns)}."
            )
    column = adata.obs[phenotype]
    of = adata.obs[populations.column].astype(object).map(str)
    of = pd.Categorical(of, categories=list(populations.names))
    by = column.groupby(of, observed=False)
    several = by.nunique(dropna=False).to_numpy() > 1
    if several.any():
        name = str(populations.names[several][0])
        found = column[of == name].unique()[:3]
        raise ValueError(
            f"adata.obs[{phenotype!r}] is not the same in all cells of a population: "
            f"{several.sum()} of {len(several)} have several values ({name!r} has "
            f"{', '.join(map(str, found))}). Take each population's mean, or another column."
        )
    # Missing is what a population without cells has, whatever the type of the column.
    first = column.set_axis(of)[~of.duplicated()].reindex(populations.names)
    values, groups = _numbers(first, phenotype)
    missing = np.isnan(values)
    if missing.any():
        logger.warning(
            "%d of %d populations have no %r and are left out: %s.",
            missing.sum(),
            len(missing),
            phenotype,
            ", ".join(map(repr, populations.names[missing].tolist())),
        )
    n_found = (~missing).sum()
    if n_found < _FEWEST or np.ptp(values[~missing]) == 0:
        raise ValueError(
            f"adata.obs[{phenotype!r}] is known of {n_found} of {len(values)} populations, with "
            f"{len(np.unique(values[~missing]))} different values; expected {_FEWEST} populations "
            "at least, and two values."
        )
    return Phenotype(values, groups)


def _numbers(column: pd.Series, phenotype: str) -> tuple[np.ndarray, list[str] | None]:
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        distinct = np.unique(values[~np.isnan(values)])
        if len(distinct) != 2:
            return values, None
        # Ranks of two numbers are all ties: they are two groups, and tested as such.
        code = np.where(np.isnan(values), np.nan, values == distinct[1])
        return code, [f"{number:g}" for number in distinct]
    labels = column.astype("category").cat.remove_unused_categories().cat
    values = np.where(labels.codes < 0, np.nan, labels.codes.astype(float))
    if len(labels.categories) > 2 and not labels.ordered:
        raise ValueError(
            f"adata.obs[{phenotype!r}] has {len(labels.categories)} groups "
            f"({', '.join(map(repr, labels.categories[:4]))}...); expected numbers, two groups or "
            "ordered categories. Set all but two groups to NaN."
        )
    groups = [str(name) for name in labels.categories] if len(labels.categories) == 2 else None
    return values, groups
