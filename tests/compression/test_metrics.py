"""Metrics against numpy and scipy, and what they say of constants."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pellucid.compression import METRICS, Original
from pellucid.compression import _metrics as module


@pytest.fixture
def pair():
    """Sparse counts, 60 cells x 25 genes, and a reconstruction; gene 3 and cell 5 are constant."""
    rng = np.random.default_rng(0)
    original = rng.poisson(0.7, (60, 25)).astype(np.float32)
    original[:, 3], original[5] = 1, 1
    return original, np.maximum(original + rng.normal(size=original.shape), 0).astype(np.float32)


def by_hand(original, reconstruction):
    x, y = original.astype(float), reconstruction.astype(float)
    genes = [g for g in range(x.shape[1]) if np.ptp(x[:, g])]
    cells = [c for c in range(x.shape[0]) if np.ptp(x[c])]
    return {
        "pcc": stats.pearsonr(x.ravel(), y.ravel())[0],
        "spearman": stats.spearmanr(x.ravel(), y.ravel())[0],
        "em": np.linalg.norm(x - y),
        "mae": np.abs(x - y).mean(),
        "gene_pcc": np.mean([stats.pearsonr(x[:, g], y[:, g])[0] for g in genes]),
        "cell_pcc": np.mean([stats.pearsonr(x[c], y[c])[0] for c in cells]),
    }


@pytest.mark.parametrize("at_once", [1, 200, 2**21])
def test_agree_with_scipy(pair, monkeypatch, at_once):
    monkeypatch.setattr(module, "_AT_ONCE", at_once)
    found = Original(pair[0]).compare(pair[1])
    assert tuple(found) == METRICS
    assert found == pytest.approx(by_hand(*pair), rel=1e-12)


def test_far_from_zero(pair):
    """Sums of squares of large values do not drown the differences."""
    original, reconstruction = pair[0] + 3e4, pair[1].astype(float) + 3e4
    found = Original(original.astype(np.float32)).compare(reconstruction)
    assert found["pcc"] == pytest.approx(by_hand(*pair)["pcc"], rel=1e-6)
    assert found["gene_pcc"] == pytest.approx(by_hand(*pair)["gene_pcc"], rel=1e-6)


def test_exact_reconstruction(pair):
    found = Original(pair[0]).compare(pair[0])
    assert found["em"] == found["mae"] == 0
    assert [found[name] for name in ("pcc", "spearman", "gene_pcc", "cell_pcc")] == pytest.approx(
        [1] * 4
    )


def test_constant_gene_counts_0(pair):
    original, reconstruction = pair
    before = Original(original).compare(reconstruction)["gene_pcc"]
    lost = stats.pearsonr(original[:, 7], reconstruction[:, 7])[0]
    reconstruction[:, 7] = 0.3
    after = Original(original).compare(reconstruction)["gene_pcc"]
    assert after == pytest.approx(before - lost / 24)


def test_gene_means_tell_nothing_of_a_gene(pair):
    """What flatters them is the flattened matrix."""
    original = pair[0] * np.arange(1, 26, dtype=np.float32)
    found = Original(original).compare(np.tile(original.mean(axis=0), (60, 1)))
    assert found["gene_pcc"] == 0
    assert found["pcc"] > 0.3
    # The mean of z scores is 0 but for rounding.
    z = (original - original.mean(0)) / np.where(original.std(0) > 0, original.std(0), 1)
    rounding = np.random.default_rng(0).normal(size=z.shape) * 1e-8
    found = Original(z).compare(rounding)
    assert [found[name] for name in ("pcc", "spearman", "gene_pcc", "cell_pcc")] == [0] * 4


def test_constant_original():
    found = Original(np.ones((4, 3))).compare(np.arange(12.0).reshape(4, 3))
    assert found["pcc"] == found["spearman"] == 0
    assert np.isnan([found["gene_pcc"], found["cell_pcc"]]).all()


def test_other_shape(pair):
    with pytest.raises(ValueError, match=r"shape \(60, 24\), the original \(60, 25\)"):
        Original(pair[0]).compare(pair[1][:, 1:])
