"""The AnnData contract: every key this package writes, and the record of how it came to be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable

    from anndata import AnnData

ALIGN_GENES = "align_genes"
GENE_SETS = "gene_sets"
ATTRIBUTION = "attribution"
GENE_SET_IMPACT = "gene_set_impact"
FACTORS = "factors"
FACTOR_SEPARATION = "factor_separation"
FACTOR_TEST = "factor_test"
ATTRIBUTION_AGREEMENT = "attribution_agreement"
TRANSFER_LABELS = "transfer_labels"
TUNE = "tune"
ENRICHMENT = "enrichment"
GSEA = "gsea"
RECONSTRUCTION_METRICS = "reconstruction_metrics"
COMPRESSION_BENCHMARK = "compression_benchmark"
DEGREE_CENTRALITY = "degree_centrality"
GENE_NEIGHBORS = "gene_neighbors"
SAMPLE_EXPRESSION = "sample_expression"
POPULATIONS = "populations"
NETWORK_COMPARISON = "network_comparison"
CENTRALITY_ASSOCIATION = "centrality_association"
EDGE_ASSOCIATION = "edge_association"

# A unit is dead whose standard deviation over cells is below this share of the largest one.
DEAD_BELOW = 0.01

LATENT = {
    "OrthogonalAE": "X_orthogonal_ae",
    "AnnotatedAE": "X_annotated_ae",
    "SIVAE": "X_sivae",
    "DeepAE": "X_deep_ae",
}
LOADINGS = {
    "AnnotatedAE": "annotated_ae_loadings",
    "SIVAE": "sivae_loadings",
    "DeepAE": "deep_ae_loadings",
    "LinearSCVI": "linearscvi_loadings",
}


def latent(model: object) -> str:
    """Default key of a model's latent representation in `obsm`, and of its record in `uns`."""
    return latent_of(type(model).__name__)


def latent_of(model_class: str) -> str:
    """The same, by the name of the model's class."""
    return LATENT.get(model_class, f"X_{model_class.lower()}")


def representation(adata: AnnData, key: str | None) -> str:
    """The key that was asked for, or the first default key under which a model here wrote."""
    if key is not None:
        return key
    return next((name for name in LATENT.values() if name in adata.uns), LATENT["OrthogonalAE"])


def loadings(model: object) -> str:
    """Default key of a model's loadings in `varm`, and of their record in `uns`."""
    name = type(model).__name__
    return LOADINGS.get(name, f"{name.lower()}_loadings")


def found_loadings(adata: AnnData, key: str | None) -> str:
    """The key that was asked for, or the first default key under which there are loadings."""
    if key is not None:
        return key
    return next((name for name in LOADINGS.values() if name in adata.varm), LOADINGS["SIVAE"])


def annotated(key: str) -> str:
    """Key of the mask that tells which genes stand in each factor's set, beside loadings."""
    return f"{key}_annotated"


def latent_names(model: object, n_latent: int) -> np.ndarray:
    """Names of a model's units: its own, or those that scvi-tools gives the loadings."""
    names = getattr(model, "latent_names", None)
    return string_array(f"Z_{unit}" for unit in range(n_latent)) if names is None else names


def grouped(key: str, groupby: str) -> str:
    """Key of the per-group companion of `key`: HDF5 and zarr read "/" as a path."""
    return f"{key}_{groupby}".replace("/", "_")


def string_array(names: Iterable[Any]) -> np.ndarray:
    """Names of sets, groups and units as they are stored: never as keys or column names."""
    return np.asarray([str(name) for name in names], dtype=str)


def record(function: str, *, model: object | None = None, **arguments: Any) -> dict[str, Any]:
    """What is needed to repeat a call, in types that h5ad and zarr hold.

    Arguments that are `None` are left out: neither format has a stable way to store them.
    """
    params: dict[str, Any] = {"function": function, "pellucid_version": __version__}
    if model is not None:
        params["model_class"] = type(model).__name__
    for name, value in arguments.items():
        if value is None:
            continue
        params[name] = string_array(value) if isinstance(value, list | tuple) else value
    return params


def require(adata: AnnData, slot: str, key: str, made_by: str) -> Any:
    """`getattr(adata, slot)[key]`, or a `KeyError` that names the call which writes it."""
    mapping = getattr(adata, slot)
    if key not in mapping:
        raise KeyError(
            f"adata.{slot}[{key!r}] not found; it is written by {made_by}. "
            f"adata.{slot} holds: {sorted(map(str, mapping.keys()))}."
        )
    return mapping[key]
