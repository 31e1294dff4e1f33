"""Every container and type of X, and what is said about X that will not do."""

import datetime as dt
import tracemalloc
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler

from skrbm import BinaryCDRBM, DataRangeWarning, _estimator
from skrbm._core import threads
from skrbm.metrics import log_likelihood, log_partition


def make(**changes):
    settings = {
        "learning_rate": 0.1,
        "batch_size": 7,
        "n_iter": 2,
        "n_jobs": 1,
        "random_state": 0,
    }
    return BinaryCDRBM(3, **(settings | changes))


def parameters(rbm):
    return np.concatenate(
        [rbm.components_.ravel(), rbm.intercept_visible_, rbm.intercept_hidden_]
    )


TYPES = [
    bool,
    np.int8,
    np.int16,
    np.int32,
    np.int64,
    np.uint8,
    np.uint16,
    np.uint32,
    np.uint64,
    np.float16,
    np.float32,
    np.float64,
]


def read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


def strided(X):
    wide = np.full((2 * X.shape[0], 3 * X.shape[1]), 7, X.dtype)
    wide[::2, 1::3] = X
    return wide[::2, 1::3]


LAYOUTS = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "read-only": read_only,
    "strided": strided,
    "reversed": lambda X: X[::-1, ::-1].copy()[::-1, ::-1],
    "list": lambda X: X.tolist(),
    "tuple of arrays": tuple,
    "matrix-like object": lambda X: X.astype(object),
}


@pytest.mark.parametrize(
    ("dtype", "layout"),
    [(dtype, np.asarray) for dtype in TYPES]
    + [(dtype, layout) for layout in LAYOUTS.values() for dtype in (bool, np.float64)],
)
def test_any_type_and_layout_gives_the_same_bits(dtype, layout, X):
    rows = layout(X.astype(dtype))
    rbm, expected = make().fit(rows), make().fit(X)
    np.testing.assert_array_equal(parameters(rbm), parameters(expected))
    np.testing.assert_array_equal(
        rbm.transform(rows).astype(np.float32), expected.transform(X).astype(np.float32)
    )
    np.testing.assert_array_equal(rbm.score_samples(rows), expected.score_samples(X))
    np.testing.assert_array_equal(rbm.free_energy(rows), expected.free_energy(X))


@pytest.mark.parametrize("changes", [{}, {"early_stopping": True}, {"binarize": 0.5}])
def test_a_memory_map_trains_as_it_lies(changes, X, tmp_path):
    X.astype(np.uint8).tofile(tmp_path / "X")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # two epochs are few
        rows = np.memmap(tmp_path / "X", np.uint8, "r", shape=X.shape)
        rbm, expected = make(**changes).fit(rows), make(**changes).fit(X)
    np.testing.assert_array_equal(parameters(rbm), parameters(expected))
    np.testing.assert_array_equal(rbm.score_samples(rows), expected.score_samples(X))


def most_memory(call):
    """Return how many bytes are allocated at once during the call, at most."""
    tracemalloc.start()
    call()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


@pytest.mark.parametrize(
    "make_rows", [np.asarray, np.asfortranarray, strided, sparse.csr_array]
)
def test_only_the_mini_batch_is_converted(make_rows):
    X = make_rows(
        (np.random.default_rng(0).random((20_000, 400)) < 0.1).astype(np.uint8)
    )
    rbm = make(batch_size=500, n_iter=1)

    few = most_memory(lambda: rbm.fit(X[:1000]))
    # All of X would take 32 MB in single precision, or 6 MB if it is sparse.
    assert most_memory(lambda: rbm.fit(X)) - few < 3_000_000


def test_rows_that_are_held_out_are_not_copied(tmp_path):
    X = (np.random.default_rng(0).random((20_000, 400)) < 0.1).astype(np.uint8)
    X.tofile(tmp_path / "X")
    rows = np.memmap(tmp_path / "X", np.uint8, "r", shape=X.shape)
    rbm = make(batch_size=500, n_iter=1, early_stopping=True, validation_fraction=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # one epoch is few
        # Blocks and watched rows take 6.5 MB, half of the rows would take 4 more.
        assert most_memory(lambda: rbm.fit(rows)) < 8_000_000


def test_few_rows_of_many_features_are_watched():
    on = np.random.default_rng(0).integers(100_000, size=(40_000, 10))
    places = np.repeat(np.arange(40_000), 10), on.ravel()
    X = sparse.csr_array((np.ones(on.size), places), (40_000, 100_000))
    rbm = make(batch_size=10, n_iter=0)
    # 41 rows in single precision; 200 would take 80 MB.
    assert most_memory(lambda: rbm.fit(X != 0)) < 30_000_000


CONTAINERS = [
    sparse.csr_array,
    sparse.csr_matrix,
    sparse.csc_array,
    sparse.csc_matrix,
    sparse.coo_array,
    sparse.lil_array,
]


def close(rbm, expected):
    # Other sums are rounded otherwise.
    np.testing.assert_allclose(parameters(rbm), parameters(expected), atol=1e-4)


@pytest.mark.parametrize(
    ("container", "dtype"),
    [(container, np.float64) for container in CONTAINERS]
    + [(sparse.csr_array, dtype) for dtype in (bool, np.uint8, np.int64, np.float32)],
)
@pytest.mark.parametrize("changes", [{}, {"persistent": True}, {"binarize": 0.5}])
def test_sparse_rows_give_the_dense_model(container, dtype, changes, X):
    rows = container(X.astype(dtype))
    rbm, expected = make(**changes).fit(rows), make(**changes).fit(X)
    close(rbm, expected)
    for query in ("transform", "reconstruct", "free_energy", "score_samples"):
        actual = getattr(rbm, query)(rows)
        assert isinstance(actual, np.ndarray)
        np.testing.assert_allclose(actual, getattr(expected, query)(X), atol=1e-3)


@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_sparse_rows_in_any_order_with_duplicates(index, X):
    # Every one as two halves, the columns of each row from last to first.
    rows, columns = np.nonzero(X)
    order = np.lexsort((-columns, rows))
    columns = np.repeat(columns[order], 2)
    starts = np.searchsorted(rows, np.arange(len(X) + 1)) * 2
    messy = sparse.csr_array(
        (np.full(len(columns), 0.5), columns.astype(index), starts.astype(index)),
        X.shape,
    )
    assert not messy.has_canonical_format
    data, indices, indptr = (
        a.copy() for a in (messy.data, messy.indices, messy.indptr)
    )
    close(make().fit(messy), make().fit(X))
    np.testing.assert_array_equal(messy.data, data)
    np.testing.assert_array_equal(messy.indices, indices)
    np.testing.assert_array_equal(messy.indptr, indptr)


MALFORMED = {
    "a column beyond the last": ("csr_array", "indices", 1, 10**6),
    "a column before the first": ("csr_matrix", "indices", 1, -1),
    "rows that end before they start": ("csr_array", "indptr", 2, 0),
    "a row beyond the last": ("csc_array", "indices", 0, 10**6),
    "a place beyond the last": ("coo_array", "col", 0, 10**6),
    "a block beyond the last": ("bsr_array", "indices", 0, 10**6),
}


@pytest.mark.parametrize("case", MALFORMED.values(), ids=MALFORMED)
@pytest.mark.parametrize("method", ["fit", "transform", "score_samples"])
def test_sparse_matrices_that_are_malformed_are_refused(case, method, X):
    name, attribute, place, value = case
    rbm = make().fit(X)
    rows = getattr(sparse, name)(X)
    indices = getattr(rows, attribute)
    indices[place] = value
    before = indices.copy()
    with pytest.raises(ValueError, match=r"malformed sparse matrix: .* Build it anew"):
        getattr(rbm, method)(rows)
    np.testing.assert_array_equal(getattr(rows, attribute), before)


def test_explicit_zeros_are_zeros(X):
    rows = sparse.csr_array(X + 1)
    rows.data -= 1
    assert rows.nnz == X.size
    close(make().fit(rows), make().fit(X))
    close(make(binarize=0.0).fit(rows), make().fit(X))


def frames(X):
    pandas = pytest.importorskip("pandas")
    names = [f"unit {i}" for i in range(X.shape[1])]
    yield pandas.DataFrame(X, columns=names)
    yield pandas.DataFrame(X.astype(bool), columns=names)
    mixed = pandas.DataFrame(X, columns=names)
    yield mixed.astype({"unit 0": bool, "unit 1": np.int64, "unit 2": np.float32})
    yield (
        mixed.astype({"unit 0": bool, "unit 1": np.uint8})
        .iloc[:, :2]
        .join(mixed.iloc[:, 2:].astype("Float64"))
    )
    polars = pytest.importorskip("polars")
    yield polars.DataFrame(X, schema=names)
    yield polars.DataFrame(X.astype(bool), schema=names)
    yield polars.DataFrame(X, schema=names).with_columns(
        polars.col("unit 0").cast(polars.Boolean)
    )


def test_data_frames(X):
    for frame in frames(X):
        rbm = make().fit(frame)
        np.testing.assert_array_equal(parameters(rbm), parameters(make().fit(X)))
        # Names as this scikit-learn takes them: 1.6 finds none in recent polars.
        scaler = MaxAbsScaler().fit(frame)
        assert list(getattr(rbm, "feature_names_in_", [])) == list(
            getattr(scaler, "feature_names_in_", [])
        )
        rbm.transform(frame)
        rbm.partial_fit(frame)


def object_frames(X):
    """Yield frames of numbers that scikit-learn leaves as objects."""
    names = [f"unit {i}" for i in range(X.shape[1])]
    yield pd.DataFrame(X, columns=names).astype("category")
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(X.astype(int), schema=names)
    yield frame.with_columns(polars.col("unit 0").cast(polars.Decimal(10, 2)))


def test_data_frames_that_come_as_objects(X):
    expected = make().fit(X)
    for frame in object_frames(X):
        rbm = make().fit(frame)
        np.testing.assert_array_equal(parameters(rbm), parameters(expected))
        np.testing.assert_array_equal(rbm.transform(frame), expected.transform(X))
        rbm.partial_fit(frame)


def test_what_data_frames_lack_is_noticed(X):
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(X.astype(bool), schema=[f"unit {i}" for i in range(8)])
    rbm = make().fit(frame)
    column = frame["unit 3"].to_list()
    column[5] = None
    lacking = frame.with_columns(polars.Series("unit 3", column))
    for call in CALLS.values():
        with pytest.raises(ValueError, match="contains NaN"):
            call(rbm, lacking)


def test_names_of_features_are_checked(X):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcdefgh"))
    rbm = make().fit(frame)
    with pytest.raises(ValueError, match="feature names"):
        rbm.transform(frame[list("hgfedcba")])
    with pytest.warns(UserWarning, match="feature names"):
        rbm.transform(X)


CALLS = {
    "fit": lambda rbm, X: rbm.fit(X),
    "partial_fit": lambda rbm, X: rbm.partial_fit(X),
    "fit_transform": lambda rbm, X: rbm.fit_transform(X),
    "transform": lambda rbm, X: rbm.transform(X),
    "reconstruct": lambda rbm, X: rbm.reconstruct(X),
    "free_energy": lambda rbm, X: rbm.free_energy(X),
    "score_samples": lambda rbm, X: rbm.score_samples(X),
    "score": lambda rbm, X: rbm.score(X),
    "gibbs": lambda rbm, X: rbm.gibbs(X),
}
calls = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
QUERIES = CALLS.keys() - {"fit", "partial_fit", "fit_transform"}


@calls
@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("binarize", [None, 0.5])
def test_dense_rows_are_not_modified(call, dtype, binarize, X):
    rbm = make(binarize=binarize).fit(X)
    rows = X.astype(dtype)
    call(rbm, rows)
    np.testing.assert_array_equal(rows, X.astype(dtype))


@calls
@pytest.mark.parametrize("dtype", [bool, np.float32, np.float64])
@pytest.mark.parametrize("binarize", [None, 0.5])
def test_sparse_rows_are_not_modified(call, dtype, binarize, X):
    rbm = make(binarize=binarize).fit(X)
    rows = sparse.csr_array(X.astype(dtype))
    if dtype is not bool:
        rows.data *= dtype(0.75)
    before = rows.copy()
    call(rbm, rows)
    np.testing.assert_array_equal(rows.data, before.data)
    np.testing.assert_array_equal(rows.indices, before.indices)
    np.testing.assert_array_equal(rows.indptr, before.indptr)


def test_inverse_transform_does_not_modify_its_rows(X):
    rbm = make().fit(X)
    H = rbm.transform(X)
    before = H.copy()
    rbm.inverse_transform(H)
    np.testing.assert_array_equal(H, before)
    rbm.inverse_transform(read_only(H))
    rbm.inverse_transform(H > 0.5)
    rbm.inverse_transform(H.tolist())


# -- values ----------------------------------------------------------------------


def test_values_between_zero_and_one_are_trained_on_in_silence(X):
    make().fit(0.1 + 0.8 * X).score(X)
    make().fit(X.astype(np.float32) / 3)


FITS = {"fit", "partial_fit", "fit_transform"}
outside = pytest.mark.parametrize(
    ("change", "numbers", "remedy"),
    [
        (lambda X: 16 * X, "0 to 16", "Divide X by 16, or set binarize"),
        (lambda X: X - 0.5, "-0.5 to 0.5", "MinMaxScaler(clip=True), or set binarize"),
        (lambda X: (254 * X).astype(np.uint8), "0 to 254", "Divide X by 255, or"),
        (lambda X: X * 4.0 ** np.arange(8), "0 to 16384", "each column by MinMax"),
        (lambda X: sparse.csr_array(3 * X), "0 to 3", "binarize=0 .* by MaxAbsScaler"),
        (lambda X: sparse.csc_matrix(-X), "-1 to 0", "binarize=0 .* are above 0.$"),
        (lambda X: X + 1e-3, "0.001 to 1.001", "MinMaxScaler"),
    ],
)


@pytest.mark.parametrize("fit", sorted(FITS))
@outside
def test_values_outside_are_told_with_a_remedy(fit, change, numbers, remedy, X):
    rbm = make(learning_rate=1e-6).fit(X)
    remedy = remedy.replace("(", r"\(").replace(")", r"\)")
    with pytest.warns(DataRangeWarning, match=f"from {numbers},.*{remedy}") as record:
        getattr(rbm, fit)(change(X))
    assert len(record) == 1


@pytest.mark.parametrize("query", sorted(CALLS.keys() - FITS))
@outside
def test_queries_tell_of_values_outside_once(query, change, numbers, remedy, X):
    del remedy
    rbm = make(learning_rate=1e-6).fit(X)
    with pytest.warns(DataRangeWarning, match=f"from {numbers},") as record:
        CALLS[query](rbm, change(X))
    assert len(record) == 1


@pytest.mark.parametrize(("value", "told"), [(1 + 1e-5, True), (1 + 1e-7, False)])
def test_little_more_than_rounding_is_told_of(value, told, X):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataRangeWarning)
        make().fit(value * X)
    assert bool(caught) is told


def test_rounding_of_a_scaler_is_not_told_of():
    for seed in range(20):
        values = np.random.default_rng(seed).normal(size=(30, 40))
        scaled = MinMaxScaler().fit_transform(values)
        if scaled.max() > 1:
            make().fit(scaled)
            return
    pytest.fail("no scaler left the interval: the test shows nothing")


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_a_threshold_beyond_the_type_of_the_rows_is_infinite(container, X):
    rows = container(X.astype(np.float32))
    rbm = make(binarize=1e300).fit(rows)
    np.testing.assert_array_equal(rbm.visible_mean_, 0)
    assert np.ptp(rbm.transform(rows), axis=0).max() == 0


def test_a_data_range_warning_is_a_user_warning():
    assert issubclass(DataRangeWarning, UserWarning)


@pytest.mark.parametrize("threshold", [0, 0.5, 7.5, np.float32(2.0)])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array, sparse.csc_matrix])
def test_binarize_takes_any_numbers(threshold, container):
    rows = np.random.default_rng(0).integers(0, 17, (60, 8))
    rows[rows < 5] = 0
    rbm = make(binarize=threshold).fit(container(rows))
    expected = make().fit(rows > threshold)
    if container is np.asarray:
        np.testing.assert_array_equal(parameters(rbm), parameters(expected))
    close(rbm, expected)
    np.testing.assert_allclose(rbm.visible_mean_, (rows > threshold).mean(axis=0))
    for query in ("transform", "reconstruct", "free_energy", "score_samples"):
        np.testing.assert_allclose(
            getattr(rbm, query)(container(rows)),
            getattr(expected, query)(rows > threshold),
            atol=1e-3,
        )
    np.testing.assert_array_equal(
        rbm.gibbs(container(rows), random_state=0),
        expected.gibbs(rows > threshold, random_state=0),
    )


def test_a_negative_threshold_takes_dense_rows(X):
    rbm = make(binarize=-1.0).fit(-2 * X)
    np.testing.assert_array_equal(parameters(rbm), parameters(make().fit(X == 0)))


@pytest.mark.parametrize("method", ["fit", "transform"])
def test_a_negative_threshold_does_not_fill_sparse_rows(method, X):
    rbm = make(binarize=-1.0).fit(X)
    with pytest.raises(ValueError, match=r"threshold of -1 would.*dense"):
        getattr(rbm, method)(sparse.csr_array(X))


@calls
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_nan_and_infinity_are_errors(call, value, container, X):
    rbm = make().fit(X)
    X[3, 4] = value
    with pytest.raises(ValueError, match="NaN" if np.isnan(value) else "infinity"):
        call(rbm, container(X))


@pytest.fixture
def shared(monkeypatch):
    """Have threads share queries of any size."""
    monkeypatch.setattr(threads, "_FEW_TERMS", 0)
    monkeypatch.setattr(threads, "_FEW_WEIGHTS", 0)


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("options", [{}, {"binarize": 0.5}])
def test_transform_finds_what_is_not_finite_in_any_block(value, dtype, options):
    rows = np.random.default_rng(0).random((3000, 5)).astype(dtype)
    rbm = make(n_jobs=2, **options).fit(rows[:20])
    rbm.components_[:, 2] = 0  # so that infinity times a weight is no number
    for place in [(0, 2), (1023, 0), (1700, 4), (2999, 2)]:
        bad = rows.copy()
        bad[place] = value
        message = "NaN" if np.isnan(value) else "infinity"
        with pytest.raises(ValueError, match=f"Input X contains {message}"):
            rbm.transform(bad)
    rbm.transform(rows)


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("row", [0, 3999])
def test_whoever_vouches_for_finite_rows_is_believed(n_jobs, row):
    rows = np.random.default_rng(0).random((4000, 5))
    rbm = make(n_jobs=n_jobs).fit(rows[:20])
    rows[row] = np.nan
    with config_context(assume_finite=True):
        assert np.isnan(rbm.transform(rows)).any(axis=1).sum() == 1


def test_transform_finds_what_is_not_finite_with_a_single_weight_of_0():
    rbm = BinaryCDRBM(1, n_iter=0, weight_scale=0.0).fit([[0], [1]])
    for rows in ([[np.nan], [1]], [[np.inf]]):
        with pytest.raises(ValueError, match=r"NaN|infinity"):
            rbm.transform(rows)


@pytest.mark.filterwarnings("ignore::skrbm.DataRangeWarning")
def test_transform_takes_finite_values_of_any_size(X):
    rbm = make().fit(X)
    W, c = rbm.components_.T, rbm.intercept_hidden_
    W[...], c[...] = np.finfo(np.float32).max, 0
    X = 1e300 * (X - 0.5)[:, ::-1]  # inputs of hidden units are beyond any float
    with np.errstate(over="ignore", invalid="ignore"):
        assert set(np.unique(rbm.transform(np.abs(X)))) == {1.0}


@pytest.fixture(scope="module")
def queried_in_single_precision():
    rows = np.random.default_rng(0).random((20, 200)).round()
    return BinaryCDRBM(100, n_iter=1, random_state=0).fit(rows)


@pytest.mark.filterwarnings("ignore::skrbm.DataRangeWarning")
@pytest.mark.parametrize(
    "query",
    [*sorted(QUERIES), "inverse_transform", "log_likelihood", "log_partition"],
)
def test_queries_tell_of_values_too_large_for_their_type(
    query, queried_in_single_precision
):
    rbm = queried_in_single_precision
    calls = CALLS | {
        "inverse_transform": lambda rbm, X: rbm.inverse_transform(X[:, :100]),
        "log_likelihood": lambda rbm, X: log_likelihood(rbm, X, log_z=0.0),
        "log_partition": lambda rbm, X: log_partition(
            rbm,
            X,
            betas=3,
            n_chains=100,  # from the rows, so that all of them are among the starts
            n_gibbs_steps=1,
            tolerance=1e9,
            random_state=0,
        ),
    }
    # One row of 20, whose inputs are differences of infinities.
    rows = np.zeros((20, 200))
    rows[7] = 1e39 * np.random.default_rng(0).choice([-1, 1], 200)
    calls[query](rbm, np.sign(rows))
    with pytest.raises(ValueError, match=r"too large for .*float32"):
        calls[query](rbm, rows)


@pytest.mark.filterwarnings("ignore::skrbm.DataRangeWarning")
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_chains_start_from_numbers_whatever_is_vouched_for(
    n_jobs, queried_in_single_precision
):
    rbm = clone(queried_in_single_precision).set_params(n_jobs=n_jobs)
    rbm.fit(np.eye(200))
    rows = np.zeros((2000, 200))
    rows[1999] = 1e39 * np.random.default_rng(0).choice([-1, 1], 200)
    with (
        config_context(assume_finite=True),
        pytest.raises(ValueError, match=r"too large for a Markov chain.*float32"),
    ):
        rbm.gibbs(rows)


@pytest.mark.filterwarnings("ignore::skrbm.DataRangeWarning")
@pytest.mark.parametrize("query", ["free_energy", "score_samples"])
def test_a_score_beyond_single_precision_is_told_of(query, queried_in_single_precision):
    rows = np.zeros((20, 200))
    rows[7, 3] = 1e39
    with pytest.raises(ValueError, match="too large for float32"):
        CALLS[query](queried_in_single_precision, rows)
    # Its features are those of any large number, and so are its chains.
    assert queried_in_single_precision.gibbs(rows).shape == rows.shape
    features = queried_in_single_precision.transform(rows)
    np.testing.assert_array_equal(
        features[7], queried_in_single_precision.components_[:, 3] > 0
    )


@pytest.mark.parametrize("threshold", [0.3, np.float64(0.3), np.float32(0.3)])
@pytest.mark.parametrize("value", [0.1 + 0.2, np.float32(0.3), 0.25])
def test_a_value_next_to_the_threshold_is_on_everywhere_or_nowhere(threshold, value):
    X = np.full((30, 2), value)
    X[::2] = 0
    on = float(threshold) < X
    for rows in (X, sparse.csr_array(X)):
        rbm = make(binarize=threshold).fit(rows)
        np.testing.assert_array_equal(rbm.visible_mean_, on.mean(axis=0))
        expected = make().fit(on.astype(np.float32)).transform(on)
        np.testing.assert_allclose(rbm.transform(rows), expected, atol=1e-5)


@calls
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda X: X[0], "Expected 2D array"),
        (lambda X: X[None], r"(Found array with dim 3|dim 3)"),
        (lambda X: X[:0], "0 sample"),
        (lambda X: X[:, :0], "0 feature"),
        (lambda X: X.astype(complex), "Complex data not supported"),
        (lambda X: X.astype(str), "numeric|strings"),
        (lambda X: X.astype("M8[s]"), r"datetime64\[s\], which are times"),
        (lambda X: X.astype("m8[s]"), r"timedelta64\[s\], which are times"),
        (lambda X: pd.DataFrame(X).astype("datetime64[s]"), "which are times|dtype"),
        (lambda X: np.full(X.shape, "a", object), "could not convert|numeric|strings"),
        (lambda _: None, None),
        (lambda _: 3.0, None),
    ],
)
def test_what_is_no_table_of_numbers_is_an_error(call, wrong, message, X):
    rbm = make().fit(X)
    if call is CALLS["gibbs"] and wrong(X) is not None and np.ndim(wrong(X)) == 1:
        pytest.skip("gibbs takes one row")
    with pytest.raises((ValueError, TypeError), match=message):
        call(rbm, wrong(X))


@calls
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_the_number_of_features_is_checked(call, container, X):
    rbm = make().fit(X)
    if call in (CALLS["fit"], CALLS["fit_transform"]):
        call(rbm, container(X[:, :5]))  # starts anew
        assert rbm.n_features_in_ == 5
    else:
        with pytest.raises(ValueError, match=r"5 features.*8 features"):
            call(rbm, container(X[:, :5]))


def interrupt(*_):
    raise KeyboardInterrupt


def frame(X):
    return pd.DataFrame(X, columns=[f"unit{i}" for i in range(X.shape[1])])


FAILURES = [
    ({"learning_rate": -1}, ValueError),
    ({"early_stopping": True, "validation_fraction": 0.99}, ValueError),
    ({"verbose": False}, KeyboardInterrupt),
]


@pytest.mark.parametrize(("changes", "error"), FAILURES)
@pytest.mark.parametrize("container", [np.asarray, frame])
def test_a_failed_fit_leaves_no_fitted_attributes(
    changes, error, container, X, monkeypatch
):
    monkeypatch.setattr(_estimator, "train", interrupt)
    rbm = make(**changes)
    with pytest.raises(error):
        rbm.fit(container(X))
    assert not [name for name in vars(rbm) if name.endswith("_")]
    with pytest.raises(NotFittedError):
        rbm.transform(X)


@pytest.mark.parametrize(("changes", "error"), FAILURES)
@pytest.mark.parametrize("had_names", [False, True])
def test_a_failed_fit_leaves_what_was_there(changes, error, had_names, X, monkeypatch):
    first, other = (frame(X), X[:, :5]) if had_names else (X, frame(X[:, :5]))
    rbm = make().fit(first)
    before, H = dict(vars(rbm)), rbm.transform(first)
    monkeypatch.setattr(_estimator, "train", interrupt)
    with pytest.raises(error):
        rbm.set_params(**changes).fit(other)
    rbm.set_params(**make().get_params())
    assert vars(rbm).keys() == before.keys()
    np.testing.assert_array_equal(rbm.transform(first), H)


@pytest.mark.parametrize("n_rows", [1, 2])
@pytest.mark.parametrize(
    "changes", [{}, {"persistent": True}, {"statistics": "states"}]
)
def test_few_rows_and_one_column_are_enough(n_rows, changes, X):
    rbm = make(**changes).fit(X[:n_rows, :1])
    assert np.isfinite(rbm.score(X[:, :1]))


@pytest.mark.filterwarnings("ignore::skrbm.DataRangeWarning")
@pytest.mark.parametrize("n_iter", [0, 1])
def test_values_too_large_to_be_trained_on_are_refused(n_iter, X):
    X[3, 4] = 1e39
    with pytest.raises(ValueError, match=r"too large for single precision\. Scale"):
        make(n_iter=n_iter).fit(X)


def test_means_are_summed_in_double_precision():
    X = np.full((5000, 3), 0.1, np.float32)
    rbm = make(n_iter=0).fit(X)
    np.testing.assert_allclose(rbm.visible_mean_, X[0].astype(float), rtol=1e-14)


def texts(X):
    """Yield rows of text, some of which read as numbers."""
    text = X.astype(int).astype(str)
    yield text
    yield text.tolist()
    yield text.astype(object)
    yield pd.DataFrame(text)
    yield pd.DataFrame(text, dtype=object)
    yield pd.DataFrame(text).astype("category")
    polars = pytest.importorskip("polars")
    yield polars.DataFrame(text.tolist(), orient="row")
    yield polars.DataFrame(text.tolist(), orient="row").cast(polars.Categorical)


@pytest.mark.filterwarnings("ignore:X has feature names")
def test_text_is_refused_in_every_container(X):
    rbm = make().fit(X)
    for rows in texts(X):
        for call in (make().fit, rbm.transform, rbm.partial_fit):
            with pytest.raises((TypeError, ValueError), match=r"text|string|numeric"):
                call(rows)


def test_columns_of_times_are_refused_by_name():
    times = [dt.datetime(2020, 1, day, tzinfo=dt.UTC) for day in (1, 2)]
    frame = pd.DataFrame({"when": times, "on": [0, 1]})
    frames = [frame, frame.assign(when=pd.to_timedelta([1, 2], unit="s"))]
    polars = pytest.importorskip("polars")
    others = [
        times,
        [time.date() for time in times],
        [time.time() for time in times],
        [dt.timedelta(1), dt.timedelta(2)],
    ]
    frames += [polars.DataFrame({"when": values, "on": [0, 1]}) for values in others]
    for rows in frames:
        with pytest.raises(TypeError, match=r"'when' of X holds .* are times"):
            make(binarize=0.5).fit(rows)


def test_a_mask_without_masked_values_is_an_array(X):
    rows = np.ma.masked_array(X, np.zeros_like(X, bool))
    np.testing.assert_array_equal(
        make().fit(rows).components_, make().fit(X).components_
    )


def test_the_column_that_is_furthest_off_is_named(X):
    frame = pd.DataFrame(X, columns=[f"c{i}" for i in range(8)])
    frame["c5"] *= 4254
    with pytest.warns(DataRangeWarning, match="The column 'c5' is furthest off"):
        make(learning_rate=1e-6).fit(frame)
    with pytest.warns(DataRangeWarning, match="The column 5 is furthest off"):
        make(learning_rate=1e-6).fit(frame.to_numpy())
    with pytest.raises(TypeError, match="'b' in the column 'c2'"):
        make().fit(frame.astype(object).assign(c2="b"))
