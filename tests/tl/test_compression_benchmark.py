from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from anndata import read_h5ad
from scipy import sparse
from sklearn.decomposition import PCA

import pellucid as pld
from pellucid.compression import SVD, DeepAECompressor, GeneMeans, Original

QUICK = {
    "methods": ["svd", "snmf"], "n_latent": [2, 4], "n_repeats": 2, "train_size": 0.3,
    "enable_progress_bar": False,
}  # fmt: skip


def run(adata, **arguments):
    return pld.tl.compression_benchmark(adata, **(QUICK | arguments))


def results(adata) -> pd.DataFrame:
    return adata.uns["compression_benchmark"]["results"]


class Spy(SVD):
    """Keeps what every fit was given."""

    seen: list = []  # noqa: RUF012 - scikit-learn copies estimators, and all copies report here

    def _fit(self, x):
        Spy.seen.append((self.n_latent, self.random_state, x))
        super()._fit(x)


@pytest.fixture
def spy():
    Spy.seen.clear()
    return Spy


def test_table(counts):
    run(counts, transform=["log", "raw"])
    table = results(counts)
    assert len(table) == 2 * 2 * (1 + 2 * 2)
    about = ["method", "transform", "n_latent", "repeat"]
    assert not table.duplicated(about).any()
    mean = table[table["method"] == "mean"]
    assert (mean["n_latent"] == 0).all()
    assert (mean["gene_pcc"] == 0).all()
    assert set(table) == {
        *about, "pcc", "spearman", "em", "mae", "gene_pcc", "cell_pcc", "seconds",
    }  # fmt: skip
    params = counts.uns["compression_benchmark"]["params"]
    assert params["methods"].tolist() == ["mean", "svd", "snmf"]
    assert params["train_size"] == 0.3


def test_rows_are_what_the_methods_do(counts):
    """The table, found again step by step."""
    run(counts, random_state=7)
    for repeat in range(2):
        order = np.random.default_rng([7, repeat]).permutation(90)
        log = np.log1p(counts.X.toarray())
        train, test = log[order[:27]], log[order[27:]]
        for model, name, size in (
            (GeneMeans(), "mean", 0), (SVD(4, random_state=7 + repeat), "svd", 4),
        ):  # fmt: skip
            expected = Original(test).compare(
                model.inverse_transform(model.fit(train).transform(test))
            )
            table = results(counts).set_index(["method", "n_latent", "repeat"])
            row = table.loc[(name, size, repeat)]
            assert row[list(expected)].to_dict() == pytest.approx(expected, rel=1e-5)


def test_methods_of_a_repeat_share_the_split(counts, spy):
    run(counts, methods={"one": spy(), "two": spy}, random_state=3, n_latent=[2, 5])
    assert [(size, seed) for size, seed, _ in spy.seen] == [
        (size, seed) for seed in (3, 4) for size in (2, 2, 5, 5)
    ]
    for repeat in range(2):
        given = [x for _, seed, x in spy.seen if seed == 3 + repeat]
        assert all(np.array_equal(x, given[0]) for x in given)
        assert given[0].shape == (27, 30)
    assert not np.array_equal(spy.seen[0][2], spy.seen[-1][2])


def test_zscore_has_the_moments_of_the_training_cells(counts, spy):
    counts.X = counts.X.toarray()
    counts.X[:, 4] = 2
    run(counts, methods={"spy": spy}, transform="zscore", n_repeats=1, n_latent=2)
    x = spy.seen[0][2]
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(np.delete(x.std(axis=0), 4), 1, rtol=1e-5)
    assert (x[:, 4] == 0).all()


def test_own_estimators(counts):
    run(
        counts,
        methods={
            "PCA/a": PCA(),
            "function": lambda n_latent, random_state: PCA(n_latent),
            "renamed": "svd",
        },
        n_latent=3,
        n_repeats=1,
    )
    table = results(counts).set_index("method")
    assert [*table.index] == ["mean", "PCA/a", "function", "renamed"]
    assert table.loc["PCA/a", "pcc"] == pytest.approx(table.loc["function", "pcc"], rel=1e-5)
    assert table.loc["PCA/a", "pcc"] != table.loc["renamed", "pcc"]


def test_deep_ae_by_name(counts, monkeypatch):
    """The network's place in the table; what it learns is tested with the model."""
    preset = pld.model.DeepAE.preset("zhang2020")
    quick = preset._replace(train_kwargs={**preset.train_kwargs, "max_epochs": 2})
    monkeypatch.setitem(pld.model.DeepAE._presets, "zhang2020", quick)
    run(counts, methods=["deep_ae"], n_latent=2, n_repeats=1)
    assert np.isfinite(results(counts)["pcc"]).all()
    assert set(counts.uns) == {"compression_benchmark"}


def test_form_of_the_matrix(counts, tmp_path):
    run(counts)
    expected = results(counts).drop(columns="seconds")
    dense = counts.copy()
    dense.X = dense.X.toarray()
    dense.layers["counts"], dense.X = dense.X, np.zeros_like(dense.X)
    run(dense, layer="counts")
    column = counts.copy()
    column.X = sparse.csc_matrix(column.X)
    run(column)
    wider = counts[np.r_[np.arange(90), [0, 1]]].copy()
    wider.obs_names_make_unique()
    view = run(wider[:90], copy=True)
    counts.write_h5ad(tmp_path / "a.h5ad")
    backed = read_h5ad(tmp_path / "a.h5ad", backed="r")
    run(backed)
    for adata in (dense, column, view, backed):
        pd.testing.assert_frame_equal(results(adata).drop(columns="seconds"), expected, rtol=1e-5)
    backed.file.close()


def test_kept_cells_are_rebuilt_test_cells(counts):
    run(counts, n_kept=(5, 7), transform=["log", "raw"], methods={"svd": SVD()}, n_latent=27)
    kept = counts.uns["compression_benchmark"]["kept"]
    assert kept["original"].shape == (2, 5, 7)
    assert kept["reconstruction"].shape == (4, 5, 7)
    cells = counts[kept["cells"], kept["genes"]].X.toarray()
    np.testing.assert_allclose(kept["original"][1], cells)
    np.testing.assert_allclose(kept["original"][0], np.log1p(cells), rtol=1e-6)
    assert kept["method"].tolist() == ["mean", "svd"] * 2
    order = np.random.default_rng([0, 0]).permutation(90)
    assert set(kept["cells"]) <= set(counts.obs_names[order[27:]])
    log = np.log1p(counts.X.toarray())
    variance = pd.Series(log.var(axis=0), index=counts.var_names)
    assert set(kept["genes"]) == set(variance.nlargest(7).index)
    train = log[order[:27]]
    means = pd.Series(train.mean(axis=0), index=counts.var_names)[kept["genes"]]
    np.testing.assert_allclose(kept["reconstruction"][0][3], means, rtol=1e-4)


def test_same_seed_same_table(counts):
    first = results(run(counts, copy=True)).drop(columns="seconds")
    again = results(run(counts, copy=True)).drop(columns="seconds")
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    other = results(run(counts, copy=True, random_state=1))
    assert (other["pcc"] != first["pcc"]).all()
    assert not counts.uns


def test_killed_run_goes_on(counts, tmp_path, spy):
    path = tmp_path / "rows.jsonl"
    expected = run(counts, copy=True, methods={"svd": spy})

    class Killed(Exception): ...

    def killed(n_latent, random_state):
        if len(spy.seen) == 7:
            raise Killed
        return spy(n_latent, random_state=random_state)

    with pytest.raises(Killed):
        run(counts, methods={"svd": killed}, resume=path)
    assert not counts.uns
    lines = path.read_text()
    # The process ended while it wrote a line.
    path.write_text(lines + lines.splitlines()[-1][:50])
    n_before = len(spy.seen)
    run(counts, methods={"svd": spy}, resume=path)
    assert len(spy.seen) == n_before + 1
    assert path.read_text().startswith(lines)
    pd.testing.assert_frame_equal(
        results(counts).drop(columns="seconds"), results(expected).drop(columns="seconds")
    )
    found, wanted = (adata.uns["compression_benchmark"]["kept"] for adata in (counts, expected))
    np.testing.assert_array_equal(found["reconstruction"], wanted["reconstruction"])
    # More of everything is found beside what is there.
    run(counts, methods={"svd": spy, "snmf": "snmf"}, resume=path, n_repeats=3, n_latent=[4, 3])
    assert len(results(counts)) == 3 * (1 + 2 * 2)
    assert len(spy.seen) == n_before + 1 + 4


def test_resume_with_numbers_of_numpy(counts, tmp_path, spy):
    path = tmp_path / "rows.jsonl"
    run(
        counts, methods={"svd": spy}, resume=path, random_state=np.int64(3),
        train_size=np.float64(0.3), n_repeats=np.int32(2), n_kept=np.array([5, 7]),
        n_latent=np.array([2, 4]),
    )  # fmt: skip
    n_before = len(spy.seen)
    run(counts, methods={"svd": spy}, resume=path, random_state=3, n_kept=(5, 7))
    assert len(spy.seen) == n_before == 4


def test_resume_of_other_data(counts, tmp_path, unchanged):
    path = tmp_path / "rows.jsonl"
    run(counts, resume=path, n_repeats=1, copy=True)
    before = path.read_text()
    with unchanged(counts), pytest.raises(ValueError, match=r"train_size: 0\.3 there, 0\.5 here"):
        run(counts, resume=path, train_size=0.5)
    counts.X[0, 0] += 1
    with unchanged(counts), pytest.raises(ValueError, match="other data or settings"):
        run(counts, resume=path)
    assert path.read_text() == before
    for text in ("not json\n", "[1, 2]\n", json.dumps({"of": {}, "rows": 1}) + "\n{}\n"):
        path.write_text(text)
        with unchanged(counts), pytest.raises(ValueError, match="is no file of this function's"):
            run(counts, resume=path)
        assert path.read_text() == text


def test_diverged_method_has_no_metrics(counts, caplog):
    class Diverged(SVD):
        def inverse_transform(self, codes):
            return super().inverse_transform(codes) * np.nan

    run(counts, methods={"bad": Diverged}, n_latent=2, n_repeats=1)
    row = results(counts).set_index("method").loc["bad"]
    assert np.isnan(row[["pcc", "em", "gene_pcc"]].astype(float)).all()
    assert "bad: the reconstruction from 2 numbers is not finite" in caplog.text


class Cheat(SVD):
    """Codes a cell as itself."""

    def transform(self, X):
        return X


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"methods": ["svd", "pca"]}, ValueError, "method 'pca' is unknown; choose from mean"),
        ({"methods": {"a": 3}}, TypeError, "method 'a' is a int; expected an estimator"),
        ({"methods": {"mean": SVD}}, ValueError, "'mean' is the name of the training"),
        ({"methods": {"a": Cheat()}}, ValueError, r"codes 63 cells as \(63, 30\); .*=2 numbers"),
        ({"methods": []}, ValueError, r"methods=\[\]; expected one or more beside 'mean'"),
        ({"methods": ["mean"]}, ValueError, r"methods=\['mean'\]; expected one or more .*: svd, "),
        ({"transform": "sqrt"}, ValueError, "transform='sqrt' is unknown; choose from 'raw'"),
        ({"transform": []}, ValueError, r"transform=\[\]; expected one or more"),
        ({"n_latent": [2, 2]}, ValueError, r"n_latent=\[2, 2\]; expected one or more different"),
        ({"n_latent": [2, 28, 40]}, ValueError, "n_latent=28, 40, with 27 .* 30 genes.* 1 to 27"),
        ({"n_latent": 0}, ValueError, "n_latent=0, with 27 training cells.* 1 to 27"),
        ({"n_repeats": 0}, ValueError, "n_repeats=0; it must be at least 1"),
        ({"n_kept": (0, 3)}, ValueError, r"n_kept=\(0, 3\)"),
        ({"train_size": 0.001}, ValueError, "train_size=0.001 of 90 cells leaves 0 to train"),
        ({"train_size": 1}, ValueError, "train_size=1 of 90 cells leaves 90 to train"),
        ({"layer": "none"}, KeyError, "layer 'none' not found"),
    ],
)
def test_bad_arguments(counts, spy, unchanged, arguments, error, message):
    with unchanged(counts), pytest.raises(error, match=message):
        run(counts, **{"methods": {"spy": spy}, **arguments})
    assert not spy.seen


def test_too_few_cells_for_a_network(counts, spy, unchanged):
    few = {"train_size": 0.02, "n_latent": 2}
    for network in ("deep_ae", DeepAECompressor):
        with unchanged(counts), pytest.raises(ValueError, match=r"leaves 2 .*'net' .*3 or more"):
            run(counts, methods={"spy": spy, "net": network}, **few)
    assert not spy.seen
    run(counts, methods={"spy": spy}, copy=True, **few)


def test_estimator_without_a_size(counts, unchanged):
    class Plain:
        def fit(self, X): ...

        transform = inverse_transform = fit

    with unchanged(counts), pytest.raises(TypeError, match="without a parameter n_latent or"):
        run(counts, methods={"plain": Plain()})


def test_bad_values(counts, unchanged, spy):
    counts.X = counts.X.toarray()
    counts.X[2, 3] = -0.5
    with unchanged(counts), pytest.raises(ValueError, match=r"negative values \(lowest -0\.5\)"):
        run(counts, methods={"spy": spy}, transform=["raw", "log"])
    assert not spy.seen
    run(counts, transform=["raw", "zscore"], copy=True)
    counts.X[2, 3] = np.nan
    with unchanged(counts), pytest.raises(ValueError, match="NaN or infinite"):
        run(counts, transform="raw")
