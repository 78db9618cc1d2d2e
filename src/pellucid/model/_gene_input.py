"""What the encoder of genes reads of the cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.decomposition import PCA

if TYPE_CHECKING:
    from typing import Literal

# Cells that principal components are made of at most: more do not change the leading ones.
_MOST_CELLS = 20_000


def choose_cells(
    cells: np.ndarray, kind: Literal["pca", "sample"], width: int, labels: np.ndarray | None
) -> np.ndarray:
    """Which of the training cells the encoder of genes may read.

    Parameters
    ----------
    cells
        Positions of the training cells.
    kind, width
        `gene_input` and `n_gene_inputs` of the model.
    labels
        Code of each of these cells; a sample keeps the share of each.

    Returns
    -------
    Positions, drawn by torch's global generator.
    """
    n_wanted = min(width if kind == "sample" else _MOST_CELLS, len(cells))
    order = torch.randperm(len(cells)).numpy()
    if labels is not None:
        order = order[np.argsort(labels[order], kind="stable")]
    # Evenly spaced in the order of labels: each gets its share, but for rounding.
    return np.sort(cells[order[np.arange(n_wanted) * len(cells) // n_wanted]])


def gene_input(expression: np.ndarray, kind: Literal["pca", "sample"], width: int) -> torch.Tensor:
    """Rows of genes for their encoder, in units of the root mean square.

    Parameters
    ----------
    expression
        Centred and scaled expression of the chosen cells, cells x genes.
    kind, width
        As for :func:`choose_cells`. Columns beyond what the cells give are zero.
    """
    found = expression.T
    if kind == "pca":
        n_components = min(width, *found.shape)
        found = PCA(n_components, random_state=0).fit_transform(found)
    rows = np.zeros((len(found), width), dtype=np.float32)
    rows[:, : found.shape[1]] = found / max(float(np.sqrt(np.square(found).mean())), 1e-12)
    return torch.from_numpy(rows)
