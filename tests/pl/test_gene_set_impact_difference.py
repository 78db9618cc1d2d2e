from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import PathCollection, QuadMesh

import pellucid as pld


def labels(ax) -> tuple[list[str], list[str]]:
    return tuple(
        [label.get_text() for label in axis.get_ticklabels()] for axis in (ax.yaxis, ax.xaxis)
    )


def test_draws_what_is_stored_in_the_order_of_the_impact(make_read):
    adata = make_read(30, 12, silent=(2,))
    record = adata.uns["gene_set_impact"]
    impact = pld.pl.gene_set_impact(adata, n_top_sets=9, show=False)
    ax = pld.pl.gene_set_impact_difference(adata, n_top_sets=9, show=False)
    assert labels(ax) == labels(impact)
    sets = [name.replace("_", " ") for name in record["set_names"]]
    units = list(record["latent_names"])
    names, columns = labels(ax)
    at = np.ix_([sets.index(name) for name in names], [units.index(name) for name in columns])
    (mesh,) = ax.findobj(QuadMesh)
    np.testing.assert_array_equal(mesh.get_array(), record["difference"][at])
    assert mesh.get_clim() == (-1, 1)
    (points,) = ax.findobj(PathCollection)
    assert {(int(y), int(x)) for x, y in points.get_offsets()} == set(
        zip(*np.nonzero(record["difference_padj"][at] < 0.05), strict=True)
    )


@pytest.mark.parametrize(("n_sets", "n_latent", "n_groups"), [(8, 6, 2), (50, 64, 13)])
def test_is_legible(make_read, assert_legible, n_sets, n_latent, n_groups):
    adata = make_read(n_sets, n_latent, n_groups)
    # As long a title as can be.
    adata.uns["gene_set_impact"]["params"]["reference"] = adata.uns["gene_set_impact"]["groups"][
        2:
    ]
    figure = pld.pl.gene_set_impact_difference(adata, return_fig=True)
    assert_legible(figure)
    assert figure.get_size_inches().max() < 12


@pytest.mark.parametrize(
    ("group", "reference", "title"),
    [
        (["group A/0"], ["group B/1", "group C/2"], "group A/0 minus the rest"),
        (["group A/0", "group C/2"], ["group B/1"], "group A/0, group C/2 minus group B/1"),
        ("group A/0", "group B/1", "group A/0 minus group B/1"),
        ("group A/0", "rest", "group A/0 minus the rest"),
    ],
)
def test_title_names_group_and_reference(make_read, round_trip, group, reference, title):
    adata = make_read()
    adata.uns["gene_set_impact"]["params"] |= {
        "group": np.array(group) if isinstance(group, list) else group,
        "reference": np.array(reference) if isinstance(reference, list) else reference,
    }
    figure = pld.pl.gene_set_impact_difference(round_trip(adata), return_fig=True)
    assert figure.texts[0].get_text().replace("\n", " ") == title


def test_unscaled_difference_is_centred(make_read):
    adata = make_read()
    record = adata.uns["gene_set_impact"]
    del record["params"]["scale"]
    record["difference"] = record["difference"] * 0.01
    (mesh,) = pld.pl.gene_set_impact_difference(adata, show=False).findobj(QuadMesh)
    largest = np.abs(record["difference"]).max()
    assert mesh.get_clim() == (-largest, largest)


def test_missing_difference_names_the_call(cells, make_read):
    with pytest.raises(KeyError, match=r"tl\.gene_set_impact"):
        pld.pl.gene_set_impact_difference(cells)
    with pytest.raises(KeyError, match=r"no difference between groups.*group="):
        pld.pl.gene_set_impact_difference(make_read(difference=False))
