from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import pellucid as pld

QUICK = {"max_epochs": 1, "accelerator": "cpu", "enable_progress_bar": False}


@pytest.fixture(scope="session")
def fitted():
    """Counts and their logarithms, 60 cells x 12 genes, and a model of each; not to be changed."""
    random = np.random.default_rng(0)
    mean = random.gamma(2, size=(3, 12))[np.arange(60) % 3]
    adata = ad.AnnData(
        sparse.csr_matrix(random.poisson(3 * mean).astype(np.float32)),
        obs=pd.DataFrame(index=[f"cell{i}" for i in range(60)]),
        var=pd.DataFrame(index=[f"gene{i}" for i in range(12)]),
    )
    adata.layers["log"] = adata.X.log1p()
    options = {"n_hidden": (8, 4), **QUICK}
    return (
        adata,
        pld.tl.sivae(adata, layer="log", **options),
        pld.tl.sivae(adata.copy(), likelihood="nb", **options),
    )
