from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from .._keys import GENE_SETS, record, string_array
from .._validate import check_unique, check_writable
from ._identifiers import explain_mismatch
from ._read_gene_sets import read_gene_sets

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd
    from anndata import AnnData

    from ._read_gene_sets import GeneSets

logger = logging.getLogger("pellucid")

_LOW_SHARE = 0.1


def add_gene_sets(
    adata: AnnData,
    gene_sets: GeneSets | Iterable[GeneSets],
    *,
    min_genes: int = 5,
    max_genes: int | None = None,
    case_sensitive: bool = False,
    key_added: str = GENE_SETS,
    copy: bool = False,
) -> AnnData | None:
    """Mark which genes stand in which gene sets.

    Parameters
    ----------
    adata
        Cells x genes. May be backed: only annotations are written, and those in memory.
    gene_sets
        Anything that :func:`pellucid.pp.read_gene_sets` reads: a mapping, the path of a GMT file,
        a table, the name of an Enrichr library, or a list of these.
    min_genes
        Leave out sets with fewer genes than this in `adata.var_names`. The mean over a handful of
        genes says little about a pathway.
    max_genes
        Leave out sets with more genes than this in `adata.var_names`.
    case_sensitive
        Whether `"Actb"` and `"ACTB"` are different genes. If not, an exact match still comes
        first. Matching without regard to case does not turn human symbols into mouse symbols
        (`TP53` is `Trp53`): map orthologues with :func:`pellucid.pp.align_genes`.
    key_added
        Key in `adata.varm` and `adata.uns`.
    copy
        Whether to return a new AnnData instead of writing to this one.

    Returns
    -------
    AnnData or None
        `None`, or the new AnnData if `copy`. Written are

        - `adata.varm[key_added]`: whether gene i stands in set j, (n_vars, n_sets) bool, CSR
        - `adata.uns[key_added]`: `"params"`; `"names"`, the names of the sets in the order of
          the columns; `"n_found"`, how many genes of each set are in `var_names`; `"n_total"`,
          how many distinct genes each set has as given

        The share of each set that was found is logged at level INFO.

    Raises
    ------
    ValueError
        If no gene of any set is in `var_names` (with a guess at why), no set has between
        `min_genes` and `max_genes` genes there, or `var_names` are not unique. Nothing is written
        then.

    Warns
    -----
    UserWarning
        If less than a tenth of the genes that could be found were found, or several `var_names`
        match a gene once case is ignored (that gene is left out).

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> pld.pp.add_gene_sets(adata, pld.datasets.blood_markers())
    >>> adata.uns["gene_sets"]["names"][:2].tolist()
    ['B cell', 'Plasma cell']
    """
    check_writable(adata, copy=copy)
    if min_genes < 1 or (max_genes is not None and max_genes < min_genes):
        raise ValueError(
            f"min_genes={min_genes} and max_genes={max_genes}; "
            "expected 1 <= min_genes <= max_genes."
        )
    check_unique(adata.var_names, "adata.var_names")
    sets = read_gene_sets(gene_sets)
    genes = list(dict.fromkeys(gene for members in sets.values() for gene in members))
    positions = _positions(adata.var_names, genes, case_sensitive)
    if not positions:
        raise ValueError(
            f"None of the {len(genes):,} genes of {len(sets):,} gene sets is in adata.var_names. "
            + explain_mismatch(adata, genes, "the gene sets")
        )
    n_unique = len(set(positions.values()))
    if n_unique < _LOW_SHARE * min(len(genes), adata.n_vars):
        warnings.warn(
            f"Only {n_unique:,} of {len(genes):,} genes of the gene sets are in adata.var_names "
            f"({adata.n_vars:,} genes). " + explain_mismatch(adata, genes, "the gene sets"),
            stacklevel=2,
        )

    members = [
        np.unique([positions[gene] for gene in genes if gene in positions])
        for genes in sets.values()
    ]
    n_found = np.array([len(found) for found in members])
    n_total = np.array([len(genes) for genes in sets.values()])
    for name, found, total in zip(sets, n_found, n_total, strict=True):
        logger.info(
            "%s: %d of %d genes in var_names (%.0f%%)", name, found, total, 100 * found / total
        )
    kept = np.flatnonzero((n_found >= min_genes) & (n_found <= (max_genes or np.inf)))
    if not len(kept):
        upper = "" if max_genes is None else f" and at most {max_genes}"
        raise ValueError(
            f"None of {len(sets):,} gene sets has at least {min_genes}{upper} genes in "
            f"adata.var_names: they have {n_found.min():,} to {n_found.max():,} (median "
            f"{np.median(n_found):g}). Change min_genes or max_genes."
        )
    logger.info(
        "Kept %d of %d gene sets; %d of their %d genes are in var_names (%d genes).",
        *(len(kept), len(sets), n_unique, len(genes), adata.n_vars),
    )

    rows = np.concatenate([members[column] for column in kept])
    columns = np.repeat(np.arange(len(kept)), n_found[kept])
    mask = sparse.csr_matrix(
        (np.ones(len(rows), dtype=bool), (rows, columns)), shape=(adata.n_vars, len(kept))
    )
    names = list(sets)
    adata = adata.copy() if copy else adata
    adata.varm[key_added] = mask
    adata.uns[key_added] = {
        "params": record(
            "pp.add_gene_sets",
            min_genes=min_genes,
            max_genes=max_genes,
            case_sensitive=case_sensitive,
        ),
        "names": string_array(names[column] for column in kept),
        "n_found": n_found[kept],
        "n_total": n_total[kept],
    }
    return adata if copy else None


def _positions(var_names: pd.Index, genes: list[str], case_sensitive: bool) -> dict[str, int]:
    """Where each gene stands in `var_names`; those that do not are left out."""
    exact = {name: position for position, name in enumerate(var_names)}
    found = {gene: exact[gene] for gene in genes if gene in exact}
    if case_sensitive:
        return found
    folded: dict[str, list[int]] = {}
    for name, position in exact.items():
        folded.setdefault(name.casefold(), []).append(position)
    ambiguous = []
    for gene in genes:
        candidates = folded.get(gene.casefold(), [])
        if gene in found or not candidates:
            continue
        if len(candidates) == 1:
            found[gene] = candidates[0]
        else:
            ambiguous.append(gene)
    if ambiguous:
        warnings.warn(
            f"{len(ambiguous):,} genes match several var_names once case is ignored and are left "
            f"out (such as {', '.join(map(repr, ambiguous[:3]))}). Pass case_sensitive=True to "
            "match exactly.",
            stacklevel=3,
        )
    return found
