"""One mini-batch of contrastive divergence: its two phases and its gradient.

    positive phase   v0 the data            h0 ~ P(h | v0)
    negative phase   k times  v ~ P(v | h), h ~ P(h | v), starting from h0 or,
                     with persistent chains, from where the last batch left off

The gradient of the log-likelihood is the mean of v h' over the n positive rows
less its mean over the m negative rows.  With one weight per row,
w = [1/n, ..., -1/m, ...], and offsets mu and lambda it reads

    S = [v0; vk] - mu        G = w * ([h0; hk] - lambda)
    dW = S'G       db = S'(w - G lambda)       dc = G'1

Here c is the hidden intercept at v = mu, so that P(h=1 | v) = sigmoid(c + SW);
`parameters.at_offset` goes there and back.  For mu = lambda = 0 this is the
ordinary gradient, and otherwise that of ``-(v-mu)'W(h-lambda) - b'v - c'h``
(Montavon & Mueller 2012; Melchior, Fischer & Wiskott 2016, section 3), whose
visible intercept b + W lambda is carried as b, for lambda moves.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skrbm._core.blocks import converted
from skrbm._core.operations import (
    add_outer,
    add_product,
    sigmoid,
    times,
    times_transposed,
)
from skrbm._core.parameters import Parameters
from skrbm._core.sampling import N_WORDS, bernoulli, draw, sparse_rows
from skrbm._core.threads import Crew, cut
from skrbm._core.types import Array, Rows

MAX_SLABS = 16
# Products with a sparse matrix cost about ten times as much for each non-zero.
_SPARSE = 0.1


class _Slab:
    """A range of visible units in both phases, dense and centred: v - mu."""

    def __init__(self, model: Parameters, mu: Array, n: int, m: int) -> None:
        self.W, self.b, self.mu = model.W, model.b, mu
        # S stacks both phases, (n + m, n_features).
        self.S = np.empty((n + m, len(mu)), model.W.dtype)
        self.SW = np.empty((n + m, model.W.shape[1]), model.W.dtype)
        self.S0, self.Sk = self.S[:n], self.S[n:]
        self.SW0, self.SWk = self.SW[:n], self.SW[n:]

    def load(self, v0: Array) -> None:
        """Take the positive rows."""
        np.subtract(v0, self.mu, out=self.S0)
        times(self.S0, self.W, out=self.SW0)

    def sample(self, h: Array, rng: np.random.Generator) -> None:
        """Draw negative rows v ~ P(v | h) = sigmoid(b + Wh)."""
        x = times_transposed(h, self.W, out=self.Sk)
        np.subtract(draw(sigmoid(x, self.b, N_WORDS), rng), self.mu, out=self.Sk)
        times(self.Sk, self.W, out=self.SWk)

    def add_gradient(self, W: Array, b: Array, G: Array, r: Array, keep: float) -> None:
        """Turn W into ``keep W + S'G`` and add S'r to b."""
        add_product(W, self.S, G, keep)
        b += r @ self.S


class _SparseSlab:
    """All visible units, of which few are on: S is never formed, but v is kept.

    S W = v W - mu W and S'G = v'G - mu (1'G), so that the products follow the
    non-zeros.  Samples that are not sparse enough, early in training, are dense.
    """

    def __init__(self, model: Parameters, mu: Array, n: int, m: int) -> None:
        self.W, self.b, self.mu = model.W, model.b, mu
        n_features, n_components = model.W.shape
        self.SW = np.empty((n + m, n_components), model.W.dtype)
        self.SW0, self.SWk = self.SW[:n], self.SW[n:]
        # Visible units are drawn in blocks that stay in the second-level cache.
        self.on = np.empty((m, n_features), bool)
        self.blocks = cut(n_features, max(1, m * n_features >> 16))

    def load(self, v0: Rows) -> None:
        """Take the positive rows."""
        self.v0 = v0
        self.mu_W = self.mu @ self.W
        np.subtract(times(v0, self.W), self.mu_W, out=self.SW0)

    def sample(self, h: Array, rng: np.random.Generator) -> None:
        """Draw negative rows v ~ P(v | h) = sigmoid(b + Wh)."""
        on = self.on
        for block in self.blocks:
            x = times_transposed(h, self.W[block])
            on[:, block] = draw(sigmoid(x, self.b[block], N_WORDS), rng)
        few = np.count_nonzero(on) <= _SPARSE * on.size
        dtype = self.W.dtype
        self.vk: Rows = sparse_rows(on, dtype) if few else on.astype(dtype)
        np.subtract(times(self.vk, self.W), self.mu_W, out=self.SWk)

    def add_gradient(self, W: Array, b: Array, G: Array, r: Array, keep: float) -> None:
        """Turn W into ``keep W + S'G`` and add S'r to b."""
        n = self.v0.shape[0]
        add_product(W, self.v0, G[:n], keep)
        add_product(W, self.vk, G[n:])
        b += self.v0.T @ r[:n] + self.vk.T @ r[n:] - r.sum() * self.mu
        if self.mu.any():
            add_outer(W, self.mu, -G.sum(axis=0))


class _Part:
    """A range of rows of the hidden layer in both phases."""

    def __init__(
        self,
        slabs: Sequence[_Slab | _SparseSlab],
        h: Array,
        rows: slice,
        chains: slice,
    ) -> None:
        # The first slab's part of SW becomes the sum of all, and then H.
        self.H0, *self.more0 = (slab.SW0[rows] for slab in slabs)
        self.Hk, *self.morek = (slab.SWk[chains] for slab in slabs)
        self.h = h[chains]


class MiniBatch:
    """Both layers in both phases of a mini-batch, and the model they belong to.

    ``model`` holds W, b and the c at mu; ``n`` is the number of positive rows.
    ``chains`` (m, n_components) holds the hidden states of persistent chains,
    which every negative phase moves on; without it there are as many negative
    rows as positive ones.  Model and chains are held by reference.

    The visible units are cut in slabs and the rows of the hidden layer in as
    many parts, by the shape of the data alone, and each index has random numbers
    of its own: the number of threads never shows in the result.
    """

    def __init__(
        self,
        model: Parameters,
        mu: Array,
        n: int,
        chains: Array | None = None,
        *,
        sparse: bool = False,
        n_gibbs_steps: int = 1,
        sample_statistics: bool = False,
        binarize: float | None = None,
    ) -> None:
        n_features, n_components = model.W.shape
        m = n if chains is None else len(chains)
        self.c, self.n, self.sparse = model.c, n, sparse
        self.persistent = chains is not None
        self.n_gibbs_steps = n_gibbs_steps
        self.sample_statistics = sample_statistics
        self.binarize = binarize
        count = 1 if sparse else count_slabs(n + m, n_features, n_components)
        self.features = cut(n_features, count)
        self.slabs = [
            (_SparseSlab if sparse else _Slab)(
                Parameters(model.W[s], model.b[s], model.c), mu[s], n, m
            )
            for s in self.features
        ]
        # H stacks h0 (n, n_components) and hk (m, n_components).
        self.H = self.slabs[0].SW
        h = np.empty((m, n_components), model.W.dtype) if chains is None else chains
        self.parts = [
            _Part(self.slabs, h, rows, chains)
            for rows, chains in zip(cut(n, count), cut(m, count), strict=True)
        ]
        self.h = h
        self.w = np.repeat(np.array([1 / n, -1 / m], model.W.dtype), [n, m])
        self.indices = range(count)

    def run_phases(
        self, batch: Rows, streams: Sequence[np.random.Generator], crew: Crew
    ) -> None:
        """Fill the visible and the hidden layers of both phases from ``batch``.

        The hidden layers hold probabilities unless statistics are to be sampled.
        """
        each, slabs, parts = self.indices, self.slabs, self.parts
        crew.map(lambda i: self._load(i, batch), each)
        crew.map(lambda i: self._infer_positive(parts[i], streams[i]), each)
        for step in range(self.n_gibbs_steps):
            if step > 0:
                crew.map(lambda i: self._draw_hidden(parts[i], streams[i]), each)
            crew.map(lambda i: slabs[i].sample(self.h, streams[i]), each)
            crew.map(lambda i: self._infer(parts[i].Hk, parts[i].morek), each)
        if self.persistent or self.sample_statistics:
            crew.map(lambda i: self._draw_hidden(parts[i], streams[i]), each)

    def _load(self, i: int, batch: Rows) -> None:
        if not self.sparse and len(self.slabs) > 1:
            batch = batch[:, self.features[i]]
        if self.sparse or self.binarize is not None:
            batch = converted(batch, self.c.dtype, self.binarize)
        self.slabs[i].load(batch)

    def _infer_positive(self, part: _Part, rng: np.random.Generator) -> None:
        """Infer h0, and draw the h that a chain without persistence starts from."""
        p = self._infer(part.H0, part.more0)
        if self.sample_statistics:
            bernoulli(p, rng, out=p)
        if not self.persistent:
            part.h[...] = p if self.sample_statistics else bernoulli(p, rng)

    def _draw_hidden(self, part: _Part, rng: np.random.Generator) -> None:
        """Draw the h that the next Gibbs step starts from, out of hk."""
        bernoulli(part.Hk, rng, out=part.h)
        if self.sample_statistics:
            part.Hk[...] = part.h

    def _infer(self, a: Array, more: Sequence[Array]) -> Array:
        """Return P(h=1 | v) = sigmoid(c + SW) from the slabs' shares of SW."""
        for share in more:
            a += share
        return sigmoid(a, self.c)

    def mean_activity(self) -> Array:
        """Return the mean of h0."""
        return self.w[: self.n] @ self.H[: self.n]

    def add_gradient(
        self,
        target: Parameters,
        learning_rate: float,
        lam: Array,
        crew: Crew,
        *,
        keep: float = 1.0,
        pull: Array | None = None,
    ) -> None:
        """Set ``target.W`` to ``keep target.W`` and add the gradient to target.

        ``lam`` is the hidden offset; ``pull`` (n_components,) is a further
        derivative at the input of each hidden unit on the positive rows.  The
        hidden layer is used up.
        """
        w = learning_rate * self.w
        # G = w * ([h0; hk] - lambda), in the place of the hidden layer.
        G = np.subtract(self.H, lam, out=self.H)
        G *= w[:, None]
        if pull is not None:
            G[: self.n] += learning_rate / self.n * pull
        r = w - G @ lam
        W, b, c = target
        c += G.sum(axis=0)
        crew.map(
            lambda i: self.slabs[i].add_gradient(
                W[self.features[i]], b[self.features[i]], G, r, keep
            ),
            self.indices,
        )


def count_slabs(n_rows: int, n_features: int, n_components: int) -> int:
    """Return in how many slabs to cut the visible units: a power of two.

    A slab narrower than 256 units slows its matrix products down by more than a
    second thread makes up for, and a product of less than 2^22 terms is over
    before a second thread has begun.
    """
    terms = n_rows * n_features * n_components
    n_slabs = min(n_features >> 8, terms >> 22, MAX_SLABS)
    return 1 << max(0, n_slabs.bit_length() - 1)
