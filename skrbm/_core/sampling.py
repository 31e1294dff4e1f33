"""Bernoulli draws and Gibbs steps: the only module that draws units."""

from __future__ import annotations

import math

import numpy as np
from scipy import sparse

from skrbm._core.energy import hidden_probabilities, visible_probabilities
from skrbm._core.operations import sigmoid
from skrbm._core.parameters import Parameters
from skrbm._core.types import Array, DType, Rows, is_sparse

# Draws compare a probability with 16 random bits.
N_WORDS = 1 << 16
# Fewer draws than this take 53 random bits each: that wastes most of them, but costs
# less than the calls that it takes to do with 16.
_FEW_DRAWS = 2048
# Which draws `draw_few` settles at once: see there.  The logit is a little low, so
# that rounding never decides.
_LOW = 1024
_LOW_LOGIT = math.log(_LOW / (N_WORDS - _LOW)) - 1e-3


def generator(root: int, *key: int) -> np.random.Generator:
    """Return the stream of random numbers that belongs to ``key`` under ``root``.

    Streams with different keys are independent, and none needs another to have
    been drawn from: an epoch, or a share of it, can be repeated anywhere.
    """
    return np.random.Generator(
        np.random.SFC64(np.random.SeedSequence(root, spawn_key=key))
    )


def bernoulli(p: Array, rng: np.random.Generator, out: Array | None = None) -> Array:
    """Draw 1 with probability p and 0 otherwise, elementwise and exactly.

    ``out`` may be p itself, or an array of booleans.
    """
    on = draw(p * p.dtype.type(N_WORDS), rng)
    if out is None:
        return on.astype(p.dtype)
    out[...] = on
    return out


def drawn(rows: Rows, rng: np.random.Generator) -> Rows:
    """Return rows whose values are drawn, each with itself as its probability."""
    if not is_sparse(rows):
        return bernoulli(rows, rng)
    rows = rows.copy()
    rows.data = bernoulli(rows.data, rng)
    return rows


def draw(scaled: Array, rng: np.random.Generator) -> Array:
    """Return booleans that are True with probability ``scaled / N_WORDS``.

    Overwrites ``scaled``.
    """
    if scaled.size < _FEW_DRAWS:
        return np.less(rng.random(scaled.shape) * N_WORDS, scaled)
    return settle(scaled, random_words(scaled.shape, rng), rng)


def draw_few(x: Array, rng: np.random.Generator) -> Array:
    """Return what ``draw(sigmoid(x, 0, N_WORDS), rng)`` does, where few are True.

    A word of at least `_LOW` and a probability of at most ``_LOW / N_WORDS`` settle
    a draw without a look at the probability itself.
    """
    if x.size < _FEW_DRAWS:
        return draw(sigmoid(x, 0.0, N_WORDS), rng)
    words = random_words(x.shape, rng)
    open_ = np.flatnonzero((words < _LOW) | (x > _LOW_LOGIT))
    on = np.zeros(x.size, bool)
    scaled = sigmoid(x.reshape(-1)[open_], 0.0, N_WORDS)
    on[open_] = settle(scaled, words.reshape(-1)[open_], rng)
    return on.reshape(x.shape)


def random_words(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Return an array of random words of 16 bits."""
    size = math.prod(shape)
    words = rng.bit_generator.random_raw((size + 3) // 4).view(np.uint16)
    return words[:size].reshape(shape)


def settle(scaled: Array, words: Array, rng: np.random.Generator) -> Array:
    """Return ``words + U < scaled`` for uniform U in [0, 1); overwrites ``scaled``.

    A whole word below or above settles the draw without U, exactly, since the
    difference of a word and a number within 1 of it is free of rounding.  Only
    the one draw in as many as there are words that is left drives U, which is
    drawn for it alone: P(True) has the resolution of double precision.
    """
    margin = np.subtract(scaled, words, out=scaled)
    on, perhaps = margin >= 1, margin > 0
    if np.count_nonzero(on) != np.count_nonzero(perhaps):
        open_ = perhaps ^ on
        on[open_] = rng.random(np.count_nonzero(open_)) < margin[open_]
    return on


def sparse_rows(on: Array, dtype: DType) -> sparse.csr_array:
    """Return booleans as CSR with ones of the type given."""
    n_rows, n_columns = on.shape
    flat = np.flatnonzero(on)
    first = np.searchsorted(flat, np.arange(n_rows + 1) * n_columns)
    data = np.ones(len(flat), dtype)
    return sparse.csr_array((data, flat % n_columns, first), on.shape)


@np.errstate(over="ignore")  # of exp(-x), see sigmoid
def gibbs_chain(
    parameters: Parameters, v: Rows, n_steps: int, rng: np.random.Generator
) -> Array:
    """Return v after ``n_steps`` times h ~ P(h | v), v ~ P(v | h)."""
    for _ in range(n_steps):
        p = hidden_probabilities(parameters, v)
        h = bernoulli(p, rng, out=p)
        p = visible_probabilities(parameters, h)
        v = bernoulli(p, rng, out=p)
    return np.asarray(v)
