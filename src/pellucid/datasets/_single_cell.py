from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scanpy as sc
from anndata import AnnData, read_h5ad
from scipy import sparse

from ._locate import DataFile, locate

if TYPE_CHECKING:
    from collections.abc import Callable

_SCANPY = "https://exampledata.scverse.org/scanpy/"
_PAUL15 = DataFile("paul15/paul15.h5", "Paul et al. 2015, scanpy's layout", _SCANPY + "paul15.h5")
_PBMC3K_RAW = DataFile(
    "pbmc3k_raw.h5ad", "10x Genomics PBMC3k, scanpy's layout", _SCANPY + "pbmc3k_raw.h5ad"
)
_PBMC3K_LABELLED = DataFile(
    "pbmc3k_labelled.h5ad", "10x Genomics PBMC3k with the labels of the Seurat tutorial"
)
_KANG = DataFile("kang_ifnb_2k.h5ad", "2,000 cells of Kang et al. 2018")
_ZEISEL = DataFile("zeisel_400genes.h5ad", "400 genes of Zeisel et al. 2015")
_SC_MIXOLOGY = DataFile("sc_mixology_3cl.h5ad", "450 cells of Tian et al. 2019")
_PANC8 = DataFile("panc8_small.h5ad", "500 cells of five pancreas studies")
_CYTOF = DataFile("cytof_bcrxl_small.h5ad", "5,428 cells of Bodenmiller et al. 2012")


def _through_scanpy(file: DataFile, loader: Callable[[], AnnData]) -> AnnData:
    """What scanpy's own loader makes of a file that it would look for in `settings.datasetdir`."""
    path = locate(file)
    before = sc.settings.datasetdir
    sc.settings.datasetdir = path.parents[file.path.count("/")]
    try:
        return loader()
    finally:
        sc.settings.datasetdir = before


def paul15() -> AnnData:
    """Myeloid progenitors of mouse bone marrow: 2,730 cells x 3,451 genes.

    What :func:`scanpy.datasets.paul15` reads, with `X` sparse. The loaders of this module look in
    the folder that the environment variable `PELLUCID_DATASETDIR` names, then in
    `scanpy.settings.datasetdir`, and then download where there is a public address, as for this
    one (scverse states no hash of it).

    Returns
    -------
    AnnData
        `X`: counts, batch effects removed by the authors (CSR, float32).
        `obs["paul15_clusters"]`: 19 clusters of the paper with the names scanpy gives them
        (`"1Ery"` ... `"7MEP"`, `"9GMP"`, `"10GMP"` ... `"19Lymph"`). `uns["iroot"]`: the root
        cell of Haghverdi et al. 2016. Gene names are mouse symbols.

    Raises
    ------
    FileNotFoundError
        If `paul15/paul15.h5` is in neither folder and cannot be downloaded.

    Notes
    -----
    Paul et al. 2015, Cell 163:1663, GSE72857; the informative genes only.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.paul15()  # doctest: +SKIP
    """
    adata = _through_scanpy(_PAUL15, sc.datasets.paul15)
    adata.X = sparse.csr_matrix(adata.X, dtype=np.float32)
    return adata


def pbmc3k_raw() -> AnnData:
    """Blood mononuclear cells of a healthy donor, unlabelled: 2,700 cells x 32,738 genes.

    What :func:`scanpy.datasets.pbmc3k` reads.

    Returns
    -------
    AnnData
        `X`: counts (CSR, float32). `var["gene_ids"]`: Ensembl ids; `var_names` are human symbols.

    Raises
    ------
    FileNotFoundError
        If `pbmc3k_raw.h5ad` is in neither folder (see :func:`pellucid.datasets.paul15`) and cannot
        be downloaded from scverse, which states no hash of it.

    Notes
    -----
    10x Genomics, PBMC3k, Cell Ranger 1.1.0 (CC BY 4.0).

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc3k_raw()  # doctest: +SKIP
    """
    return _through_scanpy(_PBMC3K_RAW, sc.datasets.pbmc3k)


def pbmc3k_labelled() -> AnnData:
    """The cells of the Seurat tutorial with its labels: 2,638 cells x 13,714 genes.

    Returns
    -------
    AnnData
        `X`: counts (CSR, float32). `obs["cell_type"]`: 9 labels (`Memory CD4 T`, `B`,
        `CD14+ Mono`, `NK`, `CD8 T`, `Naive CD4 T`, `FCGR3A+ Mono`, `DC`, `Platelet`).
        `var["gene_ids"]`: Ensembl ids; `var_names` are human symbols. `uns["source"]`: origin.

    Raises
    ------
    FileNotFoundError
        If `pbmc3k_labelled.h5ad` is in neither folder (see :func:`pellucid.datasets.paul15`).
        It is a processed file without a public address.

    Notes
    -----
    The cells of :func:`pellucid.datasets.pbmc3k_raw`, those that pass the tutorial's filters.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc3k_labelled()  # doctest: +SKIP
    """
    return read_h5ad(locate(_PBMC3K_LABELLED))


def kang_ifnb() -> AnnData:
    """Blood cells with and without interferon beta: 2,000 cells x 9,015 genes.

    Returns
    -------
    AnnData
        `X`: counts (CSR, float32). `obs["condition"]`: `ctrl` or `stim`. `obs["cell_type"]`: 13
        labels and `unassigned` (909 cells). `var_names` are human symbols.
        `uns["source"]`: origin.

    Raises
    ------
    FileNotFoundError
        If `kang_ifnb_2k.h5ad` is in neither folder (see :func:`pellucid.datasets.paul15`). It is a
        processed subset without a public address.

    Notes
    -----
    Kang et al. 2018, Nature Biotechnology 36:89, GSE96583; a subset.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.kang_ifnb()  # doctest: +SKIP
    """
    return read_h5ad(locate(_KANG))


def zeisel() -> AnnData:
    """Cells of mouse cortex and hippocampus: 3,005 cells x 400 genes.

    Returns
    -------
    AnnData
        `X`: counts (CSR, float32) of only the 400 genes that are seen in 80% of the cells.
        `obs`: `cell_type` (7), `subtype`, `tissue`, `sex`, `age` (days), `total_mRNA` (of all
        genes), `group`. `var_names` are mouse symbols. `uns["source"]`: origin.

    Raises
    ------
    FileNotFoundError
        If `zeisel_400genes.h5ad` is in neither folder (see :func:`pellucid.datasets.paul15`). It
        is a processed subset without a public address.

    Notes
    -----
    Zeisel et al. 2015, Science 347:1138, GSE60361.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.zeisel()  # doctest: +SKIP
    """
    return read_h5ad(locate(_ZEISEL))


def sc_mixology() -> AnnData:
    """Three lung cancer cell lines by two protocols: 450 cells x 21,847 genes.

    Returns
    -------
    AnnData
        `X`: counts (CSR, float32). `obs["cell_line"]`: 3, by genotype (`H1975`, `H2228`,
        `HCC827`). `obs["batch"]`: `CEL-seq2` or `Drop-seq`. `var["gene_ids"]`: Ensembl ids;
        `var["has_symbol"]`: whether `var_names` holds a human symbol (72%) or the Ensembl id.
        `uns["source"]`: origin.

    Raises
    ------
    FileNotFoundError
        If `sc_mixology_3cl.h5ad` is in neither folder (see :func:`pellucid.datasets.paul15`). It
        is a processed subset without a public address.

    Notes
    -----
    Tian et al. 2019, Nature Methods 16:479, GSE118767.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.sc_mixology()  # doctest: +SKIP
    """
    return read_h5ad(locate(_SC_MIXOLOGY))


def panc8() -> AnnData:
    """Human pancreas by five technologies: 500 cells x 2,000 genes.

    Returns
    -------
    AnnData
        `X`: expression (CSR, float32); **not whole numbers** for `celseq`, `celseq2` and
        `fluidigmc1`. `obs`: `cell_type` (6), `tech` (5), `dataset` (8), `replicate` (8).
        `var_names` are human symbols. `uns["source"]`: origin.

    Raises
    ------
    FileNotFoundError
        If `panc8_small.h5ad` is in neither folder (see :func:`pellucid.datasets.paul15`). It is a
        processed subset without a public address.

    Notes
    -----
    Grün 2016, Muraro 2016, Lawlor 2017, Baron 2016 (GSE84133) and Segerstolpe 2016.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.panc8()  # doctest: +SKIP
    """
    return read_h5ad(locate(_PANC8))


def cytof_bcrxl() -> AnnData:
    """Mass cytometry of stimulated blood cells: 5,428 cells x 24 proteins.

    Returns
    -------
    AnnData
        `X`: intensities, **not counts and in part negative** (dense, float32); the usual
        transformation is `arcsinh(x / 5)`. `obs`: `condition` (`BCRXL` or `Ref`), `patient` (4),
        `sample` (8). `var["marker_class"]`: `type` or `state`. `uns["source"]`: origin.

    Raises
    ------
    FileNotFoundError
        If `cytof_bcrxl_small.h5ad` is in neither folder (see :func:`pellucid.datasets.paul15`). It
        is a processed subset without a public address.

    Notes
    -----
    Bodenmiller et al. 2012, Nature Biotechnology 30:858.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.cytof_bcrxl()  # doctest: +SKIP
    """
    return read_h5ad(locate(_CYTOF))
