from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from pellucid._compat import REGISTRY_KEYS

from ._online import online_steps
from ._plan import OrthogonalAETrainingPlan

if TYPE_CHECKING:
    from torch import Tensor


class OnlineTrainingPlan(OrthogonalAETrainingPlan):
    """Training by one cell a step, many steps to one `training_step`.

    On CPU, plain SGD runs compiled (:func:`~pellucid.train._online.online_steps`); anything else
    (another device or optimizer, weight decay, an L1 norm, weights that are held) makes the same
    steps through autograd.
    """

    def __init__(self, module, **kwargs):
        super().__init__(module, **kwargs)
        self.automatic_optimization = False

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Take one step for each cell of the batch."""
        x = batch[REGISTRY_KEYS.X_KEY]
        # Cells of a backed file arrive sorted within a batch.
        x = x[torch.randperm(len(x)).to(x.device)]
        compiled = (
            x.device.type == "cpu"
            and self.algorithm == "SGD"
            and self.weight_decay == 0
            and self.module.l1_weight == 0
            and len(self.module.encoder) > 2
            and all(weight.requires_grad for weight in self.module.parameters())
        )
        with torch.no_grad() if compiled else torch.enable_grad():
            steps = self._compiled_steps if compiled else self._autograd_steps
            loss, reconstruction, squared_code = steps(x)
        self._squared_code += squared_code
        n_cells = len(x)
        self.log_mean("train_loss", loss / n_cells, n_cells)
        self.log_mean("reconstruction_loss_train", reconstruction / n_cells, n_cells)

    def _autograd_steps(self, x: Tensor) -> tuple[float, float, float]:
        optimizer = self.optimizers()
        sums = torch.zeros(3, device=x.device)
        for cell in x.split(1):
            optimizer.zero_grad()
            _, _, output = self.forward({REGISTRY_KEYS.X_KEY: cell})
            self.manual_backward(output.loss)
            if self.gradient_clip_norm is not None:
                nn.utils.clip_grad_norm_(self.module.parameters(), self.gradient_clip_norm)
            optimizer.step()
            parts = (
                output.loss,
                output.reconstruction_loss_sum,
                output.extra_metrics["squared_code"],
            )
            sums += torch.stack([part.detach() for part in parts])
        loss, reconstruction, squared_code = sums.tolist()
        return loss, reconstruction, squared_code

    def _compiled_steps(self, x: Tensor) -> tuple[float, float, float]:
        module = self.module
        state = self.optimizers().optimizer.state

        def arrays(parameter: Tensor) -> tuple[np.ndarray, np.ndarray]:
            # The momentum lives in the optimizer: either kind of step can follow the other.
            momentum = state[parameter].setdefault("momentum_buffer", torch.zeros_like(parameter))
            return parameter.detach().numpy(), momentum.numpy()

        linear = [
            layer for layer in (*module.encoder, *module.decoder) if isinstance(layer, nn.Linear)
        ]
        weights = [arrays(layer.weight) for layer in linear]
        biases = [arrays(layer.bias) for layer in linear]
        first = tuple(np.ascontiguousarray(array.T) for array in weights[0])
        sums = online_steps(
            module.dropout(module.encoder_input(x)).numpy(),
            x.numpy(),
            module.library(x).numpy()[:, 0],
            first,
            tuple(zip(*weights[1:-1], strict=True)),
            weights[-1],
            tuple(zip(*biases, strict=True)),
            len(module.encoder) // 2 - 2,
            np.float32(module.orthogonality_weight),
            np.float32(module.softplus_beta),
            np.float32(module.eps),
            np.float32(self.lr),
            np.float32(self.momentum),
            np.float32(np.inf if self.gradient_clip_norm is None else self.gradient_clip_norm),
        )
        for array, transposed in zip(weights[0], first, strict=True):
            array[:] = transposed.T
        return sums
