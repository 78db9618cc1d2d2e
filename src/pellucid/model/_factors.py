"""The gene sets that go into annotated factors, and what training made of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from pellucid._keys import require

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger("pellucid")

_NAMES_IN_A_MESSAGE = 8


def factor_sets(
    adata: AnnData, gene_sets: str | Mapping[str, Sequence[str]] | None
) -> dict[str, list[str]]:
    """Genes of each set that are in `adata`, by the set's name."""
    if gene_sets is None:
        return {}
    if isinstance(gene_sets, str):
        mask = sparse.csc_array(require(adata, "varm", gene_sets, "pp.add_gene_sets"))
        names = require(adata, "uns", gene_sets, "pp.add_gene_sets")["names"]
        genes = np.asarray(adata.var_names, dtype=str)
        found = {
            str(name): genes[mask[:, [place]].nonzero()[0]].tolist()
            for place, name in enumerate(names)
        }
    else:
        here = set(adata.var_names)
        found = {
            str(name): [gene for gene in dict.fromkeys(genes) if gene in here]
            for name, genes in gene_sets.items()
        }
    if empty := [name for name, genes in found.items() if not genes]:
        raise ValueError(
            f"{len(empty)} of {len(found)} gene sets have no gene in adata.var_names: "
            f"{listed(empty)}. Call pp.add_gene_sets(adata, ...) on these genes, which leaves "
            "such sets out and explains what does not match."
        )
    return found


def listed(names: Sequence[str] | np.ndarray) -> str:
    """The first names, for a message."""
    shown = ", ".join(names[:_NAMES_IN_A_MESSAGE])
    return shown + (", ..." if len(names) > _NAMES_IN_A_MESSAGE else "")


def report_factors(names: np.ndarray, loadings: np.ndarray, in_set: np.ndarray) -> None:
    """Warn of factors that were deactivated, and of sets whose genes were mostly replaced.

    Parameters
    ----------
    names
        Of the factors.
    loadings, in_set
        Factors x genes.
    """
    active = loadings.any(1)
    if not active.any():
        logger.warning(
            "Every factor was deactivated: the penalties outweigh what any of the %d factors "
            "explains. Lower group_weight first, then outside_weight and inside_weight.",
            len(names),
        )
        return
    if not active.all():
        logger.warning(
            "%d of %d factors were deactivated, since they explain less than the group penalty "
            "costs: %s.",
            (~active).sum(),
            len(names),
            listed(names[~active]),
        )
    squared = loadings**2
    outside = (squared * ~in_set).sum(1)
    replaced = in_set.any(1) & (outside > 0.5 * squared.sum(1))
    if replaced.any():
        logger.warning(
            "Most of the squared loading of %d annotated factors lies outside their set: %s. Read "
            "them by their genes (tl.rank_factors, pl.loadings), not by their name, or raise "
            "outside_weight.",
            replaced.sum(),
            listed(names[replaced]),
        )
