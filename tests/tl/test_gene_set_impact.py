from __future__ import annotations

import logging

import anndata as ad
import numpy as np
import pytest
from scipy import sparse, stats

import pellucid as pld
from pellucid.enrichment import set_mean_test


def loop(adata, attribution):
    """Impact by a plain loop over sets and units."""
    mask = adata.varm["gene_sets"].toarray()
    impact = np.zeros((mask.shape[1], attribution.shape[1]))
    for gene_set in range(mask.shape[1]):
        genes = [gene for gene in range(adata.n_vars) if mask[gene, gene_set]]
        for unit in range(attribution.shape[1]):
            impact[gene_set, unit] = sum(float(attribution[gene, unit]) for gene in genes)
            impact[gene_set, unit] /= len(genes)
    return impact


def of_group(adata, name):
    groups = adata.uns["attribution"]["groups"].tolist()
    return adata.varm["attribution_cell_type"][:, groups.index(name)]


def test_impact(attributed):
    pld.tl.gene_set_impact(attributed)
    result = attributed.uns["gene_set_impact"]
    impact = loop(attributed, attributed.varm["attribution"])
    expected = (impact - impact.min()) / (impact.max() - impact.min())
    np.testing.assert_allclose(result["impact"], expected, rtol=1e-6)
    assert (result["impact"].min(), result["impact"].max()) == (0, 1)
    assert result["impact"].dtype == np.float64
    assert result["set_names"].tolist() == ["S/1", "S 2", "S-3"]
    assert result["latent_names"].tolist() == ["Z_0", "Z/1", "Z_2", "Z_3"]
    assert result["set_sizes"].tolist() == [10, 5, 20]
    assert result["silent"].tolist() == [False, False, False, True]
    assert result["params"]["scale"] == "minmax"
    assert not {"group", "reference"} & set(result["params"])
    assert not [name for name in result if name.startswith("difference")]


def test_groups_share_the_scale_of_the_whole(attributed):
    pld.tl.gene_set_impact(attributed)
    result = attributed.uns["gene_set_impact"]
    impact = loop(attributed, attributed.varm["attribution"])
    assert result["groups"].tolist() == ["a/b", "c", "d"]
    for found, name in zip(result["impact_groups"], result["groups"], strict=True):
        expected = loop(attributed, of_group(attributed, name)) - impact.min()
        np.testing.assert_allclose(found, expected / np.ptp(impact), rtol=1e-6)
    sizes = attributed.uns["attribution"]["group_sizes"]
    average = np.average(result["impact_groups"], axis=0, weights=sizes)
    np.testing.assert_allclose(average, result["impact"], atol=1e-6)


def test_significance(attributed):
    pld.tl.gene_set_impact(attributed)
    result = attributed.uns["gene_set_impact"]
    z, p = set_mean_test(attributed.varm["attribution"], attributed.varm["gene_sets"])
    np.testing.assert_allclose(result["z"], z)
    assert not result["z"][:, 3].any()
    assert np.all(result["padj"][:, 3] == 1)
    # One family: the sets and units that can be tested.
    expected = stats.false_discovery_control(p[:, :3].ravel()).reshape(3, 3)
    np.testing.assert_allclose(result["padj"][:, :3], expected)


def test_signed_attribution_is_tested_on_both_sides(attributed):
    attributed.varm["attribution"] = attributed.varm["attribution"] - 1.5
    pld.tl.gene_set_impact(attributed)
    _, p = set_mean_test(
        attributed.varm["attribution"], attributed.varm["gene_sets"], alternative="two-sided"
    )
    expected = stats.false_discovery_control(p.ravel()).reshape(p.shape)
    np.testing.assert_allclose(attributed.uns["gene_set_impact"]["padj"], expected)


@pytest.mark.parametrize(
    ("group", "reference", "in_group", "in_reference"),
    [
        ("a/b", "rest", ["a/b"], ["c", "d"]),
        ("d", "c", ["d"], ["c"]),
        (["a/b", "d"], "rest", ["a/b", "d"], ["c"]),
        (["a/b"], ["d", "c"], ["a/b"], ["c", "d"]),
    ],
)
def test_difference(attributed, group, reference, in_group, in_reference):
    pld.tl.gene_set_impact(attributed, group=group, reference=reference)
    result = attributed.uns["gene_set_impact"]
    cells = dict(zip(["a/b", "c", "d"], [12, 17, 1], strict=True))
    pooled = [
        sum(cells[name] * of_group(attributed, name) for name in side)
        / sum(cells[name] for name in side)
        for side in (in_group, in_reference)
    ]
    difference = loop(attributed, pooled[0]) - loop(attributed, pooled[1])
    expected = difference / np.abs(difference).max()
    np.testing.assert_allclose(result["difference"], expected, rtol=1e-5, atol=1e-7)
    assert np.abs(result["difference"]).max() == 1
    assert (result["difference"] < 0).any()

    z, p = set_mean_test(
        pooled[0].astype(float) - pooled[1], attributed.varm["gene_sets"], alternative="two-sided"
    )
    np.testing.assert_allclose(result["difference_z"], z, atol=1e-5)
    padj = stats.false_discovery_control(p[:, :3].ravel()).reshape(3, 3)
    np.testing.assert_allclose(result["difference_padj"][:, :3], padj, rtol=0.02)
    assert np.all(result["difference_padj"][:, 3] == 1)
    assert np.asarray(result["params"]["group"]).tolist() == group
    assert np.asarray(result["params"]["reference"]).tolist() == reference


def test_swapping_the_sides_turns_the_sign(attributed):
    forth = pld.tl.gene_set_impact(attributed, group="a/b", reference="c", copy=True)
    back = pld.tl.gene_set_impact(attributed, group="c", reference="a/b", copy=True)
    forth, back = forth.uns["gene_set_impact"], back.uns["gene_set_impact"]
    np.testing.assert_allclose(back["difference"], -forth["difference"])
    np.testing.assert_allclose(back["difference_z"], -forth["difference_z"])


def test_a_group_named_rest(attributed):
    attributed.uns["attribution"]["groups"] = np.array(["a/b", "rest", "d"])
    one = pld.tl.gene_set_impact(attributed, group="a/b", reference=["rest"], copy=True)
    attributed.uns["attribution"]["groups"] = np.array(["a/b", "c", "d"])
    same = pld.tl.gene_set_impact(attributed, group="a/b", reference="c", copy=True)
    np.testing.assert_array_equal(
        one.uns["gene_set_impact"]["difference"], same.uns["gene_set_impact"]["difference"]
    )


def test_unscaled(attributed):
    pld.tl.gene_set_impact(attributed, group="c", reference="a/b", scale=None)
    result = attributed.uns["gene_set_impact"]
    np.testing.assert_allclose(
        result["impact"], loop(attributed, attributed.varm["attribution"]), rtol=1e-6
    )
    c, ab = (
        loop(attributed, of_group(attributed, "c")),
        loop(attributed, of_group(attributed, "a/b")),
    )
    np.testing.assert_allclose(result["impact_groups"][1], c, rtol=1e-6)
    np.testing.assert_allclose(result["difference"], c - ab, rtol=1e-5, atol=1e-7)
    assert "scale" not in result["params"]


def test_keys_and_copy(attributed, assert_same):
    for mapping in (attributed.varm, attributed.uns):
        mapping["sets"] = mapping.pop("gene_sets")
        mapping["saliency"] = mapping.pop("attribution")
    attributed.varm["saliency_cell_type"] = attributed.varm.pop("attribution_cell_type")
    before = attributed.copy()
    keys = {"gene_sets_key": "sets", "attribution_key": "saliency", "key_added": "new"}
    copied = pld.tl.gene_set_impact(attributed, group="c", copy=True, **keys)
    assert_same(attributed, before)
    assert pld.tl.gene_set_impact(attributed, group="c", **keys) is None
    assert set(attributed.uns) == {"sets", "saliency", "new"}
    assert_same(attributed, copied)


def test_round_trip(attributed, round_trip, assert_same):
    pld.tl.gene_set_impact(attributed, group=["c", "d"])
    read = round_trip(attributed)
    assert_same(read, attributed)
    # What was read serves as well as what was written.
    expected = attributed.uns.pop("gene_set_impact")
    pld.tl.gene_set_impact(read, group=["c", "d"], reference=["a/b"])
    np.testing.assert_array_equal(
        read.uns["gene_set_impact"]["difference"], expected["difference"]
    )


@pytest.mark.filterwarnings("ignore:Setting element:anndata.ImplicitModificationWarning")
@pytest.mark.filterwarnings(
    "ignore:Trying to modify attribute:anndata.ImplicitModificationWarning"
)
def test_view(attributed, assert_same):
    whole = attributed.copy()
    view = attributed[:10, np.arange(60) % 3 > 0]
    expected = view.copy()
    pld.tl.gene_set_impact(view, group="c")
    pld.tl.gene_set_impact(expected, group="c")
    assert_same(view, expected)
    assert_same(attributed, whole)


def test_one_set_one_unit():
    adata = ad.AnnData(
        np.ones((2, 8), dtype=np.float32),
        varm={
            "gene_sets": sparse.csr_matrix(np.arange(8)[:, None] > 5),
            "attribution": np.arange(8, dtype=np.float32)[:, None],
        },
        uns={
            "gene_sets": {"names": np.array(["set"])},
            "attribution": {"params": {}, "latent_names": np.array(["Z_0"])},
        },
    )
    pld.tl.gene_set_impact(adata)
    result = adata.uns["gene_set_impact"]
    assert result["impact"].item() == 0  # one value has no range
    assert result["padj"].item() == pytest.approx(1 / 28)
    pld.tl.gene_set_impact(adata, scale=None)
    assert adata.uns["gene_set_impact"]["impact"].item() == 6.5


def test_nothing_but_silent_units(attributed):
    for key in ("attribution", "attribution_cell_type"):
        attributed.varm[key] = np.zeros_like(attributed.varm[key])
    pld.tl.gene_set_impact(attributed, group="c")
    result = attributed.uns["gene_set_impact"]
    assert result["silent"].all()
    for name in ("impact", "z", "difference", "difference_z", "impact_groups"):
        assert not result[name].any(), name
    assert np.all(result["padj"] == 1)
    assert np.all(result["difference_padj"] == 1)


def test_logs_groups_of_one_cell_and_silent_units(attributed, caplog):
    with caplog.at_level(logging.INFO, logger="pellucid"):
        pld.tl.gene_set_impact(attributed)
    assert "Groups of one cell, whose impact is that cell's alone: 'd'." in caplog.text
    assert "No gene set has an impact on 1 of 4 units." in caplog.text


def drop(slot, key):
    return lambda adata: getattr(adata, slot).pop(key)


def without_groups(adata):
    del adata.uns["attribution"]["groups"], adata.uns["attribution"]["group_sizes"]


def with_nan(key):
    def change(adata):
        adata.varm[key][7, ..., 1:3] = np.nan

    return change


def without_the_genes_of_a_set(adata):
    adata._inplace_subset_var(~adata.varm["gene_sets"][:, [1]].toarray().ravel())


@pytest.mark.parametrize(
    ("change", "arguments", "error", "message"),
    [
        (drop("varm", "gene_sets"), {}, KeyError, "written by pp.add_gene_sets"),
        (drop("uns", "gene_sets"), {}, KeyError, "written by pp.add_gene_sets"),
        (drop("varm", "attribution"), {}, KeyError, "written by tl.attribute"),
        (drop("uns", "attribution"), {}, KeyError, "written by tl.attribute"),
        (drop("varm", "attribution_cell_type"), {}, KeyError, "written by tl.attribute"),
        (without_groups, {"group": "c"}, KeyError, "call tl.attribute with groupby= first"),
        (with_nan("attribution"), {}, ValueError, "NaN or infinite values in 2 columns"),
        (with_nan("attribution_cell_type"), {}, ValueError, "call tl.attribute again"),
        (without_the_genes_of_a_set, {}, ValueError, "1 of 3 gene sets have no gene.*'S 2'"),
        (None, {"scale": "zscore"}, ValueError, "choose 'minmax' or None"),
        (None, {"group": "x"}, ValueError, r"\['x'\] not among .*'a/b', 'c', 'd'"),
        (None, {"group": []}, ValueError, "no group not among"),
        (None, {"group": "c", "reference": ["d", "y"]}, ValueError, r"reference=.*\['y'\] not"),
        (None, {"group": ["c", "d"], "reference": "d"}, ValueError, r"\['d'\] stand in group and"),
        (None, {"group": ["a/b", "c", "d"]}, ValueError, "none is left for reference='rest'"),
        (None, {"reference": "c"}, ValueError, "pass group= too"),
    ],
)
def test_bad_input(attributed, unchanged, change, arguments, error, message):
    if change is not None:
        change(attributed)
    with unchanged(attributed), pytest.raises(error, match=message):
        pld.tl.gene_set_impact(attributed, **arguments)
