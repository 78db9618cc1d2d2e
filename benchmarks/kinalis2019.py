"""The measurements of Kinalis et al. 2019, as the documentation reports them.

Three parts: the representation of pbmc3k (k-means, normalised mutual information, the norm of the
representation with and without the constraint), the progenitors of paul15 against the rest, and
the blood signatures of pbmc3k's populations.
"""

from __future__ import annotations

import argparse
import logging

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
from scipy.stats import false_discovery_control
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score

import pellucid as pld
from pellucid.enrichment import set_mean_test
from pellucid.train import seeded

# Direction in the progenitors, from the text beside Figure 1e.
CLAIMS = {
    "HALLMARK_WNT_BETA_CATENIN_SIGNALING": 1,
    "HALLMARK_DNA_REPAIR": 1,
    "HALLMARK_HYPOXIA": 1,
    "HALLMARK_MITOTIC_SPINDLE": -1,
    "HALLMARK_APICAL_SURFACE": -1,
    "HALLMARK_APICAL_JUNCTION": -1,
    "HALLMARK_HEDGEHOG_SIGNALING": -1,
}
PROGENITORS = ["7MEP", "9GMP", "10GMP"]


def variants(names: list[str]) -> dict[str, dict]:
    """Arguments of `tl.orthogonal_ae` for each setting."""
    settings = {
        "default": {},
        "online": {"batch_size": 1, "max_epochs": 100},
        # The paper stopped after 70 epochs on these cells.
        "kinalis2019": {"preset": "kinalis2019", "max_epochs": 100},
        "kinalis2022": {"preset": "kinalis2022", "max_epochs": 100},
    }
    return {name: settings[name] for name in names}


def fit(adata: ad.AnnData, seed: int, **kwargs):
    """Train on a copy, on log(CPM + 1) where the preset asks for it."""
    adata = adata.copy()
    if kwargs.get("preset") == "kinalis2022":
        sc.pp.normalize_total(adata, target_sum=1e6)
        sc.pp.log1p(adata)
    model = pld.tl.orthogonal_ae(adata, random_state=seed, enable_progress_bar=False, **kwargs)
    return adata, model


def hallmark_genes(adata: ad.AnnData, name: str) -> ad.AnnData:
    """The data with a collection's sets added and its genes kept, as the paper trains."""
    pld.pp.add_gene_sets(adata, pld.datasets.gene_sets(name), min_genes=1)
    pld.pp.filter_to_gene_sets(adata)
    return adata


def clusters(matrix: np.ndarray, n_clusters: int, n_runs: int = 20) -> list[np.ndarray]:
    """Labels of repeated k-means, one start each."""
    return [
        KMeans(n_clusters, n_init=1, random_state=run).fit_predict(matrix) for run in range(n_runs)
    ]


def agreement(first: list[np.ndarray], second: list[np.ndarray]) -> float:
    """Mean normalised mutual information over all pairs of runs."""
    return float(np.mean([normalized_mutual_info_score(a, b) for a in first for b in second]))


def representation(names: list[str], seeds: range) -> pd.DataFrame:
    """Clusters of pbmc3k's cells in the genes, in the code, and as labelled."""
    adata = hallmark_genes(pld.datasets.pbmc3k_labelled(), "hallmark")
    labels = [adata.obs["cell_type"].astype(str).to_numpy()]
    n_clusters = adata.obs["cell_type"].nunique()
    logged = adata.copy()
    sc.pp.normalize_total(logged, target_sum=1e4)
    sc.pp.log1p(logged)
    originals = {
        "counts": clusters(adata.X.toarray(), n_clusters),
        "log": clusters(logged.X.toarray(), n_clusters),
    }
    rows = [
        {"setting": f"(original, {name})", "representation/labels": agreement(runs, labels)}
        for name, runs in originals.items()
    ]
    for name, kwargs in variants(names).items():
        for seed in seeds:
            fitted, model = fit(adata, seed, **kwargs)
            code = fitted.obsm["X_orthogonal_ae"]
            runs = clusters(code, n_clusters)
            deviation = code.std(0)
            rows.append(
                {
                    "setting": name,
                    "seed": seed,
                    "representation/labels": agreement(runs, labels),
                    **{
                        f"original ({kind})/representation": agreement(original, runs)
                        for kind, original in originals.items()
                    },
                    "epochs": len(model.history["train_loss"]),
                    "dead units": int((deviation <= 0.01 * deviation.max()).sum()),
                    "penalty": pld.tl.orthogonality(model)["orthogonality_penalty"].iloc[-1],
                }
            )
            print(rows[-1], flush=True)
    return pd.DataFrame(rows)


def constraint(names: list[str], seeds: range, max_epochs: int) -> pd.DataFrame:
    """Norm of the representation's singular values, with and without the constraint."""
    adata = hallmark_genes(pld.datasets.pbmc3k_labelled(), "hallmark")
    rows = []
    for name, kwargs in variants(names).items():
        preset = kwargs.get("preset")
        arguments = pld.model.OrthogonalAE.preset(preset) if preset else ({}, dict(kwargs))
        for weight in (0.0, 0.005, 0.05, 0.5):
            for seed in seeds:
                data = adata.copy()
                pld.model.OrthogonalAE.setup_anndata(data)
                with seeded(seed):
                    model = pld.model.OrthogonalAE(
                        data, **{**arguments[0], "orthogonality_weight": weight}
                    )
                    model.train(
                        **{
                            **arguments[1],
                            "max_epochs": max_epochs,
                            "early_stopping": False,
                            "enable_progress_bar": False,
                        }
                    )
                norm = pld.tl.orthogonality(model)["representation_norm"]
                rows.append(
                    {
                        "setting": name,
                        "weight": weight,
                        "seed": seed,
                        "first": norm.iloc[0],
                        "last": norm.iloc[-1],
                        "change per epoch": (norm.iloc[-1] - norm.iloc[0]) / (len(norm) - 1),
                        "penalty": pld.tl.orthogonality(model)["orthogonality_penalty"].iloc[-1],
                    }
                )
                print(rows[-1], flush=True)
    return pd.DataFrame(rows)


def compare_groups(adata: ad.AnnData, key: str, group: list[str]) -> pd.DataFrame:
    """Sets whose impact on the code as a whole differs between a group and the rest."""
    grouped = adata.varm[f"attribution_{key}"].astype(float)
    names, sizes = adata.uns["attribution"]["groups"], adata.uns["attribution"]["group_sizes"]
    inside = np.isin(names, group)
    mean = [
        np.tensordot(grouped[:, chosen], sizes[chosen] / sizes[chosen].sum(), (1, 0)).sum(1)
        for chosen in (inside, ~inside)
    ]
    difference = mean[0] - mean[1]
    mask = adata.varm["gene_sets"]
    z, p = set_mean_test(difference[:, None], mask, alternative="two-sided")
    return pd.DataFrame(
        {
            "difference": (mask.T @ difference) / np.asarray(mask.sum(0)).ravel(),
            "z": z[:, 0],
            "q": false_discovery_control(p[:, 0]),
        },
        index=adata.uns["gene_sets"]["names"],
    )


def progenitors(names: list[str], seeds: range) -> pd.DataFrame:
    """Which directions of the text beside Figure 1e hold in paul15."""
    adata = hallmark_genes(pld.datasets.paul15(), "hallmark_mouse")
    rows = []
    for name, kwargs in variants(names).items():
        for seed in seeds:
            fitted, model = fit(adata, seed, **kwargs)
            pld.tl.attribute(fitted, model, groupby="paul15_clusters")
            table = compare_groups(fitted, "paul15_clusters", PROGENITORS)
            for claim, sign in CLAIMS.items():
                row = table.loc[claim]
                rows.append(
                    {
                        "setting": name,
                        "seed": seed,
                        "set": claim,
                        "claimed": sign,
                        **row,
                        "holds": np.sign(row["z"]) == sign,
                    }
                )
            print(pd.DataFrame(rows[-len(CLAIMS) :]).round(3).to_string(), flush=True)
    return pd.DataFrame(rows)


def signatures(names: list[str], seeds: range) -> pd.DataFrame:
    """The best-ranked blood signature of each labelled population of pbmc3k, by three rankings.

    Summed over units: by the difference of the whole code's attribution from the rest's. Best
    unit: by the largest z of the difference on any unit. Marker unit: by the impact on the unit
    whose activity sets the population apart.
    """
    adata = hallmark_genes(pld.datasets.pbmc3k_labelled(), "iris_dmap")
    rows = []
    for name, kwargs in variants(names).items():
        for seed in seeds:
            fitted, model = fit(adata, seed, **kwargs)
            pld.tl.attribute(fitted, model, groupby="cell_type")
            code = fitted.obsm["X_orthogonal_ae"]
            deviation = code.std(0)
            alive = deviation > 0.01 * deviation.max()
            populations = fitted.uns["attribution"]["groups"]
            for population in populations:
                summed = compare_groups(fitted, "cell_type", [population])
                pld.tl.gene_set_impact(fitted, group=population)
                impact = fitted.uns["gene_set_impact"]
                sets = impact["set_names"]
                inside = (fitted.obs["cell_type"] == population).to_numpy()
                apart = (code[inside].mean(0) - code[~inside].mean(0)) / (deviation + 1e-9)
                marker = int(np.argmax(np.where(alive, apart, -np.inf)))
                best = np.where(alive, impact["difference_z"], -np.inf)
                best_set, best_unit = np.unravel_index(best.argmax(), best.shape)
                marker_set = impact["z"][:, marker].argmax()
                rows.append(
                    {
                        "setting": name,
                        "seed": seed,
                        "population": population,
                        "summed over units": summed["z"].idxmax(),
                        "q": summed["q"][summed["z"].idxmax()],
                        "best unit": sets[best_set],
                        "q ": impact["difference_padj"][best_set, best_unit],
                        "marker unit": sets[marker_set],
                        "q  ": impact["padj"][marker_set, marker],
                    }
                )
            print(pd.DataFrame(rows[-len(populations) :]).to_string(), flush=True)
    return pd.DataFrame(rows)


def main(argv: list[str] | None = None) -> None:
    """Run the parts and print their tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks kinalis2019", description=__doc__)
    parser.add_argument(
        "parts",
        nargs="*",
        default=["representation", "constraint", "progenitors", "signatures"],
    )
    parser.add_argument("--settings", nargs="+", default=["default", "kinalis2019"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--max-epochs", type=int, default=70, help="of the constraint part")
    arguments = parser.parse_args(argv)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    seeds = range(arguments.seeds)
    for part in arguments.parts:
        print(f"\n== {part}", flush=True)
        if part == "constraint":
            table = constraint(arguments.settings, seeds, arguments.max_epochs)
        else:
            table = globals()[part](arguments.settings, seeds)
        print(table.round(3).to_string())


if __name__ == "__main__":
    main()
