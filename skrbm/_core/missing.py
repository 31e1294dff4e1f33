"""Rows with gaps: missing units, NaN, are summed out, or drawn.

With o the units of a row that were observed and m those that were not,

    F(o)   = -log sum_m exp(-F(o, m))
    P(. | o) = the mean of P(. | o, m) over m, weighted by exp(F(o) - F(o, m))

The sum is exact where it can be enumerated: over the states of few hidden units, of
which each leaves the visible units independent, or over the states of few gaps.
Elsewhere it is replaced by its mean field: the independent units q(m) for which

    F_q(o) = E_q[F] - H(q) = F(o, q) - H(q)  >=  F(o)

is least (the second step puts the hidden units at their own best, sigmoid(c + v'W)).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import entr, logsumexp

from skrbm._core.energy import (
    free_energy,
    hidden_probabilities,
    states,
    visible_probabilities,
)
from skrbm._core.operations import quiet, sigmoid, softplus
from skrbm._core.parameters import Parameters
from skrbm._core.pseudo_likelihood import TERMS_A_WEIGHT, PseudoLikelihood
from skrbm._core.sampling import Stream, bernoulli
from skrbm._core.types import Array, Rows, dense, is_sparse

# Hidden units, and gaps of a row, whose states are enumerated, at most.
FEW_HIDDEN, FEW_GAPS = 10, 6
# Steps to the mean field, each of which lowers its free energy.
_STEPS = 30
# Elements of an enumeration at once.
_BLOCK = 1 << 20


def gaps(rows: Rows) -> Array:
    """Return which values are missing, of those that are stored."""
    return np.isnan(rows.data if is_sparse(rows) else rows)


class Expected(NamedTuple):
    """What is expected of rows with gaps, given what was observed."""

    free_energy: Array  # (n,), in nats
    score: (
        Array  # (n,): the sum over observed units of log P(v_i | other observed ones)
    )
    visible: Array  # (n, n_features): v, and P(v_i=1 | o) in its gaps
    hidden: Array  # (n, n_components): P(h=1 | o)


@quiet
def expected(model: Parameters, v: Array) -> Expected:
    """Return what is expected of rows, each of which has a gap."""
    if len(model.c) <= FEW_HIDDEN:
        return _in_blocks(over_hidden, model, v, 1 << len(model.c))
    n_gaps = gaps(v).sum(axis=1)
    parts, order = [], []
    for m in np.unique(np.minimum(n_gaps, FEW_GAPS + 1)):
        index = np.flatnonzero(np.minimum(n_gaps, FEW_GAPS + 1) == m)
        order.append(index)
        if m <= FEW_GAPS:
            parts.append(_in_blocks(over_gaps, model, v[index], len(v[0]) << int(m)))
        else:
            parts.append(_in_blocks(mean_field, model, v[index], len(v[0])))
    back = np.argsort(np.concatenate(order))
    return Expected(*(np.concatenate(part)[back] for part in zip(*parts, strict=True)))


def _in_blocks(
    function: Callable[[Parameters, Array], Expected],
    model: Parameters,
    v: Array,
    n_elements: int,
) -> Expected:
    """Return a function of rows, each of which takes so many elements."""
    at_once = max(1, _BLOCK // n_elements)
    parts = [function(model, v[i : i + at_once]) for i in range(0, len(v), at_once)]
    return Expected(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def over_hidden(model: Parameters, v: Array) -> Expected:
    """Return what is expected of rows by summing over all states of the hidden units.

        exp(-F(o)) = sum_h exp(c'h) prod_o exp(v_i x_i(h)) prod_m (1 + exp(x_i(h)))

    with x(h) = b + Wh.
    """
    W, b, c = model.astype(np.float64)
    H = states(len(c))
    x = H @ W.T + b  # (2^n_components, n_features)
    missing = gaps(v)
    observed = np.where(missing, 0, v).astype(np.float64)
    log_weight = observed @ x.T + missing @ softplus(x).T + H @ c
    log_z = logsumexp(log_weight, axis=1)
    weight = np.exp(log_weight - log_z[:, None])
    score = np.zeros(len(v))
    for i in range(len(b)):
        flip = (1 - 2 * observed[:, i : i + 1]) * x[:, i]
        log_odds = logsumexp(log_weight + flip, axis=1) - log_z
        score -= np.where(missing[:, i], 0, softplus(log_odds))
    visible = np.where(missing, weight @ sigmoid(x.copy()), v)
    return Expected(-log_z, score, visible, weight @ H)


def over_gaps(model: Parameters, v: Array) -> Expected:
    """Return what is expected of rows by summing over all states of their gaps.

    All rows have the same number of gaps.
    """
    missing = gaps(v)
    n, n_features = v.shape
    S = states(int(missing[0].sum()))
    rows = np.repeat(v, len(S), axis=0)
    rows[np.isnan(rows)] = np.tile(S.ravel(), n)
    F = free_energy(model, rows).reshape(n, -1)
    log_z = logsumexp(-F, axis=1)
    weight = np.exp(-F - log_z[:, None])[:, None]  # (n, 1, 2^n_gaps)
    # The other value of an observed unit has the odds exp(x) in each state.
    x = PseudoLikelihood(model, n_rows=len(rows)).inputs(rows)
    log_odds = logsumexp(
        x.reshape(n, -1, n_features), axis=1, b=np.swapaxes(weight, 1, 2)
    )
    score = -np.where(missing, 0, softplus(log_odds)).sum(axis=1)
    H = hidden_probabilities(model, rows).reshape(n, len(S), -1)
    visible = (weight @ rows.reshape(n, len(S), -1))[:, 0]
    return Expected(-log_z, score, np.where(missing, visible, v), (weight @ H)[:, 0])


def mean_field(model: Parameters, v: Array) -> Expected:
    """Return what is expected of rows whose gaps are independent of each other."""
    missing = gaps(v)
    q = np.where(missing, sigmoid(model.b.copy()), v)
    for _ in range(_STEPS):
        p = visible_probabilities(model, hidden_probabilities(model, q))
        np.copyto(q, p, where=missing)
    entropy = np.where(missing, entr(q) + entr(1 - q), 0).sum(axis=1, dtype=np.float64)
    x = PseudoLikelihood(model, n_rows=len(q)).inputs(q)
    score = -np.where(missing, 0, softplus(x)).sum(axis=1)
    F = free_energy(model, q) - entropy
    return Expected(F, score, q, hidden_probabilities(model, q))


@dataclass(frozen=True)
class Quantity:
    """A function of whole rows, and of what is expected of rows with gaps."""

    model: Parameters
    whole: Callable[[Rows, Array | None], Array]
    of: Callable[[Expected], Array]
    terms_a_weight: int = 1  # of a product, that a row takes

    def __call__(self, v: Rows, out: Array | None = None) -> Array:
        """Return the quantity of each row, which may have gaps."""
        if not gaps(v).any():
            return self.whole(v, out)
        v = dense(v)
        some = np.isnan(v).any(axis=1)
        first = self.of(expected(self.model, v[some]))
        result = np.empty((len(v), *first.shape[1:])) if out is None else out
        result[some] = first
        if not some.all():
            result[~some] = self.whole(v[~some], None)
        return result


def features(model: Parameters) -> Quantity:
    """Return ``P(h=1 | v)`` as a function of rows."""
    return Quantity(
        model, lambda v, out: hidden_probabilities(model, v, out), lambda e: e.hidden
    )


def reconstructions(model: Parameters) -> Quantity:
    """Return ``P(v=1 | h)`` at the features as a function of rows."""

    def down(h: Array, out: Array | None = None) -> Array:
        return visible_probabilities(model, h.astype(model.W.dtype, copy=False), out)

    return Quantity(
        model,
        lambda v, out: down(hidden_probabilities(model, v), out),
        lambda e: down(e.hidden),
    )


def free_energies(model: Parameters) -> Quantity:
    """Return the free energy as a function of rows."""
    return Quantity(model, lambda v, _: free_energy(model, v), lambda e: e.free_energy)


def scores(model: Parameters, *, n_rows: int | None = None) -> Quantity:
    """Return the pseudo-log-likelihood as a function of rows."""
    whole = PseudoLikelihood(model, n_rows=n_rows)
    return Quantity(model, whole, lambda e: e.score, TERMS_A_WEIGHT)


def start_in_gaps(rows: Rows, mean: Array, rng: Stream) -> Rows:
    """Return rows whose gaps are drawn as units that are independent of all others."""
    missing = gaps(rows)
    if not missing.any():
        return rows
    rows = rows.copy()
    if is_sparse(rows):
        p = mean[rows.indices[missing]]
        rows.data[missing] = bernoulli(p, rng)
    else:
        p = np.broadcast_to(mean, rows.shape)[missing]
        rows[missing] = bernoulli(p, rng)
    return rows


@quiet
def drawn_in_gaps(
    model: Parameters,
    v: Array,
    n_steps: int,
    rng: Stream,
    steps: Callable[[range], Iterable[int]],
) -> tuple[Array, Array]:
    """Return rows whose gaps are drawn by Gibbs steps, and the mean over these.

    The mean is of P(v=1 | h) over the second half of the steps.  ``steps`` yields what
    it is given as long as that is wanted.
    """
    missing = gaps(v)
    v, total = start_in_gaps(v, sigmoid(model.b.copy()), rng), np.zeros_like(v)
    for step in steps(range(n_steps)):
        p = hidden_probabilities(model, v)
        p = visible_probabilities(model, bernoulli(p, rng, scratch=p).astype(p.dtype))
        if step >= n_steps // 2:
            total += p
        np.copyto(v, bernoulli(p, rng), where=missing)
    mean = total / max(1, n_steps - n_steps // 2)
    return v, np.where(missing, mean, v)


@quiet
def filled(
    model: Parameters,
    v: Array,
    n_steps: int,
    rng: Stream,
    steps: Callable[[range], Iterable[int]],
    *,
    mean: bool,
) -> Array:
    """Return rows with P(v=1 | o) in their gaps, or with draws from it.

    Means are exact where `expected` sums over all states, else of so many Gibbs steps.
    """
    result, n_gaps = v.copy(), gaps(v).sum(axis=1)
    exact = np.full(len(v), mean) & (n_gaps > 0)
    if len(model.c) > FEW_HIDDEN:
        exact &= n_gaps <= FEW_GAPS
    drawn = (n_gaps > 0) & ~exact
    if exact.any():
        result[exact] = expected(model, v[exact]).visible
    if drawn.any():
        rows, means = drawn_in_gaps(model, v[drawn], n_steps, rng, steps)
        result[drawn] = means if mean else rows
    return result
