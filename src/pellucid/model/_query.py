"""What a model needs to meet cells that it was not trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from pellucid.module import AnnotatedAEModule

_COVARIATE_WEIGHTS = ("covariate_decoder.weight", "covariate_decoder.0.weight")


def with_new_levels(
    state: dict[str, Tensor], before: Sequence[int], after: Sequence[int]
) -> tuple[dict[str, Tensor], Tensor]:
    """Weights for more levels of the covariates; a new one starts as the mean of the old.

    Parameters
    ----------
    state
        Weights of the trained module.
    before, after
        Levels of each categorical covariate, the new ones last.

    Returns
    -------
    The weights, and which columns of the weight that reads covariates are new.
    """
    key = next((key for key in _COVARIATE_WEIGHTS if key in state), None)
    if key is None:
        return state, torch.zeros(0, dtype=torch.bool)
    weight, parts, new, start = state[key], [], [], 0
    for n_before, n_after in zip(before, after, strict=True):
        known = weight[:, start : start + n_before]
        parts += [known, known.mean(1, keepdim=True).expand(-1, n_after - n_before)]
        new += [False] * n_before + [True] * (n_after - n_before)
        start += n_before
    parts.append(weight[:, start:])
    new += [False] * parts[-1].shape[1]
    return {**state, key: torch.cat(parts, dim=1)}, torch.tensor(new)


def freeze(module: AnnotatedAEModule, new: Tensor) -> None:
    """Leave to training the encoder, its norms apart, and the effects of new levels."""
    trainable = {id(weight) for weight in module.encoder.parameters()}
    for name, weight in module.named_parameters():
        if name in _COVARIATE_WEIGHTS and new.any():
            weight.register_hook(lambda gradient: gradient * new.to(gradient.device))
        else:
            weight.requires_grad_(id(weight) in trainable)
    module.hold_norms()
