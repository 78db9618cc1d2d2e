from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from sklearn.decomposition import sparse_encode

if TYPE_CHECKING:
    import numpy as np


def matching_pursuit(x: np.ndarray, atoms: np.ndarray, n_nonzero: int) -> np.ndarray:
    """Codes of at most `n_nonzero` numbers, rows x atoms, by orthogonal matching pursuit.

    Parameters
    ----------
    x
        Rows to code.
    atoms
        Atoms x columns, each of norm 1 or 0.
    n_nonzero
        Atoms that a row may use.
    """
    with warnings.catch_warnings():
        # A row that fewer atoms rebuild without error, such as one of zeros, is coded by fewer.
        warnings.filterwarnings("ignore", message=r"\s*Orthogonal matching pursuit ended")
        return sparse_encode(x, atoms, algorithm="omp", n_nonzero_coefs=min(n_nonzero, len(atoms)))
