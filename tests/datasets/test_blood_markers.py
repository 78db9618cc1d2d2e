from __future__ import annotations

import re

import numpy as np

import pellucid as pld


def test_every_line_has_its_source():
    markers = pld.datasets.blood_markers()
    assert list(markers.columns) == ["set", "gene", "source"]
    assert not markers.isna().any().any()
    assert not markers.duplicated(["set", "gene"]).any()
    assert markers["gene"].str.fullmatch(r"[A-Z0-9][A-Za-z0-9-]*").all()
    cited = re.compile(
        r"[A-Z][\w-]+ (19|20)\d\d [A-Z][\w ]+ \d+:\w+( doi:10\.\S+)?( \(.*\))?(; .*)?"
    )
    assert [source for source in markers["source"] if not cited.fullmatch(source)] == []


def test_former_symbols_stand_beside_the_current_one():
    markers = pld.datasets.blood_markers()
    sets = pld.pp.read_gene_sets(markers)
    former = markers[markers["source"].str.contains("former symbol")]
    assert len(former)
    for row in former.itertuples():
        current = row.source.rsplit(" ", 1)[1]
        assert current in sets[row.set]


def test_ten_sets_can_be_read_in_the_bundled_cells():
    adata = pld.datasets.pbmc68k_reduced()
    pld.pp.add_gene_sets(adata, pld.datasets.blood_markers(), min_genes=5)
    assert len(adata.uns["gene_sets"]["names"]) == 16


def test_sets_mark_the_population_they_are_named_after():
    """A set's mean is highest in the sorted-cell population it belongs to."""
    adata = pld.datasets.pbmc68k_reduced()
    pld.pp.add_gene_sets(adata, pld.datasets.blood_markers())
    fractions = adata.X.toarray() / adata.obs["n_counts"].to_numpy()[:, None]
    logged = np.log1p(fractions * 1e4)
    standard = (logged - logged.mean(0)) / logged.std(0)
    sizes = adata.uns["gene_sets"]["n_found"]
    scores = (standard @ adata.varm["gene_sets"]) / sizes
    names = adata.uns["gene_sets"]["names"].tolist()
    groups = adata.obs["bulk_labels"]
    for name, population in {
        "B cell": "CD19+ B",
        "CD14 monocyte": "CD14+ Monocyte",
        "CD34 progenitor": "CD34+",
        "NK cell": "CD56+ NK",
        "Conventional dendritic cell": "Dendritic",
        "MHC class II presentation": "Dendritic",
    }.items():
        means = {
            group: scores[(groups == group).to_numpy(), names.index(name)].mean()
            for group in groups.cat.categories
        }
        assert max(means, key=means.__getitem__) == population, name
