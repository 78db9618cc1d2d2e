from __future__ import annotations

import numpy as np
import pytest
import scanpy as sc
from scipy import sparse


@pytest.mark.parametrize(
    ("name", "shape", "labels"),
    [
        ("paul15", (2730, 3451), {"paul15_clusters": 19}),
        ("pbmc3k_raw", (2700, 32738), {}),
        ("pbmc3k_labelled", (2638, 13714), {"cell_type": 9}),
        ("kang_ifnb", (2000, 9015), {"condition": 2, "cell_type": 14}),
        ("zeisel", (3005, 400), {"cell_type": 7}),
        ("sc_mixology", (450, 21847), {"cell_line": 3, "batch": 2}),
        ("panc8", (500, 2000), {"cell_type": 6, "tech": 5}),
    ],
)
def test_shape_labels_and_type(real_data, name, shape, labels):
    adata = real_data(name)
    assert adata.shape == shape
    assert {label: adata.obs[label].nunique() for label in labels} == labels
    assert sparse.isspmatrix_csr(adata.X)
    assert adata.X.dtype == np.float32
    assert adata.var_names.is_unique
    whole = np.array_equal(adata.X.data, np.round(adata.X.data))
    assert whole == (name != "panc8")


def test_cytof_is_dense_and_has_negative_intensities(real_data):
    adata = real_data("cytof_bcrxl")
    assert adata.shape == (5428, 24)
    assert isinstance(adata.X, np.ndarray)
    assert adata.X.min() < 0
    assert adata.obs["patient"].nunique() == 4


def test_scanpys_settings_are_as_before(real_data):
    before = sc.settings.datasetdir
    real_data("paul15")
    assert sc.settings.datasetdir == before


def test_paul15_clusters_are_in_the_papers_order(real_data):
    clusters = real_data("paul15").obs["paul15_clusters"].cat.categories
    numbers = [int("".join(filter(str.isdigit, name))) for name in clusters]
    assert numbers == list(range(1, 20))
