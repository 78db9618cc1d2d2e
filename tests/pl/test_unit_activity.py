from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import QuadMesh

import pellucid as pld


def labels(axis) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels()]


def test_draws_standardised_means(make_read):
    adata = make_read(n_latent=12, n_groups=5, silent=(1, 4))
    adata.obs.iloc[:20, adata.obs.columns.get_loc("cell_type")] = np.nan
    ax = pld.pl.unit_activity(adata, groupby="cell_type", show=False)
    latent = adata.obsm["X_orthogonal_ae"].astype(float)
    units = [int(name.removeprefix("Z_")) for name in labels(ax.xaxis)]
    assert sorted(units) == [0, 2, 3, 5, 6, 7, 8, 9, 10, 11]
    groups = labels(ax.yaxis)
    assert groups == list(adata.obs["cell_type"].cat.categories)
    expected = [
        [
            (latent[adata.obs["cell_type"] == group, unit].mean() - latent[:, unit].mean())
            / latent[:, unit].std()
            for unit in units
        ]
        for group in groups
    ]
    (mesh,) = ax.findobj(QuadMesh)
    np.testing.assert_allclose(mesh.get_array(), expected, rtol=1e-9, atol=1e-12)
    largest = np.abs(expected).max()
    np.testing.assert_allclose(mesh.get_clim(), (-largest, largest))


@pytest.mark.parametrize(("n_latent", "n_groups"), [(6, 3), (64, 13), (2, 1)])
def test_is_legible(make_read, assert_legible, n_latent, n_groups):
    adata = make_read(n_latent=n_latent, n_groups=n_groups, silent=(), difference=False)
    if n_groups == 1:
        adata.obs.iloc[:20, adata.obs.columns.get_loc("cell_type")] = np.nan
    figure = pld.pl.unit_activity(adata, groupby="cell_type", return_fig=True)
    assert_legible(figure)
    assert figure.get_size_inches().max() < 10


def test_dead_units_are_named(make_read, caplog):
    caplog.set_level("INFO", logger="pellucid")
    figure = pld.pl.unit_activity(make_read(), groupby="cell_type", return_fig=True)
    assert "2 dead of 6 units (Z_1, Z_4)" in figure.texts[-1].get_text().replace("\n", " ")
    assert "2 of 6 units are dead and left out" in caplog.text


def test_errors_name_what_is_missing(cells, make_read):
    with pytest.raises(KeyError, match=r"tl\.latent"):
        pld.pl.unit_activity(cells, groupby="bulk_labels")
    adata = make_read()
    with pytest.raises(KeyError, match=r"'no such' not found in adata\.obs.*bulk_labels"):
        pld.pl.unit_activity(adata, groupby="no such")
    adata.obsm["X_orthogonal_ae"][:] = 1
    with pytest.raises(ValueError, match="one value in all cells"):
        pld.pl.unit_activity(adata, groupby="cell_type")
