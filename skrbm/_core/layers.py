"""The two layers in training: the verbs that a mini-batch is written in.

Training holds c at v = mu, where the centred gradient of c is a plain sum:

    P(h=1 | v) = sigmoid(c + (v - mu)'W)        P(v=1 | h) = sigmoid(b + Wh)

`Dense` is for rows that are arrays, and `Sparse` for CSR.  Both hold a model, or a
change of one such as a velocity, and are changed in place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
from scipy import sparse

from skrbm._core.operations import (
    add_outer,
    add_outer_beside_others,
    ones,
    sigmoid,
    subtract,
    sum_rows,
    times,
    times_transposed,
)
from skrbm._core.parameters import Parameters
from skrbm._core.sampling import Stream, bernoulli, draw_rare
from skrbm._core.threads import Workers, cut, worth_sharing
from skrbm._core.types import Array, Rows, dense

# Slabs that a gradient is cut into at most, and terms that are worth one.
_MOST_SLABS, _SLAB = 16, 1 << 27
# Elements of a product that stay in the cache while units are drawn from it.
_BLOCK = 1 << 17


@dataclass(frozen=True)
class Dense:
    """Rows come as S = [v - mu, 1]: c is the weights of a unit that is always on."""

    W_c: Array  # (n_features + 1, n_components)
    b: Array
    mu: Array
    least_rows: ClassVar[int] = 32  # that are worth a thread of their own

    @classmethod
    def take(cls, parameters: Parameters, mu: Array) -> Dense:
        """Return parameters, or a change of some, in this form."""
        W, b, c = parameters
        return cls(np.vstack([W, c + mu @ W]), b.copy(), mu)

    def restore(self) -> Parameters:
        """Return the parameters with c at v = 0."""
        W, c = self.W_c[:-1], self.W_c[-1]
        return Parameters(W.copy(), self.b.copy(), c - self.mu @ W)

    @property
    def arrays(self) -> tuple[Array, ...]:
        """All that training changes."""
        return self.W_c, self.b

    def shrink(self, factor: float) -> None:
        """Multiply W by a factor."""
        W = self.W_c[:-1]
        W *= factor

    def room(self, n: int) -> Array:
        """Return a place for n rows."""
        return ones(n, len(self.W_c), like=self.b)

    def centre(self, v: Array, out: Any) -> Array:
        """Return ``[v - mu, 1]``."""
        subtract(v, self.mu, out=out[:, :-1])
        return out

    def hidden(self, S: Array, out: Array) -> Array:
        """Return ``P(h=1 | v) = sigmoid(c + (v - mu)'W)``."""
        return sigmoid(times(S, self.W_c, out))

    def inputs(self, S: Array) -> tuple[Array, Array]:
        """Return ``c + (v - mu)'W`` and ``b'(v - mu)``."""
        return times(S, self.W_c), S[:, :-1].dot(self.b)

    def draw_visible(
        self, h: Array, rng: Stream, out: Any, _: Workers, beta: Array | None = None
    ) -> Array:
        """Draw ``v ~ P(v | h) = sigmoid(b + Wh)``; return ``[v - mu, 1]``.

        ``beta`` (n, 1) scales what goes into each row.
        """
        p = sigmoid(times_transposed(h, self.W_c[:-1]), self.b, beta)
        return self.centre(bernoulli(p, rng, scratch=p), out)

    def redraw(self, v: Array, missing: Array, rng: Stream) -> Array:
        """Draw missing units given all others, by a Gibbs step."""
        h = times(v - self.mu, self.W_c[:-1]) + self.W_c[-1]
        h = bernoulli(sigmoid(h), rng).astype(v.dtype)
        p = sigmoid(times_transposed(h, self.W_c[:-1]), self.b)
        return np.where(missing, bernoulli(p, rng, scratch=p), v).astype(v.dtype)

    def add(
        self, rows: list[Array], G: Array, r: Array, rate: float, workers: Workers
    ) -> None:
        """Compute ``W += rate S'G``, ``b += rate S'r`` and ``c += rate G'1``."""
        (S,) = rows
        self.b[...] += (rate * r).dot(S)[:-1]
        n_slabs = count_slabs(len(S), self.W_c.size)
        if n_slabs == 1:
            add_outer(self.W_c, S, G, rate)
            return
        G *= rate
        workers.map(
            lambda slab: add_outer_beside_others(self.W_c[slab], S[:, slab], G),
            cut(len(self.W_c), n_slabs),
        )


@dataclass(frozen=True)
class Sparse:
    """Rows come as v, and what centring adds to all of W is kept apart.

    b is the weights of a hidden unit that is always on, and

        [W, b] = M + mu a'    so that ``W += (v - mu)'G`` is ``M += v'G, a -= G'1``.

    Nothing but P(v | h) takes more of M than the units that are on.  mu'M is kept too,
    which changes by (v mu)'G, and so is mu, which is needed beside M, as a column.
    """

    M_mu: Array  # (n_features, n_components + 2)
    a: Array  # (n_components + 1,)
    mu_M: Array
    c: Array
    mu: Array
    least_rows: ClassVar[int] = 192  # products of sparse rows hold the interpreter lock

    @classmethod
    def take(cls, parameters: Parameters, mu: Array) -> Sparse:
        """Return parameters, or a change of some, in this form."""
        W, b, c = parameters
        mu_M = np.append(mu @ W, mu @ b)
        M_mu = np.column_stack([W, b, mu])
        return cls(M_mu, np.zeros_like(mu_M), mu_M, c + mu_M[:-1], mu)

    def restore(self) -> Parameters:
        """Return the parameters with c at v = 0."""
        W_b = self.M_mu[:, :-1] + np.outer(self.mu, self.a)
        W, b = np.ascontiguousarray(W_b[:, :-1]), W_b[:, -1].copy()
        return Parameters(W, b, self.c - self.mu @ W)

    @property
    def arrays(self) -> tuple[Array, ...]:
        """All that training changes."""
        return self.M_mu[:, :-1], self.a, self.mu_M, self.c

    def shrink(self, factor: float) -> None:
        """Multiply W by a factor."""
        for W in (self.M_mu[:, :-2], self.a[:-1], self.mu_M[:-1]):
            W *= factor

    def room(self, _: int) -> None:
        """Sparse rows make their own."""

    def centre(self, v: Rows, _: Any) -> Rows:
        """Return v as it is: mu comes in with the products."""
        return v

    def hidden(self, v: Rows, out: Array) -> Array:
        """Return ``P(h=1 | v) = sigmoid(c + (v - mu)'W)``."""
        out[...], _ = self.inputs(v)
        return sigmoid(out)

    def inputs(self, v: Rows) -> tuple[Array, Array]:
        """Return ``c + (v - mu)'W`` and ``b'(v - mu)``."""
        x = times(v, self.M_mu)
        x_b = np.outer(x[:, -1] - self.mu @ self.mu, self.a)
        x_b += x[:, :-1]
        x_b -= self.mu_M
        return x_b[:, :-1] + self.c, x_b[:, -1]

    def draw_visible(
        self,
        h: Array,
        rng: Stream,
        _: Any,
        workers: Workers,
        beta: Array | None = None,
    ) -> Rows:
        """Draw ``v ~ P(v | h) = sigmoid(b + Wh)``, some units at a time.

        ``beta`` (n, 1) scales what goes into each row.
        """
        n, n_features = len(h), len(self.mu)
        h_1_mu = np.vstack([h.T, np.ones(n, h.dtype), h @ self.a[:-1] + self.a[-1]])
        if beta is not None:
            h_1_mu *= beta[:, 0]
        blocks = cut(n_features, -(-n * n_features // _BLOCK))

        def draw(block: tuple[slice, Stream]) -> tuple[Array, Array]:
            units, stream = block
            unit, row = draw_rare(times(self.M_mu[units], h_1_mu), stream)
            return row, unit + units.start

        streams = rng.parts(len(blocks))
        share = worth_sharing(n * self.M_mu.size, self.M_mu.size)
        on = workers.map(draw, list(zip(blocks, streams, strict=True)), share=share)
        row, unit = map(np.concatenate, zip(*on, strict=True))
        ones = np.ones(len(row), h.dtype)
        v = sparse.coo_array((ones, (row, unit)), (n, n_features)).tocsr()
        # A product with CSR costs about ten times as much for each unit that is on.
        return v if 10 * len(row) <= n * n_features else dense(v)

    def redraw(self, v: Rows, missing: Array, rng: Stream) -> Rows:
        """Draw missing units, which are among those stored, by a Gibbs step."""
        x, _ = self.inputs(v)
        h = bernoulli(sigmoid(x), rng)
        row = np.repeat(np.arange(v.shape[0]), np.diff(v.indptr))[missing]
        unit = v.indices[missing]
        W_b = self.M_mu[unit, :-1] + np.outer(self.mu[unit], self.a)
        x = np.einsum("ij,ij->i", W_b[:, :-1], h[row]) + W_b[:, -1]
        v = v.copy()
        v.data[missing] = bernoulli(sigmoid(x), rng)
        return v

    def add(
        self, rows: list[Rows], G: Array, r: Array, rate: float, _: Workers
    ) -> None:
        """Compute ``W += rate (v - mu)'G``, and b and c likewise, as `Dense` does."""
        G = rate * np.column_stack([G, r])
        total = sum_rows(G)
        self.c[...] += total[:-1]
        self.a[...] -= total
        self.mu_M[...] += np.concatenate([v @ self.mu for v in rows]) @ G
        add_rows(self.M_mu[:, :-1], rows, G)


Layers: TypeAlias = Dense | Sparse


def add_rows(M: Array, rows: list[Rows], G: Array) -> None:
    """Compute ``M += v'G`` in place for v in parts, where few columns are on."""
    if not all(map(sparse.issparse, rows)):
        M += np.concatenate([dense(v) for v in rows]).T @ G
        return
    v = sparse.vstack(rows, format="csr")
    on, column = np.unique(v.indices, return_inverse=True)
    few = sparse.csc_array((v.data, column, v.indptr), (len(on), v.shape[0]))
    M[on] += few @ G


def count_slabs(n: int, n_weights: int) -> int:
    """Return into how many slabs of visible units to cut a gradient of n rows."""
    n_terms = n * n_weights
    if not worth_sharing(n_terms, n_weights):
        return 1
    return min(max(2, n_terms // _SLAB), _MOST_SLABS)
