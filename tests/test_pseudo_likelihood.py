"""The pseudo-log-likelihood, by enumeration and by its formula in double precision."""

import functools

import numpy as np
import pytest
from enumeration import MODELS, TOLERANCE, log_visible, random_model, states
from scipy import sparse

from skrbm._core.parameters import Parameters
from skrbm._core.pseudo_likelihood import PseudoLikelihood


def of_many_rows(model, v):
    """Return the scores as they are computed for many rows, dense or sparse."""
    return PseudoLikelihood(model)(v)


def of_few_rows(model, v):
    """Return the scores as they are computed for rows whose number may show."""
    return PseudoLikelihood(model, n_rows=len(v))(v)


ways = pytest.mark.parametrize("score", [of_many_rows, of_few_rows])

models = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
dtypes = pytest.mark.parametrize("dtype", TOLERANCE)
containers = pytest.mark.parametrize(
    "container", [np.asarray, sparse.csr_array, sparse.csr_matrix]
)


def pseudo_log_likelihood_by_enumeration(model):
    log_p = log_visible(model)
    n_features = len(model.b)
    rows = np.arange(len(log_p))
    total = np.zeros(len(log_p))
    for i in range(n_features):
        flipped = rows ^ (1 << (n_features - 1 - i))
        total += log_p - np.logaddexp(log_p, log_p[flipped])
    return total


@models
@dtypes
@ways
def test_pseudo_log_likelihood_by_enumeration(score, model, dtype):
    V = states(len(model.b)).astype(dtype)
    actual = score(model.astype(dtype), V)
    assert actual.dtype == np.float64
    np.testing.assert_allclose(
        actual, pseudo_log_likelihood_by_enumeration(model), atol=TOLERANCE[dtype]
    )


@models
@dtypes
@containers
def test_sparse_rows_score_like_dense_ones(model, dtype, container):
    V = states(len(model.b)).astype(dtype)
    np.testing.assert_array_equal(
        of_many_rows(model.astype(dtype), container(V)),
        of_many_rows(model.astype(dtype), V),
    )


def pseudo_log_likelihood_by_formula(model, v):
    """Return it as documented, in double precision, term by term."""
    W, b, c = (np.asarray(part, np.float64) for part in model)
    scores = []
    for row in np.asarray(v, np.float64):
        a = c + row @ W
        s = 1 - 2 * row
        # log(sigmoid(-a) + sigmoid(a) exp(s W))
        terms = np.logaddexp(-np.logaddexp(0, a), s[:, None] * W - np.logaddexp(0, -a))
        x = s * b + terms.sum(axis=1)
        scores.append(-np.logaddexp(0, x).sum())
    return np.array(scores)


def test_the_formula_agrees_with_enumeration():
    model = MODELS["5x4"]
    np.testing.assert_allclose(
        pseudo_log_likelihood_by_formula(model, states(5)),
        pseudo_log_likelihood_by_enumeration(model),
        atol=1e-12,
    )


@models
@dtypes
@ways
def test_pseudo_log_likelihood_of_fractional_rows(score, model, dtype):
    v = np.random.default_rng(0).random((20, len(model.b))).astype(dtype)
    v[:5] = np.round(v[:5])  # some rows, and some entries, are binary
    v[5:10, 0] = 1
    np.testing.assert_allclose(
        score(model.astype(dtype), v),
        pseudo_log_likelihood_by_formula(model, v),
        atol=TOLERANCE[dtype],
    )


@pytest.mark.parametrize("n_components", [1, 2, 3, 15, 16, 17, 64, 100])
@pytest.mark.parametrize("scale", [0.01, 1, 6, 20, 40, 75, 85, 100])
@ways
def test_pseudo_log_likelihood_of_weights_of_any_size(score, scale, n_components):
    rng = np.random.default_rng(0)
    model = Parameters(
        rng.choice([-scale, scale, scale / 3], (12, n_components)),
        rng.normal(size=12),
        rng.choice([-50.0, 50.0, 0.0], n_components),
    ).astype(np.float32)
    v = (rng.random((30, 12)) < 0.3).astype(np.float32)
    v[0] = 0  # all activations are +-50 or 0 here
    expected = pseudo_log_likelihood_by_formula(model, v)
    actual = score(model, v)
    assert np.isfinite(actual).all()
    np.testing.assert_allclose(actual, expected, rtol=2e-5, atol=1e-4)


@pytest.mark.parametrize("weight", [60.0, 100.0, 200.0, 1000.0])
@pytest.mark.parametrize("activation", [-150.0, -110.0, -90.0, 90.0, 110.0, 150.0])
@pytest.mark.parametrize("sign", [-1, 1])
@ways
def test_pseudo_log_likelihood_where_single_precision_underflows(
    score, weight, activation, sign
):
    model = Parameters(
        np.array([[sign * weight], [1.0]]), np.zeros(2), np.array([activation])
    ).astype(np.float32)
    actual = score(model, states(2).astype(np.float32))
    np.testing.assert_allclose(
        actual, pseudo_log_likelihood_by_formula(model, states(2)), rtol=1e-5, atol=1e-4
    )


@pytest.mark.parametrize("n_rows", [1, 20, 40, 500])
@ways
def test_pseudo_log_likelihood_of_rows_that_fill_a_block_or_not(score, n_rows):
    model = random_model(300, 30, scale=0.5)
    v = (np.random.default_rng(0).random((n_rows, 300)) < 0.5).astype(np.float64)
    np.testing.assert_allclose(
        score(model, v),
        pseudo_log_likelihood_by_formula(model, v),
        rtol=1e-10,
    )


def test_a_rows_score_is_its_own_whatever_the_others():
    model = random_model(70, 9, scale=1).astype(np.float32)
    v = (np.random.default_rng(0).random((80, 70)) < 0.4).astype(np.float32)
    v[::7] *= np.float32(0.3)  # fractional rows among binary ones
    scores = of_many_rows(model, v)
    # In the same place it is the same to the bit, and elsewhere to rounding: some
    # kernels of BLAS sum a row in an order that depends on where it stands.
    np.testing.assert_array_equal(of_many_rows(model, v[:33]), scores[:33])
    larger = random_model(70, 130, scale=0.3).astype(np.float32)
    every = of_many_rows(larger, v)
    for k in (1, 2, 5, 20, 33):
        np.testing.assert_array_equal(of_many_rows(larger, v[:k]), every[:k])
    same = functools.partial(np.testing.assert_allclose, rtol=1e-6)
    same(of_many_rows(model, v[::-1]), scores[::-1])
    same([of_many_rows(model, row[None])[0] for row in v], scores)


# Tables for full blocks, and for fewer rows where they save time and take little room.
@pytest.mark.parametrize(
    ("n_rows", "shape", "rows_at_once", "tables"),
    [
        (None, (4, 4), 32, True),
        (100, (4, 4), 32, True),
        (20, (4, 4), 20, False),
        (7, (200, 100), 7, False),
        (8, (200, 100), 8, True),
        (20, (2000, 1000), 20, False),
    ],
)
def test_few_rows_are_scored_as_they_are(n_rows, shape, rows_at_once, tables):
    model = Parameters(*(np.zeros(size) for size in (shape, *shape)))
    scores = PseudoLikelihood(model, n_rows=n_rows)
    assert scores.rows_at_once == rows_at_once
    assert (scores.size > 0) is tables


@pytest.mark.parametrize("n_features", [1, 2, 31, 1023, 1024, 1025, 2100])
@pytest.mark.parametrize("n_rows", [1, 31, 33])
def test_any_number_of_units_and_rows(n_features, n_rows):
    model = random_model(n_features, 5, scale=0.3)
    v = (np.random.default_rng(0).random((n_rows, n_features)) < 0.4).astype(np.float64)
    np.testing.assert_allclose(
        of_many_rows(model, v), pseudo_log_likelihood_by_formula(model, v), rtol=1e-10
    )


def test_it_writes_to_nothing_it_is_given():
    model, v = random_model(4, 3), states(4)
    for array in (*model, v):
        array.flags.writeable = False
    of_many_rows(model, v)


@ways
def test_values_far_out_of_range_have_finite_scores(score):
    # exp(s W) is beyond single precision, though exp(W) is not.
    model = random_model(5, 3, scale=30.0).astype(np.float32)
    v = np.full((2, 5), 5.0, np.float32)
    W, b, c = (part.astype(float) for part in model)
    s, a = 1 - 2 * v.astype(float), v @ W + c
    terms = np.logaddexp(0, a[:, None] + s[..., None] * W) - np.logaddexp(0, a)[:, None]
    expected = -np.logaddexp(0, s * b + terms.sum(axis=2)).sum(axis=1)
    np.testing.assert_allclose(score(model, v), expected, rtol=1e-5)


@ways
def test_negative_values_are_no_zeros(score):
    model = random_model(5, 3, scale=1.0)
    v = np.array([[0, 1, -1, 0, 1], [0, 1, 0, 0, 1]], float)
    np.testing.assert_allclose(
        score(model, v), pseudo_log_likelihood_by_formula(model, v), atol=1e-10
    )
