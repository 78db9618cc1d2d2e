"""Cells as few numbers each, and back: DeepAE's rivals, and how well each does it.

Estimators with scikit-learn's verbs; this room reads no AnnData.
"""

from __future__ import annotations

from ._compressor import Compressor, check_n_latent
from ._cs_smaf import CSSMAF
from ._deep_ae import DeepAECompressor
from ._gene_means import GeneMeans
from ._k_svd import KSVD
from ._methods import MEAN, METHODS, methods_by_name
from ._metrics import METRICS, Original
from ._resumed_rows import ResumedRows
from ._sparse_nmf import SparseNMF
from ._svd import SVD

__all__ = [
    "CSSMAF",
    "KSVD",
    "MEAN",
    "METHODS",
    "METRICS",
    "SVD",
    "Compressor",
    "DeepAECompressor",
    "GeneMeans",
    "Original",
    "ResumedRows",
    "SparseNMF",
    "check_n_latent",
    "methods_by_name",
]
