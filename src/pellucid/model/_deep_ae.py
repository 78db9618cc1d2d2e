from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import LambdaCallback
from scipy import sparse
from sklearn.decomposition import TruncatedSVD

from pellucid._validate import check_expression, expression_matrix, row_blocks
from pellucid.module import DeepAEModule
from pellucid.train import DeepAETrainingPlan

from ._base import BaseAutoencoder, Preset
from ._query import QueryMixin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from lightning.pytorch import LightningModule, Trainer

    from pellucid.module._deep_ae import Loss

# Table 2 of the paper, and the two deeper networks of the text, without the code.
_HIDDEN = {
    1: (),
    2: (256,),
    3: (640, 256),
    4: (1280, 640, 256),
    5: (2580, 1280, 640, 256),
    6: (2580, 1280, 640, 256, 128),
}
_CODES_AT_ONCE = 1024
# Of the bound below which no gene is written, in standard deviations of a gene.
_SOFTNESS = 0.2
# Of the randomised decomposition: it is exact to what float32 tells.
_POWER_ITERATIONS = 20


class DeepAE(QueryMixin, BaseAutoencoder):
    r"""Deep autoencoder that compresses expression to few numbers a cell :cite:p:`Zhang2020`.

    A symmetric network, with a leaky ReLU of slope 0.2 after every layer but the code, that is
    trained to write back what it reads:

    .. math::

        \frac{1}{G} \sum_g \lvert x_g - y_g \rvert

    with :math:`x` a cell and :math:`y` its reconstruction from its `n_latent` numbers alone, as
    :meth:`decode` makes it. It takes any matrix: counts, log or z-scored expression, mass
    cytometry, metabolites.

    Parameters
    ----------
    adata
        AnnData registered via :meth:`~pellucid.model.DeepAE.setup_anndata`.
    n_latent
        Number of latent units: the numbers to which a cell is compressed.
    depth
        Which of the paper's networks (Table 2): 4 has hidden layers of 1,280, 640 and 256 units on
        either side, 3 lacks the widest, 2 has 256 alone and 1 none. 5 adds 2,580 units on the
        outside of 4, and 6 another 128 on the inside.
    n_hidden
        Widths of the encoder's hidden layers, in place of a `depth`; the decoder mirrors them.
    loss
        * ``'mae'`` - mean absolute error, equation 4. Its optimum is the median, which for a gene
          that most cells lack is 0.
        * ``'mse'`` - mean squared error, as in the authors' program.
        * ``'nb'`` - counts: a negative binomial with one dispersion a gene, of which the network
          reads :math:`\log(1 + x)` and writes the logarithm of the mean. The library size is not
          given to the decoder: it has to be part of the code.
    linear_path
        Whether encoder and decoder have a linear path beside their layers, which training starts
        as the truncated singular value decomposition of the training cells, and outputs are
        bounded below, softly, by each gene's least value in them. The layers start at nothing and
        learn what a linear code misses, if there are cells enough to learn it from; of a hundred
        cells the paper's networks do not learn as much as the decomposition knows. Not in the
        paper, and not for `loss="nb"`.

    Raises
    ------
    ValueError
        If `depth` or `loss` is unknown, a width is below 1, counts are due and the data are not
        whole numbers, or `linear_path` is asked for with `loss="nb"`.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> pld.model.DeepAE.setup_anndata(adata)
    >>> model = pld.model.DeepAE(adata, n_latent=10, depth=2, loss="nb")
    >>> model.train(max_epochs=2)
    >>> codes = model.get_latent_representation()
    >>> model.decode(codes).shape
    (700, 765)

    Notes
    -----
    ``DeepAE.preset("zhang2020")`` holds the paper's settings: 50 units, and 1,000 steps on all
    cells at once, without early stopping. The paper prints two slopes, of which it used 0.2, and
    two widths of the third layer, of which Table 2 has 256.
    """

    _module_cls = DeepAEModule
    _training_plan_cls = DeepAETrainingPlan
    _may_be_scaled = True
    _n_categories: ClassVar[list[int]] = []  # it reads no covariates
    _presets: ClassVar[dict[str, Preset]] = {
        "zhang2020": Preset(
            {"n_latent": 50, "depth": 4, "loss": "mae"},
            {
                "max_epochs": 1000,
                "batch_size": None,
                "train_size": 1.0,
                "early_stopping": False,
                "plan_kwargs": {"lr": 1e-4},
            },
        )
    }

    def __init__(
        self,
        adata: AnnData,
        *,
        n_latent: int = 50,
        depth: int = 4,
        n_hidden: Sequence[int] | None = None,
        loss: Loss = "mae",
        linear_path: bool = False,
    ):
        super().__init__(adata)
        if loss not in ("mae", "mse", "nb"):
            raise ValueError(f"loss={loss!r} is unknown; choose 'mae', 'mse' or 'nb'.")
        if n_hidden is None and depth not in _HIDDEN:
            raise ValueError(f"depth={depth!r} is unknown; choose one of {[*_HIDDEN]}.")
        widths = _HIDDEN[depth] if n_hidden is None else tuple(n_hidden)
        if min((n_latent, *widths)) < 1:
            raise ValueError(
                f"n_latent={n_latent} and n_hidden={widths}: every layer needs at least 1 unit."
            )
        if linear_path and loss == "nb":
            raise ValueError(
                "linear_path=True is not for loss='nb', whose decoder writes logarithms."
            )
        layer = self.adata_manager._get_setup_method_args()["setup_args"]["layer"]
        log_mean = None
        if loss == "nb":
            check_expression(adata, layer, counts=True)
            blocks = row_blocks(expression_matrix(adata, layer))
            total = sum(np.asarray(block.sum(axis=0)).ravel() for block in blocks)
            # As if each gene had been seen once more than it was.
            log_mean = torch.from_numpy(np.log((total + 1) / adata.n_obs)).float()
        self.module = self._module_cls(
            self.summary_stats.n_vars,
            n_hidden=widths,
            n_latent=n_latent,
            loss=loss,
            log_mean=log_mean,
            linear_path=linear_path,
        )
        self._model_summary_string = (
            f"DeepAE with the following params: \nn_latent: {n_latent}, n_hidden: {widths}, "
            f"loss: {loss}, linear_path: {linear_path}"
        )
        self._linear_path = linear_path
        self.module.eval()
        self.init_params_ = self._get_init_params(locals())

    def train(
        self,
        max_epochs: int = 1000,
        *,
        accelerator: str = "auto",
        devices: int | list[int] | str = "auto",
        train_size: float | None = None,
        validation_size: float | None = None,
        batch_size: int | None = 128,
        early_stopping: bool = True,
        early_stopping_patience: int = 45,
        plan_kwargs: dict[str, Any] | None = None,
        **kwargs,
    ) -> None:
        """Train the model.

        Parameters
        ----------
        max_epochs
            Passes over the training cells at most.
        accelerator, devices
            As in :class:`lightning.pytorch.Trainer`.
        train_size
            Share of the cells to train on; 0.9 if `None`.
        validation_size
            Share of the cells held out; the rest if `None`.
        batch_size
            Cells a step; all training cells if `None`, as in the paper, which has few.
        early_stopping
            Whether to stop when the loss of the held-out cells stops improving, and to end with
            the weights of the epoch where it was least. The paper does not.
        early_stopping_patience
            Epochs without improvement to wait for; scvi-tools' number. With few cells an epoch is
            a step or two, and the first of them can be level: of mass cytometry, 10 epochs end one
            training of five at the means of the channels.
        plan_kwargs
            Arguments of the training plan: `lr` and `weight_decay`.
        **kwargs
            Passed to scvi-tools' `train` and by it to :class:`~scvi.train.Trainer`.

        Raises
        ------
        ValueError
            If there are too few cells to hold any out, or fewer training cells or genes than units
            on a linear path.
        """
        n_held_out = self._n_held_out(train_size, validation_size, early_stopping)
        # Not before: a trained model may be loaded with fewer cells.
        if self._linear_path and not self.is_trained_:
            start = LambdaCallback(on_fit_start=self._start_as_decomposition)
            kwargs["callbacks"] = [*kwargs.get("callbacks", []), start]
        self._fit(
            max_epochs=max_epochs,
            accelerator=accelerator,
            devices=devices,
            train_size=train_size,
            validation_size=validation_size,
            batch_size=self.adata.n_obs - n_held_out if batch_size is None else batch_size,
            early_stopping=early_stopping,
            early_stopping_patience=early_stopping_patience,
            plan_kwargs=plan_kwargs or {},
            **kwargs,
        )
        self._warn_of_dead_units()

    def _start_as_decomposition(self, trainer: Trainer, _: LightningModule) -> None:
        """Set the linear path to the right singular vectors, and bounds to each gene's least.

        Of the training cells: a decomposition that has seen the held-out ones would be judged
        best as it is, however many units it has.
        """
        cells = np.sort(cast("Any", trainer).datamodule.train_idx)
        n_latent = self.module.n_latent
        if n_latent > min(len(cells), self.adata.n_vars):
            raise ValueError(
                f"n_latent={n_latent} with linear_path=True: there are {len(cells)} cells to "
                f"train on and {self.adata.n_vars} genes, and a decomposition has at most as many "
                "units as either."
            )
        layer = self.adata_manager._get_setup_method_args()["setup_args"]["layer"]
        blocks = row_blocks(expression_matrix(self.adata, layer))
        matrix = sparse.vstack([sparse.csr_matrix(block) for block in blocks]).astype(np.float32)
        matrix = matrix[cells]
        found = TruncatedSVD(n_latent, n_iter=_POWER_ITERATIONS, random_state=0).fit(matrix)
        mean = np.asarray(matrix.mean(axis=0)).ravel()
        squares = np.asarray(matrix.multiply(matrix).mean(axis=0)).ravel()
        deviation = np.sqrt(np.maximum(squares - mean**2, 0))
        # Genes that do not vary have a soft bound too.
        softness = _SOFTNESS * np.maximum(deviation, 1e-3 * (deviation.max() or 1))
        lowest = matrix.min(axis=0).toarray().ravel()
        self.module.start_from(*map(torch.from_numpy, (found.components_, lowest, softness)))

    @torch.inference_mode()
    def decode(self, latent: np.ndarray, batch_size: int | None = None) -> np.ndarray:
        """Expression of cells from their stored codes alone.

        Parameters
        ----------
        latent
            Codes, cells x units, such as `adata.obsm["X_deep_ae"]`.
        batch_size
            Cells decoded at once; 1,024 if `None`.

        Returns
        -------
        Cells x genes, float32, in the unit of the data.

        Raises
        ------
        ValueError
            If the codes are not cells x units, or not finite.
        """
        codes = np.asarray(latent, dtype=np.float32)
        if codes.ndim != 2 or codes.shape[1] != self.module.n_latent:
            raise ValueError(
                f"latent has shape {codes.shape}; expected cells x {self.module.n_latent} units, "
                "as get_latent_representation returns them."
            )
        if not np.isfinite(codes).all():
            raise ValueError("latent holds NaN or infinite values; expected finite codes.")
        self._check_if_trained(warn=True)
        means = [
            self.module.generative(part.to(self.device))["mean"].cpu()
            for part in torch.from_numpy(codes).split(batch_size or _CODES_AT_ONCE)
        ]
        return torch.cat(means).numpy()

    def get_loadings(self) -> pd.DataFrame:
        """Product of the weights from each gene to each code.

        The paper ranks genes by its size to say what a unit is about: what the encoder would
        read, were all of its slopes 1. :func:`~pellucid.tl.attribute` counts the slopes.

        Returns
        -------
        Genes x units.
        """
        weights = self.module.code_weights.detach().cpu().numpy()
        return pd.DataFrame(weights, index=self.get_var_names(), columns=self.latent_names)

    @property
    def _log_setting(self) -> str | None:
        loss = self.module.loss_name
        return None if loss == "nb" else f"loss={loss!r}"
