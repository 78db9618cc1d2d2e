from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

import pellucid as pld


@pytest.fixture
def compared(read_sivae):
    """Three results, of which one has no sign and one is constant in its last unit."""
    loadings = read_sivae.varm["sivae_loadings"]
    noise = np.random.default_rng(0).normal(size=loadings.shape)
    others = {"deep_lift": loadings + 0.3 * noise, "saliency": np.abs(loadings - noise)}
    others["deep_lift"][:, 2] = 1
    for key, aggregate in (("deep_lift", "pca"), ("saliency", "mean_abs")):
        read_sivae.varm[key] = others[key].astype(np.float32)
        read_sivae.uns[key] = {
            "params": {"model_class": "SIVAE", "aggregate": aggregate},
            "latent_names": read_sivae.uns["sivae_loadings"]["latent_names"],
        }
    pld.tl.attribution_agreement(read_sivae)
    return read_sivae


def numbers(ax) -> list[str]:
    return [text.get_text() for text in ax.texts]


def test_median_over_units(compared, assert_legible):
    ax = pld.pl.attribution_agreement(compared, show=False)
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["sivae loadings", "deep lift", "saliency"]
    assert [label.get_text() for label in ax.get_xticklabels()] == names
    correlation = compared.uns["attribution_agreement"]["correlation"]
    assert np.isnan(correlation[2, 0, 1])
    expected = np.median(correlation, axis=0)
    expected[1], expected[:, 1] = (
        correlation[:2, 1].mean(axis=0),
        correlation[:2, :, 1].mean(axis=0),
    )
    np.testing.assert_allclose(ax.collections[0].get_array(), expected)
    assert numbers(ax) == [f"{value:.2f}" for value in expected.ravel()]
    (note,) = [text.get_text() for text in ax.figure.texts if "magnitude" in text.get_text()]
    assert note.replace("\n", " ").endswith("paired with saliency.")
    assert_legible(ax.figure)


def test_two_signed_results_of_one_unit(compared, assert_legible):
    for key in ("sivae_loadings", "deep_lift"):
        compared.varm[key] = compared.varm[key][:, :1]
        compared.uns[key] = compared.uns[key] | {"latent_names": np.array(["Z_0"])}
    pld.tl.attribution_agreement(compared, ["sivae_loadings", "deep_lift"])
    ax = pld.pl.attribution_agreement(compared, show=False)
    assert len(numbers(ax)) == 4
    assert not any("magnitude" in text.get_text() for text in ax.figure.texts)
    assert_legible(ax.figure)


def test_nothing_to_compare_is_no_number(compared):
    compared.uns["attribution_agreement"]["correlation"][:, 1] = np.nan
    compared.uns["attribution_agreement"]["correlation"][:, :, 1] = np.nan
    ax = pld.pl.attribution_agreement(compared, show=False)
    assert [place for place, text in enumerate(numbers(ax)) if text == "–"] == [1, 3, 4, 5, 7]


def test_from_a_file(compared, round_trip, unchanged):
    with unchanged(compared):
        before = pld.pl.attribution_agreement(compared, show=False)
    after = pld.pl.attribution_agreement(round_trip(compared), show=False)
    assert numbers(after) == numbers(before)


def test_no_result(cells):
    with pytest.raises(KeyError, match=r"tl\.attribution_agreement"):
        pld.pl.attribution_agreement(cells)
    assert not plt.get_fignums()
