"""Populations whose networks differ while their means do not: are they told apart, and by what?"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

import pellucid as pld

from ._population_data import populations
from ._rows import mean_and_range

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData

    from ._rows import Rows

REWIRINGS = ("lost", "moved", "none")
SETTINGS = {
    "n_latent": 8,
    "model_kwargs": {"n_hidden": (64, 32)},
    "train_kwargs": {"max_epochs": 20},
}
LEVEL = 0.05
N_RELABELLINGS = 100


def of_populations(
    rows: Rows, *, seeds: Sequence[int], n_populations: int, n_jobs: int | None
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What tells populations apart, for each way of rewiring; new cells for each seed."""
    found = []
    for seed in seeds:
        for rewiring in REWIRINGS:
            about = {"part": "populations", "seed": seed, "rewiring": rewiring}
            folder = None
            if rows.path is not None:
                folder = rows.path.with_suffix(".fits") / f"{rewiring}-{seed}-{n_populations}"
            compute = partial(_measured, seed, rewiring, n_populations, folder, n_jobs)
            found.append(rows(about | {"n": n_populations}, compute))
    values = [name for name in found[0] if name not in ("part", "seed", "rewiring", "n")]
    return found, mean_and_range(found, ("rewiring",), values)


def _measured(
    seed: int, rewiring: Any, n_populations: int, folder: Path | None, n_jobs: int | None
) -> dict[str, Any]:
    adata = populations(seed, rewiring, n_populations=n_populations)
    pld.tl.fit_populations(
        adata, "population", directory=folder, n_jobs=n_jobs, random_state=seed, **SETTINGS
    )
    found: dict[str, Any] = {}
    rewired = np.arange(n_populations) % 2 == 1
    for labels in ("gene", "degree"):
        pld.tl.compare_networks(adata, labels=labels)
        first = pld.get.network_comparison(adata)["PC1"].to_numpy()
        found[f"AUROC of PC1, {labels}"] = _either(rewired, first)
    pld.tl.associate_centrality(adata, "rewired")
    genes = pld.get.centrality_association(adata).set_index("gene").loc[adata.var_names]
    truth = adata.var["rewired"].to_numpy()
    for prefix, what in (("", "centrality"), ("mean_", "mean")):
        size = genes[f"{prefix}correlation"].abs().fillna(0)
        below = (genes[f"{prefix}padj"] < LEVEL).to_numpy()
        found[f"AUROC of genes, {what}"] = _either(truth, size, folded=False)
        found[f"rewired genes found, {what}"] = float(below[truth].mean()) if truth.any() else None
        found[f"others found, {what}"] = float(below[~truth].mean())
        found[f"p < {LEVEL}, {what}"] = float((genes[f"{prefix}pvalue"] < LEVEL).mean())
    found[f"p < {LEVEL} over relabellings, centrality"] = _relabelled(adata, seed)
    # As the paper tests the edges among mitochondrial genes.
    chosen = adata.var_names[adata.var["module"].isin([0, 1])]
    pld.tl.associate_edges(adata, "rewired", genes=chosen)
    edges = pld.get.edge_association(adata)
    touched = _touched(edges, adata.var_names[truth])
    below = (edges["padj"] < LEVEL).to_numpy()
    found["edges tested"] = len(edges)
    found["edges found"] = int(below.sum())
    found["of which with a rewired gene"] = float(touched[below].mean()) if below.any() else None
    found["AUROC of edges with a rewired gene"] = _either(
        touched, -edges["pvalue"].to_numpy(), folded=False
    )
    return found


def _relabelled(adata: AnnData, seed: int) -> float:
    """Share of genes below the level where labels are drawn at random, many times."""
    random = np.random.default_rng(seed)
    code = adata.obs["population"].cat.codes.to_numpy()
    n = code.max() + 1
    shares = []
    for _ in range(N_RELABELLINGS):
        adata.obs["label"] = (random.permutation(n) % 2 == 1)[code]
        pld.tl.associate_centrality(adata, "label", key_added="relabelled")
        shares.append((adata.uns["relabelled"]["results"]["pvalue"] < LEVEL).mean())
    return float(np.mean(shares))


def _either(truth: np.ndarray, score: Any, *, folded: bool = True) -> float | None:
    """AUROC, whichever way an axis points; none where all or nothing is true."""
    if truth.all() or not truth.any():
        return None
    auroc = float(roc_auc_score(truth, score))
    return max(auroc, 1 - auroc) if folded else auroc


def _touched(edges: pd.DataFrame, genes: pd.Index) -> np.ndarray:
    return (edges["gene_1"].isin(genes) | edges["gene_2"].isin(genes)).to_numpy()
