"""Figures, from the AnnData alone: neither a model nor torch is needed to draw them."""

from __future__ import annotations

from ._attribution_agreement import attribution_agreement
from ._cell_gene_embedding import cell_gene_embedding
from ._centrality_association import centrality_association
from ._compression_benchmark import compression_benchmark
from ._degree_centrality import degree_centrality
from ._enrichment import enrichment
from ._factor_ranking import factor_ranking
from ._factor_scatter import factor_scatter
from ._factor_separation import factor_separation
from ._factor_violin import factor_violin
from ._gene_embedding import gene_embedding
from ._gene_network import gene_network
from ._gene_network_difference import gene_network_difference
from ._gene_set_impact import gene_set_impact
from ._gene_set_impact_difference import gene_set_impact_difference
from ._gsea_frequency import gsea_frequency
from ._history import history
from ._loadings import loadings
from ._network_embedding import network_embedding
from ._reconstruction import reconstruction
from ._transfer_accuracy import transfer_accuracy
from ._tune import tune
from ._umap import umap
from ._unit_activity import unit_activity

__all__ = [
    "attribution_agreement",
    "cell_gene_embedding",
    "centrality_association",
    "compression_benchmark",
    "degree_centrality",
    "enrichment",
    "factor_ranking",
    "factor_scatter",
    "factor_separation",
    "factor_violin",
    "gene_embedding",
    "gene_network",
    "gene_network_difference",
    "gene_set_impact",
    "gene_set_impact_difference",
    "gsea_frequency",
    "history",
    "loadings",
    "network_embedding",
    "reconstruction",
    "transfer_accuracy",
    "tune",
    "umap",
    "unit_activity",
]
