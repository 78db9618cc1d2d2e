from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from .._keys import ALIGN_GENES, record, string_array
from .._validate import check_unique, value_kind
from ._identifiers import explain_mismatch

logger = logging.getLogger("pellucid")

_ROWS_AT_ONCE = 4096


def align_genes(
    adata: AnnData,
    var_names: Iterable[str],
    *,
    mapping: Mapping[str, str | Iterable[str]] | pd.Series | pd.DataFrame | None = None,
    min_fraction: float = 0.5,
) -> AnnData:
    """Give foreign data the genes of a trained model: the same ones, in the same order.

    Genes that `adata` lacks are filled with zeros, genes that are not in `var_names` are dropped,
    and both are reported. Names are matched exactly.

    Parameters
    ----------
    adata
        Cells x genes; may be backed or a view. It is not changed.
    var_names
        The genes wanted, such as `reference.var_names`.
    mapping
        Names in `adata` to names in `var_names`: a table of orthologues or of ids, as a mapping
        (to one name or several), as a column of `adata.var` that holds the other names, or as a
        table of two columns (from, to). Missing values are skipped. A gene that is not in it
        keeps its name. If several genes of `adata` go to one name, their values are **summed**,
        which suits counts and not log data; if one gene goes to several names, **each** gets its
        values.
    min_fraction
        Least share of `var_names` that must be found, from 0 to 1. Below a half a model would
        mostly see zeros it never saw in training, so that is an error unless asked for.

    Returns
    -------
    AnnData
        A new AnnData, n_obs x len(var_names), in memory. `X` and `layers` keep their type: sparse
        stays sparse. Where genes are summed, smaller integers become int64. `obs`, `obsm`, `obsp`
        and `uns` are copied; `var`, `varm`, `varp` and `raw` belong to the old genes and are left
        behind. `uns["align_genes"]` holds `"params"`, `"n_found"` and `"n_missing"` (of
        `var_names`), `"n_dropped"` (of the genes of `adata`) and `"missing"`, the names of those
        that are filled with zeros.

    Raises
    ------
    ValueError
        If less than `min_fraction` of `var_names` are found (with a guess at why), `var_names` or
        `adata.var_names` are not unique, `mapping` has other than two columns, or `min_fraction`
        is not a share.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> aligned = pld.pp.align_genes(
    ...     adata, ["CD3D", "JCHAIN", "NOT_MEASURED"], mapping={"IGJ": "JCHAIN"}
    ... )
    >>> aligned.uns["align_genes"]["missing"].tolist()
    ['NOT_MEASURED']
    """
    if isinstance(var_names, str):
        raise TypeError(f"var_names is the string {var_names!r}; expected a list of gene names.")
    if isinstance(var_names, AnnData) or not isinstance(var_names, Iterable):
        raise TypeError(
            f"var_names is of type {type(var_names).__name__}; expected a list of gene names, "
            "such as reference.var_names or model.get_var_names()."
        )
    if not 0 <= min_fraction <= 1:
        raise ValueError(
            f"min_fraction={min_fraction} is no share of var_names; pass a number from 0 to 1."
        )
    targets = pd.Index([str(name) for name in var_names])
    check_unique(targets, "var_names")
    check_unique(adata.var_names, "adata.var_names")
    translation = _translation(mapping)
    position = {name: column for column, name in enumerate(targets)}
    pairs = [
        (row, position[target])
        for row, name in enumerate(adata.var_names)
        for target in translation.get(name, (name,))
        if target in position
    ]
    rows, columns = np.array(pairs, dtype=np.intp).reshape(-1, 2).T
    found = np.zeros(len(targets), dtype=bool)
    found[columns] = True
    n_found, n_dropped = int(found.sum()), adata.n_vars - len(np.unique(rows))
    if n_found < max(min_fraction * len(targets), 1):
        raise ValueError(
            f"{n_found:,} of {len(targets):,} genes wanted are among the {adata.n_vars:,} of adata"
            f"{'' if mapping is None else ' by mapping'}, fewer than min_fraction={min_fraction}. "
            + (
                "mapping is the other way round: it goes from names in var_names to names in "
                "adata. Exchange its two sides."
                if _is_reversed(translation, adata.var_names, targets)
                else explain_mismatch(adata, targets, "the genes wanted")
            )
        )
    logger.info(
        "%d of %d genes found, %d filled with zeros, %d of adata dropped.",
        *(n_found, len(targets), len(targets) - n_found, n_dropped),
    )
    n_summed = int((np.bincount(columns) > 1).sum())
    if n_summed and adata.X is not None and value_kind(adata.X) == "log expression":
        logger.warning(
            "%d genes are sums of several, and adata.X looks like log expression, whose sum is "
            "not the log of the sum: align counts, then normalise.",
            n_summed,
        )

    if adata.is_view and not adata.isbacked:
        adata = adata.copy()  # what is computed from a view's arrays would be views too
    selection = sparse.csr_matrix(
        (np.ones(len(pairs), dtype=np.int8), (rows, columns)), shape=(adata.n_vars, len(targets))
    )
    aligned = AnnData(
        None if adata.X is None else _product(adata.X, selection),
        obs=adata.obs.copy(),
        var=pd.DataFrame(index=targets),
        obsm={key: value.copy() for key, value in adata.obsm.items()},
        obsp={key: value.copy() for key, value in adata.obsp.items()},
        uns=deepcopy(dict(adata.uns)),
    )
    for key, layer in adata.layers.items():
        if key is not None:  # anndata 0.13 lists X among the layers
            aligned.layers[key] = _product(layer, selection)
    aligned.uns[ALIGN_GENES] = {
        "params": record("pp.align_genes", min_fraction=min_fraction, mapped=mapping is not None),
        "n_found": n_found,
        "n_missing": len(targets) - n_found,
        "n_dropped": n_dropped,
        "missing": string_array(targets[~found]),
    }
    return aligned


def _translation(
    mapping: Mapping[str, str | Iterable[str]] | pd.Series | pd.DataFrame | None,
) -> dict[str, list[str]]:
    """Name in the data to the names it goes to, each once."""
    if mapping is None:
        return {}
    if isinstance(mapping, pd.DataFrame):
        if mapping.shape[1] != 2:
            raise ValueError(
                "mapping needs two columns, names in adata and names in var_names; found "
                f"{mapping.shape[1]}: {', '.join(map(repr, mapping.columns))}."
            )
        pairs = mapping.dropna().astype(str).itertuples(index=False, name=None)
    elif isinstance(mapping, pd.Series):
        pairs = mapping.dropna().astype(str).items()
    elif not isinstance(mapping, Mapping):
        raise TypeError(
            f"mapping is of type {type(mapping).__name__}; expected a mapping, a column of "
            "adata.var (adata.var['symbol']) or a table of two columns."
        )
    else:
        pairs = (
            (name, str(target))
            for name, to in mapping.items()
            for target in (to if pd.api.types.is_list_like(to) else [to])
            if not pd.isna(target)
        )
    translation: dict[str, dict[str, None]] = {}
    for name, target in pairs:
        translation.setdefault(name, {})[target] = None
    return {name: list(to) for name, to in translation.items()}


def _is_reversed(translation: dict[str, list[str]], names: pd.Index, targets: pd.Index) -> bool:
    """Whether more pairs lead from the genes wanted to those of the data than the right way."""
    pairs = [(name, target) for name, several in translation.items() for target in several]
    n_forth = sum(name in names and target in targets for name, target in pairs)
    return sum(name in targets and target in names for name, target in pairs) > n_forth


def _product(matrix: Any, selection: sparse.csr_matrix) -> Any:
    """`matrix @ selection` in the type of `matrix`, or in int64 where that could not hold sums."""
    narrow = matrix.dtype.kind in "iub" and matrix.dtype.itemsize < 8
    sums = selection.getnnz(axis=0).max() > 1
    selection = selection.astype(np.int64 if narrow and sums else matrix.dtype)
    if isinstance(matrix, np.ndarray):
        return np.asarray(matrix) @ selection
    if sparse.issparse(matrix):
        product = (matrix @ selection).asformat(matrix.format)
        product.sort_indices()
        return product
    # On disk: never all of it in memory.
    blocks = [
        _product(matrix[start : start + _ROWS_AT_ONCE], selection)
        for start in range(0, max(matrix.shape[0], 1), _ROWS_AT_ONCE)
    ]
    return sparse.vstack(blocks, format="csr") if sparse.issparse(blocks[0]) else np.vstack(blocks)
