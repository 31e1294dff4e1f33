"""Energies and probabilities against the sum over all states."""

import numpy as np
import pytest
from enumeration import (
    MODELS,
    TOLERANCE,
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

models = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
dtypes = pytest.mark.parametrize("dtype", TOLERANCE)
containers = pytest.mark.parametrize(
    "container", [np.asarray, sparse.csr_array, sparse.csr_matrix]
)


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
    actual = energy.hidden_probabilities(
        model.astype(dtype), container(V.astype(dtype))
    )
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


@pytest.mark.parametrize("query", [energy.hidden_probabilities, energy.free_energy])
def test_queries_write_to_nothing_they_are_given(query):
    model = random_model(4, 3)
    v = states(4)
    for array in (*model, v):
        array.flags.writeable = False
    query(model, v)
