"""What the other rooms wrote, as labelled tables; reads the AnnData only."""

from __future__ import annotations

from ._attribution import attribution
from ._attribution_agreement import attribution_agreement
from ._centrality_association import centrality_association
from ._compression_benchmark import compression_benchmark
from ._edge_association import edge_association
from ._enrichment import enrichment
from ._factor_separation import factor_separation
from ._factor_test import factor_test
from ._factors import factors
from ._gene_neighbors import gene_neighbors
from ._gene_set_impact import gene_set_impact
from ._gene_sets import gene_sets
from ._gsea import gsea
from ._gsea_frequency import gsea_frequency
from ._history import history
from ._latent import latent
from ._loadings import loadings
from ._network_comparison import network_comparison
from ._populations import populations
from ._reconstruction_metrics import reconstruction_metrics
from ._transfer_labels import transfer_labels
from ._tune import tune

__all__ = [
    "attribution",
    "attribution_agreement",
    "centrality_association",
    "compression_benchmark",
    "edge_association",
    "enrichment",
    "factor_separation",
    "factor_test",
    "factors",
    "gene_neighbors",
    "gene_set_impact",
    "gene_sets",
    "gsea",
    "gsea_frequency",
    "history",
    "latent",
    "loadings",
    "network_comparison",
    "populations",
    "reconstruction_metrics",
    "transfer_labels",
    "tune",
]
