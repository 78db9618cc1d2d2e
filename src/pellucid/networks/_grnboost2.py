from __future__ import annotations

import numpy as np


def grnboost2(x: np.ndarray, *, random_state: int = 0) -> np.ndarray:
    """Importance of genes to boosted trees that predict each gene (Moerman et al. 2019).

    Trees are grown by the package arboreto, one gene after the other and without its Dask graph,
    which recent versions of Dask do not run.

    Parameters
    ----------
    x
        Cells x genes, dense.
    random_state
        Seed of the trees.

    Returns
    -------
    Weights of the edges, genes x genes: the larger of the importances that the two genes have to
    each other; 0 of a gene with itself.

    Raises
    ------
    ImportError
        If arboreto is not installed.
    """
    try:
        from arboreto.core import SGBM_KWARGS, infer_partial_network
    except ImportError as error:
        raise ImportError(
            "method='grnboost2' needs arboreto: pip install arboreto. The methods 'mrnet', 'clr' "
            "and 'aracne' need nothing more."
        ) from error
    n_genes = x.shape[1]
    names = [str(gene) for gene in range(n_genes)]
    found = np.zeros((n_genes, n_genes))
    for gene in range(n_genes):
        links = infer_partial_network(
            regressor_type="GBM",
            regressor_kwargs=SGBM_KWARGS,
            tf_matrix=x,
            tf_matrix_gene_names=names,
            target_gene_name=names[gene],
            target_gene_expression=x[:, gene],
            include_meta=False,
            early_stop_window_length=25,
            seed=random_state,
        )
        found[links["TF"].astype(int), gene] = links["importance"]
    return np.maximum(found, found.T)
