"""Gene sets onto the genes of an AnnData, and the genes of one data set onto those of another."""

from __future__ import annotations

from ._add_gene_sets import add_gene_sets
from ._align_genes import align_genes
from ._filter_to_gene_sets import filter_to_gene_sets
from ._read_gene_sets import read_gene_sets

__all__ = ["add_gene_sets", "align_genes", "filter_to_gene_sets", "read_gene_sets"]
