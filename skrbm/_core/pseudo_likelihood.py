"""The exact pseudo-log-likelihood, at less than a logarithm a term.

With a = c + v'W, flipping unit i of v, from v_i to v_i + s_i where
s_i = 1 - 2 v_i, changes the free energy by -x_i,

    x_i = s_i b_i + sum_j log(q_j + p_j exp(s_i W_ij)),
    p_j = sigmoid(a_j),  q_j = sigmoid(-a_j),

and log P(v_i | the other units) = -softplus(x_i).  Every term is a mean of 1 and
exp(s_i W_ij), so nothing cancels.  There are n_features x n_components of them
for each row, whatever v holds, and what follows is about their cost.

*Several terms, one product.*  For a group of hidden units the product of the
terms is a sum over the subsets of the group of (a product of rates of the row)
times (a product of exponentials of the weights): a matrix product whose inner
dimension is 2^(size of the group).  The one factor depends on the row alone and
the other on the unit alone, and all of them are positive.

*One table for both values.*  s = -1 needs exp(-W), but
log(q + p exp(-W)) = log(p + q exp(W)) - W, the term of s = 1 with p and q
exchanged.  Both values are worked out for every unit, and one is chosen.

*Few logarithms.*  Groups are multiplied up as far as the floating point range
allows before a logarithm is taken.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from skrbm._core.operations import quiet, sigmoid, softplus, times
from skrbm._core.parameters import Parameters
from skrbm._core.rows import ROWS_AT_ONCE
from skrbm._core.types import Array, DType, Rows, dense

# Units of a block, whose products stay in the second-level cache.  Every block has
# `ROWS_AT_ONCE` rows, the last one padded, so that a row's score does not show how
# many others there are, unless that is known from the start.
_UNITS = 1024
# Products, of several groups, that are worked out at once.
_PRODUCTS = 1 << 16
_LARGEST_GROUP = 4
# A row takes as long as so many terms of a product for each weight.
TERMS_A_WEIGHT = 16
# Tables pay for a full block, and for these fewer rows with so many weights; with more
# weights a few rows are not worth the memory.
_FEW_ROWS, _FEW_ROWS_WEIGHTS = 8, range(1 << 13, 1 << 20)
# Terms that are worked out at once where there is a logarithm for each.
_TERMS = 1 << 16


class PseudoLikelihood:
    """The pseudo-log-likelihood of many rows under one model.

    A value of v between 0 and 1 is flipped to 1 - v, which costs several times as
    much as zeros and ones do.  If ``n_rows`` is given, so many are scored: few of
    them cost less then, and their number may show in the last bits.
    """

    def __init__(self, parameters: Parameters, *, n_rows: int | None = None) -> None:
        W = parameters.W
        self.parameters = parameters
        n_rows = n_rows or ROWS_AT_ONCE
        self.rows_at_once = min(n_rows, ROWS_AT_ONCE)
        self.size = 0  # of a group, where there are tables
        worth_it = n_rows >= _FEW_ROWS and W.size in _FEW_ROWS_WEIGHTS
        if n_rows < ROWS_AT_ONCE and not worth_it:
            return
        room = _room(W.dtype)
        largest = max(float(np.abs(W).max()), 1.0)
        self.size = int(min(_LARGEST_GROUP, room // largest))
        if self.size == 0:
            return
        self.groups_a_logarithm = max(1, int(2 * room // (self.size * largest)))
        # (n_groups, 2^size, n_features): a row for each subset of a group.
        self.table = _over_subsets(np.exp(self._grouped(W)))
        self.sum_W = W.sum(axis=1, dtype=np.float64)

    def _grouped(self, x: Array) -> Array:
        """Return x (n, n_components), padded with 0, as (n_groups, size, n)."""
        grouped = np.zeros((-(-x.shape[1] // self.size), self.size, len(x)), x.dtype)
        grouped.reshape(-1, len(x))[: x.shape[1]] = x.T
        return grouped

    @quiet
    def __call__(self, v: Rows, out: Array | None = None) -> Array:
        """Return the pseudo-log-likelihood of each row, in nats."""
        scores = np.empty(v.shape[0]) if out is None else out
        for rows, x in self._blocks(v):
            scores[rows] = -softplus(x).sum(axis=1)
        return scores

    @quiet
    def inputs(self, v: Rows) -> Array:
        """Return x_i, by how much to flip unit i lowers the free energy, in nats."""
        return np.concatenate([x for _, x in self._blocks(v)])

    def _blocks(self, v: Rows) -> Iterator[tuple[slice, Array]]:
        """Yield x of some rows after the other."""
        W, b, c = self.parameters
        block = np.zeros((self.rows_at_once, len(b)), W.dtype)
        for start in range(0, v.shape[0], self.rows_at_once):
            rows = v[start : start + self.rows_at_once]
            n = rows.shape[0]
            block[:n] = dense(rows)
            s = 1 - 2 * block.astype(np.float64)
            x = s * b + self._sum_of_logs(block, s, times(block, W) + c)
            yield slice(start, start + n), x[:n]

    def _sum_of_logs(self, v: Array, s: Array, a: Array) -> Array:
        """Return the sum over hidden units for each row and unit, (n, n_features)."""
        if self.size == 0:
            return _term_by_term(self.parameters.W, s, a)
        binary = ((v == 0) | (v == 1)).all(axis=1)
        total = np.empty(v.shape)
        if binary.any():
            off, on = self._both_values(self._grouped(a))
            total[binary] = np.where(v == 0, off, on - self.sum_W)[binary]
        others = ~binary
        total[others] = _term_by_term(self.parameters.W, s[others], a[others])
        return total

    def _both_values(self, a: Array) -> tuple[Array, Array]:
        """Return the sums for units that are off, and for units that are on.

        ``a`` is (n_groups, size, rows).
        """
        p, q = sigmoid(a.copy()), sigmoid(-a)
        rate, rest = np.concatenate([p, q], axis=2), np.concatenate([q, p], axis=2)
        # (n_groups, 2 rows, 2^size): a rate for each subset of a group.
        subsets = _over_subsets(rate, rest).transpose(0, 2, 1)
        n_groups, n_rows, _ = subsets.shape
        n_features = self.table.shape[2]
        total = np.zeros((n_rows, n_features))
        for start in range(0, n_features, _UNITS):
            units = slice(start, start + _UNITS)
            place = total[:, units]
            at_once = max(1, _PRODUCTS // place.size)
            buffer = np.empty((at_once, *place.shape), rate.dtype)
            for first in range(0, n_groups, self.groups_a_logarithm):
                groups = slice(first, first + self.groups_a_logarithm)
                table = self.table[groups, :, units]
                product = _product(subsets[groups], table, buffer)
                place += np.log(product, out=product)
        return total[: n_rows // 2], total[n_rows // 2 :]


def _over_subsets(factors: Array, others: Array | None = None) -> Array:
    """Return the product of factors over each subset of a group, (.., 2^size, ..).

    ``factors`` is (n_groups, size, n).  What is not in the subset has the factor 1, or
    that in ``others``.
    """
    n_groups, size, n = factors.shape
    products = np.ones((n_groups, 1 << size, n), factors.dtype)
    for unit in range(size):
        one, half = slice(unit, unit + 1), 1 << unit
        without, also = products[:, :half], products[:, half : 2 * half]
        np.multiply(without, factors[:, one], out=also)
        if others is not None:
            without *= others[:, one]
    return products


def _product(rates: Array, table: Array, buffer: Array) -> Array:
    """Return the product over groups of ``rates @ table``, (2 rows, units).

    ``buffer`` has room for those of as many groups as are worked out at once.
    """
    at_once = len(buffer)
    for start in range(0, len(table), at_once):
        groups = slice(start, start + at_once)
        # rates: (groups, 2 rows, 2^size)  table: (groups, 2^size, units)
        out = buffer[: len(table) - start]
        factors = np.matmul(rates[groups], table[groups], out=out)
        factor = factors[0] if at_once == 1 else factors.prod(axis=0)
        if start == 0:
            product = factor.copy()
        else:
            product *= factor
    return product


def _term_by_term(W: Array, s: Array, a: Array) -> Array:
    """Return the sums over hidden units for any values and any weights."""
    total = np.empty(s.shape)
    if np.abs(W).max() * np.abs(s).max(initial=0) > _room(W.dtype):
        # exp(s W) could leave the range: add logarithms, in double precision.
        W, a = W.astype(np.float64), a.astype(np.float64)
        for n in range(len(s)):
            log_p, log_q = -softplus(-a[n]), -softplus(a[n])
            terms = np.logaddexp(log_q, log_p + s[n][:, None] * W)
            total[n] = terms.sum(axis=1)
        return total
    p, q = sigmoid(a.copy())[:, None], sigmoid(-a)[:, None]
    s = s.astype(W.dtype)[:, :, None]
    n_rows = max(1, _TERMS // W.size)
    for start in range(0, len(s), n_rows):
        rows = slice(start, start + n_rows)
        terms = s[rows] * W  # (rows, n_features, n_components)
        np.exp(terms, out=terms)
        terms *= p[rows]
        terms += q[rows]
        total[rows] = np.log(terms, out=terms).sum(axis=2)
    return total


def _room(dtype: DType) -> float:
    """Return half the largest exponent, so that neither factor of a term overflows."""
    return 0.5 * float(np.log(np.finfo(dtype).max))
