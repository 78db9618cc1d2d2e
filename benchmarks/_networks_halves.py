"""Hubs of one half of pbmc3k's cells, beside what genes explain in the half that was not seen.

A network of correlations and the yardstick of the same cells share the noise of those cells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._networks_methods import agreement
from ._networks_pbmc3k import expression, of_models, of_networks, training, with_units
from ._rows import mean_and_range

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._rows import Rows

MIN_CELLS = 3  # of each half, in which a gene is seen


def halves(
    rows: Rows, *, seeds: Sequence[int], n_latents: Sequence[int], precision: str | None
) -> list[dict[str, Any]]:
    """Mean of both halves of a split for each seed, over all splits."""
    from pellucid.networks import true_centrality

    train = training(precision)
    table: list[dict[str, Any]] = []
    for seed in seeds:
        order = np.random.default_rng(seed).permutation(expression().n_obs)
        parts = [expression()[np.sort(part)] for part in np.array_split(order, 2)]
        seen_in_both = np.logical_and.reduce(
            [part.X.getnnz(axis=0) >= MIN_CELLS for part in parts]
        )
        parts = [part[:, seen_in_both].copy() for part in parts]
        true = [true_centrality(part.X) for part in parts]
        judged: dict[str, list[tuple[float, ...]]] = {}
        for half, part in enumerate(parts):
            about = {"part": "halves", "seed": seed, "half": half}
            found = of_models(rows, about, part, n_latents[0], train)
            found |= with_units(rows, about, part, n_latents[1:], train)
            found |= of_networks(rows, about, part)
            ways = {method: of["centrality"] for method, of in found.items()}
            ways["mean expression"] = np.asarray(part.X.mean(axis=0)).ravel()
            ways["true centrality of the half seen"] = true[half]
            for method, values in ways.items():
                if values is not None:
                    judged.setdefault(method, []).append(
                        (*agreement(values, true[1 - half]), agreement(values, true[half])[0])
                    )
        for method, found_of in judged.items():
            unseen, n_genes, seen = np.mean(found_of, axis=0)
            table.append(
                {
                    "method": method,
                    "unseen half": float(unseen),
                    "half seen": float(seen),
                    "genes": float(n_genes),
                }
            )
    return mean_and_range(table, ("method",), ("unseen half", "half seen", "genes"))
