from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from pellucid import _keys
from pellucid._validate import check_writable
from pellucid.networks import weisfeiler_lehman

from ._population_networks import networks, nodes, read_populations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

_ITERATIONS = {"degree": 5, "gene": 0}
_MOST_COMPONENTS = 10


def compare_networks(
    adata: AnnData,
    *,
    genes: Sequence[str] | None = None,
    n_central: int = 100,
    n_neighbors: int = 20,
    percentile: float | None = None,
    min_centrality: float = 0.05,
    labels: Literal["degree", "gene"] = "gene",
    n_iterations: int | None = None,
    key: str = _keys.POPULATIONS,
    key_added: str = _keys.NETWORK_COMPARISON,
    copy: bool = False,
) -> AnnData | None:
    """How alike the gene networks of populations are (Fig. 6b of :cite:p:`Choi2023`).

    Genes that lie near each other in the embedding of a fit have an edge. The networks of all
    fits are compared by the Weisfeiler-Lehman kernel, which is averaged over the bins of each pair
    of populations. Principal components of the populations' similarities show which are alike.
    Nothing is told of phenotypes.

    Parameters
    ----------
    adata
        With a result of :func:`pellucid.tl.fit_populations`.
    genes
        Genes of the networks. If `None`, those among the `n_central` most central ones of any fit,
        as in the authors' program.
    n_central
        How many of each fit, if `genes` is `None`.
    n_neighbors
        Genes have an edge of which one is among so many nearest ones of the other; 20, as the
        paper has it for the neighbours of genes.
    percentile
        If given, pairs of genes have an edge instead that are nearer than this percentile of all
        pairs; 1 in the authors' program. Of genes that `min_centrality` leaves, so many pairs have
        an edge however far a network has fallen apart.
    min_centrality
        Genes of which a fit explains a smaller share of the variance have no edge in it. They lie
        together near the origin, because they go with nothing: without this bound, a module that
        falls apart keeps its edges. The authors' program has none.
    labels
        What the kernel compares; see ``networks.weisfeiler_lehman``.

        * ``'gene'`` - which genes have an edge with which.
        * ``'degree'`` - the shapes of networks: how many genes have how many neighbours, with how
          many neighbours of their own. Which gene is which plays no part. So the authors' program
          has it; the paper does not say.
    n_iterations
        Iterations of the kernel. `None` is 5 for degrees, the default of GraKeL, which the paper
        used, and 0 for genes: with one, each edge is counted by its ends' neighbours, which are
        the same ones in no two networks that were estimated.
    key
        Key of the fits in `adata.uns`.
    key_added
        Key in `adata.uns`.
    copy
        Whether to return a copy of `adata` rather than write to it; not of a backed one.

    Returns
    -------
    `None`, or an AnnData if `copy=True`. Sets `adata.uns[key_added]`, a :class:`dict` of

    `populations` : string array
        Names of the populations.
    `kernel` : float64, shape `(n_populations, n_populations)`
        Normalised kernel, averaged over pairs of bins, those of a bin with itself included.
    `pcs` : float64, shape `(n_populations, n_components)`
        Principal components of the kernel's rows, 10 at most.
    `variance_ratio` : float64, shape `(n_components,)`
        Share of the variance of each.
    `genes` : string array
        Genes of the networks.
    `params`
        The arguments.

    Raises
    ------
    KeyError
        If `adata` lacks the fits, or one of `genes`.
    ValueError
        If there are fewer than 3 populations or genes, or an argument is out of range. Nothing is
        written then.

    Notes
    -----
    *Which labels.* A kernel of degrees tells a network that has lost a hub from one that has not,
    whichever hub it is. It is blind to genes that change sides: where half of the genes of one
    module go with another's hub, and the other way round, all degrees stay. ``labels='gene'`` sees
    that.

    *Bins.* The paper says that matrices are averaged over bins before the principal components;
    the authors' program averages the components. Here it is as in the paper. A population of one
    bin is compared with itself by 1, one of several by less, so that populations of few bins lie
    further out.

    Examples
    --------
    >>> import numpy as np
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()[:, :60].copy()
    >>> adata.X = np.log1p(adata.X.toarray())
    >>> small = {"model_kwargs": {"n_hidden": (8, 4)}, "train_kwargs": {"max_epochs": 1}}
    >>> pld.tl.fit_populations(adata, "louvain", n_cells_per_bin=90, n_latent=4, **small)
    >>> pld.tl.compare_networks(adata)
    >>> table = pld.get.network_comparison(adata)
    """
    check_writable(adata, copy=copy)
    if labels not in _ITERATIONS:
        raise ValueError(f"labels={labels!r} is unknown; choose 'degree' or 'gene'.")
    if n_iterations is None:
        n_iterations = _ITERATIONS[labels]
    if n_iterations < 0:
        raise ValueError(f"n_iterations={n_iterations}; expected 0 or more.")
    populations = read_populations(adata, key)
    if len(populations.names) < 3:
        raise ValueError(
            f"adata.uns[{key!r}] has {len(populations.names)} populations; expected 3 at least."
        )
    which = nodes(adata, key, genes, n_central, added=False)
    graphs = networks(
        adata,
        key,
        which,
        n_neighbors=n_neighbors,
        percentile=percentile,
        min_centrality=min_centrality,
    )
    of_fits = weisfeiler_lehman(graphs, labels=labels, n_iterations=n_iterations)
    kernel = populations.average(populations.average(of_fits).T)
    pcs, variance_ratio = _components(kernel)

    adata = adata.copy() if copy else adata
    adata.uns[key_added] = {
        "params": _keys.record(
            "tl.compare_networks",
            n_central=n_central if genes is None else None,
            n_neighbors=n_neighbors if percentile is None else None,
            percentile=percentile,
            min_centrality=min_centrality,
            labels=labels,
            n_iterations=n_iterations,
            key=key,
            key_added=key_added,
            population_key=populations.column,
        ),
        "populations": populations.names,
        "kernel": kernel,
        "pcs": pcs,
        "variance_ratio": variance_ratio,
        "genes": _keys.string_array(adata.var_names[which]),
    }
    return adata if copy else None


def _components(kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Principal components of the rows, the largest value of each positive."""
    left, size, _ = np.linalg.svd(kernel - kernel.mean(axis=0))
    n_components = min(len(kernel) - 1, _MOST_COMPONENTS)
    pcs = left[:, :n_components] * size[:n_components]
    largest = np.take_along_axis(pcs, np.abs(pcs).argmax(axis=0)[None], axis=0)
    share = size**2 / max((size**2).sum(), np.finfo(float).tiny)
    return pcs * np.where(largest < 0, -1, 1), share[:n_components]
