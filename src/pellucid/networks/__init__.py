"""Gene co-expression: who predicts many genes, and who goes with whom.

Functions of arrays and of trained models; this room writes to no AnnData.
"""

from __future__ import annotations

from ._adjacency import adjacency
from ._aracne import aracne
from ._clr import clr
from ._correlation import correlation
from ._grnboost2 import grnboost2
from ._mrnet import mrnet
from ._mutual_information import mutual_information
from ._nearest import Neighbors, nearest_by_distance, nearest_by_weight
from ._neighbor_prediction import neighbor_prediction
from ._rank_sum import rank_sum
from ._reconstructed_variance import ReconstructedVariance, reconstructed_variance
from ._spearman import spearman
from ._true_centrality import true_centrality
from ._weisfeiler_lehman import weisfeiler_lehman

__all__ = [
    "Neighbors",
    "ReconstructedVariance",
    "adjacency",
    "aracne",
    "clr",
    "correlation",
    "grnboost2",
    "mrnet",
    "mutual_information",
    "nearest_by_distance",
    "nearest_by_weight",
    "neighbor_prediction",
    "rank_sum",
    "reconstructed_variance",
    "spearman",
    "true_centrality",
    "weisfeiler_lehman",
]
