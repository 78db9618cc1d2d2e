from __future__ import annotations

from typing import TYPE_CHECKING, cast

from lightning.pytorch.callbacks import Callback

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer
    from torch import nn


class BestWeights(Callback):
    """Ends training with the weights of the epoch whose held-out loss was least.

    In memory: the checkpoints of scvi-tools go through the disk, which costs more than an epoch
    of a small network.
    """

    def __init__(self, monitor: str):
        self.monitor = monitor
        self._least = float("inf")
        self._weights: dict | None = None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the weights if they are the best so far."""
        loss = trainer.callback_metrics.get(self.monitor)
        if loss is not None and float(loss) < self._least:
            self._least = float(loss)
            state = cast("nn.Module", pl_module.module).state_dict()
            self._weights = {name: value.detach().clone() for name, value in state.items()}

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the best weights back."""
        if self._weights is not None:
            cast("nn.Module", pl_module.module).load_state_dict(self._weights)
