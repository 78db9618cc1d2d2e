from __future__ import annotations

import numpy as np
from sklearn.decomposition import NMF, sparse_encode

from ._compressor import Compressor, check_positive
from ._convergence import as_far_as_it_came


class SparseNMF(Compressor):
    r"""Sparse non-negative matrix factorisation.

    Codes W and parts H, neither of them negative, that minimise over the training cells

    .. math::

        \tfrac{1}{2} \lVert X - WH \rVert_F^2
        + \alpha G \lVert W \rVert_1 + \alpha N \lVert H \rVert_1

    by scikit-learn's coordinate descent, for N cells and G genes; a new cell's code minimises the
    same with H held. The penalty of H is what makes that of the codes mean something, as the
    bound of its norm does in Hoyer 2002 (non-negative sparse coding): without it W could shrink
    and H grow. X is divided by its root mean square first, so that :math:`\alpha` means the same
    on every scale.

    Parameters
    ----------
    n_latent
        Numbers a cell, K.
    penalty
        :math:`\alpha`. With the default 0.2 to 0.3 of the numbers of a code are 0 at K=10, and 0.5
        to 0.7 from K=50 on, on log counts. Ten times as much makes 0.7 of them 0 at K=50, and
        costs 0.01 of the correlation (zeisel).
    max_iter
        Rounds of coordinate descent at most.
    random_state
        Seed of the solver's first guess.

    Notes
    -----
    Data with negative values, such as z scores, have no non-negative factors. What is factorised
    is then their distance from each gene's lowest value in the training cells, which is no
    number of a cell; a new cell that lies below it counts as at it.
    """

    def __init__(
        self,
        n_latent: int = 50,
        *,
        penalty: float = 5e-5,
        max_iter: int = 400,
        random_state: int = 0,
    ):
        self.n_latent = n_latent
        self.penalty = penalty
        self.max_iter = max_iter
        self.random_state = random_state

    def _check(self) -> None:
        check_positive(max_iter=self.max_iter)
        if not self.penalty > 0:
            raise ValueError(
                f"penalty={self.penalty}; it must be above 0, for codes to be sparse."
            )

    def _fit(self, x: np.ndarray) -> None:
        self.lowest_ = np.minimum(x.min(axis=0), 0)
        shifted = x - self.lowest_
        self.scale_ = float(np.sqrt(np.mean(shifted**2))) or 1.0
        self.nmf_ = NMF(
            self.n_latent,
            init="nndsvda",
            alpha_W=self.penalty,
            alpha_H=self.penalty,
            l1_ratio=1,
            max_iter=self.max_iter,
            tol=1e-4,
            random_state=self.random_state,
        )
        with as_far_as_it_came():
            self.nmf_.fit(shifted / self.scale_)

    def _encode(self, x: np.ndarray) -> np.ndarray:
        with as_far_as_it_came():
            # What NMF.transform minimises, too, but that takes the product with all genes again
            # in every round.
            return sparse_encode(
                np.maximum(x - self.lowest_, 0) / self.scale_,
                self.nmf_.components_,
                algorithm="lasso_cd",
                alpha=self.penalty * self.n_genes_,
                positive=True,
                max_iter=self.max_iter,
            )

    def _decode(self, codes: np.ndarray) -> np.ndarray:
        return codes @ self.nmf_.components_ * self.scale_ + self.lowest_
