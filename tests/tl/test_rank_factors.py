from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import pellucid as pld


@pytest.fixture
def adata():
    """Four factors of 6 genes: a set kept, a set replaced, one deactivated, one without a set."""
    loadings = np.array(
        [
            [1.0, 2.0, 0.0, 0.0, 0.0, 0.0],
            [0.0, 1.0, 0.0, 3.0, 0.0, 2.0],
            [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
            [0.0, 0.5, -0.5, 0.5, -0.5, 0.0],
        ]
    ).T
    in_set = np.zeros((6, 4), dtype=bool)
    in_set[:3, 0] = in_set[1:3, 1] = in_set[4:, 2] = True
    scores = np.column_stack([np.tile([1.0, -1.0], 5) * scale for scale in (1, 0.5, 0, 4)])
    names = np.array(["a/b", "replaced", "off", "sparse_0"])
    return ad.AnnData(
        np.ones((10, 6), np.float32),
        var=pd.DataFrame(index=[f"gene{i}" for i in range(6)]),
        obsm={"X_annotated_ae": scores.astype(np.float32)},
        varm={
            "annotated_ae_loadings": loadings.astype(np.float32),
            "annotated_ae_loadings_annotated": sparse.csr_matrix(in_set),
        },
        uns={
            "annotated_ae_loadings": {
                "latent_names": names,
                "kinds": np.array(["annotated"] * 3 + ["sparse"]),
            },
        },
    )


def test_by_hand(adata):
    assert pld.tl.rank_factors(adata) is None
    table = pld.get.factors(adata)
    assert table.index.name == "factor"
    # 4 * 1 of the sparse factor, sqrt(5) * 1, sqrt(14) / 2, nothing.
    assert table.index.tolist() == ["sparse_0", "a/b", "replaced", "off"]
    assert table["rank"].tolist() == [1, 2, 3, 4]
    np.testing.assert_allclose(table["norm"], [1, 5**0.5, 14**0.5, 0])
    np.testing.assert_allclose(table["explained"], [4, 5**0.5, 14**0.5 / 2, 0])
    assert table["kind"].tolist() == ["sparse", "annotated", "annotated", "annotated"]
    assert table["active"].tolist() == [True, True, True, False]
    assert table["n_set"].tolist() == [0, 3, 2, 2]
    assert table["n_in_set"].tolist() == [0, 2, 1, 0]
    assert table["n_removed"].tolist() == [0, 1, 1, 2]
    assert table["n_added"].tolist() == [4, 0, 2, 0]
    np.testing.assert_allclose(table["replaced"], [0, 0, 13 / 14, 0])


def test_the_table_is_a_copy(adata):
    pld.tl.rank_factors(adata)
    pld.get.factors(adata)["rank"] = 0
    assert pld.get.factors(adata)["rank"].tolist() == [1, 2, 3, 4]


def test_copy_and_key(adata, unchanged):
    with unchanged(adata):
        other = pld.tl.rank_factors(adata, key_added="mine", copy=True)
    assert pld.get.factors(other, key="mine").shape == (4, 10)


@pytest.mark.parametrize(
    ("take", "error", "message"),
    [
        (lambda a: a.varm.pop("annotated_ae_loadings"), KeyError, r"tl\.loadings"),
        (lambda a: a.obsm.pop("X_annotated_ae"), KeyError, r"tl\.latent"),
        (
            lambda a: a.obsm.update(X_annotated_ae=np.zeros((10, 3))),
            ValueError,
            "has 3 factors and .* 4; write both with the same model",
        ),
    ],
    ids=["no loadings", "no scores", "other factors"],
)
def test_bad_input(adata, unchanged, take, error, message):
    take(adata)
    with unchanged(adata), pytest.raises(error, match=message):
        pld.tl.rank_factors(adata)
    with pytest.raises(KeyError, match=r"tl\.rank_factors"):
        pld.get.factors(adata)
