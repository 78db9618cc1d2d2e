from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import sparse

from pellucid import _keys
from pellucid._validate import (
    check_expression,
    check_writable,
    dense_expression,
    expression_matrix,
)
from pellucid.networks import (
    aracne,
    clr,
    correlation,
    grnboost2,
    mrnet,
    mutual_information,
    nearest_by_distance,
    nearest_by_weight,
)

from ._read_loadings import read_loadings

if TYPE_CHECKING:
    from anndata import AnnData

_OF_INFORMATION = {"clr": clr, "mrnet": mrnet, "aracne": aracne}
_METHODS = ("euclidean", "correlation", *_OF_INFORMATION, "grnboost2")


def gene_neighbors(
    adata: AnnData,
    *,
    n_neighbors: int = 20,
    method: Literal[
        "euclidean", "correlation", "clr", "mrnet", "aracne", "grnboost2"
    ] = "euclidean",
    loadings_key: str | None = None,
    sampled: AnnData | None = None,
    layer: str | None = None,
    estimator: Literal["bins", "spearman"] = "bins",
    random_state: int = 0,
    key_added: str = _keys.GENE_NEIGHBORS,
    copy: bool = False,
) -> AnnData | None:
    r"""Genes that go with each gene, in a model's embedding or a network :cite:p:`Choi2023`.

    Parameters
    ----------
    adata
        Cells x genes.
    n_neighbors
        Number of neighbours of each gene; the paper's is 20.
    method
        * ``'euclidean'`` - distance between loadings, which :func:`pellucid.tl.loadings` wrote
          (the paper's siVAE-Euc). No network is inferred.
        * ``'correlation'`` - Pearson's correlation of expression, whatever its sign.
        * ``'clr'``, ``'mrnet'``, ``'aracne'`` - networks of the mutual information of expression;
          see Notes.
        * ``'grnboost2'`` - importance to boosted trees that predict a gene from all others. Needs
          the package arboreto; minutes for some hundred genes.
    loadings_key
        For `method="euclidean"`: key of the loadings in `adata.varm`. `None` for the first of
        `"annotated_ae_loadings"`, `"sivae_loadings"`, `"deep_ae_loadings"` and
        `"linearscvi_loadings"` that is there.
    sampled
        Cells to read in place of those of `adata`, for the other methods: what
        :func:`pellucid.tl.sample_expression` drew from a model (the paper's siVAE-GCN).
    layer
        Layer of what is read, of `sampled` if that is given; `X` if `None`. It should hold
        log-normalised expression: counts relate genes through the depth of sequencing.
    estimator
        How mutual information is found: ``'bins'``, from the counts of cells in bins of equal
        frequency, or ``'spearman'``, from rank correlations, as the paper's authors did.
    random_state
        Seed of `method="grnboost2"`.
    key_added
        Beginning of the keys in `adata.varp`, and key in `adata.uns`.
    copy
        Whether to return a copy of `adata` rather than write to it; not of a backed one.

    Returns
    -------
    `None`, or an AnnData if `copy=True`. Sets the following fields, as
    :func:`scanpy.pp.neighbors` does for cells:

    `adata.varp[f"{key_added}_distances"]` : :class:`scipy.sparse.csr_matrix`, `(n_vars, n_vars)`
        A row holds a gene's neighbours: the Euclidean distances, or 1 less the weights. Neighbours
        of a gene need not have it for one of theirs.
    `adata.varp[f"{key_added}_connectivities"]` : :class:`scipy.sparse.csr_matrix`
        Weights of the edges between genes of which one is the other's neighbour, from 0 to 1:
        correlations without their sign, weights over the largest of all, or, of distances,
        :math:`\exp(-d_{ij}^2 / \sigma_i \sigma_j)`, with a gene's distance from its farthest
        neighbour for :math:`\sigma`. Symmetric.
    `adata.uns[key_added]` : :class:`dict`
        `params`, `connectivities_key` and `distances_key`.

    Raises
    ------
    KeyError
        If the loadings or the layer are missing.
    ValueError
        If an argument is out of range, a value is not finite, loadings are not of one model, or
        `sampled` has other genes.
    TypeError
        If `sampled` is given for `method="euclidean"`.
    ImportError
        If arboreto is not installed and `method="grnboost2"`.

    Notes
    -----
    *Networks.* Weights are as in the R package minet. CLR: how far an edge exceeds the others of
    its two genes. MRNET: genes are chosen one after the other for what they tell beyond those
    already chosen. ARACNE: mutual information, without the least edge of every three genes. MRNET
    and ARACNE give most pairs no weight, so that a gene may have fewer neighbours than were asked
    for.

    *Time and memory.* These three hold a few matrices of genes x genes. For 2,000 genes of 2,700
    cells they take seconds to minutes.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> model = pld.tl.sivae(adata, likelihood="nb", n_hidden=(32, 16), max_epochs=1)
    >>> pld.tl.gene_neighbors(adata)
    >>> pld.get.gene_neighbors(adata).columns.to_list()
    ['gene', 'neighbor', 'rank', 'distance', 'weight']

    Correlations of cells that are drawn from the model:

    >>> sampled = pld.tl.sample_expression(adata, model)
    >>> pld.tl.gene_neighbors(adata, method="correlation", sampled=sampled, key_added="drawn")
    """
    check_writable(adata, copy=copy)
    if method not in _METHODS:
        raise ValueError(f"method={method!r} is unknown; choose one of {_METHODS}.")
    if estimator not in ("bins", "spearman"):
        raise ValueError(f"estimator={estimator!r} is unknown; choose 'bins' or 'spearman'.")
    if not 1 <= n_neighbors < adata.n_vars:
        raise ValueError(
            f"n_neighbors={n_neighbors}, but adata has {adata.n_vars} genes; expected 1 to "
            f"{adata.n_vars - 1} neighbours."
        )
    if method == "euclidean":
        if sampled is not None:
            raise TypeError(
                "method='euclidean' reads loadings in adata.varm and no expression; leave out "
                "sampled, or choose method='correlation', 'clr', 'mrnet', 'aracne' or 'grnboost2'."
            )
        loadings_key = _keys.found_loadings(adata, loadings_key)
        found = nearest_by_distance(read_loadings(adata, loadings_key), n_neighbors)
    else:
        read = adata if sampled is None else sampled
        if not read.var_names.equals(adata.var_names):
            raise ValueError(
                f"sampled has {read.n_vars} genes, of which "
                f"{read.var_names.isin(adata.var_names).sum()} are among the {adata.n_vars} of "
                "adata; it must have the same genes in the same order, as "
                "tl.sample_expression(adata, model) returns them."
            )
        if sampled is not None and layer is not None and layer not in sampled.layers:
            raise KeyError(
                f"layer {layer!r} not found in sampled.layers, which is read in place of adata; "
                "leave out layer, as tl.sample_expression writes to X."
            )
        check_expression(read, layer, scaled=True)
        found = nearest_by_weight(
            _weights(read, layer, method, estimator, random_state), n_neighbors
        )
    of_information = method in _OF_INFORMATION
    adata = adata.copy() if copy else adata
    keys = {name: f"{key_added}_{name}" for name in found._fields}
    for name, key in keys.items():
        adata.varp[key] = getattr(found, name)
    adata.uns[key_added] = {
        **{f"{name}_key": key for name, key in keys.items()},
        "params": _keys.record(
            "tl.gene_neighbors",
            n_neighbors=n_neighbors,
            method=method,
            loadings_key=loadings_key,
            sampled=sampled is not None,
            layer=layer,
            estimator=estimator if of_information else None,
            random_state=random_state if method == "grnboost2" else None,
            key_added=key_added,
        ),
    }
    return adata if copy else None


def _weights(
    read: AnnData,
    layer: str | None,
    method: str,
    estimator: Literal["bins", "spearman"],
    random_state: int,
) -> np.ndarray:
    """Weights of the edges, genes x genes, from 0 to 1."""
    matrix = expression_matrix(read, layer)
    if method == "correlation":
        return np.abs(correlation(matrix))
    if method == "grnboost2":
        weights = grnboost2(dense_expression(read, layer), random_state=random_state)
    else:
        in_memory = sparse.issparse(matrix) or isinstance(matrix, np.ndarray)
        values = matrix if in_memory else dense_expression(read, layer)
        weights = _OF_INFORMATION[method](mutual_information(values, estimator=estimator))
    return weights / (weights.max() or 1)
