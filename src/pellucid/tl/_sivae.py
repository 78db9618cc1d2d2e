from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pellucid import _keys
from pellucid.model import SIVAE
from pellucid.train import seeded

from ._fit import undone_on_failure
from ._latent import latent
from ._loadings import loadings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData


def sivae(
    adata: AnnData,
    *,
    layer: str | None = None,
    batch_key: str | None = None,
    continuous_covariate_keys: list[str] | None = None,
    n_latent: int = 2,
    likelihood: Literal["normal", "nb"] = "normal",
    gamma: float = 0.05,
    n_hidden: Sequence[int] = (1024, 512, 128),
    max_epochs: int | Sequence[int] | None = None,
    key_added: str = _keys.LATENT["SIVAE"],
    random_state: int = 0,
    **train_kwargs: Any,
) -> SIVAE:
    """Train a :class:`~pellucid.model.SIVAE`, write scores and loadings :cite:p:`Choi2023`.

    One call for registering `adata`, training, :func:`~pellucid.tl.latent` and
    :func:`~pellucid.tl.loadings`. For the other arguments of the model use the class.

    Parameters
    ----------
    adata
        Cells x genes: log expression of highly variable genes, scaled or not; or counts with
        `likelihood="nb"`.
    layer
        Layer that holds them; `adata.X` if `None`.
    batch_key
        Column of `adata.obs` that names the batch, whose effects stay out of the scores.
    continuous_covariate_keys
        Columns of `adata.obs` that are read like the batch.
    n_latent
        Number of units.
    likelihood
        `"normal"` for log expression, `"nb"` for counts.
    gamma
        Weight of the term that ties the genes' dimensions to the cells'.
    n_hidden
        Widths of the hidden layers of both encoders; the decoders mirror them. Those of the paper.
    max_epochs
        Passes over the training cells; see :meth:`~pellucid.model.SIVAE.train`.
    key_added
        Key under which the scores are added. The loadings go to `"sivae_loadings"`, or to
        `f"{key_added}_loadings"` if another key is given.
    random_state
        Seed of the weights, the split and the order of cells. The same seed on the same machine
        gives the same result, bit for bit. The global generators are left as they were.
    **train_kwargs
        Passed to :meth:`pellucid.model.SIVAE.train`.

    Returns
    -------
    The trained model. Sets the following fields:

    `adata.obsm[key_added]` : :class:`numpy.ndarray`, float32, shape `(n_obs, n_latent)`
        Scores of each cell.
    `adata.uns[key_added]` : :class:`dict`
        `params`, `latent_names` and `history`.
    `adata.varm["sivae_loadings"]`, `adata.uns["sivae_loadings"]`
        Loadings of each gene; see :func:`~pellucid.tl.loadings`.

    Raises
    ------
    ValueError
        If the expression cannot be modelled, a covariate has missing values, or there are more
        units than genes.
    KeyError
        If `layer` or a covariate is not in `adata`.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> model = pld.tl.sivae(adata, likelihood="nb", n_hidden=(32, 16), max_epochs=1)
    >>> adata.obsm["X_sivae"].shape, adata.varm["sivae_loadings"].shape
    ((700, 2), (765, 2))
    """
    is_default = key_added == _keys.LATENT["SIVAE"]
    with undone_on_failure(adata), seeded(random_state):
        SIVAE.setup_anndata(
            adata,
            layer=layer,
            batch_key=batch_key,
            continuous_covariate_keys=continuous_covariate_keys,
        )
        model = SIVAE(
            adata, n_latent=n_latent, likelihood=likelihood, gamma=gamma, n_hidden=n_hidden
        )
        model.train(max_epochs, **train_kwargs)
        # In here, because a data loader draws from the global generator too.
        latent(adata, model, key_added=key_added)
        loadings(adata, model, key_added=None if is_default else f"{key_added}_loadings")
    adata.uns[key_added]["params"]["random_state"] = random_state
    return model
