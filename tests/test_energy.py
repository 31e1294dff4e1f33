"""Energies and probabilities against the sum over all states."""

import numpy as np
import pytest
from enumeration import (
    energies,
    hidden_given_visible,
    kernel,
    log_visible,
    random_model,
    states,
    visible_given_hidden,
)
from scipy import sparse
from scipy.special import logsumexp

from skrbm._core import energy
from skrbm._core.parameters import Parameters

MODELS = {
    "4x3": random_model(4, 3, seed=0),
    "5x4": random_model(5, 4, seed=1),
    "3x5": random_model(3, 5, seed=2),
    "1x1": random_model(1, 1, seed=3),
    "zero": Parameters(np.zeros((3, 2)), np.zeros(3), np.zeros(2)),
}
TOLERANCE = {np.float64: 1e-10, np.float32: 1e-4}

models = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
dtypes = pytest.mark.parametrize("dtype", TOLERANCE)
containers = pytest.mark.parametrize(
    "container", [np.asarray, sparse.csr_array, sparse.csr_matrix]
)


@models
@dtypes
@containers
def test_energy_is_that_of_every_pair(model, dtype, container):
    V, H = states(len(model.b)), states(len(model.c))
    expected = energies(model)
    for column, h in enumerate(H):
        pairs = np.tile(h, (len(V), 1)).astype(dtype)
        actual = energy.energy(model.astype(dtype), container(V.astype(dtype)), pairs)
        np.testing.assert_allclose(actual, expected[:, column], atol=10 * TOLERANCE[dtype])


@models
@dtypes
@containers
def test_free_energy_sums_over_the_hidden_states(model, dtype, container):
    V = states(len(model.b)).astype(dtype)
    expected = -logsumexp(-energies(model), axis=1)
    actual = energy.free_energy(model.astype(dtype), container(V))
    assert actual.dtype == np.float64
    np.testing.assert_allclose(actual, expected, atol=TOLERANCE[dtype])


@models
@dtypes
@containers
def test_hidden_probabilities_are_the_conditionals(model, dtype, container):
    V, H = states(len(model.b)), states(len(model.c))
    actual = energy.hidden_probabilities(model.astype(dtype), container(V.astype(dtype)))
    assert actual.dtype == dtype
    np.testing.assert_allclose(
        actual, hidden_given_visible(model) @ H, atol=TOLERANCE[dtype]
    )


@models
@dtypes
def test_visible_probabilities_are_the_conditionals(model, dtype):
    V, H = states(len(model.b)), states(len(model.c))
    actual = energy.visible_probabilities(model.astype(dtype), H.astype(dtype))
    assert actual.dtype == dtype
    np.testing.assert_allclose(
        actual, visible_given_hidden(model) @ V, atol=TOLERANCE[dtype]
    )


def gibbs_kernel(model):
    """Return the transition matrix that the two conditionals under test define."""
    V, H = states(len(model.b)), states(len(model.c))

    def table(p, outcomes):
        # Probability of each outcome, given one row of unit probabilities.
        return np.prod(np.where(outcomes == 1, p[:, None], 1 - p[:, None]), axis=2)

    to_hidden = table(energy.hidden_probabilities(model, V), H)
    to_visible = table(energy.visible_probabilities(model, H), V)
    return to_hidden @ to_visible


@models
def test_the_gibbs_kernel_leaves_the_model_invariant(model):
    F = energy.free_energy(model, states(len(model.b)))
    p = np.exp(-F - logsumexp(-F))
    np.testing.assert_allclose(p, np.exp(log_visible(model)), atol=1e-12)
    np.testing.assert_allclose(p @ gibbs_kernel(model), p, atol=1e-12)
    np.testing.assert_allclose(gibbs_kernel(model), kernel(model), atol=1e-12)


def test_another_models_kernel_does_not_leave_it_invariant():
    model = MODELS["4x3"]
    p = np.exp(log_visible(model))
    wrong = gibbs_kernel(model._replace(b=model.b + 0.01))
    assert np.abs(p @ wrong - p).max() > 1e-5


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
@containers
def test_pseudo_log_likelihood_by_enumeration(model, dtype, container):
    V = states(len(model.b)).astype(dtype)
    actual = energy.pseudo_log_likelihood(model.astype(dtype), container(V))
    assert actual.dtype == np.float64
    np.testing.assert_allclose(
        actual, pseudo_log_likelihood_by_enumeration(model), atol=TOLERANCE[dtype]
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
def test_pseudo_log_likelihood_of_fractional_rows(model, dtype):
    v = np.random.default_rng(0).random((20, len(model.b))).astype(dtype)
    v[:5] = np.round(v[:5])  # some rows, and some entries, are binary
    v[5:10, 0] = 1
    np.testing.assert_allclose(
        energy.pseudo_log_likelihood(model.astype(dtype), v),
        pseudo_log_likelihood_by_formula(model, v),
        atol=TOLERANCE[dtype],
    )


@pytest.mark.parametrize("n_components", [1, 2, 3, 15, 16, 17, 64, 100])
@pytest.mark.parametrize("scale", [0.01, 1, 6, 20, 40, 75, 85, 100])
def test_pseudo_log_likelihood_of_weights_of_any_size(scale, n_components):
    rng = np.random.default_rng(0)
    model = Parameters(
        rng.choice([-scale, scale, scale / 3], (12, n_components)),
        rng.normal(size=12),
        rng.choice([-50.0, 50.0, 0.0], n_components),
    ).astype(np.float32)
    v = (rng.random((30, 12)) < 0.3).astype(np.float32)
    v[0] = 0  # all activations are +-50 or 0 here
    expected = pseudo_log_likelihood_by_formula(model, v)
    with np.errstate(over="ignore"):
        actual = energy.pseudo_log_likelihood(model, v)
    assert np.isfinite(actual).all()
    np.testing.assert_allclose(actual, expected, rtol=2e-5, atol=1e-4)


@pytest.mark.parametrize("weight", [60.0, 100.0, 200.0, 1000.0])
@pytest.mark.parametrize("activation", [-150.0, -110.0, -90.0, 90.0, 110.0, 150.0])
@pytest.mark.parametrize("sign", [-1, 1])
def test_pseudo_log_likelihood_where_single_precision_underflows(weight, activation, sign):
    model = Parameters(
        np.array([[sign * weight], [1.0]]), np.zeros(2), np.array([activation])
    ).astype(np.float32)
    with np.errstate(over="ignore"):
        actual = energy.pseudo_log_likelihood(model, states(2).astype(np.float32))
    np.testing.assert_allclose(
        actual, pseudo_log_likelihood_by_formula(model, states(2)), rtol=1e-5, atol=1e-4
    )


def test_pseudo_log_likelihood_of_rows_that_fill_several_blocks():
    model = random_model(300, 2, scale=0.5)
    v = (np.random.default_rng(0).random((500, 300)) < 0.5).astype(np.float64)
    np.testing.assert_allclose(
        energy.pseudo_log_likelihood(model, v),
        pseudo_log_likelihood_by_formula(model, v),
        rtol=1e-10,
    )


@pytest.mark.parametrize(
    "query", [energy.hidden_probabilities, energy.free_energy, energy.pseudo_log_likelihood]
)
def test_queries_write_to_nothing_they_are_given(query):
    model = random_model(4, 3)
    v = states(4)
    for array in (*model, v):
        array.flags.writeable = False
    query(model, v)
