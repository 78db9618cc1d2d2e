from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pellucid import _keys
from pellucid.model import AnnotatedAE
from pellucid.train import seeded

from ._fit import undone_on_failure
from ._latent import latent
from ._loadings import loadings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData


def annotated_ae(
    adata: AnnData,
    *,
    layer: str | None = None,
    gene_sets: str | Mapping[str, Sequence[str]] | None = _keys.GENE_SETS,
    categorical_covariate_keys: list[str] | None = None,
    continuous_covariate_keys: list[str] | None = None,
    n_sparse: int = 5,
    n_dense: int = 0,
    likelihood: Literal["normal", "nb"] = "normal",
    max_epochs: int | None = None,
    key_added: str = _keys.LATENT["AnnotatedAE"],
    random_state: int = 0,
    **train_kwargs: Any,
) -> AnnotatedAE:
    """Train an :class:`~pellucid.model.AnnotatedAE`, write what it finds :cite:p:`Rybakov2020`.

    One call for registering `adata`, training, :func:`~pellucid.tl.latent` and
    :func:`~pellucid.tl.loadings`. For the other arguments of the model use the class.

    Parameters
    ----------
    adata
        Cells x genes: log expression, or counts with `likelihood="nb"`.
    layer
        Layer that holds them; `adata.X` if `None`.
    gene_sets
        Key of the sets in `adata.varm`, from :func:`~pellucid.pp.add_gene_sets`; or a mapping of
        names to genes; or `None` for no annotated factor.
    categorical_covariate_keys, continuous_covariate_keys
        Columns of `adata.obs`, such as the batch, whose effect on each gene is modelled beside the
        factors.
    n_sparse
        Number of sparse factors without annotation.
    n_dense
        Number of dense factors.
    likelihood
        `"normal"` for log expression, `"nb"` for counts.
    max_epochs
        Passes over the training cells; see :meth:`~pellucid.model.AnnotatedAE.train`.
    key_added
        Key under which the scores are added. The loadings go to `"annotated_ae_loadings"`, or to
        `f"{key_added}_loadings"` if another key is given.
    random_state
        Seed of the weights, the split and the order of cells. The same seed on the same machine
        gives the same result, bit for bit. The global generators are left as they were.
    **train_kwargs
        Passed to :meth:`pellucid.model.AnnotatedAE.train`.

    Returns
    -------
    The trained model. Sets the following fields:

    `adata.obsm[key_added]` : :class:`numpy.ndarray`, float32, shape `(n_obs, n_latent)`
        Scores of each factor; 0 in every cell for one that was deactivated.
    `adata.uns[key_added]` : :class:`dict`
        `params`, `latent_names` and `history`.
    `adata.varm["annotated_ae_loadings"]`, `adata.uns["annotated_ae_loadings"]`
        Loadings; see :func:`~pellucid.tl.loadings`.

    Raises
    ------
    ValueError
        If the expression cannot be modelled, a set has no gene in `adata`, or a covariate has
        missing values.
    KeyError
        If `layer`, `gene_sets` or a covariate is not in `adata`.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> pld.pp.add_gene_sets(adata, pld.datasets.blood_markers())
    >>> model = pld.tl.annotated_ae(adata, likelihood="nb", max_epochs=2)
    >>> adata.obsm["X_annotated_ae"].shape
    (700, 21)
    """
    is_default = key_added == _keys.LATENT["AnnotatedAE"]
    with undone_on_failure(adata), seeded(random_state):
        AnnotatedAE.setup_anndata(
            adata,
            layer=layer,
            categorical_covariate_keys=categorical_covariate_keys,
            continuous_covariate_keys=continuous_covariate_keys,
        )
        model = AnnotatedAE(
            adata, gene_sets=gene_sets, n_sparse=n_sparse, n_dense=n_dense, likelihood=likelihood
        )
        model.train(max_epochs, **train_kwargs)
        # In here, because a data loader draws from the global generator too.
        latent(adata, model, key_added=key_added)
        loadings(adata, model, key_added=None if is_default else f"{key_added}_loadings")
    adata.uns[key_added]["params"]["random_state"] = random_state
    return model
