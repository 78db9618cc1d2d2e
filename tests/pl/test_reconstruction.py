from __future__ import annotations

import numpy as np
import pytest
from anndata import AnnData
from scipy.cluster.hierarchy import leaves_list, linkage

import pellucid as pld


@pytest.fixture(scope="module")
def measured_once():
    rng = np.random.default_rng(0)
    rates = rng.gamma(0.5, size=(60, 3)) @ rng.gamma(0.5, size=(3, 25))
    adata = AnnData(rng.poisson(4 * rates).astype(np.float32))
    pld.tl.compression_benchmark(
        adata,
        methods=["svd", "snmf", "ksvd"],
        n_latent=[10, 2],
        transform=["log", "zscore"],
        n_repeats=1,
        train_size=0.3,
        n_kept=(20, 12),
        enable_progress_bar=False,
    )
    return adata


@pytest.fixture
def measured(measured_once):
    return measured_once.copy()


def images(figure_or_axes) -> list[np.ndarray]:
    axes = getattr(figure_or_axes, "axes", figure_or_axes)
    return [np.asarray(ax.images[0].get_array()) for ax in axes if ax.images]


def order_of(original):
    return [
        leaves_list(linkage(one, method="average", metric="euclidean", optimal_ordering=True))
        for one in (original, original.T)
    ]


def test_panels_share_the_order_of_the_original(measured, assert_legible):
    figure = pld.pl.reconstruction(measured, return_fig=True)
    assert_legible(figure)
    drawn = images(figure)
    kept = measured.uns["compression_benchmark"]["kept"]
    cells, genes = order_of(kept["original"][0].astype(float))
    assert len(drawn) == 1 + 4
    np.testing.assert_array_equal(drawn[0], kept["original"][0][np.ix_(cells, genes)].T)
    at = {
        (kept["method"][i], kept["n_latent"][i]): kept["reconstruction"][i]
        for i in np.flatnonzero(kept["transform"] == "log")
    }
    for image, of in zip(
        drawn[1:], [("mean", 0), ("svd", 2), ("snmf", 2), ("ksvd", 2)], strict=True
    ):
        np.testing.assert_array_equal(image, at[of][np.ix_(cells, genes)].T)
    titles = [ax.get_title(loc="left") for ax in figure.axes if ax.images]
    row = pld.get.compression_benchmark(measured, metric="pcc").loc[("log", "svd")]
    assert titles[0] == "Original\n20 cells, 12 genes"
    assert titles[1].startswith("Gene means\nr = ")
    assert titles[2].startswith(f"SVD\nr = {row['mean', 2]:.2f}, per gene")
    # Two dendrograms, and a bar of colours.
    assert len(figure.axes) == 5 + 3
    limits = {ax.images[0].get_clim() for ax in figure.axes if ax.images}
    assert len(limits) == 1
    assert next(iter(limits))[0] == 0


def test_chosen(measured, assert_legible):
    figure = pld.pl.reconstruction(
        measured, n_latent=10, transform="zscore", methods=["snmf"], return_fig=True
    )
    assert_legible(figure)
    drawn = images(figure)
    assert len(drawn) == 2
    kept = measured.uns["compression_benchmark"]["kept"]
    here = (kept["method"] == "snmf") & (kept["transform"] == "zscore") & (kept["n_latent"] == 10)
    cells, genes = order_of(kept["original"][1].astype(float))
    np.testing.assert_array_equal(
        drawn[1], kept["reconstruction"][here][0][np.ix_(cells, genes)].T
    )
    low, high = figure.axes[0].images[0].get_clim()
    assert low == -high


def test_from_a_file_alone(measured, round_trip):
    back = round_trip(measured)
    for first, second in zip(
        *(
            images(pld.pl.reconstruction(one, methods="svd", show=False))
            for one in (back, measured)
        ),
        strict=True,
    ):
        np.testing.assert_array_equal(first, second)


def test_few_cells(counts, assert_legible):
    pld.tl.compression_benchmark(
        counts, methods="svd", n_latent=2, n_repeats=1, train_size=0.3, n_kept=(1, 2),
        enable_progress_bar=False,
    )  # fmt: skip
    assert_legible(pld.pl.reconstruction(counts, return_fig=True))


def test_what_is_returned(measured, tmp_path, unchanged):
    path = tmp_path / "figure.png"
    with unchanged(measured):
        assert len(pld.pl.reconstruction(measured, show=False, save=path)) == 5
        assert pld.pl.reconstruction(measured, show=True, cmap="viridis") is None
    assert path.stat().st_size


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_latent": 3}, "n_latent=3 is not in the result, which has 2, 10"),
        ({"transform": "raw"}, "transform: 'raw' is not in the result"),
        ({"methods": ["pca"]}, "methods: 'pca' is not in the result"),
    ],
)
def test_bad_arguments(measured, arguments, message):
    with pytest.raises(ValueError, match=message):
        pld.pl.reconstruction(measured, **arguments)


def test_no_result(counts):
    with pytest.raises(KeyError, match=r"tl\.compression_benchmark"):
        pld.pl.reconstruction(counts)
