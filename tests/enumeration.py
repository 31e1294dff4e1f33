"""Oracles: small models by enumeration, and training by a plain loop.

Nothing here calls the formulas under test.  Conditionals and probabilities all
come from one table of exp(-E) over every (v, h).  The loop takes its draws, the
schedules and how often the averages look from `skrbm`, which have tests of their own.
"""

from __future__ import annotations

import itertools

import numpy as np
from scipy import stats
from scipy.special import logsumexp

from skrbm._core import sampling, training
from skrbm._core.parameters import Parameters
from skrbm._core.sampling import PHASES, SHUFFLE, Stream
from skrbm._core.training import SCHEDULES, hidden_mean_rate

# Chance that one statistical test fails for a correct program with another seed.
FALSE_ALARM = 1e-6


def states(n):
    """Return all 2^n states of n units, as rows; the last unit changes fastest."""
    return np.array(list(itertools.product([0.0, 1.0], repeat=n)))


def random_model(n_features, n_components, scale=3.0, seed=0):
    """Return a model in double precision, every parameter uniform within scale."""
    rng = np.random.default_rng(seed)
    draw = lambda *shape: rng.uniform(-scale, scale, shape)  # noqa: E731
    return Parameters(
        draw(n_features, n_components), draw(n_features), draw(n_components)
    )


def energies(model):
    """Return E(v, h) for every v (first axis) and h (second)."""
    W, b, c = model
    V, H = states(len(b)), states(len(c))
    table = np.empty((len(V), len(H)))
    for row, v in enumerate(V):
        for column, h in enumerate(H):
            pairs = sum(
                v[i] * W[i, j] * h[j] for i in range(len(b)) for j in range(len(c))
            )
            table[row, column] = -pairs - np.dot(b, v) - np.dot(c, h)
    return table


def log_joint(model):
    """Return log p(v, h) for every v and h."""
    table = -energies(model)
    return table - logsumexp(table)


def log_visible(model):
    """Return log p(v) for every v."""
    return logsumexp(log_joint(model), axis=1)


def hidden_given_visible(model):
    """Return P(h | v) as a table over every v and h."""
    joint = log_joint(model)
    return np.exp(joint - logsumexp(joint, axis=1, keepdims=True))


def visible_given_hidden(model):
    """Return P(v | h) as a table over every h and v."""
    joint = log_joint(model).T
    return np.exp(joint - logsumexp(joint, axis=1, keepdims=True))


def kernel(model):
    """Return the transition probabilities of one Gibbs step, from v to v'."""
    return hidden_given_visible(model) @ visible_given_hidden(model)


def indices(V):
    """Return the row of each v in `states`."""
    return np.asarray(V, int) @ (1 << np.arange(V.shape[1])[::-1])


def chi_square(counts, probabilities):
    """Return the chi-square p-value; states expected in under 5 draws are pooled."""
    expected = counts.sum() * np.asarray(probabilities)
    rare = expected < 5
    observed = np.append(counts[~rare], counts[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum())
    keep = expected > 0
    assert not observed[~keep].any(), "an impossible state was drawn"
    statistic = ((observed - expected)[keep] ** 2 / expected[keep]).sum()
    return stats.chi2.sf(statistic, keep.sum() - 1)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def parts(length, count):
    """Return bounds of parts whose sizes differ by at most one, in pairs."""
    return itertools.pairwise([i * length // count for i in range(count + 1)])


def toss(x, rng):
    """Return units that are on with probability sigmoid(x), as training draws them."""
    return sampling.bernoulli(sigmoid(x), rng, np.empty_like(x)).astype(x.dtype)


def plain_training(X, state, settings, n_epochs, n_shares=1):
    """Yield (epoch, parameters, learning rate) after every update, by a plain loop.

    The gradient is that of the centred form -(v-mu)'W(h-lambda) - b'v - c'h, with
    b = b' - W lambda and c = c' - W'mu in the ordinary form.  Contrastive divergence
    (not persistent), dense X.  Mini-batches are cut in so many shares of rows, each
    drawn from a stream of its own.
    """
    W, b, c = (part.copy() for part in state.parameters)
    dtype = W.dtype
    lam = state.hidden_mean.copy()
    velocity = [np.zeros_like(part) for part in (W, b, c)]
    n_rows, shrink, undecayed = len(X), 1.0, 0
    for epoch in range(state.epoch, state.epoch + n_epochs):
        order = np.arange(n_rows)
        if settings.shuffle:
            order = Stream(state.root, SHUFFLE, epoch).permutation(n_rows)
        rngs = [Stream(state.root, PHASES, epoch, i) for i in range(n_shares)]
        for start in range(0, n_rows, settings.batch_size):
            v0 = X[order[start : start + settings.batch_size]].astype(dtype)
            n = len(v0)

            # Both phases, of one share after the other.
            shares = []
            bounds = parts(n, min(n_shares, n))
            for rng, (first, end) in zip(rngs, bounds, strict=False):
                x = v0[first:end] @ W + c
                h0, h = sigmoid(x), toss(x, rng)
                if settings.statistics == "states":
                    h0 = h
                for step in range(settings.n_gibbs_steps):
                    v = toss(h @ W.T + b, rng)
                    x = v @ W + c
                    hk = sigmoid(x)
                    if (
                        settings.statistics == "states"
                        or step < settings.n_gibbs_steps - 1
                    ):
                        h = toss(x, rng)
                if settings.statistics == "states":
                    hk = h
                shares.append((h0, v, hk))
            h0, v, hk = map(np.vstack, zip(*shares, strict=True))

            # The gradient, in the centred form.
            rate_of_mean = dtype.type(hidden_mean_rate(n))
            lam = lam + rate_of_mean * (h0.mean(axis=0) - lam)
            mu = (
                state.seen.mean.astype(dtype) if settings.centered else np.zeros_like(b)
            )
            offset = lam if settings.centered else np.zeros_like(c)
            pull = settings.sparsity_cost * (settings.sparsity_target - lam)
            dW = (v0 - mu).T @ (h0 - offset + pull) / n - (v - mu).T @ (hk - offset) / n
            db = v0.mean(axis=0) - v.mean(axis=0)
            dc = h0.mean(axis=0) + pull - hk.mean(axis=0)

            # Where lambda moves, b' = b + W lambda is carried as b.
            direction = [dW, db - dW @ offset, dc]
            done = (epoch - state.epoch + start / n_rows) / n_epochs
            rate = settings.learning_rate * SCHEDULES[settings.learning_rate_schedule](
                done
            )
            velocity = [
                settings.momentum * old + rate * new
                for old, new in zip(velocity, direction, strict=True)
            ]
            c_centred = c + mu @ W + velocity[2]
            W = W + velocity[0]
            b = b + velocity[1]
            # The weights shrink every few rows, and at the end of the epoch.
            undecayed += settings.batch_size
            shrink *= 1 - rate * settings.weight_decay
            if (
                undecayed >= training.ROWS_BETWEEN
                or start + settings.batch_size >= n_rows
            ):
                W, shrink, undecayed = W * shrink, 1.0, 0
            c = c_centred - mu @ W
            W, b, c = W.astype(dtype), b.astype(dtype), c.astype(dtype)
            yield epoch, Parameters(W, b, c), rate


def log_likelihood(rbm, X):
    """Return the mean log-likelihood, log Z summed over all hidden states."""
    W = rbm.components_.T.astype(np.float64)
    b, c = rbm.intercept_visible_, rbm.intercept_hidden_
    H = states(len(c))
    log_z = logsumexp(H @ c + np.logaddexp(0, H @ W.T + b).sum(axis=1))
    return (X @ b + np.logaddexp(0, X @ W + c).sum(axis=1)).mean() - log_z


# Models of every shape, and how close a result has to be in each type.
MODELS = {
    "4x3": random_model(4, 3, seed=0),
    "5x4": random_model(5, 4, seed=1),
    "3x5": random_model(3, 5, seed=2),
    "1x1": random_model(1, 1, seed=3),
    "zero": Parameters(np.zeros((3, 2)), np.zeros(3), np.zeros(2)),
}
TOLERANCE = {np.float64: 1e-10, np.float32: 1e-4}
