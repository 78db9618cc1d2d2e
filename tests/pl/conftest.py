"""An AnnData that follows the contract, made without a model."""

from __future__ import annotations

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from anndata import AnnData
from scipy import sparse

import pellucid as pld

WORDS = (
    "EPITHELIAL_MESENCHYMAL_TRANSITION", "DNA_REPAIR", "TNFA_SIGNALING_VIA_NFKB", "HYPOXIA",
    "REACTIVE_OXYGEN_SPECIES_PATHWAY", "G2M_CHECKPOINT", "APICAL/JUNCTION", "IL2_STAT5_$IGNALING$",
)  # fmt: skip
SILENT = (1, 4)


@pytest.fixture(scope="session")
def cells():
    """Counts of real cells, without any result."""
    adata = pld.datasets.pbmc68k_reduced()
    del adata.obsm["X_umap"]
    return adata


@pytest.fixture(scope="session")
def make_read(cells):
    """Make an AnnData as the tools leave it, for so many sets, units and groups."""

    def make(n_sets=8, n_latent=6, n_groups=3, *, silent=SILENT, difference=True, prefix=""):
        random = np.random.default_rng(0)
        adata = cells.copy()
        codes = np.arange(adata.n_obs) * n_groups // adata.n_obs
        groups = [f"group {name}/{i}" for i, name in enumerate("ABCDEFGHIJKLMNOPQ"[:n_groups])]
        adata.obs["cell_type"] = pd.Categorical.from_codes(codes, groups)
        log = sc.pp.log1p(adata.X.toarray())
        weights = random.normal(size=(adata.n_vars, n_latent)) / adata.n_vars**0.5
        latent = np.log1p(np.exp(log @ weights + random.normal(size=(n_groups, n_latent))[codes]))
        live = np.setdiff1d(np.arange(n_latent), silent)
        latent[:, list(silent)] = 0.7
        units = np.array([f"Z_{unit}" for unit in range(n_latent)])
        epochs = np.arange(25)
        adata.obsm["X_orthogonal_ae"] = latent.astype(np.float32)
        adata.uns["X_orthogonal_ae"] = {
            "params": {"function": "tl.latent"},
            "latent_names": units,
            "history": pd.DataFrame(
                {
                    "train_loss": np.exp(-epochs / 5) + 0.5,
                    "validation_loss": np.where(epochs % 2, np.nan, np.exp(-epochs / 6) + 0.55),
                    "reconstruction_loss_train": np.exp(-epochs / 5) + 0.3,
                    "reconstruction_loss_validation": np.exp(-epochs / 6) + 0.35,
                    "orthogonality_penalty": 2 * np.exp(-epochs / 9),
                    "representation_norm": 400 * (1 - np.exp(-epochs / 4)),
                    "n_dead_units": np.minimum(epochs // 5, 2).astype(float),
                },
                index=pd.Index(epochs.astype(str), name="epoch"),
            ),
        }
        blocks = random.gamma(0.4, size=(n_groups, -(-n_sets // 5), -(-n_latent // 4)))
        means = np.kron(blocks, np.ones((5, 4)))[:, :n_sets, :n_latent]
        means = means + 0.15 * random.gamma(1, size=means.shape)
        means[:, :, list(silent)] = 0
        whole = means.mean(axis=0)
        padj = 1 - whole / whole.max()
        adata.uns["gene_set_impact"] = {
            "params": {"function": "tl.gene_set_impact", "scale": "minmax"},
            "impact": whole / whole.max(),
            "z": random.normal(size=whole.shape),
            "padj": np.where(np.isin(np.arange(n_latent), live), padj**4, np.nan),
            "set_names": np.array([f"{prefix}{WORDS[i % len(WORDS)]}_{i}" for i in range(n_sets)]),
            "latent_names": units,
            "set_sizes": random.integers(5, 200, n_sets),
            "silent": np.isin(np.arange(n_latent), silent),
            "groups": np.array(groups),
            "impact_groups": means / whole.max(),
        }
        if difference:
            between = means[0] - means[1:].mean(axis=0)
            adata.uns["gene_set_impact"] |= {
                "difference": between / np.abs(between).max(),
                "difference_z": random.normal(size=between.shape),
                "difference_padj": (1 - np.abs(between) / np.abs(between).max()) ** 4,
            }
            adata.uns["gene_set_impact"]["params"] |= {
                "group": np.array(groups[:1]),
                "reference": np.array(groups[1:]),
            }
        return adata

    return make


SETS = ("B/CELL é", "T_CELL", "MONO")


@pytest.fixture
def read_sivae():
    """What SIVAE leaves: 400 cells and 120 genes of three sets that overlap in one gene.

    Genes of a set lie together in the plane of the first two units, the last 60 near the origin.
    """
    random = np.random.default_rng(0)
    n_obs, n_vars, n_latent = 400, 120, 3
    units = np.array([f"Z_{unit}" for unit in range(n_latent)])
    centre = np.array([[2, 1, 0], [-1.5, 1, 0], [0, -2, 0]])
    loadings = 0.15 * random.normal(size=(n_vars, n_latent))
    members = np.zeros((n_vars, len(SETS)), dtype=bool)
    for place in range(len(SETS)):
        loadings[20 * place : 20 * place + 20] += centre[place]
        members[20 * place : 20 * place + 20, place] = True
    members[0, 1] = True
    scores = centre[np.arange(n_obs) % 3] + 0.4 * random.normal(size=(n_obs, n_latent))
    log = np.clip(scores @ loadings.T, 0, None)
    return AnnData(
        random.poisson(np.exp(log / 3)).astype(np.float32),
        obs=pd.DataFrame(
            {"cell_type": pd.Categorical(np.array(SETS)[np.arange(n_obs) % 3])},
            index=[f"cell{cell}" for cell in range(n_obs)],
        ),
        var=pd.DataFrame(
            {
                "mean": np.exp(random.normal(size=n_vars)),
                "chosen": np.arange(n_vars) % 4 == 0,
            },
            index=[f"GENE{gene}" for gene in range(n_vars)],
        ),
        obsm={"X_sivae": scores.astype(np.float32)},
        varm={
            "sivae_loadings": loadings.astype(np.float32),
            "gene_sets": sparse.csr_matrix(members),
        },
        uns={
            "X_sivae": {"params": {"model_class": "SIVAE"}, "latent_names": units},
            "sivae_loadings": {"params": {"model_class": "SIVAE"}, "latent_names": units},
            "gene_sets": {"names": np.array(SETS)},
        },
    )


@pytest.fixture(autouse=True)
def _figures(monkeypatch):
    """Draw without a window, and begin and end with no figure open."""
    plt.close("all")
    plt.switch_backend("Agg")
    monkeypatch.setattr(plt, "show", lambda *_, **__: None)
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def assert_legible():
    """Assert that no text of a figure covers another, leaves the figure or is too small."""

    def check(figure):
        figure.canvas.draw()
        hidden = _out_of_view(figure)
        texts = [
            (text.get_text(), text.get_window_extent())
            for text in figure.findobj(mpl.text.Text)
            if text.get_text() and text.get_visible() and text not in hidden
        ]
        assert texts
        for i, (name, box) in enumerate(texts):
            assert box.x0 >= 0, name
            assert box.y0 >= 0, name
            assert box.x1 <= figure.bbox.x1, name
            assert box.y1 <= figure.bbox.y1, name
            for other, other_box in texts[i + 1 :]:
                overlap = mpl.transforms.Bbox.intersection(box, other_box)
                assert overlap is None or min(overlap.width, overlap.height) < 0.5, (name, other)
        assert min(text.get_fontsize() for text in figure.findobj(mpl.text.Text)) >= 5.5

    return check


def _out_of_view(figure) -> set:
    """Labels of ticks that matplotlib keeps but never draws, for they lie outside their axis."""
    labels = set()
    for ax in figure.findobj(mpl.axes.Axes):
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in axis.get_major_ticks() + axis.get_minor_ticks():
                if not (ax.axison and low <= tick.get_loc() <= high):
                    labels |= {tick.label1, tick.label2}
    return labels
