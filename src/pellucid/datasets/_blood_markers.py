from __future__ import annotations

from importlib.resources import files

import pandas as pd


def blood_markers() -> pd.DataFrame:
    """Canonical markers of the cells of human blood, with the source of every line.

    22 sets, written for this package: cell types (B and plasma cells, T cell subsets, natural
    killer cells, monocytes, dendritic cells, neutrophils, platelets, erythroid cells,
    progenitors) and three programmes (`MHC class II presentation`, `Interferon response`,
    `Cell cycle`). A gene may stand in several sets. 16 sets have five or more genes in
    :func:`pellucid.datasets.pbmc68k_reduced`.

    Returns
    -------
    pandas.DataFrame
        One row per set and gene, with the columns

        - `set`: name of the set
        - `gene`: current HGNC symbol. Where older annotations use another symbol, that stands
          in a line of its own and `source` says so; data have one or the other.
        - `source`: author, year, journal, volume and first page; the DOI where it is known

        It can be passed as it is to :func:`pellucid.pp.read_gene_sets` and
        :func:`pellucid.pp.add_gene_sets`.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> pld.pp.add_gene_sets(adata, pld.datasets.blood_markers())
    >>> adata.varm["gene_sets"].shape
    (765, 16)
    """
    with files(__package__).joinpath("blood_markers.csv").open(encoding="utf-8") as table:
        return pd.read_csv(table)
