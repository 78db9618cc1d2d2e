from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


def fused_adam(parameters: Sequence[Tensor], *, lr: float, weight_decay: float) -> dict[str, Any]:
    """Adam in one pass over the weights, as Lightning wants to be told of it."""
    optimizer = torch.optim.Adam(
        parameters,
        lr=lr,
        weight_decay=weight_decay,
        fused=parameters[0].device.type in ("cpu", "cuda"),
    )
    return {"optimizer": optimizer}
