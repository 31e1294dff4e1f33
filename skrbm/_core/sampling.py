"""Bernoulli draws and Gibbs steps: the only module that draws units."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from skrbm._core.energy import hidden_probabilities, visible_probabilities
from skrbm._core.parameters import Parameters
from skrbm._core.types import Array, Rows


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
    n_words = (p.size + 3) // 4
    words = rng.bit_generator.random_raw(n_words).view(np.uint16)[: p.size]
    return compare_with_bits(p, words.reshape(p.shape), rng, out)


def compare_with_bits(
    p: Array, words: Array, rng: np.random.Generator, out: Array | None = None
) -> Array:
    """Return ``U < p`` for uniform U whose leading bits are ``words``.

    The words settle all but one draw in 2^16 (for 16-bit words): only where the
    word equals the leading bits of p does the rest of U matter, and only there
    is it drawn.  P(1) is p to the resolution of double precision.
    """
    n_values = 1 << (8 * words.itemsize)
    scaled = p * p.dtype.type(n_values)
    # p = 1 has no leading bits of its own: it ties with the last word, and wins.
    leading = np.minimum(scaled, n_values - 1).astype(words.dtype)
    tie = words == leading
    on = np.less(words, leading)
    if tie.any():
        rest = rng.random(np.count_nonzero(tie))
        on[tie] = words[tie] + rest < scaled[tie]
    if out is None:
        return on.astype(p.dtype)
    out[...] = on
    return out


def bernoulli_rows(p: Array, rng: np.random.Generator) -> Rows:
    """Draw as `bernoulli` does, in CSR if at most one draw in ten is a 1."""
    on = bernoulli(p, rng, out=np.empty(p.shape, bool))
    n_rows, n_columns = p.shape
    # Products with a sparse matrix cost about ten times as much per non-zero.
    if np.count_nonzero(on) > 0.1 * on.size:
        return on.astype(p.dtype)
    flat = np.flatnonzero(on)
    first = np.searchsorted(flat, np.arange(n_rows + 1) * n_columns)
    data = np.ones(len(flat), p.dtype)
    return sparse.csr_array((data, flat % n_columns, first), p.shape)


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
