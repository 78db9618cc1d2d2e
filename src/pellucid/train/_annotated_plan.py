from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

import torch

from ._plan import AutoencoderTrainingPlan
from ._proximal_gradient import ProximalGradient

if TYPE_CHECKING:
    from typing import Any

    from torch import Tensor

    from pellucid.module import AnnotatedAEModule

_LEARNING_RATE = {"normal": 1e-2, "nb": 3e-3}
# When factors without annotation join, as a share of the warm-up.
_UNANNOTATED_JOIN = 1 / 3
# Share of the learning rate at which training starts: a factor must find its own set while none is
# far from its start.
_GENTLE = 0.3
# Share of training, at its end, over which the learning rate falls to nothing.
_SETTLING = 0.1


class AnnotatedAETrainingPlan(AutoencoderTrainingPlan):
    r"""Training of :class:`~pellucid.module.AnnotatedAEModule` by proximal gradients.

    Parameters
    ----------
    module
        The network.
    optimizer
        `"Adam"`, with one adaptive step for all genes of a factor, or `"SGD"`, which is equation 7
        of Rybakov et al. 2020.
    lr
        Learning rate; `None` for 0.01 on log expression and 0.003 on counts. With `"Adam"` it
        rises to this from three tenths of it over the warm-up, so that each factor finds its own
        set first, and falls to nothing over the last tenth of training. A small one leaves copies
        of factors behind that a larger one removes.
    warmup
        Share of the training steps over which the penalties are brought in. Sets are taken at
        their word first: no gene outside a set can enter its factor, so that a factor learns its
        own set before it may take in others. Factors without annotation join after a third of the
        warm-up, because they would fit any set's genes as well. The group penalty rises to its
        weight meanwhile. 0 applies all penalties from the first step, as the paper does.
    """

    def __init__(
        self,
        module: AnnotatedAEModule,
        *,
        optimizer: Literal["Adam", "SGD"] = "Adam",
        lr: float | None = None,
        warmup: float = 0.5,
    ):
        if optimizer not in ("Adam", "SGD"):
            raise ValueError(f"optimizer={optimizer!r} is unknown; choose 'Adam' or 'SGD'.")
        if not 0 <= warmup < 1:
            raise ValueError(f"warmup={warmup} is not a share of training; expected 0 to below 1.")
        lr = _LEARNING_RATE[module.likelihood] if lr is None else lr
        super().__init__(module, optimizer=optimizer, lr=lr)
        self.algorithm = optimizer
        self.warmup = warmup

    def configure_optimizers(self) -> dict[str, Any]:
        """A proximal step on the loadings after the optimiser's on all other weights."""
        module = self.module
        others = [
            weight
            for weight in module.parameters()
            if weight is not module.loadings and weight.requires_grad
        ]
        if self.algorithm == "Adam":
            fused = module.loadings.device.type in ("cpu", "cuda")
            inner: torch.optim.Optimizer = torch.optim.Adam(others, lr=self.lr, fused=fused)
        else:
            inner = torch.optim.SGD(others, lr=self.lr)
        if not module.loadings.requires_grad:
            return {"optimizer": inner}
        return {
            "optimizer": ProximalGradient(
                module.loadings,
                module.in_set,
                self._penalties,
                inner,
                lr=self.lr,
                adaptive=self.algorithm == "Adam",
            )
        }

    def _progress(self) -> float:
        """Share of the training steps that are done."""
        return self.global_step / self.trainer.estimated_stepping_batches

    def _penalties(self) -> tuple[Tensor, Tensor, Tensor]:
        module = self.module
        inside, outside, group = module.inside_weight, module.outside_weight, module.group_weight
        if self._progress() >= self.warmup:
            return inside, outside, group
        warm = self._progress() / self.warmup
        waiting = module.in_set.any(1) | (warm < _UNANNOTATED_JOIN)
        return inside, outside.masked_fill(waiting, torch.inf), group * warm

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Raise the learning rate over the warm-up and bring it down at the end."""
        if self.algorithm == "SGD":
            return
        done = self._progress()
        rise = _GENTLE + (1 - _GENTLE) * done / self.warmup if done < self.warmup else 1.0
        optimizer = cast("torch.optim.Optimizer", self.optimizers(use_pl_optimizer=False))
        lr = self.lr * min(rise, (1 - done) / _SETTLING)
        if isinstance(optimizer, ProximalGradient):
            optimizer.set_lr(lr)
        else:
            optimizer.param_groups[0]["lr"] = lr

    def on_train_epoch_end(self) -> None:
        """Log how many factors are active, and the penalty."""
        self.log("n_active_factors", float(self.module.active.sum()))
        self.log("penalty", self.module.penalty())
