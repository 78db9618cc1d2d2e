"""How many gene sets each unit claims, with the constraint of orthogonality and without it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pellucid as pld
from pellucid.train import seeded

if TYPE_CHECKING:
    from anndata import AnnData

# What the summary is of: units with so many significant sets, sets that some unit has, sets that
# one unit alone has.
COUNTS = ("none", "one", "two", "three", "more", "sets", "sets of one unit")


def claims(
    reference: AnnData,
    query: AnnData,
    *,
    arguments: dict[str, Any],
    training: dict[str, Any],
    layer: str,
    constrained: bool,
    seed: int,
    max_epochs: int | None,
) -> dict[str, Any]:
    """Enrichment of the query's saliency maps, by type, in a model that the reference trained."""
    start = time.process_time()
    pld.model.OrthogonalAE.setup_anndata(reference, layer=layer)
    weight = {} if constrained else {"orthogonality_weight": 0.0}
    with seeded(seed):
        model = pld.model.OrthogonalAE(reference, **{**arguments, **weight})
        limit = {} if max_epochs is None else {"max_epochs": max_epochs}
        model.train(**{**training, **limit, "enable_progress_bar": False})
    pld.tl.attribute(query, model, groupby="type")
    trained = time.process_time()
    pld.tl.gsea(query, pld.datasets.gene_sets("hallmark"), groupby="type", random_state=seed)
    significant = pld.get.gsea_frequency(query) > 0
    of_unit, of_set = significant.sum(), significant.sum(axis=1)
    return {
        "none": int((of_unit == 0).sum()),
        "one": int((of_unit == 1).sum()),
        "two": int((of_unit == 2).sum()),
        "three": int((of_unit == 3).sum()),
        "more": int((of_unit > 3).sum()),
        "sets": int((of_set > 0).sum()),
        "sets of one unit": int((of_set == 1).sum()),
        "epochs": len(model.history["train_loss"]),
        "seconds": trained - start,
        "seconds of gsea": time.process_time() - trained,
    }
