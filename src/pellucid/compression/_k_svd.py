from __future__ import annotations

import numpy as np
from scipy.linalg import eigh

from ._compressor import Compressor, check_positive
from ._matching_pursuit import matching_pursuit

# Two atoms of a larger product are one, as in the authors' program.
_THE_SAME = 0.99


class KSVD(Compressor):
    """K-SVD: a dictionary of which each cell uses few atoms (Aharon, Elad & Bruckstein 2006).

    The atoms, of norm 1, and codes of at most `n_nonzero` numbers that are not zero minimise the
    squared error of the training cells, by turns: orthogonal matching pursuit codes the cells,
    then each atom and its coefficients become the first singular pair of what the other atoms
    leave of the cells that use it (IEEE Transactions on Signal Processing 54:4311). An atom that
    no cell uses, or that is much like another, is replaced by the cell that is rebuilt worst, as
    the authors do.

    Parameters
    ----------
    n_latent
        Numbers a cell, K, which is the number of atoms.
    n_nonzero
        How many of them are not zero. By default half, rounded up: kept as pairs of place and
        value, such a code takes K numbers, too. With all of them this is :class:`SVD`.
    n_iter
        Rounds of the two steps.
    random_state
        Seed of the training cells that are the first atoms.
    """

    def __init__(
        self,
        n_latent: int = 50,
        *,
        n_nonzero: int | None = None,
        n_iter: int = 20,
        random_state: int = 0,
    ):
        self.n_latent = n_latent
        self.n_nonzero = n_nonzero
        self.n_iter = n_iter
        self.random_state = random_state

    def _check(self) -> None:
        check_positive(n_iter=self.n_iter)
        if self.n_nonzero is not None and not 1 <= self.n_nonzero <= self.n_latent:
            raise ValueError(
                f"n_nonzero={self.n_nonzero}; a code has 1 to n_latent={self.n_latent} numbers "
                "that are not zero."
            )

    def _fit(self, x: np.ndarray) -> None:
        self.atoms_ = self._first_atoms(x)
        for _ in range(self.n_iter):
            codes = self._encode(x)
            likeness = np.triu(np.abs(self.atoms_ @ self.atoms_.T), 1)
            # As an atom that no cell uses, so that it is replaced.
            codes[:, likeness.max(axis=0) > _THE_SAME] = 0
            self._update_atoms(x, codes)

    def _first_atoms(self, x: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng(self.random_state)
        norms = np.linalg.norm(x, axis=1)
        order = rng.permutation(len(x))
        # Cells without any expression come last, for they are no atoms.
        order = order[np.argsort(norms[order] == 0, kind="stable")][: self.n_latent]
        return x[order] / np.where(norms[order] > 0, norms[order], 1)[:, None]

    def _update_atoms(self, x: np.ndarray, codes: np.ndarray) -> None:
        residual = x - codes @ self.atoms_
        for place, atom in enumerate(self.atoms_):
            users = np.flatnonzero(codes[:, place])
            if len(users):
                without = residual[users] + np.outer(codes[users, place], atom)
                coefficients, self.atoms_[place] = _first_singular_pair(without, atom)
                residual[users] = without - np.outer(coefficients, self.atoms_[place])
                continue
            worst = np.linalg.norm(residual, axis=1).argmax()
            if residual[worst].any():
                self.atoms_[place] = x[worst] / np.linalg.norm(x[worst])
                # Another atom that is replaced in this round shall be another cell.
                residual[worst] = 0

    def _encode(self, x: np.ndarray) -> np.ndarray:
        n_nonzero = -(-self.n_latent // 2) if self.n_nonzero is None else self.n_nonzero
        return matching_pursuit(x, self.atoms_, n_nonzero)

    def _decode(self, codes: np.ndarray) -> np.ndarray:
        return codes @ self.atoms_


def _first_singular_pair(matrix: np.ndarray, atom: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Left vector times singular value, and right vector; `atom` where the matrix is zero."""
    if matrix.shape[0] <= matrix.shape[1]:
        right = _first_eigenvector(matrix @ matrix.T) @ matrix
    else:
        right = _first_eigenvector(matrix.T @ matrix)
    norm = np.linalg.norm(right)
    right = right / norm if norm > 0 else atom
    return matrix @ right, right


def _first_eigenvector(symmetric: np.ndarray) -> np.ndarray:
    last = len(symmetric) - 1
    return eigh(symmetric, subset_by_index=(last, last))[1][:, 0]
