"""ONNX graphs return what the models do that they were made from."""

import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

from skrbm import BinaryCDRBM
from skrbm.onnx import register_converter, to_onnx

FLOATS = ["float16", "float32", "float64"]
INTEGERS = ["bool", "int8", "uint8", "uint16", "int32", "int64"]

# Models of more than 16,384 weights compute in single precision.
SMALL, LARGE = 6, 2100


@pytest.fixture
def skl2onnx():
    return pytest.importorskip("skl2onnx")


@pytest.fixture
def run(skl2onnx):  # noqa: ARG001
    """Return a function that runs a graph and returns its outputs by name."""
    onnxruntime = pytest.importorskip("onnxruntime")

    def run(graph, **inputs):
        session = onnxruntime.InferenceSession(graph.SerializeToString())
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(None, inputs), strict=True))

    return run


def rbm(n_components=SMALL, **changes):
    return BinaryCDRBM(n_components, n_iter=2, random_state=0, **changes)


def fitted(X, n_components=SMALL, **changes):
    """Return a model with features from 0 to 1, as long training gives."""
    model = rbm(n_components, **changes).fit(X)
    shape = model.components_.shape
    model.components_ = np.random.default_rng(1).normal(0, 3, shape).astype(np.float32)
    return model


@pytest.fixture
def y(X):
    return (X.sum(axis=1) > 4).astype(int)


@pytest.mark.parametrize("dtype", FLOATS + INTEGERS)
@pytest.mark.parametrize("n_components", [SMALL, LARGE])
def test_features_are_those_of_transform(n_components, dtype, X, run):
    model = fitted(X, n_components)
    rows = X.astype(dtype)
    if dtype in FLOATS:
        rows = (rows + 1) / 3
    features = run(to_onnx(model, rows), X=rows)["features"]
    expected = model.transform(rows)
    assert features.dtype == expected.dtype
    # Of the small model in double precision: it computes in that too.
    atol = 1e-12 if n_components == SMALL and dtype == "float64" else 1e-5
    np.testing.assert_allclose(features, expected, rtol=0, atol=atol)
    assert np.ptp(expected) > 0.9


@pytest.mark.parametrize("threshold", [0.1, 0.3])  # which float16 rounds down, and up
@pytest.mark.parametrize("dtype", FLOATS)
def test_a_threshold_counts_in_the_type_of_the_rows(dtype, threshold, X, run):
    model = fitted(X, binarize=threshold)
    at = np.dtype(dtype).type(threshold)
    above = np.nextafter(at, at.dtype.type(1))
    rows = np.where(X == 1, above, at)
    features = run(to_onnx(model, rows), X=rows)["features"]
    np.testing.assert_allclose(features, model.transform(rows), rtol=0, atol=1e-5)
    expected = model.set_params(binarize=None).transform(X)
    np.testing.assert_allclose(features, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("threshold", [-1, 0, 0.5, 1, 1e300])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float32"])
def test_any_threshold(dtype, threshold, X, run):
    model = fitted(X, binarize=threshold)
    rows = ((X + 1) / 3 if dtype == "float32" else X).astype(dtype)
    features = run(to_onnx(model, rows), X=rows)["features"]
    np.testing.assert_allclose(features, model.transform(rows), rtol=0, atol=1e-5)


@pytest.mark.filterwarnings("ignore::skrbm.DataRangeWarning")
@pytest.mark.parametrize("size", [1e2, 1e6, 1e20, 1e37])
@pytest.mark.parametrize("n_components", [SMALL, LARGE])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_large_values(dtype, n_components, size, X, run):
    model = fitted(X, n_components)
    rows = ((2 * X - 1) * size).astype(dtype)
    features = run(to_onnx(model, rows), X=rows)["features"]
    np.testing.assert_allclose(features, model.transform(rows), rtol=0, atol=1e-5)


def test_rows_of_single_precision_are_the_default(X, run):
    model = fitted(X)
    rows = X.astype(np.float32)
    features = run(to_onnx(model), X=rows)["features"]
    np.testing.assert_allclose(features, model.transform(rows), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "kind", [list, pd.DataFrame, pl.DataFrame], ids=["list", "nameless", "polars"]
)
def test_what_has_no_names_for_skl2onnx_counts_as_an_array(kind, X, run):
    model = fitted(X)
    features = run(to_onnx(model, kind(X)), X=X)["features"]
    np.testing.assert_allclose(features, model.transform(X), rtol=0, atol=1e-5)


@pytest.mark.parametrize("binarize", [None, 0.4])
@pytest.mark.parametrize("dtypes", [["float32"], ["float32", "int64", "bool", "uint8"]])
def test_a_data_frame_gives_an_input_for_each_column(dtypes, binarize, X, run):
    frame = pd.DataFrame(X, columns=list("abcdefgh"))
    frame = frame.astype(dict(zip(frame, dtypes * 8, strict=False)))
    model = fitted(frame, binarize=binarize)
    columns = {name: frame[[name]].to_numpy() for name in frame}
    features = run(to_onnx(model, frame), **columns)["features"]
    assert features.dtype == model.transform(frame).dtype
    np.testing.assert_allclose(features, model.transform(frame), rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize(
    "before",
    [
        [],
        [MinMaxScaler(clip=True)],
        [rbm(5), StandardScaler(), MinMaxScaler(clip=True)],
        [make_union("passthrough", rbm(5))],
        [make_column_transformer((rbm(5), [0, 1, 2]), ("passthrough", [3, 4]))],
    ],
    ids=["first", "scaled", "second", "union", "columns"],
)
def test_pipelines_around_a_model(before, dtype, X, y, run):
    model = make_pipeline(*before, rbm(), LogisticRegression())
    rows = X.astype(dtype)
    model.fit(rows, y)
    model[-1].coef_ *= 20  # features of two epochs are nearly alike
    outputs = run(to_onnx(model, rows), X=rows)
    np.testing.assert_array_equal(outputs["label"], model.predict(rows))
    expected = model.predict_proba(rows)
    np.testing.assert_allclose(outputs["probabilities"], expected, rtol=0, atol=1e-5)
    assert np.ptp(expected) > 0.1


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_rows_that_are_sparse_within_a_pipeline(dtype, X, run):
    rows = X.astype(dtype)
    model = make_pipeline(OneHotEncoder(), rbm()).fit(rows)
    features = run(to_onnx(model, rows), X=rows)["features"]
    np.testing.assert_allclose(features, model.transform(rows), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(MinMaxScaler(), rbm()),
        make_union(rbm(), PCA(2)),
        GridSearchCV(rbm(), {"n_components": [2, 3]}, cv=2),
    ],
    ids=["pipeline", "union", "search"],
)
def test_estimators_that_end_in_a_model(model, X, run):
    model.fit(X)
    (features,) = run(to_onnx(model, X), X=X).values()
    np.testing.assert_allclose(features, model.transform(X), rtol=0, atol=1e-5)


def test_options_reach_skl2onnx(X, y, run):
    X = X.astype(np.float32)
    model = make_pipeline(rbm(), LogisticRegression()).fit(X, y)
    graph = to_onnx(
        model, X, name="features", target_opset=15, options={"zipmap": True}
    )
    assert graph.graph.name == "features"
    assert max(part.version for part in graph.opset_import) == 15
    first = run(graph, X=X)["output_probability"][0]
    expected = dict(enumerate(model.predict_proba(X)[0]))
    assert first == pytest.approx(expected, abs=1e-5)


def test_skl2onnx_alone_after_registering(skl2onnx, X, run):
    register_converter()
    register_converter()
    model = fitted(X)
    types = [("rows", skl2onnx.common.data_types.DoubleTensorType([None, None]))]
    graph = skl2onnx.convert_sklearn(model, initial_types=types)
    features = run(graph, rows=X)["features"]
    np.testing.assert_allclose(features, model.transform(X), rtol=0, atol=1e-5)
    again = run(to_onnx(model, initial_types=types), rows=X)["features"]
    np.testing.assert_array_equal(again, features)


def test_attributes_that_were_set_count(X, run):
    model = fitted(X)
    model.components_ = -model.components_
    model.intercept_hidden_ = np.linspace(-3, 3, SMALL)
    features = run(to_onnx(model, X), X=X)["features"]
    np.testing.assert_allclose(features, model.transform(X), rtol=0, atol=1e-12)


def test_a_model_whose_parameters_were_set_by_hand(X, run):
    model = BinaryCDRBM(SMALL)
    for name in ("components_", "intercept_visible_", "intercept_hidden_"):
        setattr(model, name, getattr(fitted(X), name))
    rows = X.astype(np.float32)
    features = run(to_onnx(model), X=rows)["features"]
    np.testing.assert_allclose(features, model.transform(rows), rtol=0, atol=1e-5)


def test_a_model_that_is_not_fitted_is_refused(skl2onnx, X, y):  # noqa: ARG001
    with pytest.raises(NotFittedError):
        to_onnx(rbm())
    with pytest.raises(NotFittedError):
        to_onnx(make_pipeline(rbm(), LogisticRegression()), X)
    half = make_pipeline(rbm(), LogisticRegression()).fit(X, y)
    half.steps[0] = ("binarycdrbm", rbm())
    with pytest.raises(NotFittedError):
        to_onnx(half, X)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (sparse.csr_array, TypeError, "takes dense rows.*toarray"),
        (lambda X: X[:, :3], ValueError, "X has 3 columns, but the model has 8"),
        (lambda X: X[0], ValueError, "2 dimensions, not 1"),
        (lambda X: X.astype(str), TypeError, "takes numbers"),
        (lambda X: X.astype(complex), TypeError, "complex128"),
    ],
    ids=["sparse", "narrow", "row", "text", "complex"],
)
def test_rows_that_a_graph_cannot_take_are_refused(change, error, message, X, skl2onnx):  # noqa: ARG001
    with pytest.raises(error, match=message):
        to_onnx(fitted(X), change(X))


def test_without_skl2onnx_an_error_says_what_to_install(monkeypatch, X):
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(ImportError, match=r'pip install "skrbm\[onnx\]"'):
        to_onnx(fitted(X), X)
    with pytest.raises(ImportError, match=r'pip install "skrbm\[onnx\]"'):
        register_converter()


def test_the_import_alone_needs_no_skl2onnx():
    code = "import sys, skrbm.onnx; sys.exit('skl2onnx' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_gaps_are_refused_and_thresholds_by_column_are_kept(X, run):
    with pytest.raises(ValueError, match="ONNX cannot express handle_missing"):
        to_onnx(rbm(handle_missing="sample").fit(X), X)
    thresholds = np.linspace(0.1, 0.9, X.shape[1])
    for binarize in (thresholds, "mean"):
        model = rbm(binarize=binarize).fit(X)
        rows = np.random.default_rng(1).random(X.shape).astype(np.float32)
        (found,) = run(to_onnx(model, rows), X=rows).values()
        np.testing.assert_allclose(found, model.transform(rows), atol=1e-5)
