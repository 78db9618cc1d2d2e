"""What was written to a file reads the same, also where neither torch nor scvi can be imported."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import pellucid as pld

SCRIPT = """
import sys
sys.modules["torch"] = sys.modules["scvi"] = None
import anndata as ad
import pellucid as pld
adata = ad.read_h5ad(sys.argv[1])
print(len(pld.get.gene_sets(adata)), len(pld.get.attribution(adata, group="a/b")),
      len(pld.get.gene_set_impact(adata, grouped=True)), len(pld.get.latent(adata)),
      len(pld.get.history(adata)))
"""


@pytest.fixture
def complete(attributed):
    attributed.obsm["X_orthogonal_ae"] = np.eye(30, 2, dtype=np.float32)
    attributed.uns["X_orthogonal_ae"] = {
        "latent_names": np.array(["Z/0", "Z_1"]),
        "history": pd.DataFrame(
            {"train_loss": [2.0, 1.0]}, index=pd.Index(["0", "1"], name="epoch")
        ),
    }
    pld.tl.gene_set_impact(attributed, group="a/b")
    return attributed


def test_round_trip(complete, round_trip):
    back = round_trip(complete)
    for table, arguments in (
        (pld.get.gene_sets, {}),
        (pld.get.latent, {}),
        (pld.get.attribution, {}),
        (pld.get.attribution, {"group": "a/b"}),
        (pld.get.gene_set_impact, {}),
        (pld.get.gene_set_impact, {"grouped": True}),
        (pld.get.history, {}),
    ):
        pd.testing.assert_frame_equal(table(back, **arguments), table(complete, **arguments))


def test_without_torch(complete, tmp_path):
    path = tmp_path / "adata.h5ad"
    complete.write_h5ad(path)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["35", "60", "36", "30", "2"]
