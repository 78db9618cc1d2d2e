from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor


class Attributed(NamedTuple):
    """Attributions of one unit in some cells: the sum over terms of (signal @ weight) * factor."""

    unit: int
    terms: list[tuple[Tensor, Tensor | None]]
    """Signals, cells x hidden, and factors, cells x genes."""
    weight: Tensor | None
    """Hidden x genes; `None` where signals are attributions, cells x genes."""
    sign: Tensor | None
    """Of what the gradient was multiplied with, cells x genes or cells x 1."""

    @property
    def signal(self) -> Tensor | None:
        """The only signal, where it differs from the attributions by `weight` alone."""
        (signal, factor), *others = self.terms
        return signal if factor is None and not others else None

    def split(self, n_cells: int) -> Iterator[Attributed]:
        """The same for some of the cells after the other."""
        for start in range(0, len(self.terms[0][0]), n_cells):
            cells = slice(start, start + n_cells)
            terms = [
                (signal[cells], None if factor is None else factor[cells])
                for signal, factor in self.terms
            ]
            sign = None if self.sign is None else self.sign[cells]
            yield Attributed(self.unit, terms, self.weight, sign)

    def sum(self) -> Tensor:
        """Sum over the cells, genes."""
        if self.weight is None:
            return self.dense().sum(0)
        sums = [
            signal.sum(0) @ self.weight
            if factor is None
            else (self.weight * (signal.T @ factor)).sum(0)
            for signal, factor in self.terms
        ]
        return torch.stack(sums).sum(0)

    def dense(self) -> Tensor:
        """Cells x genes."""
        terms = []
        for signal, factor in self.terms:
            term = signal if self.weight is None else signal @ self.weight
            terms.append(term if factor is None else term * factor)
        return terms[0] if len(terms) == 1 else torch.stack(terms).sum(0)
