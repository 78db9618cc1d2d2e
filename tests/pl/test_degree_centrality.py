from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

import pellucid as pld


@pytest.fixture
def adata(read_sivae):
    random = np.random.default_rng(0)
    adata = read_sivae
    adata.var["degree_centrality"] = random.permutation(120) / 150
    adata.var["degree_centrality_held_out"] = adata.var["degree_centrality"] - 0.1
    adata.uns["degree_centrality"] = {"params": {"method": "reconstruction"}, "n_held_out": 40}
    return adata


def lines(ax):
    return {line.get_label(): line for line in ax.lines}


def test_ranking(adata):
    ax = pld.pl.degree_centrality(adata, n_genes=7, show=False)
    top = adata.var["degree_centrality"].nlargest(7)
    assert [text.get_text() for text in ax.get_yticklabels()] == top.index.to_list()
    np.testing.assert_allclose(lines(ax)["all cells"].get_xdata(), top)
    np.testing.assert_allclose(lines(ax)["held-out cells"].get_xdata(), top - 0.1)
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    assert ax.get_xlabel() == "Share of variance reconstructed"


def test_without_held_out_cells(adata):
    adata.uns["degree_centrality"]["n_held_out"] = 0
    ax = pld.pl.degree_centrality(adata, show=False)
    assert "held-out cells" not in lines(ax)
    assert ax.get_legend() is None


def test_genes_without_a_value_are_left_out(adata):
    best = adata.var["degree_centrality"].idxmax()
    adata.var.loc[best, "degree_centrality"] = np.nan
    ax = pld.pl.degree_centrality(adata, n_genes=3, show=False)
    assert best not in [text.get_text() for text in ax.get_yticklabels()]


def test_against_another_number(adata):
    ax = pld.pl.degree_centrality(adata, against="mean", n_genes=4, show=False)
    rho = spearmanr(adata.var["mean"], adata.var["degree_centrality"]).statistic
    assert ax.get_title() == f"Spearman's ρ = {rho:.2f}"
    xy = adata.var.sort_values("degree_centrality")[["mean", "degree_centrality"]]
    drawn = ax.lines[0].get_xydata()
    np.testing.assert_allclose(drawn[np.argsort(drawn[:, 1])], xy)
    written = {text.get_text() for text in ax.texts} - {""}
    assert len(written) == 4
    assert written <= set(adata.var["degree_centrality"].nlargest(16).index)


def all_nan(adata):
    adata.var["degree_centrality"] = np.nan
    return {}


FAILS = {
    "number": (lambda a: {"n_genes": 0}, ValueError, "n_genes=0"),
    "key": (lambda a: {"key": "other"}, KeyError, r"tl\.degree_centrality"),
    "column": (lambda a: {"against": "other"}, KeyError, "against='other' not found"),
    "nothing": (all_nan, ValueError, "all are NaN"),
    "names": (
        lambda a: {"against": "symbol"},
        ValueError,
        "not numeric",
    ),
}


@pytest.mark.parametrize("case", FAILS)
def test_bad_input(adata, case, unchanged):
    arrange, error, message = FAILS[case]
    adata.var["symbol"] = adata.var_names
    arguments = arrange(adata)
    with unchanged(adata), pytest.raises(error, match=message):
        pld.pl.degree_centrality(adata, **arguments)
