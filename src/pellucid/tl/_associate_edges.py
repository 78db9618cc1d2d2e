from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.stats import false_discovery_control, fisher_exact, rankdata

from pellucid import _keys
from pellucid._validate import check_writable
from pellucid.networks import rank_sum

from ._population_networks import networks, nodes, positions, read_phenotype, read_populations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData


def associate_edges(
    adata: AnnData,
    phenotype: str,
    *,
    genes: Sequence[str] | None = None,
    n_central: int = 100,
    n_neighbors: int = 20,
    percentile: float | None = None,
    min_centrality: float = 0.05,
    min_populations: int = 3,
    key: str = _keys.POPULATIONS,
    key_added: str = _keys.EDGE_ASSOCIATION,
    copy: bool = False,
) -> AnnData | None:
    """Edges between genes that go with a phenotype (Fig. 6d and f of :cite:p:`Choi2023`).

    For each pair of genes, the phenotype of the populations whose networks have the edge is
    compared with that of those without. Networks are those of
    :func:`pellucid.tl.compare_networks`.

    Parameters
    ----------
    adata
        With a result of :func:`pellucid.tl.fit_populations`.
    phenotype
        Column of `adata.obs`, as in :func:`pellucid.tl.associate_centrality`: two different
        numbers are two groups.
    genes
        Genes whose edges with each other are tested: the fewer, the less there is to correct for.
        All genes of the networks if `None`.
    n_central
        Genes of the networks: those among so many most central ones of any fit, and `genes`.
    n_neighbors, percentile, min_centrality
        What an edge is, as in :func:`pellucid.tl.compare_networks`.
    min_populations
        Leave out edges that fewer populations have, or lack: no test could tell anything of them.
    key
        Key of the fits in `adata.uns`.
    key_added
        Key in `adata.uns`.
    copy
        Whether to return a copy of `adata` rather than write to it; not of a backed one.

    Returns
    -------
    `None`, or an AnnData if `copy=True`. Sets `adata.uns[key_added]`, a :class:`dict` of

    `results` : :class:`~pandas.DataFrame`
        One row an edge: `gene_1` and `gene_2`; `n_populations`, those that have it; `auroc`, the
        probability that one of them has a higher phenotype than one of the others, with half of
        the ties; `pvalue`; `padj`, Benjamini-Hochberg. With two groups, `share_0` and `share_1`,
        the share of the populations of each that have the edge.
    `edges` : :class:`~pandas.DataFrame`
        The same of all edges among the genes that any population has, tested or not, without the
        test.
    `genes` : string array
        The genes whose edges with each other were tested.
    `populations`, `phenotype`
        Names and values of the populations that were compared, and `groups`, the names of the
        values 0 and 1, if there are two groups.
    `params`
        The arguments.

    Raises
    ------
    KeyError
        If `adata` lacks the fits, the column or one of `genes`.
    ValueError
        If the phenotype will not do, as in :func:`pellucid.tl.associate_centrality`, an argument
        is out of range, or no edge can be tested. Nothing is written then.

    Notes
    -----
    A population of several bins has an edge that more than half of them have.

    P values of numbers are those of Wilcoxon's rank-sum test, equal to scipy's
    :func:`~scipy.stats.mannwhitneyu`. Where the phenotype is two groups, its ranks are all ties,
    and the test is Fisher's exact one of two by two populations.

    Examples
    --------
    >>> import numpy as np
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()[:, :60].copy()
    >>> adata.X = np.log1p(adata.X.toarray())
    >>> adata.obs["donor"] = (np.arange(700) // 234).astype(str)
    >>> adata.obs["age"] = 20.0 + np.arange(700) // 234
    >>> small = {"model_kwargs": {"n_hidden": (8, 4)}, "train_kwargs": {"max_epochs": 1}}
    >>> pld.tl.fit_populations(adata, "donor", n_cells_per_bin=200, n_latent=4, **small)
    >>> pld.tl.associate_edges(adata, "age", min_populations=1, min_centrality=-1)
    >>> table = pld.get.edge_association(adata)
    """
    check_writable(adata, copy=copy)
    if min_populations < 1:
        raise ValueError(f"min_populations={min_populations}; expected at least 1.")
    if genes is not None and not isinstance(genes, str):
        genes = list(genes)
    populations = read_populations(adata, key)
    found = read_phenotype(adata, populations, phenotype)
    known = ~np.isnan(found.values)
    values = found.values[known]
    which = nodes(adata, key, genes, n_central, added=True)
    graphs = networks(
        adata,
        key,
        which,
        n_neighbors=n_neighbors,
        percentile=percentile,
        min_centrality=min_centrality,
    )
    first, second, by_fit = _edges(graphs)
    tested = np.ones(len(which), dtype=bool)
    if genes is not None:
        tested = np.isin(which, positions(adata, genes))
        among = tested[first] & tested[second]
        first, second, by_fit = first[among], second[among], by_fit[among]
    present = populations.majority(by_fit)[:, known]
    anywhere = present.any(axis=1)
    first, second, present = first[anywhere], second[anywhere], present[anywhere]
    n_with = present.sum(axis=1)
    enough = np.minimum(n_with, len(values) - n_with) >= min_populations
    if not enough.any():
        raise ValueError(
            f"None of {len(present):,} edges is in {min_populations} of {len(values)} populations "
            "and not in as many; pass more genes, fewer min_populations or a lower min_centrality."
        )
    names = np.asarray(adata.var_names, dtype=object)[which]
    columns: dict[str, Any] = {
        "gene_1": names[first],
        "gene_2": names[second],
        "n_populations": n_with,
    }
    if found.groups is not None:
        columns |= {f"share_{group}": present[:, values == group].mean(axis=1) for group in (0, 1)}
    edges = pd.DataFrame(columns)
    results = edges[enough].reset_index(drop=True)
    results["auroc"] = _auroc(values, present[enough])
    results["pvalue"] = _pvalues(values, present[enough], two_groups=found.groups is not None)
    results["padj"] = false_discovery_control(results["pvalue"])

    adata = adata.copy() if copy else adata
    adata.uns[key_added] = {
        "params": _keys.record(
            "tl.associate_edges",
            phenotype=phenotype,
            genes=genes,
            n_central=n_central,
            n_neighbors=n_neighbors if percentile is None else None,
            percentile=percentile,
            min_centrality=min_centrality,
            min_populations=min_populations,
            key=key,
            key_added=key_added,
        ),
        "results": results.set_axis(results.index.astype(str), axis=0),
        "edges": edges.set_axis(edges.index.astype(str), axis=0),
        "genes": _keys.string_array(names[tested]),
        "populations": populations.names[known],
        "phenotype": values,
        **({} if found.groups is None else {"groups": _keys.string_array(found.groups)}),
    }
    return adata if copy else None


def _edges(graphs: list[sparse.csr_array]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both ends of each edge that any fit has, and whether each fit has it: edges x fits."""
    n_genes = graphs[0].shape[0]
    flat = [
        np.ravel_multi_index(sparse.triu(graph, 1).nonzero(), (n_genes, n_genes))
        for graph in graphs
    ]
    every = np.unique(np.concatenate(flat))
    by_fit = np.stack([np.isin(every, one) for one in flat], axis=1)
    first, second = np.unravel_index(every, (n_genes, n_genes))
    return first, second, by_fit


def _auroc(values: np.ndarray, present: np.ndarray) -> np.ndarray:
    n_with = present.sum(axis=1)
    wins = present @ rankdata(values) - n_with * (n_with + 1) / 2
    return wins / (n_with * (len(values) - n_with))


def _pvalues(values: np.ndarray, present: np.ndarray, *, two_groups: bool) -> np.ndarray:
    """A test for each way in which edges divide the populations, of which there are few."""
    if not two_groups:
        divisions, which = np.unique(present, axis=0, return_inverse=True)
        return rank_sum(values[None], divisions)[which.ravel()]
    high = values == 1
    counts = np.stack([present[:, high].sum(axis=1), present[:, ~high].sum(axis=1)], axis=1)
    tables, which = np.unique(counts, axis=0, return_inverse=True)
    sizes = np.array([high.sum(), (~high).sum()])
    found = np.array([fisher_exact([table, sizes - table]).pvalue for table in tables])
    return found[which.ravel()]
