from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from pellucid._validate import check_expression, expression_matrix, row_blocks
from pellucid.module import OrthogonalAEModule
from pellucid.train import OnlineTrainingPlan, OrthogonalAETrainingPlan

from ._base import BaseAutoencoder, Preset
from ._query import QueryMixin

if TYPE_CHECKING:
    from typing import Any

    from anndata import AnnData

    from pellucid.module._orthogonal_ae import InputType

# Cells whose steps run in one Lightning step when training is online.
_CELLS_A_CALL = 1024

# Online SGD with Nesterov's momentum, as in both papers; the step is the authors' program's.
_PAPERS_TRAINING: dict[str, object] = {
    "batch_size": 1,
    "max_epochs": 500,
    "train_size": 0.95,
    "early_stopping_patience": 10,
    "plan_kwargs": {"optimizer": "SGD", "lr": 1e-3, "gradient_clip_norm": None},
}


class OrthogonalAE(QueryMixin, BaseAutoencoder):
    r"""Autoencoder with a soft orthogonality constraint on its code :cite:p:`Kinalis2019`.

    A small SoftPlus autoencoder under a Poisson loss, whose last encoder weight :math:`W` is
    pulled towards orthonormal rows, so that units learn different things:

    .. math::

        \frac{1}{G} \sum_g \left(y_g - x_g \log(y_g + \epsilon)\right)
        + \lambda \lVert I - W W^T \rVert_F

    with :math:`x` the expression of a cell and :math:`y` its reconstruction. Units are
    non-negative, and :func:`~pellucid.tl.attribute` tells what each reads.

    Parameters
    ----------
    adata
        AnnData registered via :meth:`~pellucid.model.OrthogonalAE.setup_anndata`. Train on the
        genes of the gene sets of interest (:func:`~pellucid.pp.filter_to_gene_sets`), as the
        paper does, or on highly variable genes.
    n_hidden
        Width of each hidden layer.
    n_latent
        Number of latent units. The paper takes slightly more than it has gene sets.
    n_layers
        Hidden layers between genes and code, on either side.
    input_type
        What the network reads and writes:

        * ``'library_scaled'`` - counts; the encoder reads :math:`\log(1 + x m / l)` and the
          decoder's output is multiplied by :math:`l / m`, where :math:`l` is the cell's total
          over these genes and :math:`m` its median over cells. Sequencing depth is then no part
          of the code.
        * ``'counts'`` - raw counts in and out, as in the paper of 2019.
        * ``'log'`` - log-normalised expression in and out, as in the paper of 2022
          (:cite:p:`Kinalis2022`, which takes log(CPM + 1)).
    orthogonality_weight
        :math:`\lambda`. The default is that of the authors' program.
    l1_weight
        Weight of the L1 norm of the weights that read genes, so that a unit reads few. It is
        multiplied by the mean expression of the data, with which the Poisson loss grows, so that
        one value serves shallow and deep data. In the "complex model" of :cite:p:`Kinalis2022` the
        norm is that of all weights, and not scaled.
    dropout_rate
        Share of the encoder's inputs that training sets to zero, a fresh choice in every cell and
        step, so that many genes speak for a unit. Neither paper has it. Together with the L1 norm
        it lowers the loss of held-out cells; without the norm, genes that are hardly ever seen
        keep large weights, and impacts read them.
    softplus_beta
        Sharpness of every SoftPlus. The authors' program passes the width of the layer here,
        which makes it all but a ReLU; 1 is the SoftPlus of the papers.

    Raises
    ------
    ValueError
        If counts are due and the data are not whole numbers.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> pld.model.OrthogonalAE.setup_anndata(adata)
    >>> model = pld.model.OrthogonalAE(adata, n_latent=8)
    >>> model.train(max_epochs=2)
    >>> model.get_latent_representation().shape
    (700, 8)

    Notes
    -----
    ``OrthogonalAE.preset("kinalis2019")`` and ``preset("kinalis2022")`` hold the papers' settings,
    as far as they print them and otherwise as the authors' program sets them. The defaults differ
    from both because they read better: see the documentation's page on the paper.
    """

    _module_cls = OrthogonalAEModule
    _training_plan_cls = OrthogonalAETrainingPlan
    _n_categories: ClassVar[list[int]] = []  # it reads no covariates
    _presets: ClassVar[dict[str, Preset]] = {
        "kinalis2019": Preset(
            {
                "n_hidden": 128,
                "n_latent": 64,
                "input_type": "counts",
                "orthogonality_weight": 5e-2,
                "l1_weight": 0.0,
                "dropout_rate": 0.0,
            },
            _PAPERS_TRAINING,
        ),
        "kinalis2022": Preset(
            {
                "n_hidden": 95,
                "n_latent": 55,
                "input_type": "log",
                "orthogonality_weight": 1e-5,
                "l1_weight": 0.0,
                "dropout_rate": 0.0,
            },
            _PAPERS_TRAINING,
        ),
    }

    def __init__(
        self,
        adata: AnnData,
        *,
        n_hidden: int = 128,
        n_latent: int = 64,
        n_layers: int = 1,
        input_type: InputType = "library_scaled",
        orthogonality_weight: float = 0.05,
        l1_weight: float = 1e-4,
        dropout_rate: float = 0.5,
        softplus_beta: float = 1.0,
    ):
        super().__init__(adata)
        if input_type not in ("library_scaled", "counts", "log"):
            raise ValueError(
                f"input_type={input_type!r} is unknown; choose 'library_scaled', 'counts' or "
                "'log'."
            )
        layer = self.adata_manager._get_setup_method_args()["setup_args"]["layer"]
        check_expression(adata, layer, counts=input_type != "log")
        blocks = row_blocks(expression_matrix(adata, layer))
        library = np.concatenate([np.asarray(block.sum(axis=1)).ravel() for block in blocks])
        self.module = self._module_cls(
            self.summary_stats.n_vars,
            n_hidden=n_hidden,
            n_latent=n_latent,
            n_layers=n_layers,
            input_type=input_type,
            reference_library=max(float(np.median(library)), 1.0),
            orthogonality_weight=orthogonality_weight,
            l1_weight=l1_weight,
            dropout_rate=dropout_rate,
            softplus_beta=softplus_beta,
        )
        self._model_summary_string = (
            f"OrthogonalAE with the following params: \nn_hidden: {n_hidden}, n_latent: "
            f"{n_latent}, n_layers: {n_layers}, input_type: {input_type}, orthogonality_weight: "
            f"{orthogonality_weight}, l1_weight: {l1_weight}, dropout_rate: {dropout_rate}, "
            f"softplus_beta: {softplus_beta}"
        )
        # Dropout is for training alone: an untrained encoder, too, reads a cell the same way.
        self.module.eval()
        self.init_params_ = self._get_init_params(locals())

    def train(
        self,
        max_epochs: int = 400,
        *,
        accelerator: str = "auto",
        devices: int | list[int] | str = "auto",
        train_size: float | None = None,
        validation_size: float | None = None,
        batch_size: int = 128,
        early_stopping: bool = True,
        early_stopping_patience: int = 10,
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
            Cells a step. 1 is the papers' online training; on CPU, with the optimizer `"SGD"` and
            `l1_weight=0` as in the presets, many steps run in one compiled call. `adata.n_obs` is
            full-batch training.
        early_stopping
            Whether to stop when the reconstruction loss of the held-out cells stops improving, and
            to end with the weights of the epoch where it was least.
        early_stopping_patience
            Epochs without improvement to wait for. The default is the paper's.
        plan_kwargs
            Arguments of the training plan: `optimizer` (`"Adam"` or `"SGD"` with Nesterov's
            momentum), `lr`, `momentum`, `weight_decay` and `gradient_clip_norm`.
        **kwargs
            Passed to scvi-tools' `train` and by it to :class:`~scvi.train.Trainer`.

        Raises
        ------
        ValueError
            If there are too few cells to hold any out.
        """
        online = batch_size == 1
        self._training_plan_cls = OnlineTrainingPlan if online else OrthogonalAETrainingPlan
        plan_defaults = {"optimizer": "SGD", "lr": 1e-2} if online else {}
        self._fit(
            max_epochs=max_epochs,
            accelerator=accelerator,
            devices=devices,
            train_size=train_size,
            validation_size=validation_size,
            batch_size=_CELLS_A_CALL if online else batch_size,
            early_stopping=early_stopping,
            early_stopping_patience=early_stopping_patience,
            plan_kwargs={**plan_defaults, **(plan_kwargs or {})},
            **kwargs,
        )
        self._warn_of_dead_units()

    @property
    def _log_setting(self) -> str | None:
        return "input_type='log'" if self.module.input_type == "log" else None
