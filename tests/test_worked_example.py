"""The example by hand that started the project, and the algorithm it came from."""

import numpy as np
import pytest
from enumeration import toss

from skrbm import BinaryCDRBM
from skrbm._core.contrastive_divergence import MiniBatch
from skrbm._core.layers import Dense
from skrbm._core.parameters import Parameters
from skrbm._core.sampling import PHASES, Stream
from skrbm._core.threads import Workers
from skrbm._hyperparameters import root_of

# The original: one row at a time, in order, sampled states throughout.
ORIGINAL = {
    "learning_rate": 0.1,
    "batch_size": 1,
    "n_gibbs_steps": 1,
    "persistent": False,
    "statistics": "states",
    "centered": False,
    "momentum": 0.0,
    "weight_decay": 0.0,
    "sparsity_cost": 0.0,
    "learning_rate_schedule": "constant",
    "average": None,
    "weight_scale": 0.0,
    "visible_intercept_init": 0.0,
    "hidden_intercept_init": 0.0,
    "shuffle": False,
    "early_stopping": False,
    "binarize": None,
    "random_state": 0,
}

# Given the states of both phases, from W = 0, b = c = 0 and a learning rate of 0.1 ...
v0, h0 = [0, 1, 1, 0], [0, 1, 1]
v1, h1 = [0, 0, 0, 1], [0, 0, 1]
# ... one update sets the parameters to these.
W = [[0, 0, 0], [0, 0.1, 0.1], [0, 0.1, 0.1], [0, 0, -0.1]]
b = [0, 0.1, 0.1, -0.1]
c = [0, 0.1, 0]


def _root(seed):
    return root_of(np.random.RandomState(seed))


def _drawn(x, draws):
    """Return units that are on with probability sigmoid(x), as the estimator does."""
    return toss(np.array([x], np.float32), draws)[0]


def test_the_update_of_the_worked_example():
    zero = Parameters(np.zeros((4, 3)), np.zeros(4), np.zeros(3))
    new = Dense.take(zero, np.zeros(4))
    batch = MiniBatch(new, 1, 3, None, Stream, sample_statistics=True)
    batch.S[:, :-1] = [v0, v1]
    batch.H[...], batch.rows = [h0, h1], [batch.S]
    batch.add_gradient(new, 0.1, np.zeros(3), 0.0, Workers())
    new = new.restore()
    np.testing.assert_allclose(new.W, W)
    np.testing.assert_allclose(new.b, b)
    np.testing.assert_allclose(new.c, c)


def test_the_worked_example_through_the_estimator():
    # From zero every unit is on by the toss of a coin, so one fit in 2^10 draws the
    # states of the example.  None of 20,000 seeds would with probability 3e-9.
    rbm = BinaryCDRBM(3, n_iter=1, **ORIGINAL)
    X = np.array([v0])
    for seed in range(20_000):
        draws = Stream(_root(seed), PHASES, 0, 0)
        if [_drawn(np.zeros(n), draws).tolist() for n in (3, 4, 3)] == [
            h0,
            v1,
            h1,
        ]:
            break
    rbm.set_params(random_state=seed).fit(X)
    np.testing.assert_allclose(rbm.components_.T, W, rtol=1e-6)
    np.testing.assert_allclose(rbm.intercept_visible_, b, rtol=1e-6)
    np.testing.assert_allclose(rbm.intercept_hidden_, c, rtol=1e-6)


def original(X, n_components, n_iter, root):
    """Yield W, b and c after every update of the original algorithm."""
    n_features = X.shape[1]
    W, b, c = (
        np.zeros((n_features, n_components)),
        np.zeros(n_features),
        np.zeros(n_components),
    )
    for iteration in range(n_iter):
        draws = Stream(root, PHASES, iteration, 0)
        for v0 in X:
            h0 = _drawn(c + v0 @ W, draws)
            v1 = _drawn(b + W @ h0, draws)
            h1 = _drawn(c + v1 @ W, draws)
            W += 0.1 * (np.outer(v0, h0) - np.outer(v1, h1))
            b += 0.1 * (v0 - v1)
            c += 0.1 * (h0 - h1)
            yield Parameters(W, b, c).copy()


@pytest.mark.parametrize("n_iter", [1, 2, 100])
def test_the_original_algorithm_is_a_setting_of_the_estimator(n_iter):
    X = np.array([[0, 1, 1, 0], [1, 1, 0, 0], [0, 0, 0, 1], [1, 0, 1, 1], [0, 1, 1, 0]])
    rbm = BinaryCDRBM(3, n_iter=n_iter, **ORIGINAL).fit(X)
    *_, (W, b, c) = original(X, 3, n_iter, _root(0))
    np.testing.assert_allclose(rbm.components_.T, W, atol=1e-4)
    np.testing.assert_allclose(rbm.intercept_visible_, b, atol=1e-4)
    np.testing.assert_allclose(rbm.intercept_hidden_, c, atol=1e-4)


def test_the_original_algorithm_update_by_update():
    X = np.array([[0, 1, 1, 0], [1, 1, 0, 0], [0, 0, 0, 1]])
    updates = list(original(X, 3, 1, _root(0)))
    # The first n rows make the first n updates.
    for n, (W, b, c) in enumerate(updates, start=1):
        rbm = BinaryCDRBM(3, n_iter=1, **ORIGINAL).fit(X[:n])
        np.testing.assert_allclose(rbm.components_.T, W, atol=1e-6)
        np.testing.assert_allclose(rbm.intercept_visible_, b, atol=1e-6)
        np.testing.assert_allclose(rbm.intercept_hidden_, c, atol=1e-6)
