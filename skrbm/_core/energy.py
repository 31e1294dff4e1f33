"""Energy, free energy, conditional probabilities and pseudo-log-likelihood.

    E(v, h)      = -v'Wh - b'v - c'h
    P(h=1 | v)   = sigmoid(c + v'W)          P(v=1 | h) = sigmoid(b + Wh)
    F(v)         = -b'v - sum_j softplus(c_j + (v'W)_j)

Every function takes any number of rows, dense or CSR where it says ``Rows``,
and works in the floating point type of the parameters.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from skrbm._core.operations import sigmoid, softplus, times, times_transposed
from skrbm._core.parameters import Parameters
from skrbm._core.types import Array, Rows

# Elements of a scratch block that stays in the processor's second-level cache.
_BLOCK = 1 << 16


def hidden_probabilities(
    parameters: Parameters, v: Rows, out: Array | None = None
) -> Array:
    """Return ``P(h=1 | v) = sigmoid(c + v'W)``."""
    return sigmoid(times(v, parameters.W, out), parameters.c)


def visible_probabilities(
    parameters: Parameters, h: Array, out: Array | None = None
) -> Array:
    """Return ``P(v=1 | h) = sigmoid(b + Wh)``."""
    return sigmoid(times_transposed(h, parameters.W, out), parameters.b)


def energy(parameters: Parameters, v: Rows, h: Array) -> Array:
    """Return ``E(v, h) = -v'Wh - b'v - c'h`` for each pair of rows."""
    W, b, c = parameters
    return -(np.asarray(v @ W) * h).sum(axis=1) - v @ b - h @ c


def free_energy(parameters: Parameters, v: Rows) -> Array:
    """Return ``F(v) = -b'v - sum_j softplus(c_j + (v'W)_j)`` in nats.

    Sums are accumulated in double precision.
    """
    W, b, c = parameters
    a = times(v, W) + c
    return -(v @ b.astype(np.float64)) - softplus(a).sum(axis=1, dtype=np.float64)


def pseudo_log_likelihood(parameters: Parameters, v: Rows) -> Array:
    """Return ``sum_i log P(v_i | the other units of v)``, in nats, exactly.

    With a = c + v'W and s_i = 1 - 2 v_i, flipping unit i changes the free
    energy by ``-x_i``,

        x_i = s_i b_i + sum_j log(sigmoid(-a_j) + sigmoid(a_j) exp(s_i W_ij)),

    and ``log P(v_i | ...) = -softplus(x_i)``.  The argument of the logarithm is
    a mean of 1 and exp(s_i W_ij), so nothing cancels.  A value of v between 0
    and 1 is flipped to 1 - v.

    The cost is n_features x n_components elements a row, whatever v holds.
    """
    W, b, c = parameters
    scores = np.empty(v.shape[0])
    tables = _FlipTables(W)
    # Activations in double precision, so that a row's score does not depend on
    # how many other rows the matrix product took with it.
    W64, c64 = W.astype(np.float64), c.astype(np.float64)
    rows_at_once = max(1, _BLOCK // len(b))
    for start in range(0, len(scores), rows_at_once):
        block = v[start : start + rows_at_once]
        a = times(block, W64) + c64
        if sparse.issparse(block):
            block = block.toarray()
        for row, (v_n, a_n) in enumerate(zip(block, a, strict=True)):
            s = 1 - 2 * v_n.astype(np.float64)
            x = s * b + tables.log_mean(v_n, a_n)
            scores[start + row] = -softplus(x).sum()
    return scores


class _FlipTables:
    """``sum_j log(q_j + p_j exp(s_i W_ij))`` for each unit i of a row.

    The work is one logarithm for each pair (i, j), less a factor: several
    terms are multiplied before their logarithm is taken, as many as cannot
    overflow.  One exponential table serves a whole data set of zeros and ones,
    since for s = -1 the sum is that of log(p_j + q_j exp(W_ij)) - W_ij.
    """

    def __init__(self, W: Array) -> None:
        self.W = W
        self.largest = float(np.abs(W).max(initial=0))
        room = 0.9 * float(np.log(np.finfo(W.dtype).max))
        # How many terms, each within exp(+-largest), a product can hold.
        self.n_halvings = max(0, int(np.log2(min(16, room / max(self.largest, 1)))))
        self.fits = self.largest < room
        n_features, n_components = W.shape
        self.exp_W = np.exp(W) if self.fits else W
        self.sum_W = W.sum(axis=1, dtype=np.float64)
        self.n_rows = max(1, _BLOCK // n_components)
        self.scratch = np.empty((min(self.n_rows, n_features), n_components), W.dtype)

    def log_mean(self, v: Array, a: Array) -> Array:
        """Return the sums for one row v with hidden input a."""
        off, on = np.flatnonzero(v == 0), np.flatnonzero(v == 1)
        total = np.empty(len(v))
        if not self.fits or len(off) + len(on) < len(v):
            s = 1 - 2 * v.astype(np.float64)[:, None]
            log_p, log_q = -softplus(-a), -softplus(a)
            np.logaddexp(log_q, log_p + s * self.W).sum(axis=1, out=total)
            return total
        dtype = self.W.dtype
        p, q = sigmoid(a.copy()).astype(dtype), sigmoid(-a).astype(dtype)
        for units, rate, rest in ((off, p, q), (on, q, p)):
            for start in range(0, len(units), self.n_rows):
                block = units[start : start + self.n_rows]
                term = self.scratch[: len(block)]
                np.take(self.exp_W, block, axis=0, out=term, mode="clip")
                term *= rate
                term += rest
                total[block] = self._sum_of_logs(term)
        total[on] -= self.sum_W[on]
        return total

    def _sum_of_logs(self, term: Array) -> Array:
        """Return ``log(term).sum(axis=1)``; overwrites term."""
        tail = np.zeros(len(term))
        for _ in range(self.n_halvings):
            half, odd = divmod(term.shape[1], 2)
            if odd:
                tail += np.log(term[:, -1])
            term[:, :half] *= term[:, half : 2 * half]
            term = term[:, :half]
        return np.log(term, out=term).sum(axis=1, dtype=np.float64) + tail
