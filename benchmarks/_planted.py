"""Counts made from known gene sets, some of them wrong and some of them decoys."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Planted(NamedTuple):
    """Counts and the truth about them; sets come first among the factors."""

    counts: np.ndarray
    """Cells x genes, float32."""
    scores: np.ndarray
    """Cells x factors: those with a set, then those without."""
    loadings: np.ndarray
    """Factors x genes, in the logarithm of a gene's share."""
    sets: np.ndarray
    """Sets x genes, bool: what a user would know of the factors with a set, then the decoys."""
    batch: np.ndarray
    """Of each cell, 0 or 1."""


def planted(
    seed: int,
    *,
    n_cells: int = 5000,
    n_genes: int = 2000,
    n_sets: int = 20,
    n_decoys: int = 20,
    n_hidden: int = 2,
    share_wrong: float = 0.3,
    effect: float = 0.5,
    library: float = 10_000.0,
    inverse_dispersion: float = 10.0,
) -> Planted:
    """Draw negative binomial counts whose logarithms are linear in independent normal scores.

    Sets have 30 to 80 genes. Of each true set `share_wrong` of the genes do not follow its factor,
    and as many genes that do are missing from it. Decoys are sets of the same sizes drawn at
    random. Hidden factors move 100 genes each, up or down, and have no set. A batch shifts every
    gene by a normal deviate of 0.3. `effect` and `library` were chosen so that decoupler's
    univariate linear model scores 0.92, as in the trial that the benchmark repeats; scores from
    the true loadings reach 0.98.
    """
    random = np.random.default_rng(seed)
    base = random.normal(0, 1.2, n_genes)
    sizes = random.integers(30, 81, n_sets)
    loadings = np.zeros((n_sets + n_hidden, n_genes))
    sets = np.zeros((n_sets + n_decoys, n_genes), dtype=bool)
    for factor, size in enumerate(sizes):
        n_wrong = round(share_wrong * size)
        genes = random.choice(n_genes, size + n_wrong, replace=False)
        sets[factor, genes[:size]] = True
        loadings[factor, genes[n_wrong:]] = effect * random.gamma(4, 1 / 4, size)
    for factor in range(n_sets, n_sets + n_hidden):
        genes = random.choice(n_genes, 100, replace=False)
        loadings[factor, genes] = (
            effect * random.gamma(4, 1 / 4, 100) * random.choice([-1, 1], 100)
        )
    for decoy in range(n_decoys):
        genes = random.choice(n_genes, sizes[decoy % n_sets], replace=False)
        sets[n_sets + decoy, genes] = True
    scores = random.normal(size=(n_cells, n_sets + n_hidden))
    batch = random.integers(0, 2, n_cells)
    log_share = base + scores @ loadings + np.outer(batch, random.normal(0, 0.3, n_genes))
    share = np.exp(log_share - log_share.max(1, keepdims=True))
    share /= share.sum(1, keepdims=True)
    mean = share * (library * random.lognormal(0, 0.3, (n_cells, 1)))
    counts = random.poisson(random.gamma(inverse_dispersion, mean / inverse_dispersion))
    return Planted(counts.astype(np.float32), scores, loadings, sets, batch)


def recovery(truth: Planted, scores: np.ndarray, loadings: np.ndarray) -> dict[str, float]:
    """How much of the truth a model found.

    Parameters
    ----------
    truth
        What was planted.
    scores
        Cells x factors, those of the sets first and in their order.
    loadings
        Factors x genes; of no factor if the model has none.
    """
    n_sets = len(truth.sets) // 2
    spread = scores.std(0)
    standard = np.where(spread > 0, (scores - scores.mean(0)) / np.where(spread > 0, spread, 1), 0)
    true = truth.scores[:, :n_sets]
    true = (true - true.mean(0)) / true.std(0)
    correlation = np.abs(standard.T @ true) / len(true)
    found = {"best |r|": float(correlation.max(0).mean())}
    if scores.shape[1] < len(truth.sets):
        return found
    found["own |r|"] = float(np.diagonal(correlation).mean())
    on = spread > 0
    if len(loadings):
        on = on & (loadings != 0).any(1)
    found["decoys off"] = float(1 - on[n_sets : len(truth.sets)].mean())
    found["sets kept"] = float(on[:n_sets].mean())
    if len(loadings):
        sets, follows = truth.sets[:n_sets], truth.loadings[:n_sets] != 0
        loads = loadings[:n_sets] != 0
        found["wrong removed"] = float((~loads)[sets & ~follows].mean())
        found["missing added"] = float(loads[~sets & follows].mean())
        found["right of loading"] = float((loads & follows).sum() / max(loads.sum(), 1))
    return found
