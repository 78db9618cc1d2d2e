from __future__ import annotations

from ..pp import read_gene_sets
from ._locate import DataFile, locate

# A release's commit never changes, unlike the publishers' own pages.
_GSEAPY = (
    "https://raw.githubusercontent.com/zqfang/GSEApy/"
    "08cb2b689def365f7dee1f5da50c49d3a149cf5a/tests/extdata/"
)

_COLLECTIONS = {
    "hallmark": DataFile(
        "genesets/h.all.v7.0.symbols.gmt",
        "MSigDB Hallmark v7.0, human symbols",
        _GSEAPY + "h.all.v7.0.symbols.gmt",
        "4803c09aae50bbd96d53fc681bd5545a4c89278993c15145dd7b7c994f893516",
    ),
    "hallmark_mouse": DataFile(
        "genesets/h.all.v7.0.mouse_orthologs.symbols.gmt",
        "MSigDB Hallmark v7.0 mapped to mouse orthologues",
    ),
    "reactome": DataFile(
        "genesets/c2.cp.reactome.v4.0.symbols.gmt",
        "MSigDB C2 Reactome v4.0, human symbols",
    ),
    "iris_dmap": DataFile(
        "genesets/iris_dmap_blood.symbols.gmt",
        "IRIS and DMAP blood signatures, human symbols",
    ),
    "go_biological_process": DataFile(
        "genesets/GO_Biological_Process_2021.enrichr.gmt",
        "GO Biological Process 2021 as Enrichr serves it, human symbols",
        _GSEAPY + "enrichr.GO_Biological_Process_2021.gmt",
        "5987ce789053fdd5533393cd65b9abdb5e08e4fade7b0625a1fe234a1207eea4",
    ),
    "wikipathways": DataFile(
        "genesets/wikipathways-20180810-Homo_sapiens.symbols.gmt",
        "WikiPathways of 2018-08-10, human symbols",
    ),
}


def gene_sets(name: str) -> dict[str, list[str]]:
    """A published collection of gene sets, by name.

    Parameters
    ----------
    name
        One of

        - `"hallmark"`: 50 sets, MSigDB Hallmark v7.0, human (CC BY 4.0; Liberzon et al. 2015,
          Cell Systems 1:417)
        - `"hallmark_mouse"`: the same 50 through orthologues. Not the official mouse
          collection.
        - `"reactome"`: 674 sets, the Reactome pathways of MSigDB v4.0, human (as in Rybakov et
          al. 2020)
        - `"iris_dmap"`: 61 sets, blood signatures of IRIS (Abbas et al. 2005, Genes and Immunity
          6:319) and DMAP (Novershtern et al. 2011, Cell 144:296), trimmed to markers, human
        - `"go_biological_process"`: 6,036 sets, GO Biological Process 2021 as Enrichr serves it
          (CC BY 4.0), human
        - `"wikipathways"`: 462 sets, WikiPathways of 2018-08-10 (CC0), human

    Returns
    -------
    dict of str to list of str
        Gene symbols of each set, in the order of the file, names whole.

    Raises
    ------
    ValueError
        If `name` is none of these.
    FileNotFoundError
        If the file is neither in the folder that the environment variable
        `PELLUCID_DATASETDIR` names nor in `scanpy.settings.datasetdir` (each with the subfolder
        `genesets`) and cannot be downloaded. `"hallmark"` and `"go_biological_process"` have
        public addresses and are checked against their SHA-256.

    See Also
    --------
    pellucid.pp.read_gene_sets : Gene sets from a file, or any library of Enrichr.

    Examples
    --------
    >>> import pellucid as pld
    >>> sets = pld.datasets.gene_sets("hallmark")  # doctest: +SKIP
    """
    if name not in _COLLECTIONS:
        raise ValueError(
            f"name is {name!r}; expected one of {', '.join(map(repr, _COLLECTIONS))}."
        )
    return read_gene_sets(locate(_COLLECTIONS[name]))
