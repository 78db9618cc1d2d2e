"""Tools: read a trained model, and write what was read into the AnnData."""

from ._annotated_ae import annotated_ae
from ._associate_centrality import associate_centrality
from ._associate_edges import associate_edges
from ._attribute import attribute
from ._attribution_agreement import attribution_agreement
from ._compare_networks import compare_networks
from ._compression_benchmark import compression_benchmark
from ._deep_ae import deep_ae
from ._degree_centrality import degree_centrality
from ._enrich import enrich
from ._factor_separation import factor_separation
from ._factor_test import factor_test
from ._fit_populations import fit_populations
from ._gene_neighbors import gene_neighbors
from ._gene_set_impact import gene_set_impact
from ._gsea import gsea
from ._latent import latent
from ._loadings import loadings
from ._orthogonal_ae import orthogonal_ae
from ._orthogonality import orthogonality
from ._rank_factors import rank_factors
from ._reconstruction_metrics import reconstruction_metrics
from ._sample_expression import sample_expression
from ._sivae import sivae
from ._transfer_labels import transfer_labels
from ._tune import tune

__all__ = [
    "annotated_ae",
    "associate_centrality",
    "associate_edges",
    "attribute",
    "attribution_agreement",
    "compare_networks",
    "compression_benchmark",
    "deep_ae",
    "degree_centrality",
    "enrich",
    "factor_separation",
    "factor_test",
    "fit_populations",
    "gene_neighbors",
    "gene_set_impact",
    "gsea",
    "latent",
    "loadings",
    "orthogonal_ae",
    "orthogonality",
    "rank_factors",
    "reconstruction_metrics",
    "sample_expression",
    "sivae",
    "transfer_labels",
    "tune",
]
