"""What people build around a transformer: pipelines, searches, unions, caches."""

import re

import numpy as np
import pytest
import sklearn
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    cross_val_score,
    train_test_split,
)
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    OneHotEncoder,
)
from sklearn.utils.fixes import parse_version

from skrbm import BinaryCDRBM


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(n_class=4, return_X_y=True)
    return X / 16, y


def rbm(n_components=16, **changes):
    settings = {
        "learning_rate": 0.2,
        "batch_size": 10,
        "n_iter": 10,
        "learning_rate_schedule": "constant",
        "average": None,
        "weight_scale": 0.1,
        "hidden_intercept_init": -1.0,
        "random_state": 0,
    }
    return BinaryCDRBM(n_components, **(settings | changes))


def classifier():
    return LogisticRegression(max_iter=1000)


def test_features_in_front_of_a_classifier(digits):
    X_train, X_test, y_train, y_test = train_test_split(*digits, random_state=0)
    pipeline = make_pipeline(rbm(), classifier()).fit(X_train, y_train)
    assert pipeline.score(X_test, y_test) > 0.9


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("persistent", [False, True]),
        ("n_chains", [5, "auto"]),
        ("statistics", ["states", "probabilities"]),
        ("momentum", [0.0, 0.5]),
        ("weight_decay", [0.0, 1e-3, "auto"]),
        ("sparsity_target", [0.05, 0.2]),
        ("sparsity_cost", [0.0, 0.1, "auto"]),
        ("learning_rate_schedule", ["auto", "constant", "linear", "cosine"]),
        ("average", [None, 2, 0.01, "auto"]),
        ("visible_intercept_init", ["logit", 0.0]),
        ("hidden_intercept_init", [-2.0, "auto"]),
        ("early_stopping", [False, True]),
        ("validation_fraction", [0.1, 0.2]),
        ("n_iter_no_change", [1, 5]),
        ("tol", [0.0, 0.1]),
        ("binarize", [None, 0.5]),
    ],
)
def test_each_option_can_be_searched(name, values, digits):
    stopping = name in {"validation_fraction", "n_iter_no_change", "tol"}
    model = rbm(8, n_iter=2, persistent=name == "n_chains", early_stopping=stopping)
    search = GridSearchCV(model, {name: values}, cv=2, error_score="raise")
    search.fit(digits[0][:60])
    assert search.best_params_[name] in values
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_cross_validation_with_and_without_labels(digits):
    X, y = digits
    scores = cross_val_score(make_pipeline(rbm(), classifier()), X, y, cv=3)
    # Means of six seeds lie between 0.935 and 0.958.
    assert scores.mean() > 0.92
    nats = cross_val_score(rbm(), X, cv=3)
    assert np.isfinite(nats).all()
    assert (nats < 0).all()
    untrained = cross_val_score(rbm(n_iter=0), X, cv=3)
    assert (nats > untrained).all()


@pytest.mark.filterwarnings(
    "default::DeprecationWarning"
)  # of process pools, on some Pythons
def test_a_grid_search_over_a_pipeline_in_two_processes(digits):
    X, y = digits
    grid = {
        "binarycdrbm__n_components": [2, 16],
        "binarycdrbm__learning_rate": [1e-6, 0.2],
    }

    def search(n_jobs):
        pipeline = make_pipeline(MinMaxScaler(clip=True), rbm(), classifier())
        return GridSearchCV(pipeline, grid, cv=2, n_jobs=n_jobs).fit(X[:300], y[:300])

    two, one = search(2), search(1)
    assert two.best_params_["binarycdrbm__n_components"] == 16
    np.testing.assert_array_equal(
        two.cv_results_["mean_test_score"], one.cv_results_["mean_test_score"]
    )


def test_a_randomized_search_gives_numpy_numbers(digits):
    distributions = {
        "n_components": np.arange(2, 6),
        "learning_rate": np.geomspace(0.01, 0.3, 5),
        "batch_size": np.array([10, 20], np.int32),
        "centered": np.array([True, False]),
    }
    search = RandomizedSearchCV(
        rbm(n_iter=1), distributions, n_iter=4, cv=2, random_state=0
    )
    assert np.isfinite(search.fit(digits[0]).cv_results_["mean_test_score"]).all()


def test_halving_with_epochs_as_the_resource(digits):
    search = HalvingGridSearchCV(
        rbm(),
        {"learning_rate": [1e-5, 1e-4, 0.2]},
        resource="n_iter",
        min_resources=9,
        max_resources=27,
        cv=2,
        random_state=0,
    ).fit(digits[0])
    assert search.best_params_ == {"learning_rate": 0.2, "n_iter": 27}


def test_a_union_of_features(digits):
    X, _ = digits
    union = FeatureUnion([("pixels", "passthrough"), ("units", rbm())])
    out = union.fit_transform(X)
    assert out.shape == (len(X), 64 + 16)
    np.testing.assert_allclose(out[:, 64:], rbm().fit_transform(X), rtol=1e-6)
    assert union.get_feature_names_out()[-1] == "units__binarycdrbm15"


def test_some_columns_of_a_data_frame(digits):
    pandas = pytest.importorskip("pandas")
    X, y = digits
    frame = pandas.DataFrame(X, columns=[f"pixel {i}" for i in range(64)])
    frame["kind"] = np.where(y == 0, "zero", "other")
    columns = ColumnTransformer(
        [
            ("units", rbm(), [f"pixel {i}" for i in range(64)]),
            ("kind", OneHotEncoder(sparse_output=False), ["kind"]),
        ]
    ).set_output(transform="pandas")
    out = columns.fit_transform(frame)
    assert out.shape == (len(X), 16 + 2)
    assert out.columns[0] == "units__binarycdrbm0"
    assert (out.index == frame.index).all()


@pytest.mark.parametrize(
    "before",
    [
        FunctionTransformer(lambda X: X > 0.5),
        FunctionTransformer(lambda X: (X > 0.5).astype(np.uint8)),
        MinMaxScaler(clip=True),
        KBinsDiscretizer(n_bins=2, strategy="uniform", encode="onehot"),
    ],
    ids=["booleans", "bytes", "scaled", "sparse"],
)
def test_what_stands_before_it(before, digits):
    X, y = digits
    X = X[:, X.std(axis=0) > 0]
    pipeline = make_pipeline(before, rbm(), classifier()).fit(X, y)
    assert pipeline.score(X, y) > 0.9


def test_two_machines_on_top_of_each_other(digits):
    X, y = digits
    stack = make_pipeline(rbm(32), rbm(16), classifier()).fit(X, y)
    assert stack.score(X, y) > 0.9
    # And down again.
    assert stack[:-1].inverse_transform(stack[:-1].transform(X)).shape == X.shape


def test_cached_steps(digits, tmp_path):
    X, y = digits
    plain = make_pipeline(rbm(), classifier()).fit(X, y)
    for _ in range(2):
        cached = make_pipeline(rbm(), classifier(), memory=str(tmp_path)).fit(X, y)
        np.testing.assert_array_equal(cached.predict_proba(X), plain.predict_proba(X))


def test_a_notebook_links_to_the_documentation_and_explains_parameters():
    html = BinaryCDRBM(n_components=7)._repr_html_()
    page = "generated/skrbm.BinaryCDRBM.html"
    assert re.search(rf'href="https://[^"]*/{page}"', html)
    if parse_version(sklearn.__version__) >= parse_version("1.9"):
        assert "Number of hidden units" in html
