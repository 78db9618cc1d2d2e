from __future__ import annotations

import gzip
import io
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

import pandas as pd

from ._enrichr import enrichr_library

GeneSets: TypeAlias = str | Path | Mapping[str, Iterable[str]] | pd.DataFrame

_FILE_ENDINGS = (".gmt", ".gmx", ".txt", ".tsv", ".csv", ".gz")


def read_gene_sets(
    source: GeneSets | Iterable[GeneSets], *, organism: str = "human"
) -> dict[str, list[str]]:
    """Gene sets from a GMT file, a mapping, a table or a library of Enrichr.

    Parameters
    ----------
    source
        One of

        - path of a GMT file, plain or gzipped: a set per line, its fields separated by tabs
          (name, description, genes). Empty lines are skipped, and of a gene that carries a
          weight (`"TP53,1.0"`, as Enrichr writes them) the gene is kept.
        - mapping of set name to genes
        - table with a row per set and gene: the columns `set` (or `gene_set`, as
          :func:`pellucid.get.gene_sets` names it) and `gene` where it has them, else the first
          and second of exactly two columns. Rows with a missing value are skipped.
        - name of a library of Enrichr, such as `"GO_Biological_Process_2021"`, through
          :func:`gseapy.get_library`. The library is cached on disk: only the first call needs the
          network.
        - list of any of these: read in order and put together
    organism
        For the name of a library: `"human"`, `"mouse"`, `"fly"`, `"yeast"`, `"worm"` or `"fish"`.
        Enrichr serves `"human"` and `"mouse"` the same libraries.

    Returns
    -------
    dict of str to list of str
        Genes of each set, sets and genes in the order given, every gene once. Names are kept
        whole, "/" included.

    Raises
    ------
    FileNotFoundError
        If `source` looks like a path and there is no such file.
    ValueError
        If the file is not a GMT file, one of its lines has fewer than three fields, there is no
        gene set, or no library has that name.
    ConnectionError
        If the library is not in the cache and Enrichr cannot be reached.
    TypeError
        If `source` is none of the above, or names and genes are not strings.

    Warns
    -----
    UserWarning
        If a name stands more than once (the set then holds the genes of all of them), or a set
        has no genes (it is left out).

    Examples
    --------
    >>> import pellucid as pld
    >>> pld.pp.read_gene_sets({"T cell": ["CD3D", "CD3E", "CD3D"], "B cell": ["CD79A", "MS4A1"]})
    {'T cell': ['CD3D', 'CD3E'], 'B cell': ['CD79A', 'MS4A1']}
    """
    sets: dict[str, dict[str, None]] = {}
    doubled: dict[str, None] = {}
    for name, genes in _pairs(source, organism):
        if name in sets:
            doubled[name] = None
        sets.setdefault(name, {}).update(dict.fromkeys(genes))
    empty = [name for name, genes in sets.items() if not genes]
    if doubled:
        warnings.warn(
            f"{len(doubled)} gene-set names stand more than once: {_some(doubled)}. Each such set "
            "now holds the genes of all its lines.",
            stacklevel=2,
        )
    if empty:
        warnings.warn(
            f"{len(empty)} gene sets have no genes and are left out: {_some(empty)}.", stacklevel=2
        )
    if len(sets) == len(empty):
        raise ValueError("No gene set with a gene in it was found in what was given.")
    return {name: list(genes) for name, genes in sets.items() if genes}


def _some(names: Iterable[str]) -> str:
    names = [repr(name) for name in names]
    return ", ".join(names[:5]) + (" and others" if len(names) > 5 else "")


def _pairs(
    source: GeneSets | Iterable[GeneSets], organism: str
) -> Iterable[tuple[str, Iterable[str]]]:
    """(name, genes) in the order given; a name may come more than once."""
    if isinstance(source, pd.DataFrame):
        return _table_pairs(source)
    if isinstance(source, Mapping):
        return _mapping_pairs(source)
    if isinstance(source, str | Path):
        path = Path(source).expanduser()
        if path.exists():
            return _gmt_pairs(path)
        if isinstance(source, Path) or path.parent != Path() or path.suffix in _FILE_ENDINGS:
            raise FileNotFoundError(f"No gene-set file at {path.absolute()}.")
        return enrichr_library(source, organism).items()
    if isinstance(source, list | tuple):
        return [pair for part in source for pair in _pairs(part, organism)]
    raise TypeError(
        f"Gene sets given as {type(source).__name__}; expected the path of a GMT file, a mapping "
        "of set name to genes, a table with the columns 'set' and 'gene', the name of an Enrichr "
        "library, or a list of these."
    )


def _mapping_pairs(source: Mapping[str, Iterable[str]]) -> list[tuple[str, list[str]]]:
    pairs = []
    for name, genes in source.items():
        if isinstance(genes, str) or not isinstance(genes, Iterable):
            raise TypeError(
                f"Genes of set {name!r} given as {type(genes).__name__} ({genes!r}); expected a "
                "list of gene names."
            )
        genes = list(genes)
        for entry in (name, *genes):
            if not isinstance(entry, str):
                raise TypeError(
                    f"Set {name!r} holds {entry!r} ({type(entry).__name__}); expected names of "
                    "sets and genes as strings."
                )
        pairs.append((name, genes))
    return pairs


def _table_pairs(table: pd.DataFrame) -> list[tuple[str, list[str]]]:
    if "gene_set" in table.columns and "set" not in table.columns:
        table = table.rename(columns={"gene_set": "set"})
    if {"set", "gene"} <= set(table.columns):
        columns = table[["set", "gene"]]
    elif table.shape[1] == 2:
        columns = table.set_axis(["set", "gene"], axis=1)
    else:
        raise ValueError(
            "A table of gene sets needs the columns 'set' and 'gene', or exactly two columns; "
            f"found {table.shape[1]}: {', '.join(map(repr, table.columns))}. Rename them."
        )
    columns = columns.dropna().astype(str)
    return [
        (str(name), genes.tolist())
        for name, genes in columns.groupby("set", sort=False, observed=True)["gene"]
    ]


def _gmt_pairs(path: Path) -> list[tuple[str, list[str]]]:
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give its GMT files as a list of paths.")
    contents = path.read_bytes()
    if contents.startswith(b"\x1f\x8b"):
        contents = gzip.decompress(contents)
    text = contents.decode("utf-8-sig", errors="replace")
    lines = [line.strip("\n") for line in io.StringIO(text, newline=None)]
    first = next((line for line in lines if line.strip()), "")
    if "\0" in text or "\t" not in first:
        found = repr(first[:60]) if first else "an empty file"
        raise ValueError(
            f"{path} is not a GMT file: expected lines of set name, description and genes, "
            f"separated by tabs; found {found}."
        )
    pairs = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        name, *rest = (field.strip() for field in line.split("\t"))
        if len(rest) < 2 or not name:
            raise ValueError(
                f"{path}, line {number}: a line of a GMT file has at least three fields (set "
                f"name, description, gene) separated by tabs; found {len(rest) + 1}: "
                f"{line[:60]!r}."
            )
        genes = (field.partition(",")[0].strip() for field in rest[1:])
        pairs.append((name, [gene for gene in genes if gene]))
    return pairs
