from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex

import pellucid as pld
from pellucid.pl._names import ADDED, IN_SET

FACTOR = "REACTOME_ANTIVIRAL_MECHANISM_BY_IFN_STIMULATED_GENES"


def genes(ax) -> list[str]:
    return [label.get_text() for label in ax.get_yticklabels()]


def drawn(ax) -> dict[str, tuple[float, str]]:
    bars = zip(genes(ax), ax.patches, strict=True)
    return {gene: (bar.get_width(), to_hex(bar.get_facecolor())) for gene, bar in bars}


def test_largest_loadings_with_their_sign(factors, assert_legible):
    (ax,) = pld.pl.loadings(factors, FACTOR, n_genes=15, show=False)
    column = factors.varm["annotated_ae_loadings"][:, 0].astype(float)
    order = np.argsort(-np.abs(column))[:15]
    in_set = factors.varm["annotated_ae_loadings_annotated"].toarray()[:, 0]
    assert genes(ax) == factors.var_names[order].to_list()
    assert ax.yaxis_inverted()
    for gene, place in zip(genes(ax), order, strict=True):
        color = IN_SET if in_set[place] else ADDED
        assert drawn(ax)[gene] == (column[place], color.lower())
    assert {color for _, color in drawn(ax).values()} == {IN_SET.lower(), ADDED.lower()}
    assert ax.get_title(loc="left").replace("\n", " ") == FACTOR.replace("_", " ")
    (legend,) = ax.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["in the set", "added"]
    assert_legible(ax.figure)


def test_zero_is_no_loading(factors):
    factors.varm["annotated_ae_loadings"][30:, 0] = 0
    (ax,) = pld.pl.loadings(factors, FACTOR, n_genes=60, show=False)
    n_left = np.count_nonzero(factors.varm["annotated_ae_loadings"][:, 0])
    assert len(genes(ax)) == n_left < 30


def test_several_factors(factors, assert_legible):
    names = np.delete(factors.uns["annotated_ae_loadings"]["latent_names"], 2)
    axes = pld.pl.loadings(factors, names, show=False)
    assert len(axes) == len(axes[0].figure.axes) == 5
    assert {color for _, color in drawn(axes[4]).values()} == {"#737373"}
    (legend,) = axes[0].figure.legends
    assert [text.get_text() for text in legend.get_texts()][-1] == "factor without set"
    assert_legible(axes[0].figure)


def test_without_annotation(factors, assert_legible):
    """As of scvi-tools' LinearSCVI."""
    factors.varm["linearscvi_loadings"] = factors.varm["annotated_ae_loadings"]
    factors.uns["linearscvi_loadings"] = {"latent_names": np.array([f"Z_{i}" for i in range(6)])}
    axes = pld.pl.loadings(factors, ["Z_0", "Z_5"], key="linearscvi_loadings", show=False)
    assert {color for ax in axes for _, color in drawn(ax).values()} == {"#737373"}
    assert not axes[0].figure.legends
    assert_legible(axes[0].figure)


def test_both_ends_of_a_unit(read_sivae, assert_legible):
    """The default key is the one that is there."""
    axes = pld.pl.loadings(read_sivae, ["Z_0", "Z_1"], n_genes=11, show=False)
    for unit, ax in enumerate(axes):
        column = read_sivae.varm["sivae_loadings"][:, unit].astype(float)
        order = np.argsort(-column)
        assert genes(ax) == read_sivae.var_names[[*order[:6], *order[-5:]]].to_list()
        assert [bar.get_width() for bar in ax.patches] == sorted(
            column[[*order[:6], *order[-5:]]], reverse=True
        )
        assert ax.get_title(loc="left") == f"Z_{unit}"
    assert_legible(axes[0].figure)


def test_an_end_with_few_genes_leaves_room_to_the_other(read_sivae):
    column = np.abs(read_sivae.varm["sivae_loadings"][:, 0])
    column[[3, 5]] *= -1
    column[10:50] = 0
    read_sivae.varm["sivae_loadings"][:, 0] = column
    (ax,) = pld.pl.loadings(read_sivae, "Z_0", n_genes=20, show=False)
    assert [bar.get_width() < 0 for bar in ax.patches] == [False] * 18 + [True] * 2
    (ax,) = pld.pl.loadings(read_sivae, "Z_0", n_genes=1000, show=False)
    assert len(genes(ax)) == read_sivae.n_vars - 40
    (ax,) = pld.pl.loadings(read_sivae, "Z_0", n_genes=1, show=False)
    assert genes(ax) == [read_sivae.var_names[column.argmax()]]


def test_from_a_file(factors, round_trip):
    (before,) = pld.pl.loadings(factors, FACTOR, show=False)
    (after,) = pld.pl.loadings(round_trip(factors), FACTOR, show=False)
    assert drawn(after) == drawn(before)


def test_bad_input(factors, cells):
    with pytest.raises(KeyError, match=r"tl\.loadings"):
        pld.pl.loadings(cells, FACTOR)
    with pytest.raises(ValueError, match="'SET 9' is none of the 6 factors"):
        pld.pl.loadings(factors, "SET 9")
    with pytest.raises(ValueError, match=r"'SET 2/\$B\$': every loading is zero.*deactivated"):
        pld.pl.loadings(factors, [FACTOR, "SET 2/$B$"])
    with pytest.raises(ValueError, match="n_genes=0"):
        pld.pl.loadings(factors, FACTOR, n_genes=0)
