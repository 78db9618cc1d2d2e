from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn.decomposition import TruncatedSVD

from ._compressor import Compressor

if TYPE_CHECKING:
    import numpy as np


class SVD(Compressor):
    """Truncated singular value decomposition: the best linear code in squared error.

    With `V` the first K right singular vectors of the training cells, genes x K, the code of a
    cell `x` is `V'x` and its reconstruction `VV'x`. The cells are not centred, as in the
    dictionaries of Cleary et al. 2017 (Cell 171:1424): one vector comes to stand for the mean.

    Parameters
    ----------
    n_latent
        Numbers a cell, K.
    random_state
        Seed of scikit-learn's randomised solver, whose power iterations are as many as bring it
        to the exact result.
    """

    def __init__(self, n_latent: int = 50, *, random_state: int = 0):
        self.n_latent = n_latent
        self.random_state = random_state

    def _fit(self, x: np.ndarray) -> None:
        self.svd_ = TruncatedSVD(self.n_latent, n_iter=20, random_state=self.random_state).fit(x)

    def _encode(self, x: np.ndarray) -> np.ndarray:
        return self.svd_.transform(x)

    def _decode(self, codes: np.ndarray) -> np.ndarray:
        return self.svd_.inverse_transform(codes)
