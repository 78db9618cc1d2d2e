"""Kinalis 2022: enrichment of the attributions of each group, less those of all cells (Fig. 5)."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control

import pellucid as pld

QUICK = {"max_epochs": 3, "accelerator": "cpu", "enable_progress_bar": False}
GROUPBY = "bulk_labels"
N_PERMUTATIONS = 400


@pytest.fixture(scope="module")
def attributed():
    """A model of real cells of four types, and its guided saliency maps."""
    adata = pld.datasets.pbmc68k_reduced()
    types = adata.obs[GROUPBY].value_counts().index[:4]
    adata = adata[adata.obs[GROUPBY].isin(types)].copy()
    model = pld.tl.orthogonal_ae(adata, n_latent=4, **QUICK)
    pld.tl.attribute(adata, model, groupby=GROUPBY)
    return adata, model


@pytest.fixture(scope="module")
def sets(attributed):
    """Markers, the genes that differ most between types, and random sets."""
    adata, _ = attributed
    random = np.random.default_rng(0)
    mean = adata.to_df().groupby(adata.obs[GROUPBY], observed=True).mean()
    found = {f"high in {name}": (mean.loc[name] - mean.mean()).nlargest(25) for name in mean.index}
    found = {name: genes.index.to_list() for name, genes in found.items()}
    for number in range(8):
        found[f"random {number}"] = random.choice(adata.var_names, 25, replace=False).tolist()
    return found


@pytest.fixture(scope="module")
def loop(attributed, sets):
    """The paper's analysis by hand: a model's maps of each group, and gseapy list by list."""
    import gseapy

    adata, model = attributed
    alone = adata.copy()
    pld.tl.attribute(alone, model)
    whole = alone.varm["attribution"].astype(float)
    tables = []
    for group in adata.obs[GROUPBY].cat.categories:
        cells = adata[adata.obs[GROUPBY] == group].copy()
        pld.tl.attribute(cells, model)
        difference = cells.varm["attribution"].astype(float) - whole
        for unit in range(difference.shape[1]):
            table = gseapy.prerank(
                rnk=pd.Series(difference[:, unit], index=adata.var_names),
                gene_sets=sets,
                min_size=15,
                max_size=500,
                permutation_num=N_PERMUTATIONS,
                threads=1,
                seed=1,
                outdir=None,
                no_plot=True,
            ).res2d
            tables.append(table.assign(group=group, unit=f"Z_{unit}"))
    return pd.concat(tables, ignore_index=True)


@pytest.fixture(scope="module")
def result(attributed, sets):
    adata, _ = attributed
    return pld.tl.gsea(adata, sets, groupby=GROUPBY, n_permutations=N_PERMUTATIONS, copy=True)


def test_subtraction_and_ranking(result, loop):
    """Every score of every list, and its leading edge."""
    index = ["group", "unit", "gene_set"]
    ours = pld.get.gsea(result).set_index(index).sort_index()
    theirs = loop.rename(columns={"Term": "gene_set"}).set_index(index).sort_index()
    assert len(ours) == len(theirs) == 4 * 4 * 12
    assert ours.index.equals(theirs.index)
    es = theirs["ES"].astype(float)
    # Maps are in single precision: what differs in the last digit may change places.
    error = np.abs(ours["es"] - es)
    assert np.quantile(error, 0.98) < 1e-4
    assert error.max() < 0.01
    nes = theirs["NES"].astype(float)
    assert np.corrcoef(ours["nes"], nes)[0, 1] > 0.995
    assert np.median(np.abs(ours["nes"] / nes - 1)) < 0.05
    p = theirs["NOM p-val"].astype(float)
    assert np.abs(ours["pvalue"] - p).mean() < 0.03
    same = [
        len(set(a.split(";")) ^ set(b.split(";"))) <= 1
        for a, b in zip(ours["leading_edge"], theirs["Lead_genes"], strict=True)
    ]
    assert np.mean(same) > 0.98


def test_counting(result, loop, attributed):
    """A set and a unit count the groups in which the set is significant."""
    frequency = pld.get.gsea_frequency(result)
    table = pld.get.gsea(result)
    for (gene_set, unit), rows in table.groupby(["gene_set", "unit"]):
        assert frequency.loc[gene_set, unit] == (rows["padj"] < 0.05).sum()
    # The same from gseapy's p values: of lists in which they leave no doubt, all.
    lists = loop.groupby(["group", "unit"])["NOM p-val"]
    padj = lists.transform(lambda p: false_discovery_control(p.astype(float)))
    theirs = loop.assign(clear=padj < 0.01, never=padj > 0.2)
    counted = theirs.groupby(["Term", "unit"])[["clear", "never"]].sum()
    for (gene_set, unit), row in counted.iterrows():
        assert row["clear"] <= frequency.loc[gene_set, unit] <= 4 - row["never"]
    assert counted["clear"].sum() > 0
    # What tells the types apart is found, and what does not, is not.
    random = frequency.index.str.startswith("random")
    assert frequency[~random].to_numpy().sum() > 5 * frequency[random].to_numpy().sum()


def test_all_cells_have_one_list_a_unit(attributed, sets):
    adata, _ = attributed
    pld.tl.gsea(adata, sets, n_permutations=50, key_added="whole")
    assert len(pld.get.gsea(adata, key="whole")) == 4 * 12
