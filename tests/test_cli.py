"""`python -m pellucid`: what it writes, and what it says when its input is wrong."""

from __future__ import annotations

import re
from functools import partial

import anndata as ad
import numpy as np
import pytest

import pellucid as pld
from pellucid._cli import main


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A small h5ad and a GMT file that fit each other; training is cut short."""
    monkeypatch.setattr(pld.tl, "orthogonal_ae", partial(pld.tl.orthogonal_ae, max_epochs=3))
    adata = pld.datasets.pbmc68k_reduced()[:120].copy()
    adata.layers["counts"] = adata.X.copy()
    adata.write_h5ad(tmp_path / "cells.h5ad")
    markers = pld.datasets.blood_markers().groupby("set")["gene"].agg(list)
    lines = ["\t".join([name, "markers", *genes]) for name, genes in markers.items()]
    (tmp_path / "sets.gmt").write_text("\n".join(lines))
    return tmp_path


def run(files, *arguments, data="cells.h5ad", sets="sets.gmt"):
    return main(
        [
            str(files / data),
            "--gene-sets",
            str(files / sets),
            "--out",
            str(files / "out"),
            *arguments,
        ]
    )


def test_users_file(files, capsys):
    assert run(files, "--layer", "counts", "--groupby", "bulk_labels", "--n-latent", "5") == 0
    out = capsys.readouterr().out
    assert re.search(r"Z_\d +.*\(", out)
    assert "strongest sets (q)" in out
    written = sorted(path.name for path in (files / "out").iterdir())
    assert written == [
        "gene_set_impact.png",
        "history.png",
        "pellucid.h5ad",
        "umap.png",
        "unit_activity.png",
    ]
    adata = ad.read_h5ad(files / "out" / "pellucid.h5ad")
    assert adata.obsm["X_orthogonal_ae"].shape == (120, 5)
    assert adata.varm["attribution_bulk_labels"].shape[2] == 5
    in_a_set = np.asarray(adata.varm["gene_sets"].sum(1)).ravel() > 0
    assert in_a_set.all()


def test_same_seed_same_units(files):
    codes = []
    for _ in range(2):
        run(files, "--n-latent", "4", "--seed", "3")
        codes.append(ad.read_h5ad(files / "out" / "pellucid.h5ad").obsm["X_orthogonal_ae"])
    np.testing.assert_array_equal(*codes)


def fails(capsys, code) -> str:
    assert code == 2
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return captured.err


def test_no_such_file(files, capsys):
    assert "no such file" in fails(capsys, run(files, data="absent.h5ad"))


def test_corrupt_h5ad(files, capsys):
    whole = (files / "cells.h5ad").read_bytes()
    (files / "cut.h5ad").write_bytes(whole[: len(whole) // 2])
    message = fails(capsys, run(files, data="cut.h5ad"))
    assert "cannot be read as h5ad" in message
    assert "is the file complete?" in message


def test_not_hdf5_at_all(files, capsys):
    (files / "text.h5ad").write_text("cells")
    assert "cannot be read as h5ad" in fails(capsys, run(files, data="text.h5ad"))


def test_unwritable_output(files, capsys):
    (files / "taken").write_text("a file stands where the folder should")
    code = main(
        [
            str(files / "cells.h5ad"),
            "--gene-sets",
            str(files / "sets.gmt"),
            "--out",
            str(files / "taken" / "out"),
        ]
    )
    message = fails(capsys, code)
    assert "cannot write to the output folder" in message
    assert "--out" in message


def test_unknown_groupby(files, capsys):
    message = fails(capsys, run(files, "--groupby", "celltype"))
    assert "'celltype'" in message
    assert "bulk_labels" in message


def test_unknown_layer(files, capsys):
    assert "layer 'raw' not found" in fails(capsys, run(files, "--layer", "raw"))


def test_log_data(files, capsys):
    adata = ad.read_h5ad(files / "cells.h5ad")
    adata.X = adata.X.log1p()
    adata.write_h5ad(files / "log.h5ad")
    message = fails(capsys, run(files, data="log.h5ad"))
    assert "counts are due" in message


def test_no_gene_in_any_set(files, capsys):
    (files / "other.gmt").write_text("YEAST\tnone\tYAL001C\tYAL002W\tYAL003W\tYAL005C\tYAL007C")
    assert "YEAST" not in fails(capsys, run(files, sets="other.gmt"))[:40]
    assert not (files / "out" / "pellucid.h5ad").exists()


def test_data_without_gene_sets(files, capsys):
    with pytest.raises(SystemExit, match="2"):
        main([str(files / "cells.h5ad")])
    assert "--gene-sets" in capsys.readouterr().err
