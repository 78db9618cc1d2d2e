"""The main job as one command: train, attribute, test, tabulate, draw, write."""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData

_DESCRIPTION = """\
Train an autoencoder on counts and read its latent units: which gene sets each stands for, and in
which cells. Writes an h5ad with every result, and the figures. Without DATA, runs on scanpy's
bundled 700 blood cells and this package's table of blood-cell markers.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 if it went well, 2 with a message on stderr if its input did not."""
    parser = argparse.ArgumentParser(prog="python -m pellucid", description=_DESCRIPTION)
    parser.add_argument("data", nargs="?", type=Path, metavar="DATA.h5ad", help="cells x genes")
    parser.add_argument(
        "--gene-sets", metavar="SETS.gmt", help="GMT file, or the name of an Enrichr library"
    )
    parser.add_argument("--layer", help="layer that holds the counts (default: X)")
    parser.add_argument("--groupby", help="column of obs to compare units by")
    parser.add_argument("--n-latent", type=int, help="latent units (default: 64; without DATA 16)")
    parser.add_argument(
        "--out", type=Path, default=Path("pellucid-demo"), help="folder (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    arguments = parser.parse_args(argv)
    if arguments.data is not None and arguments.gene_sets is None:
        parser.error("DATA.h5ad needs --gene-sets SETS.gmt")
    if arguments.n_latent is not None and arguments.n_latent < 1:
        parser.error(f"--n-latent must be at least 1, found {arguments.n_latent}")
    try:
        _run(arguments)
    except (KeyError, OSError, TypeError, ValueError) as error:
        message = error.args[0] if isinstance(error, KeyError) else error
        print(f"python -m pellucid: error: {message}", file=sys.stderr)
        return 2
    return 0


def _run(arguments: argparse.Namespace) -> None:
    import pellucid as pld

    _check_writable(arguments.out)
    adata, gene_sets, groupby = _read(arguments)
    if groupby is not None and groupby not in adata.obs:
        raise KeyError(f"--groupby {groupby!r} is not in obs, which holds {list(adata.obs)}.")
    n_latent = arguments.n_latent or (16 if arguments.data is None else 64)

    n_genes = adata.n_vars
    pld.pp.add_gene_sets(adata, gene_sets)
    if arguments.data is not None:
        # The bundled data are few genes already, and few of them are markers.
        pld.pp.filter_to_gene_sets(adata)
    n_sets = adata.varm["gene_sets"].shape[1]
    print(
        f"Training on {adata.n_obs:,} cells x {adata.n_vars:,} of {n_genes:,} genes; {n_sets} sets"
    )
    tl = pld.tl  # imports Lightning, which sets the level of its loggers
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        model = tl.orthogonal_ae(
            adata, layer=arguments.layer, n_latent=n_latent, random_state=arguments.seed
        )
    pld.tl.attribute(adata, model, groupby=groupby)
    pld.tl.gene_set_impact(adata)

    table = _table(adata, groupby)
    print(f"\nWhat each of the {len(table)} active units stands for (q: chance of such a mean")
    print("among random genes, Benjamini-Hochberg over all units and sets)\n")
    print(table.to_string(index=False))

    written = arguments.out / "pellucid.h5ad"
    adata.write_h5ad(written)
    figures = _draw(adata, groupby, arguments.out)
    print(f"\nWrote {written} and {', '.join(figure.name for figure in figures)} beside it.")


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(
            f"cannot write to the output folder {str(folder)!r} ({error.strerror}); name another "
            "with --out."
        ) from error


def _read(arguments: argparse.Namespace) -> tuple[AnnData, object, str | None]:
    import anndata as ad

    import pellucid as pld

    if arguments.data is None:
        sets = arguments.gene_sets or pld.datasets.blood_markers()
        return pld.datasets.pbmc68k_reduced(), sets, arguments.groupby or "bulk_labels"
    if not arguments.data.is_file():
        raise FileNotFoundError(f"no such file: {arguments.data}")
    try:
        adata = ad.read_h5ad(arguments.data)
    except Exception as error:  # h5py and anndata raise many kinds for a file that is broken
        raise OSError(
            f"{arguments.data} cannot be read as h5ad ({type(error).__name__}: {error}); is the "
            "file complete?"
        ) from error
    return adata, arguments.gene_sets, arguments.groupby


def _table(adata: AnnData, groupby: str | None) -> pd.DataFrame:
    """One row a unit, the surest first: where it is most active, and its three strongest sets."""
    import pandas as pd

    import pellucid as pld

    impact = pld.get.gene_set_impact(adata)
    activity = pld.get.latent(adata)
    if groupby is not None:
        activity = activity.groupby(adata.obs[groupby], observed=True).mean()
    rows = []
    for unit, sets in impact[~impact["silent"]].groupby("unit", sort=False):
        strongest = sets.nsmallest(3, "padj")
        named = zip(strongest["gene_set"], strongest["padj"], strict=True)
        rows.append(
            {
                "unit": unit,
                **({} if groupby is None else {"most active in": activity[unit].idxmax()}),
                "strongest sets (q)": "; ".join(f"{name} ({q:.1g})" for name, q in named),
                "best": sets["padj"].min(),
            }
        )
    return pd.DataFrame(rows).sort_values("best", kind="stable").drop(columns="best")


def _draw(adata: AnnData, groupby: str | None, folder: Path) -> list[Path]:
    import matplotlib as mpl

    mpl.use("Agg")
    import pellucid as pld

    paths = {name: folder / f"{name}.png" for name in ("umap", "gene_set_impact", "history")}
    pld.pl.umap(adata, color=groupby, show=False, save=paths["umap"])
    pld.pl.gene_set_impact(adata, show=False, save=paths["gene_set_impact"])
    pld.pl.history(adata, show=False, save=paths["history"])
    if groupby is not None:
        paths["unit_activity"] = folder / "unit_activity.png"
        pld.pl.unit_activity(adata, groupby=groupby, show=False, save=paths["unit_activity"])
    return list(paths.values())
