from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pellucid import _keys
from pellucid.model import DeepAE
from pellucid.train import seeded

from ._fit import undone_on_failure
from ._latent import latent

if TYPE_CHECKING:
    from anndata import AnnData


def deep_ae(
    adata: AnnData,
    *,
    layer: str | None = None,
    n_latent: int = 50,
    depth: int = 4,
    loss: Literal["mae", "mse", "nb"] = "mae",
    linear_path: bool = False,
    preset: Literal["zhang2020"] | None = None,
    max_epochs: int | None = None,
    key_added: str = _keys.LATENT["DeepAE"],
    random_state: int = 0,
    **train_kwargs: Any,
) -> DeepAE:
    """Train a :class:`~pellucid.model.DeepAE` and write its codes :cite:p:`Zhang2020`.

    One call for registering `adata`, training and :func:`~pellucid.tl.latent`. For the other
    arguments of the model use the class. :meth:`~pellucid.model.DeepAE.decode` of the model makes
    expression of the codes again.

    Parameters
    ----------
    adata
        Cells x genes: counts, log or z-scored expression, intensities.
    layer
        Layer that holds them; `adata.X` if `None`.
    n_latent
        Number of units.
    depth
        Which of the paper's networks, 1 to 6.
    loss
        `"mae"` as in the paper, `"mse"` as in its program, or `"nb"` for counts.
    linear_path
        Whether the network starts as the truncated singular value decomposition; not with
        `loss="nb"`.
    preset
        The paper's settings instead of the defaults; it sets all of the above but `layer`, and
        what `max_epochs` and `train_kwargs` do not.
    max_epochs
        Passes over the training cells at most; 1,000 if `None`. Training stops early by default.
    key_added
        Key under which the codes are added.
    random_state
        Seed of the weights, the split and the order of cells. The same seed on the same machine
        gives the same result, bit for bit. The global generators are left as they were.
    **train_kwargs
        Passed to :meth:`pellucid.model.DeepAE.train`.

    Returns
    -------
    The trained model. Sets the following fields:

    `adata.obsm[key_added]` : :class:`numpy.ndarray`, float32, shape `(n_obs, n_latent)`
        Codes of each cell.
    `adata.uns[key_added]` : :class:`dict`
        `params`, `latent_names` and `history`.

    Raises
    ------
    ValueError
        If the values cannot be modelled: NaN, gene names that are not unique, or values that are
        not whole numbers where counts are due.
    KeyError
        If `layer` or `preset` is unknown.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> model = pld.tl.deep_ae(adata, n_latent=10, depth=2, loss="nb", max_epochs=2)
    >>> adata.obsm["X_deep_ae"].shape
    (700, 10)
    """
    model_kwargs: dict[str, Any] = {
        "n_latent": n_latent,
        "depth": depth,
        "loss": loss,
        "linear_path": linear_path,
    }
    if preset is not None:
        chosen = DeepAE.preset(preset)
        model_kwargs = chosen.model_kwargs
        train_kwargs = {**chosen.train_kwargs, **train_kwargs}
    if max_epochs is not None:
        train_kwargs["max_epochs"] = max_epochs
    with undone_on_failure(adata), seeded(random_state):
        DeepAE.setup_anndata(adata, layer=layer)
        model = DeepAE(adata, **model_kwargs)
        model.train(**train_kwargs)
        # In here, because a data loader draws from the global generator too.
        latent(adata, model, key_added=key_added)
    adata.uns[key_added]["params"]["random_state"] = random_state
    return model
