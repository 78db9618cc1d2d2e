"""Gene set enrichment by gseapy, a ranking at a time."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ._prerank import Enrichment

if TYPE_CHECKING:
    from scipy import sparse


def prerank_by_gseapy(
    scores: np.ndarray,
    members: sparse.csc_array,
    *,
    multilevel: bool = False,
    n_permutations: int = 1000,
    random_state: int = 0,
) -> Enrichment:
    """What :func:`prerank` returns, by :func:`gseapy.prerank`, whose p and q values these are.

    Genes x rankings, and whether gene i stands in set j. `multilevel` is gseapy's estimate of
    small p values; its q values are those of Benjamini and Hochberg.
    """
    import gseapy  # takes two seconds, and only this needs it

    options: dict[str, Any] = {"method": "multilevel"} if multilevel else {}
    if not options.keys() <= inspect.signature(gseapy.prerank).parameters.keys():
        raise ImportError(
            f"gseapy {gseapy.__version__} has no multilevel p values; install a later one, or "
            "choose another engine."
        )
    genes = np.array([f"G{gene}" for gene in range(len(scores))])
    sets = {
        f"S{one}": genes[members.indices[start:end]].tolist()
        for one, (start, end) in enumerate(zip(members.indptr, members.indptr[1:], strict=False))
    }
    shape = (len(sets), scores.shape[1])
    es, nes = np.full((2, *shape), np.nan)
    pvalue, padj = np.ones((2, *shape))
    edge = np.zeros(shape, dtype=np.int64)
    order = np.argsort(-scores, axis=0, kind="stable")
    for ranking in np.flatnonzero(np.ptp(scores, axis=0)):
        down = order[:, ranking]
        table = gseapy.prerank(
            rnk=pd.Series(scores[down, ranking], index=genes[down]),
            gene_sets=sets,
            min_size=1,
            max_size=len(genes),
            permutation_num=n_permutations,
            ascending=None,  # in order, and ties stay where they are
            threads=1,
            seed=random_state,
            outdir=None,
            no_plot=True,
            **options,
        ).res2d
        at = table["Term"].str.removeprefix("S").astype(int).to_numpy()
        es[at, ranking], nes[at, ranking] = table["ES"], table["NES"]
        pvalue[at, ranking], padj[at, ranking] = table["NOM p-val"], table["FDR q-val"]
        last = table["Lead_genes"].str.rpartition(";")[2].str.removeprefix("G").astype(int)
        edge[at, ranking] = np.argsort(down)[last]
    return Enrichment(es, nes, pvalue, padj, edge, order)
