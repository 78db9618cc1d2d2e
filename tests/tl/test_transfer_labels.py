from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score
from sklearn.neighbors import KNeighborsClassifier

import pellucid as pld

TYPES = ["B", "NK", "T/cd4", "mono"]
METRICS = {
    "accuracy": accuracy_score,
    "balanced_accuracy": balanced_accuracy_score,
    "mean_f1": lambda true, predicted: f1_score(true, predicted, average="macro"),
}


def make(n_obs: int, seed: int, own: str) -> ad.AnnData:
    """Log expression of four types, of one that only this data set has, and of none."""
    rng = np.random.default_rng(seed)
    labels = np.array([*TYPES, own, None], dtype=object)
    code = rng.choice(6, n_obs, p=[0.35, 0.25, 0.15, 0.1, 0.1, 0.05])
    code[:12] = np.arange(12) % 6
    mean = np.exp(np.random.default_rng(9).normal(0.5, 0.5, (6, 25)))[code]
    adata = ad.AnnData(
        sparse.csr_matrix(np.log1p(rng.poisson(mean)).astype(np.float32)),
        obs=pd.DataFrame(
            {"cell_type": pd.Categorical(labels[code])},
            index=[f"{own}{cell}" for cell in range(n_obs)],
        ),
        var=pd.DataFrame(index=[f"gene{gene}" for gene in range(25)]),
    )
    adata.obsm["X_ae"] = (adata.X @ np.random.default_rng(5).normal(size=(25, 3))).astype("f4")
    adata.layers["twice"] = adata.X * 2
    return adata


@pytest.fixture
def reference():
    return make(150, 0, "only here")


@pytest.fixture
def query():
    return make(90, 1, "only there")


def results(reference, query, **kwargs) -> pd.DataFrame:
    kwargs = {"labels_key": "cell_type"} | kwargs
    pld.tl.transfer_labels(reference, query, **kwargs)
    return pld.get.transfer_labels(query)


def space(adata, use_rep, reference):
    if use_rep == "X":
        return adata.X
    if use_rep == "pca":
        pca = PCA(4, svd_solver="full").fit(reference.X.toarray())
        return pca.transform(adata.X.toarray())
    return adata.obsm[use_rep]


@pytest.mark.parametrize("use_rep", ["X", "pca", "X_ae"])
def test_agrees_with_scikit_learn(reference, query, use_rep, unchanged):
    with unchanged(reference):
        table = results(reference, query, use_rep=use_rep, k=[3, 12, 7], n_comps=4)
    known, true = (adata.obs["cell_type"].isin(TYPES).to_numpy() for adata in (reference, query))
    assert 0 < known.sum() < 150
    names = reference.obs["cell_type"].astype(object)[known]
    expected = query.obs["cell_type"].astype(object)[true]
    largest = expected.value_counts().idxmax()
    rows = []
    for k in (3, 7, 12):
        classifier = KNeighborsClassifier(k).fit(
            space(reference, use_rep, reference)[known], names
        )
        predicted = classifier.predict(space(query, use_rep, reference)[true])
        for metric, measure in METRICS.items():
            floor = measure(expected, np.full(len(expected), largest, dtype=object))
            rows.append([use_rep, k, metric, measure(expected, predicted), floor])
    expected = pd.DataFrame(rows, columns=["use_rep", "k", "metric", "score", "majority"])
    pd.testing.assert_frame_equal(table, expected)
    # Another answer would be noticed.
    assert table["score"].nunique() > 5


def test_what_is_written(reference, query):
    before = query.obs.copy()
    table = results(reference, query, use_rep=["X_ae", "X"])
    assert table["k"].drop_duplicates().to_list() == list(range(5, 26))
    assert table["use_rep"].drop_duplicates().to_list() == ["X_ae", "X"]
    record = query.uns["transfer_labels"]
    assert record["types"].tolist() == TYPES
    for key, adata in (("n_reference", reference), ("n_query", query)):
        counts = adata.obs["cell_type"].value_counts()
        assert record[key].tolist() == [counts[name] for name in TYPES]
    params = record["params"]
    assert (params["function"], params["labels_key"]) == ("tl.transfer_labels", "cell_type")
    assert params["use_rep"].tolist() == ["X_ae", "X"]
    pd.testing.assert_frame_equal(query.obs, before)


def test_the_order_of_cells_and_of_categories_says_nothing(reference, query):
    expected = results(reference, query, k=5)
    shuffled = np.random.default_rng(0).permutation(query.n_obs)
    moved = query[shuffled].copy()
    moved.obs["cell_type"] = moved.obs["cell_type"].cat.reorder_categories(
        ["mono", "only there", "T/cd4", "B", "NK"]
    )
    pd.testing.assert_frame_equal(results(reference, moved, k=5), expected)


@pytest.mark.parametrize("kind", ["dense", "csc", "csr_array", "view", "backed"])
@pytest.mark.parametrize("use_rep", ["X", "pca"])
def test_expression_in_any_form(reference, query, kind, use_rep, tmp_path):
    expected = results(reference, query, use_rep=use_rep, n_comps=3, k=5)
    pair = []
    for adata in (reference, query):
        if kind == "dense":
            adata.X = adata.X.toarray()
        elif kind == "csc":
            adata.X = adata.X.tocsc()
        elif kind == "csr_array":
            adata.X = sparse.csr_array(adata.X)
        elif kind == "view":
            padded = ad.concat([adata, adata[:5]], index_unique="-")
            adata = padded[: adata.n_obs]
        else:
            path = tmp_path / f"{adata.n_obs}.h5ad"
            adata.write_h5ad(path)
            adata = ad.read_h5ad(path, backed="r")
        pair.append(adata)
    arguments = {"labels_key": "cell_type", "use_rep": use_rep, "n_comps": 3, "k": 5}
    assert pld.tl.transfer_labels(*pair, **arguments) is None
    pd.testing.assert_frame_equal(pld.get.transfer_labels(pair[1]), expected)


def test_layer(reference, query):
    expected = results(reference, query, k=5)
    for adata in (reference, query):
        adata.X = sparse.random(*adata.shape, density=0.5, format="csr", random_state=0)
    pd.testing.assert_frame_equal(results(reference, query, k=5, layer="twice"), expected)
    assert not results(reference, query, k=5).equals(expected)


@pytest.mark.parametrize("labels", ["given", "missing", "none"])
def test_names_of_all_cells(reference, query, labels):
    if labels == "missing":
        query.obs["cell_type"] = np.nan
    elif labels == "none":
        del query.obs["cell_type"]
    pld.tl.transfer_labels(
        reference, query, labels_key="cell_type", use_rep="X_ae", k=9, prediction_key="guess"
    )
    known = reference.obs["cell_type"].notna().to_numpy()
    names = reference.obs["cell_type"].astype(object)[known]
    classifier = KNeighborsClassifier(9).fit(reference.obsm["X_ae"][known], names)
    assert query.obs["guess"].astype(object).to_list() == list(
        classifier.predict(query.obsm["X_ae"])
    )
    assert "only here" in set(query.obs["guess"])
    assert query.obs["guess"].cat.categories.to_list() == sorted(names.unique())
    np.testing.assert_allclose(
        query.obs["guess_confidence"],
        classifier.predict_proba(query.obsm["X_ae"]).max(axis=1),
    )
    assert ("transfer_labels" in query.uns) == (labels == "given")


def test_copy(reference, query, unchanged):
    with unchanged(query):
        copied = pld.tl.transfer_labels(
            reference,
            query,
            labels_key="cell_type",
            k=5,
            prediction_key="guess",
            key_added="mine",
            copy=True,
        )
    assert len(pld.get.transfer_labels(copied, key="mine")) == 3
    assert "guess" in copied.obs


def test_same_seed_same_components(reference, query):
    for adata in (reference, query):
        adata.X = sparse.csr_matrix(np.random.default_rng(0).random(adata.shape))
    arguments = {"use_rep": "pca", "n_comps": 20, "k": 5}
    pd.testing.assert_frame_equal(
        results(reference, query, **arguments), results(reference, query, **arguments)
    )


def test_an_untrained_encoder_is_a_representation(reference, query):
    """As the docstring has it: a model that was built and not trained."""
    for adata in (reference, query):
        adata.X = np.rint(np.expm1(adata.X.toarray()))
    pld.model.OrthogonalAE.setup_anndata(reference)
    with pld.train.seeded(0):
        model = pld.model.OrthogonalAE(reference, n_latent=4, n_hidden=8)
    for adata in (reference, query):
        pld.tl.latent(adata, model, key_added="X_untrained")
    table = results(reference, query, use_rep="X_untrained", k=5)
    assert (table["score"] >= table["majority"]).all()


def test_counts_are_warned_of(reference, query, caplog):
    for adata in (reference, query):
        adata.X = np.rint(np.expm1(adata.X.toarray()))
    with caplog.at_level("WARNING", "pellucid"):
        results(reference, query, k=5)
    assert caplog.messages[0].startswith("adata.X holds whole numbers, as counts are")


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"labels_key": "state"}, KeyError, r"labels_key='state' not found in adata\.obs"),
        ({"labels_key": "other"}, ValueError, r"share 1 labels .*'B', 'x'.*query: 'B', 'y'"),
        ({"labels_key": "none"}, ValueError, "holds no label"),
        ({"use_rep": "X_scvi"}, KeyError, r"'X_scvi'.*tl\.latent"),
        ({"use_rep": []}, ValueError, r"use_rep=\[\]; pass one or several"),
        ({"use_rep": ["X", "X"]}, ValueError, "different representations"),
        ({"use_rep": "short"}, ValueError, "3 dimensions in reference and 2 in query"),
        ({"use_rep": "broken"}, ValueError, "NaN or infinite values in query"),
        ({"use_rep": "X_pca"}, ValueError, "of two fits.*use_rep='pca'"),
        ({"layer": "logs"}, KeyError, "layer 'logs' not found"),
        ({"k": 0}, ValueError, "k=0; pass one or several whole numbers"),
        ({"k": []}, ValueError, r"k=\[\]; pass one or several whole numbers"),
        ({"k": 2.5}, ValueError, r"k=2\.5; pass"),
        ({"k": [5, 149]}, ValueError, r"k=149, but reference has \d+ cells to learn from"),
        ({"prediction_key": "p"}, ValueError, "needs one use_rep and one k; found 1 and 21"),
        ({"prediction_key": "cell_type", "k": 5}, ValueError, "would overwrite the labels"),
    ],
)
def test_bad_input(reference, query, unchanged, kwargs, error, message):
    for adata, last in ((reference, "x"), (query, "y")):
        adata.obs["other"] = ["B"] * (adata.n_obs - 1) + [last]
        adata.obs["none"] = np.nan
        adata.obsm["short"] = adata.obsm["broken"] = adata.obsm["X_ae"].copy()
        sc.pp.pca(adata, n_comps=3)
    query.obsm["short"] = query.obsm["X_ae"][:, :2]
    query.obsm["broken"] = query.obsm["X_ae"].copy()
    query.obsm["broken"][0, 0] = np.nan
    with unchanged(reference), unchanged(query), pytest.raises(error, match=message):
        results(reference, query, **kwargs)


def test_cells_do_not_name_themselves(reference, unchanged):
    with unchanged(reference), pytest.raises(ValueError, match=r"are the same AnnData.*two parts"):
        results(reference, reference, k=1)


@pytest.mark.parametrize("use_rep", ["X", "pca"])
def test_other_genes(reference, query, unchanged, use_rep):
    fewer = query[:, ::2].copy()
    with unchanged(fewer), pytest.raises(ValueError, match=r"25, query 13, and 13 .*align_genes"):
        results(reference, fewer, use_rep=use_rep)
    aligned = pld.pp.align_genes(fewer, reference.var_names)
    assert len(results(reference, aligned, use_rep=use_rep)) == 63


def test_components_projected_by_one_fit_are_taken(reference, query):
    sc.pp.pca(reference, n_comps=3)
    query.obsm["X_pca"] = query.X @ reference.varm["PCs"]
    assert len(results(reference, query, use_rep="X_pca")) == 63
