from __future__ import annotations

import numpy as np
import pytest
import scvi

import pellucid as pld


def test_one_row_an_epoch(counts):
    model = pld.tl.orthogonal_ae(
        counts, n_latent=5, max_epochs=3, accelerator="cpu", enable_progress_bar=False
    )
    table = pld.tl.orthogonality(model)
    assert table.columns.tolist() == ["orthogonality_penalty", "representation_norm"]
    assert table.index.tolist() == [0, 1, 2]
    assert set(table.dtypes) == {np.dtype(float)}
    assert (table > 0).all(axis=None)
    for name in table:
        np.testing.assert_array_equal(table[name], model.history[name].iloc[:, 0].astype(float))


def test_constraint_makes_units_orthogonal(counts):
    """The last penalty is that of the weights, and far below what is reached without it."""

    def penalties(weight: float):
        adata = counts.copy()
        pld.model.OrthogonalAE.setup_anndata(adata)
        with pld.train.seeded(0):
            model = pld.model.OrthogonalAE(
                adata, n_hidden=12, n_latent=5, orthogonality_weight=weight
            )
            model.train(
                max_epochs=10,
                batch_size=16,
                early_stopping=False,
                plan_kwargs={"lr": 3e-2},
                accelerator="cpu",
                enable_progress_bar=False,
            )
        table = pld.tl.orthogonality(model)["orthogonality_penalty"]
        rows = model.module.code_weight.detach().numpy()
        now = np.sqrt(((np.eye(5) - rows @ rows.T) ** 2).sum())
        assert table.iloc[-1] == pytest.approx(now, rel=1e-5)
        return table.to_numpy()

    constrained, free = penalties(0.05), penalties(0.0)
    assert constrained[-1] < 0.5 * constrained[0]
    assert constrained[-1] < 0.5 * free[-1]


def test_untrained(counts):
    pld.model.OrthogonalAE.setup_anndata(counts)
    model = pld.model.OrthogonalAE(counts)
    with pytest.raises(ValueError, match=r"lacks \['orthogonality_penalty', 'repr.*train an Orth"):
        pld.tl.orthogonality(model)


def test_model_without_the_constraint(counts):
    scvi.model.SCVI.setup_anndata(counts)
    model = scvi.model.SCVI(counts, n_latent=3, n_hidden=8)
    model.train(max_epochs=1, accelerator="cpu", enable_progress_bar=False)
    with pytest.raises(ValueError, match=r"found a SCVI with: \['elbo_train'"):
        pld.tl.orthogonality(model)
