"""Bernoulli draws and Gibbs steps: the only module that draws units."""

from __future__ import annotations

import math

import numpy as np

from skrbm._core.energy import hidden_probabilities, visible_probabilities
from skrbm._core.operations import quiet, sigmoid
from skrbm._core.parameters import Parameters
from skrbm._core.threads import Workers
from skrbm._core.types import Array, Rows, is_sparse

# What a stream of random numbers is for: the first part of its key.
(
    INITIALISE,
    SHUFFLE,
    PHASES,
    CHAINS,
    SPLIT,
    MONITOR,
    SAMPLE,
    START,
    ANNEAL,
    GIBBS,
    METER,
    LADDERS,
    WEIGHTS,
    GAPS,
) = range(14)

# Draws compare a probability with 15 random bits, so that even a probability of 1, as
# a multiple of 2^-15, is a word of 16 bits.
N_WORDS = 1 << 15
# Fewer draws than this take a uniform number each: that costs more, but less than the
# calls that it takes to do with 15 bits.
_FEW_DRAWS = 2048
# Below this probability `draw_rare` draws a unit at a discount.  The logit is a little
# low, so that rounding never decides.
_RARE = 1 / 128
_RARE_LOGIT = math.log(_RARE / (1 - _RARE)) - 1e-3


class Stream(np.random.Generator):
    """The random numbers that belong to ``key`` under ``root``.

    Streams with different keys are independent, and none needs another to have
    been drawn from: an epoch, or a share of it, can be repeated anywhere.
    """

    def __init__(self, root: int, *key: int) -> None:
        super().__init__(np.random.SFC64(np.random.SeedSequence(root, spawn_key=key)))
        self._address = (root, *key)
        self._parts: list[Stream] = []

    def parts(self, n: int) -> list[Stream]:
        """Return streams for n parts of what this one is for, itself for the first."""
        for i in range(len(self._parts) + 1, n):
            self._parts.append(Stream(*self._address, i))
        return [self, *self._parts[: n - 1]]


def bernoulli(p: Array, rng: Stream, scratch: Array | None = None) -> Array:
    """Return booleans that are True with probability p, elementwise and exactly.

    A p outside [0, 1] counts as 0 or 1, but not where there is ``scratch``, a place for
    intermediate values, which may be p itself.
    """
    if p.size < _FEW_DRAWS:
        return rng.random(p.shape) < p
    if scratch is None:
        p = scratch = np.clip(p, 0, 1)
    scaled = np.multiply(p, N_WORDS, out=scratch)
    return settle(scaled, random_words(p.shape, rng), rng)


def drawn(rows: Rows, rng: Stream) -> Rows:
    """Return rows whose values are drawn, each with itself as its probability."""
    if not is_sparse(rows):
        return bernoulli(rows, rng).astype(rows.dtype)
    rows = rows.copy()
    rows.data[...] = bernoulli(rows.data, rng)
    return rows


def draw_rare(x: Array, rng: Stream) -> tuple[Array, Array]:
    """Return which units are on in which rows, each with probability sigmoid(x).

    x is (n_units, n_rows), and may be overwritten.  Units with a probability below
    `_RARE`, most of them as a rule, are on where a candidate falls, as it does with
    probability `_RARE`, and is taken, with probability p / `_RARE`; only candidates
    cost a random number.
    """
    if x.size < _FEW_DRAWS:
        p = sigmoid(x).T
        row, unit = np.nonzero(bernoulli(p, rng))  # the same draws as dense rows
        return unit, row
    logits = x.reshape(-1)
    frequent = np.flatnonzero(logits > _RARE_LOGIT)
    if len(frequent) > x.size >> 4:
        on = np.flatnonzero(bernoulli(sigmoid(logits), rng, scratch=logits))
    else:
        candidates = successes(x.size, _RARE, rng)
        candidates = candidates[logits[candidates] <= _RARE_LOGIT]
        rare_on = rng.random(len(candidates)) * _RARE < sigmoid(logits[candidates])
        frequent_on = rng.random(len(frequent)) < sigmoid(logits[frequent])
        on = np.concatenate([candidates[rare_on], frequent[frequent_on]])
    unit, row = np.divmod(on, x.shape[1])
    return unit, row


def successes(n_trials: int, p: float, rng: np.random.Generator) -> Array:
    """Return which of the trials succeed, each with probability p, in order."""
    last, parts = -1, [np.empty(0, int)]
    while last < n_trials - 1:
        # From one to the next it is a geometric number; a few more than needed.
        expected = (n_trials - last) * p
        gaps = rng.geometric(p, int(expected + 4 * math.sqrt(expected)) + 4)
        parts.append(last + np.cumsum(gaps))
        last = parts[-1][-1]
    places = np.concatenate(parts)
    return places[: np.searchsorted(places, n_trials)]


def random_words(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Return an array of random words below `N_WORDS`."""
    size = math.prod(shape)
    words = rng.bit_generator.random_raw((size + 3) // 4).view(np.uint16)
    words >>= 1
    return words[:size].reshape(shape)


def settle(scaled: Array, words: Array, rng: np.random.Generator) -> Array:
    """Return ``words + U < scaled`` for uniform U in [0, 1).

    ``scaled`` lies between 0 and the number of different words, which has to fit in
    their type.  A word below or above the whole part of ``scaled`` settles the draw
    without U; only one draw in as many as there are words needs it, and U is drawn
    for those alone.  P(True) has the resolution of double precision.
    """
    whole = scaled.astype(words.dtype, order="C")
    on = words < whole
    open_ = np.flatnonzero(words == whole)
    if len(open_):
        rest = scaled.reshape(-1)[open_] - whole.reshape(-1)[open_]
        on.reshape(-1)[open_] = rng.random(len(open_)) < rest
    return on


@quiet
def gibbs_chain(
    parameters: Parameters, v: Rows, n_steps: int, rng: Stream, workers: Workers
) -> Array:
    """Return v after ``n_steps`` times h ~ P(h | v), v ~ P(v | h)."""
    for step in workers.steps(range(n_steps)):
        p = hidden_probabilities(parameters, v)
        if step == 0 and np.isnan(p).any():
            raise ValueError(
                "X has values too large for a Markov chain to start from in "
                f"{p.dtype}. Scale them to [0, 1]."
            )
        h = bernoulli(p, rng, scratch=p).astype(p.dtype)
        p = visible_probabilities(parameters, h)
        v = bernoulli(p, rng, scratch=p).astype(p.dtype)
    return np.asarray(v)
