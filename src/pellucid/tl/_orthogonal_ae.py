from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pellucid import _keys
from pellucid._validate import check_expression
from pellucid.model import OrthogonalAE
from pellucid.train import seeded

from ._fit import undone_on_failure
from ._latent import latent

if TYPE_CHECKING:
    from anndata import AnnData


def orthogonal_ae(
    adata: AnnData,
    *,
    layer: str | None = None,
    n_latent: int = 64,
    input_type: Literal["library_scaled", "counts", "log"] = "library_scaled",
    preset: Literal["kinalis2019", "kinalis2022"] | None = None,
    max_epochs: int = 400,
    key_added: str = _keys.LATENT["OrthogonalAE"],
    random_state: int = 0,
    **train_kwargs: Any,
) -> OrthogonalAE:
    """Train an :class:`~pellucid.model.OrthogonalAE` and write its latent :cite:p:`Kinalis2019`.

    One call for registering `adata`, training and :func:`~pellucid.tl.latent`. For the other
    arguments of the model use the class.

    Parameters
    ----------
    adata
        Cells x genes: counts, or log expression with `input_type="log"`.
    layer
        Layer that holds them; `adata.X` if `None`.
    n_latent
        Number of latent units.
    input_type
        What the network reads and writes; see :class:`~pellucid.model.OrthogonalAE`.
    preset
        A paper's settings instead of the defaults; it sets `n_latent`, `input_type`, `max_epochs`
        and what `train_kwargs` does not.
    max_epochs
        Passes over the training cells at most; training stops early by default.
    key_added
        Key under which the latent is added.
    random_state
        Seed of the weights, the split and the order of cells. The same seed on the same machine
        gives the same result, bit for bit. The global generators are left as they were.
    **train_kwargs
        Passed to :meth:`pellucid.model.OrthogonalAE.train`.

    Returns
    -------
    The trained model. Sets the following fields:

    `adata.obsm[key_added]` : :class:`numpy.ndarray`, float32, shape `(n_obs, n_latent)`
        Latent representation.
    `adata.uns[key_added]` : :class:`dict`
        `params`, `latent_names` and `history`.

    Raises
    ------
    ValueError
        If the expression cannot be modelled: NaN, negative values, gene names that are not unique,
        or values that are not whole numbers where counts are due.
    KeyError
        If `layer` or `preset` is unknown.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> model = pld.tl.orthogonal_ae(adata, n_latent=8, max_epochs=2)
    >>> adata.obsm["X_orthogonal_ae"].shape
    (700, 8)
    """
    model_kwargs: dict[str, Any] = {"n_latent": n_latent, "input_type": input_type}
    if preset is not None:
        chosen = OrthogonalAE.preset(preset)
        model_kwargs = chosen.model_kwargs
        train_kwargs = {**chosen.train_kwargs, **train_kwargs}
    train_kwargs.setdefault("max_epochs", max_epochs)
    check_expression(adata, layer, counts=model_kwargs["input_type"] != "log")
    with undone_on_failure(adata), seeded(random_state):
        OrthogonalAE.setup_anndata(adata, layer=layer)
        model = OrthogonalAE(adata, **model_kwargs)
        model.train(**train_kwargs)
        # In here, because a data loader draws from the global generator too.
        latent(adata, model, key_added=key_added)
    adata.uns[key_added]["params"]["random_state"] = random_state
    return model
