from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._adam import fused_adam
from ._plan import AutoencoderTrainingPlan

if TYPE_CHECKING:
    from pellucid.module import DeepAEModule


class DeepAETrainingPlan(AutoencoderTrainingPlan):
    """Training of :class:`~pellucid.module.DeepAEModule` by Adam.

    Parameters
    ----------
    module
        The network.
    lr
        Learning rate; the paper's.
    weight_decay
        Weight of the squared L2 norm of the parameters.
    """

    def __init__(self, module: DeepAEModule, *, lr: float = 1e-4, weight_decay: float = 0.0):
        super().__init__(module, optimizer="Adam", lr=lr, weight_decay=weight_decay)

    def configure_optimizers(self) -> dict[str, Any]:
        """Adam on all weights."""
        return fused_adam([*self.module.parameters()], lr=self.lr, weight_decay=self.weight_decay)
