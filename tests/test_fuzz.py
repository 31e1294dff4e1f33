"""Any rows in any container, with any hyper-parameters: an answer or an error.

Hypothesis draws the cases, the same ones each time.  ``SKRBM_FUZZ=50000 pytest
tests/test_fuzz.py`` draws that many, and others each time.
"""

import contextlib
import datetime as dt
import io
import itertools
import os
import pickle
import tempfile
import warnings
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from skrbm import BinaryCDRBM, DataRangeWarning, DivergenceError
from skrbm._hyperparameters import RULES
from skrbm.metrics import log_likelihood, log_partition, sampling_diagnostics

CASES = int(os.environ.get("SKRBM_FUZZ", "2000"))
DOCUMENTED = TypeError, ValueError, NotFittedError, DivergenceError


def fuzz(share):
    """Run a test on this share of the cases."""
    return settings(
        max_examples=max(1, round(share * CASES)),
        derandomize="SKRBM_FUZZ" not in os.environ,
        deadline=None,
        database=None,
    )


# -- rows --------------------------------------------------------------------------


class Case(NamedTuple):
    """Rows in some container, and what they stand for."""

    name: str
    X: Any
    table: Any  # (n, n_features) in double precision, NaN where missing

    @property
    def n_rows(self):
        return len(self.table)

    @property
    def n_columns(self):
        return self.table.shape[1]

    @property
    def is_sparse(self):
        return sparse.issparse(self.X)

    @property
    def is_out_of_range(self):
        """Whether some value is, and none is infinite, of which there is an error."""
        finite = self.table[~np.isnan(self.table)]
        outside = (finite < -1e-6) | (finite > 1 + 1e-6)
        return bool(outside.any() and np.isfinite(finite).all())

    @property
    def has_gaps(self):
        return bool(np.isnan(self.table).any())

    @property
    def is_moderate(self):
        return not (np.abs(self.table) > 1e6).any()  # NaN is


FLOATS = [np.float16, np.float32, np.float64, np.longdouble, ">f4", ">f8"]
INTEGERS = [f"{sign}{size}" for sign in "iu" for size in (1, 2, 4, 8)] + [">i4", ">u2"]
SPECIAL = [np.nan, np.inf, -np.inf, -0.0, 1e-310, 1 + 1e-9, 7.0, -2.0, 1e39, -1e300]


def strided(x):
    wide = np.full((2 * x.shape[0] + 1, 3 * x.shape[1] + 1), 1, x.dtype)
    wide[1::2, 1::3] = x
    return wide[1::2, 1::3]


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


def unaligned(x):
    raw = np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:]
    return raw.view(x.dtype).reshape(x.shape)


def memory_map(x):
    with tempfile.TemporaryFile() as file:
        mapped = np.memmap(file, x.dtype, "w+", shape=x.shape)
    mapped[...] = x
    return mapped


def masked(x):
    gaps = np.isnan(x) if x.dtype.kind == "f" else np.zeros(x.shape, bool)
    return np.ma.masked_array(np.where(gaps, x.dtype.type(1), x), gaps)


def with_none(x):
    return [[None if v != v else v for v in row] for row in x.tolist()]  # noqa: PLR0124


def native(x):
    """Return x in a type that frames and sparse matrices have too."""
    known = x.dtype.isnative and x.dtype not in (np.float16, np.longdouble)
    return x if known else x.astype(np.float64)


def frame(x):
    return pd.DataFrame(native(x), columns=names(x))


def nullable(x):
    kind = {"f": "Float64", "b": "boolean"}.get(x.dtype.kind)
    kind = kind or ("Int64" if x.dtype.kind == "i" else "UInt64")
    return frame(x).astype(kind)


def names(x):
    return [f"unit {i}" for i in range(x.shape[1])]


def polars_nulls(x):
    return FRAMES["polars"](x).fill_nan(None)


def messy(x):
    """Return every value as two, itself and 0, from the last column to the first."""
    x = native(x)
    n, n_columns = x.shape
    data = np.stack([x, np.zeros_like(x)], axis=2)[:, ::-1].ravel()
    indices = np.tile(np.repeat(np.arange(n_columns)[::-1], 2), n)
    indptr = np.arange(n + 1) * 2 * n_columns
    return sparse.csr_array((data, indices, indptr), x.shape)


ARRAYS = {
    "array": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "strided": strided,
    "reversed": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
    "read-only": read_only,
    "unaligned": unaligned,
    "memory map": memory_map,
    "masked": masked,
    "objects": lambda x: x.astype(object),
    "list": lambda x: x.tolist(),
    "list with None": with_none,
    "tuple of rows": tuple,
}
FRAMES = {
    "pandas": frame,
    "pandas, nullable": nullable,
    "pandas, objects": lambda x: frame(x).astype(object),
    "pandas, categories": lambda x: frame(x).astype("category"),
    "polars": lambda x: pl.DataFrame(native(x), names(x), orient="row"),
    "polars, nulls": polars_nulls,
}
SPARSE = {
    name: lambda x, name=name: getattr(sparse, name)(native(x))
    for form in ("csr", "csc", "coo", "lil", "bsr", "dok")
    for name in (f"{form}_array", f"{form}_matrix")
}
SPARSE["csr_array, messy"] = messy
CONTAINERS = ARRAYS | FRAMES | SPARSE


@st.composite
def values(draw, n_columns=None, most_rows=12, most_columns=6, *, special=True):
    """Draw a table of numbers, in its type."""
    n_columns = n_columns or draw(st.integers(1, most_columns))
    shape = draw(st.integers(1, most_rows)), n_columns
    dtype = np.dtype(draw(st.sampled_from([bool, *FLOATS * 3, *INTEGERS])))
    kind = draw(
        st.sampled_from(
            {
                "b": ["binary"],
                "u": ["binary", "levels"],
                "i": ["binary", "binary", "levels", "signed"],
                "f": ["binary", "binary", "grey", "grey", "levels", "signed"],
            }[dtype.kind]
        )
    )
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    share = draw(st.sampled_from([0.0, 0.2, 0.5, 1.0]))
    x = {
        "binary": lambda: rng.random(shape) < share,
        "grey": lambda: rng.random(shape) * share,
        "levels": lambda: rng.integers(0, 17, shape),
        "signed": lambda: rng.integers(-3, 4, shape),
    }[kind]().astype(dtype)
    if dtype.kind == "f":
        x[rng.random(shape) < draw(st.sampled_from([0, 0, 0.3, 0.3, 1]))] = np.nan
    if special and draw(st.integers(0, 3)) == 0:
        odd = {"f": SPECIAL, "b": [True]}.get(dtype.kind) or [np.iinfo(dtype).max]
        place = tuple(rng.integers(shape))
        with np.errstate(all="ignore"):
            x[place] = np.asarray(draw(st.sampled_from(odd))).astype(dtype)
    return x


@st.composite
def cases(draw, containers=tuple(CONTAINERS), **options):
    x = draw(values(**options))
    name = draw(st.sampled_from(containers))
    with np.errstate(all="ignore"):
        return Case(name, CONTAINERS[name](x), x.astype(np.float64))


TIMES = [dt.datetime(2020, 1, 1, tzinfo=dt.UTC)] * 2
NO_TABLES = [
    None,
    3.0,
    "text",
    b"bytes",
    [1.0, 0.0],
    [[1, 0], [1]],
    [["a", "b"]],
    [["0", "1"]],
    [[b"0", 1]],
    [[1, object()]],
    [[{}, 1]],
    [[1j, 0]],
    [[10**400, 0]],
    [[[0, 1]]],
    {"unit": [0, 1]},
    {0, 1},
    range(3),
    object(),
    np.array(1),
    np.zeros((2, 2)).view(np.matrix),
    np.zeros((0, 3)),
    np.zeros((3, 0)),
    np.zeros((2, 3, 1)),
    np.array([["0", "1"]], object),
    np.zeros(2, [("a", float)]),
    np.zeros((2, 2), "M8[s]"),
    np.zeros((2, 2), "m8[s]"),
    np.zeros((2, 2), "V4"),
    np.array([TIMES], object),
    pd.DataFrame({"when": TIMES, "on": [0, 1]}),
    pd.DataFrame({"text": ["0", "1"]}),
    pd.DataFrame({"text": ["0", "1"]}, dtype="category"),
    pd.DataFrame(),
    pd.Series([0, 1]),
    pl.DataFrame({"when": TIMES, "on": [0, 1]}),
    pl.DataFrame({"text": ["0", "1"]}),
    pl.DataFrame(),
    pl.Series([0, 1]),
    sparse.csr_array((0, 3)),
    sparse.csr_array((3, 0)),
    sparse.csr_array([[1j]]),
]


def contents(X):
    """Return all that X holds, as something to compare with."""
    if isinstance(X, np.ma.MaskedArray):
        return X.data.tobytes(), np.ma.getmaskarray(X).tobytes()
    if isinstance(X, np.ndarray) and X.dtype != object:
        return X.tobytes(), X.dtype, X.shape, X.strides, X.flags.writeable
    if sparse.issparse(X):
        parts = "data", "indices", "indptr", "row", "col", "rows"
        held = [np.asarray(getattr(X, part)) for part in parts if hasattr(X, part)]
        held = [part.tolist() for part in held if part.ndim]
        return repr((X.format, X.shape, held or list(X.items())))
    if isinstance(X, pd.DataFrame):
        return repr((X.to_numpy(object).tolist(), list(X.dtypes), list(X.columns)))
    if isinstance(X, pl.DataFrame):
        return repr((X.rows(), X.schema))
    return repr(X.tolist() if isinstance(X, np.ndarray) else X)


# -- hyper-parameters --------------------------------------------------------------

# What suits any rows; what may end in a documented error; what is refused.
GENTLE = {
    "n_components": [1, 2, np.int8(3), 11, 13],
    "learning_rate": ["auto", 0.1, Fraction(1, 10), np.float16(0.01), 1e-300],
    "batch_size": ["auto", 1, 3, np.int64(7), 10**30],
    "n_iter": [0, 1, 2, np.uint8(3)],
    "n_gibbs_steps": [1, 2, np.int16(3)],
    "persistent": [False, True, np.True_],
    "n_chains": ["auto", 1, 2, 7, 30],
    "n_temperatures": ["auto", 1, 2, 5],
    "statistics": ["auto", "probabilities", "states"],
    "centered": [True, False, np.False_],
    "momentum": [0, 0.0, 0.5, np.float32(0.9)],
    "weight_decay": ["auto", 0, 1e-300, 0.01],
    "sparsity_target": [0.1, 1e-300, 1 - 2**-53, np.float32(0.5)],
    "sparsity_cost": ["auto", 0, 0.1],
    "learning_rate_schedule": ["auto", "constant", "linear", "cosine"],
    "average": ["auto", None, 1, 2, 10**30, 0.5, 1e-300, 1 - 2**-53],
    "weight_scale": [0, 0.01, 1.0, 1e-300],
    "visible_intercept_init": ["logit", 0, -3.0, Fraction(1, 2)],
    "hidden_intercept_init": ["auto", 0, 2.5],
    "shuffle": [True, False],
    "warm_start": [True, False],
    "early_stopping": [False],
    "validation_fraction": [0.1, 1e-300, 1 - 2**-53],
    "n_iter_no_change": [1, 5, 10**30],
    "tol": [0, 1e-4, 1e300],
    "handle_missing": ["error", "sample"],
    "n_jobs": [None, 1, 2, -1, -100, np.int32(2)],
    "verbose": [0, 1, True, 10**30],
    "random_state": [None, 0, 2**32 - 1, np.int64(3), np.random.RandomState(0)],
}
EXTREME = {
    "learning_rate": [1, 100.0, 1e30, 1e300],
    "momentum": [1 - 2**-53],
    "weight_decay": [1, 10.0, 1e300],
    "sparsity_cost": [100, 1e30, 1e300],
    "weight_scale": [20, 1e30, 1e300],
    "visible_intercept_init": [100, -1e30, 1e300],
    "hidden_intercept_init": [-100, 1e30, -1e300],
    "early_stopping": [True, np.True_],
    "binarize": [None, 0, 0.5, -1, 3, 1e300, "mean", [0.5], [0, 1.0], [-1.0] * 3],
}
WRONG_ANYWHERE = ["x", b"auto", 1j, object(), {}, np.eye(2), [["a"]], float("nan")]
WRONG = {
    "n_components": [0, -1, 2.0, True, None, 2**31, "auto"],
    "learning_rate": [0, -1, np.inf, True, None, 10**400, -(10**400)],
    "batch_size": [0, 2.0, True, None],
    "n_iter": [-1, 1.5, False, None],
    "n_gibbs_steps": [0, 1.0, "auto"],
    "persistent": [0, 1, None],
    "n_chains": [0, 2**31, 1.5, None],
    "n_temperatures": [0, 2**31, 1.5],
    "statistics": ["Auto", None, 1],
    "centered": [0, None],
    "momentum": [1, -0.1, True, 1 - 2**-60, Fraction(10**30 - 1, 10**30)],
    "weight_decay": [-1e-300, np.inf, None],
    "sparsity_target": [0, 1, "auto", Fraction(1, 10**400)],
    "sparsity_cost": [-1, np.inf],
    "learning_rate_schedule": ["step", None],
    "average": [0, 1.0, -1, True, 2.5, np.inf],
    "weight_scale": [-1, np.inf, "auto"],
    "visible_intercept_init": [np.inf, None, True],
    "hidden_intercept_init": [-np.inf, "logit"],
    "shuffle": [0, "auto"],
    "warm_start": [1],
    "early_stopping": ["auto", 1],
    "validation_fraction": [0, 1, -1, 10],
    "n_iter_no_change": [0, 1.0],
    "tol": [-1e-300, np.inf],
    "binarize": [
        np.inf,
        True,
        "median",
        [[0.5]],
        [np.nan],
        ["a"],
        [None],
        [[1], [1, 2]],
    ],
    "handle_missing": ["drop", None, True],
    "n_jobs": [0, 1.0, "all"],
    "verbose": [-1, 0.5, None],
    "random_state": [-1, 2**32, 0.5, "0", np.random.default_rng(0)],
}
FAST = {"n_components": 2, "n_iter": 2, "n_jobs": 1, "random_state": 0}


@st.composite
def some_of(draw, choices, least, most):
    """Draw a few hyper-parameters, and a value of each."""
    chosen = draw(
        st.lists(
            st.sampled_from(sorted(choices)), min_size=least, max_size=most, unique=True
        )
    )
    return {name: draw(st.sampled_from(choices[name])) for name in chosen}


gentle = some_of(GENTLE, 0, 4)
extreme = some_of(EXTREME, 1, 2)


def test_every_hyper_parameter_is_drawn():
    assert GENTLE.keys() | EXTREME.keys() == RULES.keys() == WRONG.keys()


# -- what every call comes to ------------------------------------------------------


def learnt(rbm):
    """Return all that a fit has set."""
    held = sorted(vars(rbm).keys() - rbm.get_params().keys())
    return pickle.dumps([(name, getattr(rbm, name)) for name in held])


class Outcome(NamedTuple):
    result: Any
    error: Any
    told: list  # categories of warnings


def outcome(call, n_tables=1):
    """Return a result or a documented error, with no warning but documented ones."""
    result = error = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                result = call()
        except DOCUMENTED as raised:
            error = raised
            assert str(error).strip()
    told = [warning.category for warning in caught]
    for warning in caught:
        assert issubclass(warning.category, DataRangeWarning | ConvergenceWarning), (
            warning.message
        )
    assert told.count(DataRangeWarning) <= n_tables
    return Outcome(result, error, told)


def answer(call):
    """Return a result that there has to be."""
    result, error, _ = outcome(call)
    if error is not None:
        raise error
    return result


def is_double(case):
    """Return whether answers are in double precision; None where frames decide."""
    dtype = getattr(case.X, "dtype", None)
    if case.name in FRAMES or dtype is None or dtype == np.longdouble:
        return None
    if np.ma.is_masked(case.X):
        return dtype.itemsize > 4 or None
    return dtype.type in (np.float64, np.object_)


def check_answer(name, found, case, n_components):
    """Check what a query returned, as far as no model is needed for it."""
    n, n_columns = case.table.shape
    shape = {
        "transform": (n, n_components),
        "free_energy": (n,),
        "score_samples": (n,),
        "score": (),
    }.get(name, (n, n_columns))
    assert np.shape(found) == shape
    assert np.isfinite(found).all()
    if name in ("transform", "reconstruct"):
        assert ((found >= 0) & (found <= 1)).all()
        assert found.dtype in (np.float32, np.float64)
        if is_double(case) is not None:
            assert (found.dtype == np.float64) == is_double(case)
    if name in ("score_samples", "score"):
        assert np.max(found) <= 1e-9
    if name == "gibbs":
        assert found.dtype == bool


QUERIES = {
    "transform": lambda rbm, X: rbm.transform(X),
    "reconstruct": lambda rbm, X: rbm.reconstruct(X),
    "free_energy": lambda rbm, X: rbm.free_energy(X),
    "score_samples": lambda rbm, X: rbm.score_samples(X),
    "score": lambda rbm, X: rbm.score(X),
    "gibbs": lambda rbm, X: rbm.gibbs(X, random_state=0),
    "complete": lambda rbm, X: rbm.complete(X, n_gibbs_steps=4),
    "sample": lambda rbm, X: rbm.complete(X, method="sample", n_gibbs_steps=4),
}


def check_query(name, rbm, case):
    """Check that a query of a fitted model answers, or says why not."""
    before = contents(case.X)
    found, error, told = outcome(lambda: QUERIES[name](rbm, case.X))
    assert contents(case.X) == before
    may_lack = rbm.handle_missing == "sample" or name in ("complete", "sample")
    if np.isinf(case.table).any() or (case.has_gaps and not may_lack):
        assert isinstance(error, ValueError)
        assert any(
            word in str(error) for word in ("NaN", "infinity", "missing", "large")
        )
        return
    assert (DataRangeWarning in told) == (case.is_out_of_range and rbm.binarize is None)
    if error is not None:
        if case.is_moderate:
            raise error
        assert "too large" in str(error)
        return
    check_answer(name, found, case, len(rbm.components_))
    if name in ("complete", "sample") and rbm.binarize is None:
        seen = ~np.isnan(case.table)
        with np.errstate(over="ignore"):
            held = case.table.astype(found.dtype)
        np.testing.assert_array_equal(found[seen], held[seen])


def check_fitted(rbm, case, *, threshold, weights=None):
    """Check the attributes of a fitted model."""
    n_columns, n_components = case.n_columns, int(rbm.n_components)
    assert rbm.components_.shape == (n_components, n_columns)
    assert rbm.intercept_hidden_.shape == (n_components,)
    assert rbm.intercept_visible_.shape == (n_columns,)
    for name in ("components_", "intercept_hidden_", "intercept_visible_"):
        assert np.isfinite(getattr(rbm, name)).all()
    assert rbm.n_features_in_ == n_columns
    v = case.table
    if threshold is not None:
        v = np.where(np.isnan(v), np.nan, v > threshold)
    w = np.ones(case.n_rows) if weights is None else np.asarray(weights, float)
    seen = ~np.isnan(v)
    total = w @ seen
    mean = np.where(seen, v, 0).T @ (w / w.max())
    mean = np.where(total > 0, mean / np.where(total > 0, total / w.max(), 1), 0.5)
    np.testing.assert_allclose(rbm.visible_mean_, mean, rtol=1e-5, atol=1e-5)
    for values in rbm.history_.values():
        assert values.shape == (rbm.n_iter_,)
    assert rbm.kept_epoch_ <= rbm.n_iter_ <= rbm.n_iter


def is_trainable(case, rbm):
    """Whether rows and hyper-parameters go together."""
    in_range = not case.is_out_of_range or rbm.binarize is not None
    finite = not np.isinf(case.table).any()
    whole = not case.has_gaps or rbm.handle_missing == "sample"
    return finite and whole and in_range and case.is_moderate


SIZES = {
    "_estimator.SMALL": [0, 1 << 14],
    "_core.missing.FEW_HIDDEN": [0, 10],
    "_core.missing._BLOCK": [1, 64, 1 << 20],
    "_core.rows._LONG_CALL": [1, 1 << 22],
    "_core.rows.ROWS": [1, 1024],
    "_core.pseudo_likelihood._UNITS": [1, 3, 1024],
    "_core.pseudo_likelihood._PRODUCTS": [1, 1 << 16],
    "_core.pseudo_likelihood._TERMS": [1, 1 << 16],
    "_core.pseudo_likelihood._LARGEST_GROUP": [1, 3, 4],
    "_core.threads._FEW_TERMS": [0, 1 << 24],
    "_core.threads._FEW_WEIGHTS": [0, 1 << 14],
}


@st.composite
def sizes(draw):
    """Draw where work is cut."""
    return {key: draw(st.sampled_from(found)) for key, found in SIZES.items()}


@contextlib.contextmanager
def cut(chosen):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in chosen.items():
            patch.setattr(f"skrbm.{name}", value)
        yield


# -- tests ---------------------------------------------------------------------------


@fuzz(0.2)
@given(cases(), gentle, st.data())
def test_rows_that_suit_the_model_are_trained_on(case, how, data):
    rbm, before = BinaryCDRBM(**FAST | how), contents(case.X)
    weights = data.draw(
        st.none()
        | st.lists(
            st.sampled_from([0, 1, 2.5, 1e-6]),
            min_size=case.n_rows,
            max_size=case.n_rows,
        ).filter(any)
    )
    fit = data.draw(st.sampled_from(["fit", "fit", "partial_fit"]))
    _, error, told = outcome(lambda: getattr(rbm, fit)(case.X, sample_weight=weights))
    assert contents(case.X) == before
    if not is_trainable(case, rbm):
        if error is None:
            assert DataRangeWarning in told
        else:
            assert not [name for name in vars(rbm) if name.endswith("_")]
        return
    if error is not None:
        raise error
    assert DataRangeWarning not in told
    if fit == "fit":
        check_fitted(rbm, case, threshold=None, weights=weights)
    with cut(data.draw(sizes())):
        for name in QUERIES:
            check_query(name, rbm, case)


@fuzz(0.15)
@given(cases(), some_of(GENTLE, 0, 2), extreme, st.data())
def test_extremes_end_in_a_model_or_an_error(case, how, extremes, data):
    rbm, before = BinaryCDRBM(**FAST | how | extremes), contents(case.X)
    other = data.draw(st.none() | cases(n_columns=case.n_columns))
    valid = None if other is None or other.name in FRAMES else other.X
    if case.name in FRAMES:
        valid = None
    weights = data.draw(st.none() | st.sampled_from([1e-320, 1e-100, 1e100, 1e308]))
    if weights is not None:
        weights = np.full(case.n_rows, weights)
    how = {"X_val": valid, "sample_weight": weights}
    _, error, _ = outcome(lambda: rbm.fit(case.X, **how), n_tables=2)
    assert contents(case.X) == before
    if error is None:
        for values in (rbm.components_, rbm.intercept_visible_, rbm.intercept_hidden_):
            assert np.isfinite(values).all()
        small = data.draw(st.sampled_from([0, 1 << 14]))
        for name, query in QUERIES.items():
            with cut({"_estimator.SMALL": small}):
                found, _, _ = outcome(partial(query, rbm, case.X))
            if found is not None:
                check_answer(name, found, case, len(rbm.components_))
    elif not isinstance(error, DivergenceError):
        assert not [name for name in vars(rbm) if name.endswith("_")]


@pytest.mark.parametrize("name", sorted(WRONG))
@fuzz(0.002)
@given(case=cases(), how=gentle)
def test_what_is_no_hyper_parameter_is_named(name, case, how):
    rbm = BinaryCDRBM(**FAST).fit([[0, 1], [1, 0]])
    before = learnt(rbm)
    for value in WRONG[name] + WRONG_ANYWHERE:
        rbm.set_params(**how | {name: value})
        for call in (rbm.fit, rbm.partial_fit, rbm.fit_transform):
            _, error, _ = outcome(partial(call, case.X))
            assert type(error) in (TypeError, ValueError), value
            assert name in str(error)
            assert learnt(rbm) == before


@fuzz(0.05)
@given(st.sampled_from(NO_TABLES), gentle, st.data())
def test_what_is_no_table_is_refused(X, how, data):
    rbm = BinaryCDRBM(**FAST | how)
    fit = data.draw(st.sampled_from(["fit", "partial_fit", "fit_transform"]))
    _, error, _ = outcome(lambda: getattr(rbm, fit)(X))
    assert isinstance(error, TypeError | ValueError)
    assert not [name for name in vars(rbm) if name.endswith("_")]
    _, error, _ = outcome(lambda: rbm.transform([[0, 1]]))
    assert isinstance(error, NotFittedError)
    fitted = BinaryCDRBM(**FAST).fit([[0, 1], [1, 0]])
    if len(getattr(X, "columns", [])):
        fitted.feature_names_in_ = np.array(X.columns, object)
    before = learnt(fitted)
    for call in (getattr(fitted, fit), *(partial(q, fitted) for q in QUERIES.values())):
        found, error, _ = outcome(lambda call=call: call(X))
        one_row = np.ndim(found) == 1  # which `gibbs` takes
        assert one_row or isinstance(error, TypeError | ValueError)
        assert learnt(fitted) == before


@fuzz(0.05)
@given(cases(special=False), gentle, st.data())
def test_weights_are_numbers_one_a_row(case, how, data):
    w = data.draw(
        st.sampled_from(
            [
                1.0,
                "w",
                [],
                np.ones(case.n_rows + 1),
                np.ones((case.n_rows, 1)),
                np.full(case.n_rows, np.nan),
                np.full(case.n_rows, np.inf),
                np.full(case.n_rows, -1),
                np.zeros(case.n_rows),
                [None] * case.n_rows,
                [1j] * case.n_rows,
                sparse.csr_array(np.ones((case.n_rows, 1))),
            ]
        )
    )
    rbm = BinaryCDRBM(**FAST | how | {"handle_missing": "sample"})
    for call in (rbm.fit, rbm.partial_fit):
        _, error, _ = outcome(lambda call=call: call(case.X, sample_weight=w))
        assert isinstance(error, TypeError | ValueError)


# -- the same rows in other containers ----------------------------------------------


def fitted(case, how):
    return answer(lambda: BinaryCDRBM(**FAST | how).fit(case.X))


@fuzz(0.1)
@given(cases(special=False, most_rows=20), gentle)
def test_a_container_makes_no_difference(case, how):
    how |= {"handle_missing": "sample", "random_state": 0}
    plain = case._replace(name="array", X=case.table)
    rbm, right = fitted(case, how), fitted(plain, how)
    if not case.is_sparse:
        np.testing.assert_array_equal(rbm.components_, right.components_)
    elif not case.is_out_of_range and not case.has_gaps:
        # Other sums are rounded otherwise, and gaps are drawn in another order.
        np.testing.assert_allclose(rbm.components_, right.components_, atol=2e-4)
    # The same model, which has no names of columns.
    rbm = pickle.loads(pickle.dumps(right))
    if case.name in FRAMES:
        rbm.feature_names_in_ = np.array(names(case.table), object)
    for query in QUERIES.values():
        found = answer(partial(query, right, case.table))
        again = answer(partial(query, rbm, case.X))
        np.testing.assert_allclose(again, found, rtol=2e-6, atol=2e-6)


# -- sums over all states ------------------------------------------------------------


def states(n):
    return np.array(list(itertools.product([0.0, 1.0], repeat=n))).reshape(2**n, n)


def enumerated(model, row):
    """Return F, score, P(v | o) and P(h | o) of a row by sums over all states."""
    W, b, c = model
    H = states(len(c))

    def joint(o):
        """Return log weights over the states of gaps and hidden units, and v."""
        gaps = np.isnan(o)
        v = np.tile(o, (2 ** int(gaps.sum()), 1))
        v[:, gaps] = states(int(gaps.sum()))
        return (v @ b)[:, None] + (v @ W) @ H.T + H @ c, v

    def free(o):
        return -logsumexp(joint(o)[0])

    table, v = joint(row)
    p = np.exp(table - logsumexp(table))
    F, score = free(row), 0.0
    for i in np.flatnonzero(~np.isnan(row)):
        flipped = row.copy()
        flipped[i] = 1 - row[i]
        score -= np.logaddexp(0, F - free(flipped))
    hidden = p.sum(axis=0) @ H
    back = 1 / (1 + np.exp(np.clip(-(b + W @ hidden), -700, 700)))
    return F, score, np.where(np.isnan(row), p.sum(axis=1) @ v, row), hidden, back


@st.composite
def models(draw, n_columns):
    """Draw a model whose parameters are set by hand."""
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    n_components = draw(st.integers(1, 6))
    scale = draw(st.sampled_from([0.0, 0.1, 1.0, 5.0, 40.0]))
    W = rng.normal(size=(n_columns, n_components)) * scale
    b, c = rng.normal(size=n_columns) * scale, rng.normal(size=n_components) * scale
    rbm = BinaryCDRBM(n_components, random_state=0)
    rbm.components_, rbm.intercept_visible_, rbm.intercept_hidden_ = W.T, b, c
    return rbm


def model_for(case, data):
    """Draw a model for rows with gaps, with the names of their columns."""
    rbm = data.draw(models(case.n_columns)).set_params(handle_missing="sample")
    if case.name in FRAMES:
        rbm.feature_names_in_ = np.array(names(case.table), object)
    return rbm


@fuzz(0.15)
@given(cases(special=False, most_rows=6), st.data())
def test_answers_are_sums_over_all_states(case, data):
    rbm = model_for(case, data)
    if case.is_out_of_range:
        thresholds = [0.5, [2.0] * case.n_columns, np.arange(case.n_columns) + 0.5]
        rbm.set_params(binarize=data.draw(st.sampled_from([None, *thresholds])))
    v = case.table
    if rbm.binarize is not None:
        v = np.where(np.isnan(v), np.nan, v > np.asarray(rbm.binarize))
    model = rbm.components_.T, rbm.intercept_visible_, rbm.intercept_hidden_
    F, score, visible, hidden, back = map(
        np.array, zip(*(enumerated(model, row) for row in v), strict=True)
    )
    size = 1 + max(np.abs(F).max(), np.abs(score).max())
    chosen = data.draw(sizes())
    single = not chosen["_estimator.SMALL"]
    with cut(chosen):
        for name, right in (
            ("transform", hidden),
            ("reconstruct", back),
            ("complete", visible),
            ("free_energy", F),
            ("score_samples", score),
        ):
            found = answer(lambda name=name: QUERIES[name](rbm, case.X))
            tolerance = 1e-4 if single else 2e-6 if found.dtype == np.float32 else 1e-8
            limit = tolerance * (
                size if found.ndim == 1 else 1 + np.nanmax(np.abs(v), initial=0)
            )
            np.testing.assert_allclose(found, right, rtol=0, atol=limit, err_msg=name)


@fuzz(0.05)
@given(st.integers(1, 6), st.data())
def test_probabilities_add_up_to_one(n_columns, data):
    rbm = data.draw(models(n_columns))
    n_jobs = data.draw(st.sampled_from([1, 2]))
    V = states(n_columns)
    with cut(data.draw(sizes()) | {"_estimator.SMALL": 1 << 14}):
        log_p = answer(lambda: log_likelihood(rbm, V, n_jobs=n_jobs))
    np.testing.assert_allclose(np.exp(log_p).sum(), 1, rtol=1e-8)
    # Of rows with gaps: the sum over what fits.
    gaps = data.draw(st.lists(st.booleans(), min_size=n_columns, max_size=n_columns))
    row = np.where(gaps, np.nan, V[-1])
    rbm.set_params(handle_missing="sample")
    fits = (np.isnan(row) | (row == V)).all(axis=1)
    found = answer(lambda: log_likelihood(rbm, row[None]))
    np.testing.assert_allclose(found[0], logsumexp(log_p[fits]), rtol=1e-8, atol=1e-8)


@fuzz(0.03)
@given(cases(special=False, containers=("array", "csr_array")), st.data())
def test_the_threshold_is_the_one_that_was_set_last(case, data):
    each = np.arange(case.n_columns) / 4
    thresholds = st.sampled_from([None, 0.5, 0, each, each.tolist(), "mean"])
    first, last = data.draw(thresholds), data.draw(thresholds)
    rbm = BinaryCDRBM(**FAST, handle_missing="sample", binarize=first)
    _, error, _ = outcome(lambda: rbm.fit(case.X))
    if error is not None:  # a mean below 0
        assert case.is_sparse
        return
    found, error, _ = outcome(lambda: rbm.set_params(binarize=last).transform(case.X))
    if isinstance(last, str):
        if np.ndim(first) == 0 and not isinstance(first, str):  # no means were taken
            assert isinstance(error, ValueError)
            return
        last = rbm.threshold_
    v = case.table
    if last is not None:
        v = np.where(np.isnan(v), np.nan, v > last)
    right = answer(lambda: rbm.set_params(binarize=None).transform(v))
    np.testing.assert_allclose(found, right, atol=1e-5)


# -- what makes no difference --------------------------------------------------------


@fuzz(0.1)
@given(cases(special=False, containers=("array", "csr_array")), st.data())
def test_a_row_is_answered_as_if_it_were_alone(case, data):
    rbm = model_for(case, data)
    n = data.draw(st.sampled_from([1, 10, 40]))
    order = np.random.default_rng(n).permutation(n * case.n_rows)
    X = case.X[order % case.n_rows]
    jobs = data.draw(st.sampled_from([1, 2, 3]))
    other = pickle.loads(pickle.dumps(rbm)).set_params(n_jobs=jobs)
    chosen = data.draw(sizes()) | {"_estimator.SMALL": 1 << 14}
    for name in QUERIES.keys() - {"score", "gibbs", "sample"}:
        right = answer(lambda name=name: QUERIES[name](rbm, case.X))
        with cut(chosen):
            found = answer(lambda name=name: QUERIES[name](other, X))
        size = 1 + np.abs(right).max()
        np.testing.assert_allclose(
            found, right[order % case.n_rows], rtol=0, atol=1e-6 * size
        )
    for name in ("gibbs", "sample"):
        with cut(chosen):
            query = QUERIES[name]
            found = [answer(partial(query, model, X)) for model in (rbm, other)]
        np.testing.assert_array_equal(*found)


@fuzz(0.1)
@given(cases(special=False, most_rows=30), gentle, some_of(EXTREME, 0, 1), st.data())
def test_training_depends_on_nothing_but_its_seed(case, how, extremes, data):
    how = FAST | how | {"handle_missing": "sample", "random_state": 5} | extremes
    rbm = BinaryCDRBM(**how)
    again = BinaryCDRBM(**how | {"n_jobs": data.draw(st.sampled_from([2, 3]))})
    with cut(data.draw(sizes())):
        _, error, _ = outcome(lambda: rbm.fit(case.X))
        _, other, _ = outcome(lambda: again.fit(case.X))
    assert type(error) is type(other)
    assert str(error) == str(other)
    if not hasattr(rbm, "components_"):
        return
    np.testing.assert_array_equal(rbm.components_, again.components_)
    for name in rbm.history_.keys() - {"seconds"}:
        np.testing.assert_array_equal(rbm.history_[name], again.history_[name])
    copied = pickle.loads(pickle.dumps(rbm))
    for model in (rbm, copied):
        model.set_params(warm_start=True)
        outcome(lambda model=model: model.fit(case.X))
        outcome(lambda model=model: model.partial_fit(case.X))
    np.testing.assert_array_equal(rbm.components_, copied.components_)
    np.testing.assert_array_equal(rbm.visible_mean_, copied.visible_mean_)


# -- drawing -----------------------------------------------------------------------


ROWS = [list, tuple, np.array, pd.Series]


@fuzz(0.05)
@given(st.integers(1, 6), st.data())
def test_what_is_given_is_held(n_columns, data):
    rbm = data.draw(models(n_columns))
    row = data.draw(
        st.lists(
            st.sampled_from([0, 1, np.nan, True, None, 0.3]),
            min_size=n_columns,
            max_size=n_columns,
        )
    )
    n, form = data.draw(st.sampled_from([1, 3])), data.draw(st.sampled_from(ROWS))
    given_row = form(row)
    if form is pd.Series:
        given_row.index = names(np.empty((1, n_columns)))
        rbm.feature_names_in_ = np.array(given_row.index, object)
    drawn, error, _ = outcome(lambda: rbm.sample(n, given=given_row, n_gibbs_steps=3))
    row = np.array(row, float)
    seen = ~np.isnan(row)
    if 0.3 in row:  # a probability, which is neither on nor off
        assert isinstance(error, ValueError)
        return
    assert drawn.shape == (n, n_columns)
    assert drawn.dtype == bool
    np.testing.assert_array_equal(drawn[:, seen], np.tile(row[seen] == 1, (n, 1)))


ARGUMENTS = {
    "n_samples": [1, 2, np.int8(3), 0, -1, 1.0, None, True],
    "n_gibbs_steps": [1, 7, np.int64(60), 0, 1.5, "auto"],
    "n_temperatures": ["auto", 1, 2, 5, 0, None, 2.0],
    "given": [None, [0, 1], [0, np.nan], [0], [[0, 1]], ["a", 1], [np.inf, 0], 0, "01"],
    "random_state": [None, 0, np.int64(3), -1, 0.5, "a"],
}
RIGHT = {"n_temperatures": 4}


def wrong_ones(arguments, every, right):
    """Return arguments that are not among the first few, which are right."""
    return [
        name
        for name, value in arguments.items()
        if any(value is x for x in every[name][right.get(name, 3) :])
    ]


@fuzz(0.03)
@given(some_of(ARGUMENTS, 0, 3), st.data())
def test_arguments_of_sample_are_answered_or_refused(arguments, data):
    rbm = data.draw(models(2))
    n_steps = {"n_gibbs_steps": 5} | arguments
    found, error, _ = outcome(lambda: rbm.sample(**n_steps))
    wrong = wrong_ones(arguments, ARGUMENTS, RIGHT)
    assert (error is not None) == bool(wrong), wrong
    if error is None:
        assert found.shape == (arguments.get("n_samples", 1), 2)
        assert found.dtype == bool


METRICS = {
    "method": ["auto", "exact", "ais", "tempering", "x", None],
    "betas": [None, 2, 5, [0, 1], [0, 0.5, 1.0], [0.0, 0.0, 1], [1], 1, "x", [[0, 1]]],
    "n_temperatures": [None, 2, 3, 1, 2.0],
    "n_chains": [None, 2, 9, 1, "x"],
    "n_gibbs_steps": [None, 1, 12, 0],
    "tolerance": [1e-300, 2.0, 1e300, 0, np.inf],
    "verbose": [0, 1, True, -1],
    "n_jobs": [None, 1, 2, 0],
    "random_state": [None, 0, np.int64(3), "a"],
}
RIGHT_OF_METRICS = {"method": 4, "betas": 5}
CHEAP = {
    "ais": {"betas": 5, "n_chains": 9, "n_gibbs_steps": 12},
    "tempering": {"n_temperatures": 3, "n_chains": 9, "n_gibbs_steps": 12},
}


@fuzz(0.04)
@given(
    cases(special=False, most_rows=4, containers=("array", "csr_array", "list")),
    some_of(METRICS, 0, 3),
    st.data(),
)
def test_log_partition_is_finite_and_exact_where_it_says_so(case, options, data):
    rbm = model_for(case, data)
    method = options.get("method")
    options = CHEAP.get(method, {}) | options
    X = data.draw(st.sampled_from([None, case.X]))
    found, error, _ = outcome(lambda: log_partition(rbm, X, **options))
    wrong = wrong_ones(options, METRICS, RIGHT_OF_METRICS)
    if error is not None:
        assert wrong or "belongs to" in str(error)
        return
    assert not wrong
    assert np.isfinite(found.value)
    assert np.isfinite(found.reverse)
    assert found.standard_error >= 0
    W, b, c = rbm.components_.T, rbm.intercept_visible_, rbm.intercept_hidden_
    H = states(len(c))
    if found.method == "exact":
        right = logsumexp(H @ c + np.logaddexp(0, H @ W.T + b).sum(axis=1))
        np.testing.assert_allclose(found.value, right, rtol=1e-9, atol=1e-9)


@fuzz(0.01)
@given(cases(special=False, most_rows=4), st.integers(1, 60), st.data())
def test_diagnostics_are_finite(case, n_steps, data):
    rbm = model_for(case, data)
    found = answer(
        lambda: sampling_diagnostics(
            rbm, case.X, n_samples=3, n_gibbs_steps=n_steps, random_state=0
        )
    )
    for values in found:
        assert np.isfinite(values).all()
