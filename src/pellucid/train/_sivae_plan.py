from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import lightning.pytorch as pl
import torch
from torch.utils.data import DataLoader, TensorDataset

from ._adam import fused_adam
from ._plan import AutoencoderTrainingPlan

if TYPE_CHECKING:
    from typing import Any

    from torch import Tensor, nn

    from pellucid._compat import AnnDataManager, LossOutput
    from pellucid.module import SIVAEModule


class SIVAETrainingPlan(AutoencoderTrainingPlan):
    """A stage of the training of :class:`~pellucid.module.SIVAEModule`.

    Parameters
    ----------
    module
        The network.
    stage
        `"cells"`: the autoencoder of cells, whose last weights are free. `"genes"`: the
        autoencoder of genes, which learns to write those weights; a batch holds genes. `"joint"`:
        both.
    lr
        Learning rate of Adam.
    weight_decay
        Weight of the squared L2 norm of the parameters.
    n_genes_per_step
        Genes that a step of the joint stage draws; all if `None`.
    """

    def __init__(
        self,
        module: SIVAEModule,
        *,
        stage: Literal["cells", "genes", "joint"],
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        n_genes_per_step: int | None = None,
    ):
        super().__init__(module, optimizer="Adam", lr=lr, weight_decay=weight_decay)
        self.stage = stage
        self.n_genes_per_step = n_genes_per_step

    def _parameters_of_stage(self) -> list[nn.Parameter]:
        module = self.module
        learned = [weight for weight in module.parameters() if weight.requires_grad]
        if not module.gene_wise:
            return learned
        of_genes = {id(weight) for weight in module.gene_parameters}
        if self.stage == "genes":
            return [weight for weight in learned if id(weight) in of_genes]
        if self.stage == "cells":
            return [weight for weight in learned if id(weight) not in of_genes]
        left_out = {id(module.gene_weights), id(module.log_weight_variance)}
        return [weight for weight in learned if id(weight) not in left_out]

    def configure_optimizers(self) -> dict[str, Any]:
        """Adam on what the stage learns."""
        return fused_adam(self._parameters_of_stage(), lr=self.lr, weight_decay=self.weight_decay)

    def forward(self, batch: Any, **kwargs) -> Any:
        """Run the network on the cells or the genes of a batch."""
        module = self.module
        if self.stage == "genes":
            return None, None, module.gene_loss(batch["genes"])
        n_genes = len(module.gene_mean)
        wanted = self.n_genes_per_step
        if self.stage == "joint" and self.training and wanted is not None and wanted < n_genes:
            drawn = torch.randperm(n_genes)[:wanted].to(self.device)
            kwargs["generative_kwargs"] = {"drawn": drawn}
        return super().forward(batch, **kwargs)

    def on_train_epoch_start(self) -> None:
        """Embed all genes once, for the steps of the epoch to start from."""
        if self.stage == "joint" and self.n_genes_per_step is not None:
            self.module.remember_genes()

    def on_train_epoch_end(self) -> None:
        """Let go of them, before the held-out cells are read."""
        super().on_train_epoch_end()
        self.module.forget_genes()

    def compute_and_log_metrics(
        self, loss_output: LossOutput, metrics: dict[str, object], mode: str
    ) -> None:
        """Log the terms of the loss."""
        super().compute_and_log_metrics(loss_output, metrics, mode)
        for name, value in loss_output.extra_metrics.items():
            self.log_mean(f"{name}_{mode}", value, loss_output.n_obs_minibatch)

    def on_validation_epoch_start(self) -> None:
        """Embed the genes once for all held-out cells."""
        if self.stage != "genes":
            self._held = self.module.held_genes()
            self._held.__enter__()

    def on_validation_epoch_end(self) -> None:
        """Let go of them, before the weights change."""
        if self.stage != "genes":
            self._held.__exit__(None, None, None)


class GeneSplitter(pl.LightningDataModule):
    """Splits genes into those to train on and those held out, and makes batches of them.

    Parameters
    ----------
    adata_manager
        Of the data.
    train_size, validation_size
        Shares of the genes; the rest is left out.
    batch_size
        Genes a step.
    **kwargs
        What scvi-tools' splitters of cells take besides, and genes have no use for.
    """

    def __init__(
        self,
        adata_manager: AnnDataManager,
        train_size: float | None = None,
        validation_size: float | None = None,
        batch_size: int = 128,
        **kwargs,
    ):
        super().__init__()
        n_genes = adata_manager.adata.n_vars
        train_size = 0.9 if train_size is None else train_size
        # Of few genes, too, one is held out.
        most = n_genes if train_size == 1 else n_genes - 1
        self.n_train = min(most, max(1, round(n_genes * train_size)))
        left = n_genes - self.n_train
        wanted = left if validation_size is None else round(n_genes * validation_size)
        self.n_val = min(left, max(1, wanted))
        self._batch_size = batch_size
        order = torch.randperm(n_genes)
        self._train, self._held_out = order[: self.n_train], order[self.n_train :][: self.n_val]

    def _loader(self, genes: Tensor, *, shuffle: bool) -> DataLoader:
        def collate(batch: list[tuple[Tensor]]) -> dict[str, Tensor]:
            return {"genes": torch.stack([gene for (gene,) in batch])}

        return DataLoader(
            TensorDataset(genes),
            batch_size=self._batch_size,
            shuffle=shuffle,
            collate_fn=collate,
        )

    def train_dataloader(self) -> DataLoader:
        """Genes to train on."""
        return self._loader(self._train, shuffle=True)

    def val_dataloader(self) -> DataLoader | None:
        """Genes held out."""
        return self._loader(self._held_out, shuffle=False) if self.n_val else None
