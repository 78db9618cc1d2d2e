from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numba
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable


def over_genes(n_genes: int, work: Callable[[np.ndarray], None]) -> None:
    """Share genes among numba's threads: each calls `work`, which holds no lock, on its part."""
    n_threads = min(numba.get_num_threads(), n_genes)
    parts = [np.arange(start, n_genes, n_threads) for start in range(n_threads)]
    with ThreadPoolExecutor(n_threads) as threads:
        list(threads.map(work, parts))
