"""What holds for every figure: what it returns, writes and leaves behind."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import pellucid as pld

# The factors of `make_factors`.
FACTORS = (
    "REACTOME_ANTIVIRAL_MECHANISM_BY_IFN_STIMULATED_GENES", "REACTOME/INTERFERON_SIGNALING",
    "SET 2/$B$", "REACTOME_SIGNALING_BY_THE_B_CELL_RECEPTOR_BCR", "sparse_0", "dense_0",
)  # fmt: skip
FIGURES = {
    "attribution_agreement": {},
    "cell_gene_embedding": {"color": "condition"},
    "centrality_association": {},
    "compression_benchmark": {},
    "degree_centrality": {},
    "enrichment": {},
    "factor_ranking": {},
    "factor_scatter": {"x": FACTORS[0], "y": FACTORS[1], "color": "condition"},
    "factor_separation": {},
    "factor_violin": {"factors": list(FACTORS), "groupby": "cell_type"},
    "gene_embedding": {},
    "gene_network": {"genes": ["CD79A", "CD79B", "MS4A1"], "color": "degree_centrality"},
    "gene_network_difference": {"genes": ["CD79A", "CD79B", "MS4A1", "NKG7", "GNLY"]},
    "gene_set_impact": {},
    "gene_set_impact_difference": {},
    "gsea_frequency": {},
    "history": {},
    "loadings": {"factors": [FACTORS[0], FACTORS[5]]},
    "network_embedding": {"color": "state"},
    "reconstruction": {},
    "transfer_accuracy": {},
    "tune": {},
    "umap": {"color": "cell_type"},
    "unit_activity": {"groupby": "cell_type"},
}
SEVERAL_AXES = (
    "cell_gene_embedding", "compression_benchmark", "factor_ranking", "factor_separation",
    "factor_violin", "history", "loadings", "reconstruction", "tune", "umap",
)  # fmt: skip
LABELS = (
    "Latent unit", "Epoch", "UMAP 1", "Accuracy", "Genes", "Loading", "sparse 0", "ctrl", "mine",
    "REACTOME/INTERFERON", "Numbers a cell (K)", "Trial", "degree centrality",
    "Distance from the origin", "Correlation of mean expression",
    "Edges by state",
)  # fmt: skip


@pytest.fixture(scope="module")
def adata(make_read, make_factors):
    adata = make_read()
    factors = make_factors(*adata.shape)
    pld.tl.factor_separation(factors, groupby="condition")
    adata.obs["condition"] = factors.obs["condition"].to_numpy()
    for slot in ("obsm", "varm", "uns"):
        getattr(adata, slot).update(getattr(factors, slot))
    for slot in (adata.varm, adata.uns):
        slot["mine"] = slot["annotated_ae_loadings"]
    pld.tl.attribution_agreement(adata)
    pld.tl.degree_centrality(adata, method="embedding", loadings_key="mine")
    pld.tl.gene_neighbors(adata, loadings_key="mine", n_neighbors=5)
    line = np.arange(adata.n_obs) * 6 // adata.n_obs
    adata.obs["line"] = pd.Categorical([f"line/{i}" for i in line])
    adata.obs["state"] = pd.Categorical(np.where(line < 3, "ctrl", "stim/$1$"))
    rng = np.random.default_rng(0)
    for what, dimensions in (("loadings", (6, 2)), ("centrality", (6,)), ("mean", (6,))):
        adata.varm[f"populations_{what}"] = rng.random((adata.n_vars, *dimensions))
    adata.uns["populations"] = {
        "params": {"population_key": "line"},
        "populations": np.array([f"line/{i}" for i in range(6)]),
    }
    pld.tl.compare_networks(adata)
    pld.tl.associate_centrality(adata, "state")
    genes = FIGURES["gene_network_difference"]["genes"]
    pld.tl.associate_edges(adata, "state", genes=genes, percentile=40, min_populations=2)
    foremost = np.argsort(-adata.varm["mine"][:, 5])[:20]
    sets = {"HALLMARK_B/$CELL$": adata.var_names[foremost].to_list()}
    pld.tl.enrich(adata, sets, key="mine")
    pld.tl.gsea(adata, sets, attribution_key="mine", n_permutations=200)
    pld.tl.compression_benchmark(
        adata,
        methods=["svd"],
        n_latent=2,
        n_repeats=1,
        train_size=0.3,
        enable_progress_bar=False,
    )
    pld.tl.transfer_labels(
        adata[::2].copy(), adata, labels_key="cell_type", use_rep="X_orthogonal_ae", k=[5, 6]
    )
    trials = {"trial": [0, 1], "status": ["complete"] * 2, "loss": [2.0, 1.0], "lr": [0.1, 0.2]}
    adata.uns["tune"] = {
        "results": pd.DataFrame(trials),
        "settings": np.array(["lr"]),
        "logarithmic": np.array([False]),
    }
    adata.obsm["X_umap"] = adata.obsm["X_orthogonal_ae"][:, [0, 2]]
    adata.obsm["X_orthogonal_ae_umap"] = adata.obsm["X_orthogonal_ae"][:, [3, 5]]
    return adata


@pytest.fixture(params=list(FIGURES))
def name(request):
    return request.param


@pytest.fixture
def draw(adata, name):
    return lambda **kwargs: getattr(pld.pl, name)(adata, **FIGURES[name], **kwargs)


def test_every_figure_is_tested():
    assert sorted(FIGURES) == sorted(pld.pl.__all__)


def test_returns_what_is_asked_for(draw, name, monkeypatch):
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.get_fignums()))
    assert draw() is None
    assert len(shown) == 1
    assert not plt.get_fignums()
    axes = draw(show=False)
    if name in SEVERAL_AXES:
        assert all(isinstance(ax, Axes) for ax in axes)
    else:
        assert isinstance(axes, Axes)
    assert isinstance(draw(return_fig=True), Figure)
    assert len(plt.get_fignums()) == 2
    assert len(shown) == 1


def test_saves_text_as_text(draw, tmp_path):
    assert draw(save=tmp_path / "figure.svg", show=False) is not None
    assert not plt.get_fignums()
    text = (tmp_path / "figure.svg").read_text("utf-8")
    assert any(f">{label}<" in text for label in LABELS)


@pytest.fixture
def draw_one(adata):
    """One figure, where it is not the figure that matters."""
    return partial(pld.pl.history, adata)


def test_is_shown_as_scanpy_is_set(draw_one, monkeypatch):
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.get_fignums()))
    autoshow, sc.settings.autoshow = sc.settings.autoshow, False
    try:
        assert draw_one() is not None
        assert not shown
        draw_one(show=True)
    finally:
        sc.settings.autoshow = autoshow
    assert len(shown) == 1


@pytest.mark.parametrize("form", ["png", "pdf", "svg"])
def test_saves_to_the_path_and_closes(draw_one, tmp_path, form):
    draw_one(save=str(tmp_path / f"figure.{form}"))
    assert not plt.get_fignums()
    assert draw_one(save=tmp_path / f"again.{form}", return_fig=True) is not None
    assert not plt.get_fignums()
    written = sorted(file.name for file in tmp_path.iterdir())
    assert written == [f"again.{form}", f"figure.{form}"]


def test_an_unwritable_path_leaves_no_figure(draw_one, tmp_path):
    with pytest.raises(FileNotFoundError):
        draw_one(save=tmp_path / "no such folder" / "figure.png")
    assert not plt.get_fignums()


def test_settings_of_others_do_not_matter(draw, assert_legible):
    before = draw(return_fig=True).get_size_inches()
    with mpl.rc_context():
        sc.set_figure_params(fontsize=20, dpi=50)
        settings = dict(mpl.rcParams)
        figure = draw(return_fig=True)
        assert dict(mpl.rcParams) == settings
        assert figure.get_size_inches() == pytest.approx(before, rel=0.1)
        assert_legible(figure)


def test_drawn_from_a_file_without_torch(adata, tmp_path):
    """The whole point: figures from an h5ad where no model can be loaded."""
    adata.write_h5ad(tmp_path / "read.h5ad")
    code = f"""
import sys

class Refuse:
    def find_spec(self, name, *_):
        if name.split(".")[0] in ("torch", "scvi", "lightning", "captum"):
            raise ImportError(name + " must not be imported")

sys.meta_path.insert(0, Refuse())
import anndata
import pellucid as pld

adata = anndata.read_h5ad("read.h5ad")
for name, kwargs in {FIGURES!r}.items():
    getattr(pld.pl, name)(adata, **kwargs, return_fig=True).canvas.draw()
    print(name)
assert not {{"torch", "scvi", "lightning", "captum"}} & sys.modules.keys()
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == list(FIGURES)
