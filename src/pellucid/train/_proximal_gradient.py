from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch

from ._proximal import proximal_step

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn


class ProximalGradient(torch.optim.Optimizer):
    r"""Stochastic proximal gradient on loadings, beside any optimiser of the other weights.

    With `adaptive=False` it is equation 7 of Rybakov et al. 2020, the step inside the
    operator, where it belongs: :math:`W \leftarrow \text{Prox}_{\eta R}(W - \eta \nabla_W F)`.

    With `adaptive=True` a factor's step is :math:`\eta_k = \eta / \sqrt{v_k}`, where :math:`v_k`
    is the running mean of the squared gradient over steps and the factor's genes, and descent
    follows the running mean of the gradient, as in Adam. The operator takes the same
    :math:`\eta_k`, and because one step serves all genes of a factor its closed form stays exact:
    where training comes to rest is the optimum of the loss at the penalties as they are given.
    After Adam's own step, which differs from gene to gene, a threshold of :math:`\eta \lambda`
    would have no place on the loss's scale. Nothing is lost by it: the loss is as curved along one
    gene of a factor as along any other.

    Parameters
    ----------
    loadings
        Factors x genes.
    in_set
        Whether a gene stands in a factor's set; bool, factors x genes.
    penalties
        Returns the weights of the penalties at this time, of each factor: inside the set, outside
        it, and of the group.
    others
        Optimiser of the other weights.
    lr
        Learning rate of the loadings.
    adaptive
        Whether steps follow the size of each factor's gradients.
    """

    def __init__(
        self,
        loadings: nn.Parameter,
        in_set: Tensor,
        penalties: Callable[[], tuple[Tensor, Tensor, Tensor]],
        others: torch.optim.Optimizer,
        *,
        lr: float,
        adaptive: bool,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ):
        super().__init__([loadings], {"lr": lr, "betas": betas, "eps": eps})
        self.in_set = in_set
        self.penalties = penalties
        self.others = others
        self.adaptive = adaptive

    def set_lr(self, lr: float) -> None:
        """Set the learning rate of all weights."""
        for group in (*self.param_groups, *self.others.param_groups):
            group["lr"] = lr

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, those of the other weights too."""
        super().zero_grad(set_to_none)
        self.others.zero_grad(set_to_none)

    # torch declares two overloads, of which this is both.
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Step down the gradient of all weights, then shrink the loadings."""
        # torch's types know of no closure that is None, though it takes one.
        loss = self.others.step(closure)  # type: ignore[arg-type]
        (group,) = self.param_groups
        (loadings,) = group["params"]
        with torch.no_grad():
            step = self._descend(loadings, **{k: group[k] for k in ("lr", "betas", "eps")})
            inside, outside, whole = self.penalties()
            proximal_step(loadings, self.in_set, step * inside, step * outside, step * whole)
        return loss

    def _descend(
        self, loadings: Tensor, lr: float, betas: tuple[float, float], eps: float
    ) -> Tensor:
        """One step down the gradient; returns each factor's learning rate."""
        gradient = cast("Tensor", loadings.grad)
        if not self.adaptive:
            loadings.sub_(gradient, alpha=lr)
            return loadings.new_full((len(loadings),), lr)
        state = self.state[loadings]
        if not state:
            state["step"] = 0
            state["mean"] = torch.zeros_like(loadings)
            state["square"] = loadings.new_zeros(len(loadings))
        state["step"] += 1
        first, second = betas
        state["mean"].lerp_(gradient, 1 - first)
        state["square"].lerp_(gradient.square().mean(1), 1 - second)
        size = (state["square"] / (1 - second ** state["step"])).sqrt_().add_(eps)
        step = lr / size
        loadings.addcmul_(state["mean"], step[:, None], value=-1 / (1 - first ** state["step"]))
        return step
