from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

from pellucid._compat import LossOutput, TrainingPlan

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from pellucid.module import OrthogonalAEModule


class AutoencoderTrainingPlan(TrainingPlan):
    """Logs the reconstruction loss; a plain autoencoder has no divergence to report."""

    def compute_and_log_metrics(
        self, loss_output: LossOutput, metrics: dict[str, object], mode: str
    ) -> None:
        """Log the reconstruction loss, a mean over cells."""
        n_cells = loss_output.n_obs_minibatch
        self.log_mean(
            f"reconstruction_loss_{mode}", loss_output.reconstruction_loss_sum / n_cells, n_cells
        )

    def log_mean(self, name: str, value: Tensor | float, n_cells: int) -> None:
        """Log a mean over cells, to be averaged over the epoch."""
        self.log(
            name,
            value,
            on_step=False,
            on_epoch=True,
            batch_size=n_cells,
            sync_dist=self.use_sync_dist,
        )


class OrthogonalAETrainingPlan(AutoencoderTrainingPlan):
    """Mini-batch training of :class:`~pellucid.module.OrthogonalAEModule`.

    Parameters
    ----------
    module
        The network.
    optimizer
        `"SGD"` with Nesterov's momentum, as in the papers, or `"Adam"`.
    lr
        Learning rate. The loss is a mean over genes, so its gradients are small.
    momentum
        Nesterov's momentum; `"SGD"` only.
    weight_decay
        Weight of the squared L2 norm of the parameters.
    gradient_clip_norm
        Largest norm of the whole gradient; `None` to leave it as it is.
    """

    def __init__(
        self,
        module: OrthogonalAEModule,
        *,
        optimizer: Literal["SGD", "Adam"] = "Adam",
        lr: float = 1e-3,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        gradient_clip_norm: float | None = 1.0,
    ):
        if optimizer not in ("SGD", "Adam"):
            raise ValueError(f"optimizer={optimizer!r} is unknown; choose 'SGD' or 'Adam'.")

        def create(parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
            if optimizer == "Adam":
                return torch.optim.Adam(parameters, lr=lr, weight_decay=weight_decay)
            return torch.optim.SGD(
                parameters,
                lr=lr,
                momentum=momentum,
                nesterov=momentum > 0,
                weight_decay=weight_decay,
            )

        super().__init__(
            module, optimizer="Custom", optimizer_creator=create, lr=lr, weight_decay=weight_decay
        )
        self.algorithm = optimizer
        self.momentum = momentum
        self.gradient_clip_norm = gradient_clip_norm
        self._squared_code = 0.0

    def compute_and_log_metrics(
        self, loss_output: LossOutput, metrics: dict[str, object], mode: str
    ) -> None:
        """Log the reconstruction loss, and sum the squared code of an epoch."""
        super().compute_and_log_metrics(loss_output, metrics, mode)
        if mode == "train":
            self._squared_code += float(loss_output.extra_metrics["squared_code"])

    def on_train_epoch_end(self) -> None:
        """Log what `tl.orthogonality` reports."""
        self.log("representation_norm", self._squared_code**0.5)
        self._squared_code = 0.0
        with torch.no_grad():
            self.log("orthogonality_penalty", self.module.orthogonality_penalty())

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip by the plan's own norm unless the trainer was given one."""
        if gradient_clip_val is None:
            gradient_clip_val, gradient_clip_algorithm = self.gradient_clip_norm, "norm"
        self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
