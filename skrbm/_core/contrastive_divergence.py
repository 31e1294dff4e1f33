"""One mini-batch of contrastive divergence: its two phases and its gradient.

    positive phase   v0 the data            h0 ~ P(h | v0)
    negative phase   k times  v ~ P(v | h), h ~ P(h | v), starting from h0 or,
                     with persistent chains, from where the last batch left off

The gradient of the log-likelihood is the mean of v h' over the n positive rows
less its mean over the m negative rows.  With one weight per row,
w = [1/n, ..., -1/m, ...], and offsets mu and lambda it reads

    S = [v0; vk] - mu        G = w * ([h0; hk] - lambda)
    dW = S'G       db = S'(w - G lambda)       dc = G'1

Here c is the hidden intercept at v = mu, so that P(h=1 | v) = sigmoid(c + SW).
For mu = lambda = 0 this is the ordinary gradient, and otherwise that of
``-(v-mu)'W(h-lambda) - b_c'v - c'h`` (Montavon & Mueller 2012; Melchior, Fischer &
Wiskott 2016, section 3).  There b_c = b + W lambda would have to change whenever
lambda does; b is carried in its place, hence the - G lambda in db.

`parameters` has the two forms in which a model is trained: for dense rows S has a
further column of ones, and W the row c'; for sparse ones what mu adds is kept apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np

from skrbm._core.blocks import converted
from skrbm._core.operations import (
    SMALL_TERMS,
    add_product,
    add_sparse_product,
    move_towards_product,
    sigmoid,
    times,
    times_transposed,
)
from skrbm._core.parameters import Apart, Stacked
from skrbm._core.sampling import Stream, draw, draw_rare, drawn, rows_of
from skrbm._core.threads import Crew, cut
from skrbm._core.types import Array, Rows

MAX_SHARES = 16


class _Visible:
    """The visible layer of some rows in both phases, dense: S = [v - mu, 1]."""

    def __init__(self, model: Stacked, mu: Array, S0: Array, Sk: Array) -> None:
        self.joint, self.W, self.b, self.mu = model.joint, model.weights, model.b, mu
        self.S0, self.Sk = S0, Sk
        self.x = np.empty((len(Sk), len(mu)), Sk.dtype)

    def load(self, v0: Array, out: Array) -> None:
        """Take the positive rows, and put c + S0 W in ``out``."""
        np.subtract(v0, self.mu, out=self.S0[:, :-1])
        times(self.S0, self.joint, out=out)

    def sample(self, h: Array, rng: Stream, out: Array) -> None:
        """Draw v ~ P(v | h) = sigmoid(b + Wh), and put c + Sk W in ``out``."""
        x = times_transposed(h, self.W, out=self.x)
        on = draw(x, rng, scratch=x, intercept=self.b)
        np.subtract(on, self.mu, out=self.Sk[:, :-1])
        times(self.Sk, self.joint, out=out)


class _SparseVisible:
    """The same where few units are on: S is never formed, but v is kept.

    The products follow the non-zeros; `Apart` says how.  Samples that are not sparse
    enough, early in training, are dense.
    """

    def __init__(self, model: Apart, mu: Array, m: int, crew: Crew) -> None:
        self.model, self.mu_mu, self.crew = model, mu @ mu, crew
        # [h, 1, h a + beta]
        self.h = np.ones((m, len(model.c) + 2), model.c.dtype)
        self.shape = m, len(mu)
        # Visible units are drawn in blocks that stay in the second-level cache.
        self.blocks = cut(len(mu), max(1, m * len(mu) >> 17))

    def load(self, v0: Rows, out: Array) -> None:
        """Take the positive rows, and put c + S0 W in ``out``."""
        self.v0, self.v0_mu = v0, self._times(v0, out)

    def sample(self, h: Array, rng: Stream, out: Array) -> None:
        """Draw v ~ P(v | h) = sigmoid(b + Wh), and put c + Sk W in ``out``."""
        self.h[:, :-2] = h
        self.h[:, -1] = h @ self.model.a + self.model.beta

        def draw_block(i: int) -> tuple[Array, Array]:
            block = self.blocks[i]
            x = times_transposed(self.h, self.model.M_d_mu[block])
            on = draw_rare(x, rng.part(i) if i else rng)
            row, column = np.divmod(on, x.shape[1])
            return row, column + block.start

        places = self.crew.map(draw_block, range(len(self.blocks)))
        self.vk = rows_of(places, self.shape, out.dtype)
        self.vk_mu = self._times(self.vk, out)

    def _times(self, v: Rows, out: Array) -> Array:
        """Put c + SW in ``out`` and return v mu."""
        x = times(v, self.model.M_d_mu)
        v_M, v_mu = x[:, :-2], x[:, -1]
        np.outer(v_mu - self.mu_mu, self.model.a, out=out)
        out += self.model.c - self.model.mu_M
        out += v_M
        return v_mu


class _Share(NamedTuple):
    """Some rows of a mini-batch: both layers in both phases."""

    visible: _Visible | _SparseVisible
    rows: slice
    H0: Array
    Hk: Array
    h: Array
    layers: Sequence[Array]  # H0 and Hk, as one array where they are


class MiniBatch:
    """Both layers in both phases of a mini-batch, and the model they belong to.

    ``model`` is `Stacked` for dense rows and `Apart` for sparse ones; ``n`` is the
    number of positive rows.
    ``chains`` (m, n_components) holds the hidden states of persistent chains,
    which every negative phase moves on; without it there are as many negative
    rows as positive ones.  Model and chains are held by reference.

    The phases are cut in shares of rows, each with random numbers of its own, and
    the gradient in slabs or strips of visible units, all by the shape of the data
    alone: the number of threads never shows in the result.
    """

    def __init__(
        self,
        model: Stacked | Apart,
        mu: Array,
        n: int,
        chains: Array | None = None,
        *,
        crew: Crew,
        n_gibbs_steps: int = 1,
        sample_statistics: bool = False,
        sample_rows: bool = False,
        binarize: float | None = None,
    ) -> None:
        dtype, n_features, n_components = model.c.dtype, len(mu), len(model.c)
        m = n if chains is None else len(chains)
        self.model, self.mu, self.n, self.crew = model, mu, n, crew
        self.sparse = isinstance(model, Apart)
        self.persistent = chains is not None
        self.n_gibbs_steps = n_gibbs_steps
        self.sample_statistics, self.sample_rows = sample_statistics, sample_rows
        self.binarize = binarize
        # S, (n + m, n_features + 1), and H, (n + m, n_components), stack both phases.
        self.S = np.ones((0 if self.sparse else n + m, n_features + 1), dtype)
        self.H = np.empty((n + m, n_components), dtype)
        self.H0, self.Hk = self.H[:n], self.H[n:]
        self.w = np.repeat(np.array([1 / n, -1 / m], dtype), [n, m])
        h = np.empty((m, n_components), dtype) if chains is None else chains
        n_weights = n_features * n_components
        count = min(count_shares(max(n, m), n_weights, sparse=self.sparse), n, m)
        self.shares = []
        for rows, negative in zip(cut(n, count), cut(m, count), strict=True):
            below = slice(n + negative.start, n + negative.stop)
            visible: _Visible | _SparseVisible
            if isinstance(model, Apart):
                n_negative = negative.stop - negative.start
                visible = _SparseVisible(model, mu, n_negative, crew)
            else:
                visible = _Visible(model, mu, self.S[rows], self.S[below])
            H0, Hk = self.H0[rows], self.Hk[negative]
            layers = [self.H] if count == 1 else [H0, Hk]
            self.shares.append(_Share(visible, rows, H0, Hk, h[negative], layers))
        self.slabs = cut(n_features + 1, count_slabs(n + m, n_features, n_weights))
        self.strips = cut(n_features + 1, count_strips(n + m, n_features, n_weights))

    def run_phases(self, X: Rows, index: Array, streams: Sequence[Stream]) -> None:
        """Fill both layers in both phases from the rows ``X[index]``.

        The hidden layers hold probabilities unless statistics are to be sampled.
        """

        def run(i: int) -> None:
            share = self.shares[i]
            batch = X[index[share.rows]]
            if self.sparse or self.sample_rows or self.binarize is not None:
                batch = converted(batch, self.H.dtype, self.binarize)
            if self.sample_rows:
                batch = drawn(batch, streams[i])
            self._run_share(share, batch, streams[i])

        self.crew.map(run, range(len(self.shares)))

    def _run_share(self, share: _Share, v0: Rows, rng: Stream) -> None:
        """Run both phases: h0, then k times v ~ P(v | h) and hk."""
        visible, H0, Hk, h = share.visible, share.H0, share.Hk, share.h
        # H0 and Hk hold the inputs of the hidden units until all is drawn.
        visible.load(v0, out=H0)
        if self.sample_statistics:
            H0[...] = draw(H0, rng, scratch=H0)
        if not self.persistent:
            h[...] = H0 if self.sample_statistics else draw(H0, rng, scratch=h)
        for step in range(self.n_gibbs_steps):
            if step > 0:
                h[...] = draw(Hk, rng, scratch=h)
            visible.sample(h, rng, out=Hk)
        if self.persistent or self.sample_statistics:
            h[...] = draw(Hk, rng, scratch=h)
        if self.sample_statistics:
            Hk[...] = h
        else:
            for H in share.layers:
                sigmoid(H)

    def move_towards_activity(self, mean: Array, step: float) -> None:
        """Move ``mean``, in place, towards the mean of h0 by so much of the way."""
        move_towards_product(mean, self.w[: self.n], self.H0, step)

    def add_gradient(
        self,
        target: Stacked | Apart,
        learning_rate: float,
        lam: Array,
        *,
        keep: float = 1.0,
        pull: Array | None = None,
        onto: Stacked | Apart | None = None,
    ) -> None:
        """Multiply target by ``keep`` and add the gradient to it.

        ``lam`` is the hidden offset; ``pull`` (n_components,) is a further
        derivative at the input of each hidden unit on the positive rows.  The
        target, if it is a velocity, is then added ``onto`` the parameters it moves.
        The hidden layer is used up.
        """
        w = learning_rate * self.w
        # G = w * ([h0; hk] - lambda), in the place of the hidden layer.
        G, H0, Hk = self.H, self.H0, self.Hk
        H0 -= lam if pull is None else lam - pull
        Hk -= lam
        G *= w[:, None]
        r = w - np.dot(G, lam)
        if isinstance(target, Apart):
            self._add_sparse_gradient(target, G, r, keep, cast("Apart | None", onto))
        else:
            self._add_dense_gradient(target, G, r, keep, cast("Stacked | None", onto))

    def _add_dense_gradient(
        self, target: Stacked, G: Array, r: Array, keep: float, onto: Stacked | None
    ) -> None:
        """Add S'[G, r] to the target, and then the target ``onto`` another."""
        joint, b = target
        alone = len(self.slabs) == 1
        if keep != 1:
            b *= keep
        b += np.dot(r, self.S[:, :-1])

        def add(slab: slice) -> None:
            add_product(joint[slab], self.S[:, slab], G, keep, alone=alone)
            if onto is not None:
                part = onto.joint[slab]
                part += joint[slab]

        if onto is None or not alone:
            self.crew.map(add, self.slabs)
        else:
            for strip in self.strips:
                add(strip)
        if onto is not None:
            np.add(onto.b, b, out=onto.b)

    def _add_sparse_gradient(
        self, target: Apart, G: Array, r: Array, keep: float, onto: Apart | None
    ) -> None:
        """Add [v, -1, v mu]'[G, r] to the target, and the target ``onto`` another."""
        joint, c = target
        if keep != 1:
            kept = joint[:, :-1]  # all but mu
            kept *= keep
            np.multiply(c, keep, out=c)
        visibles = [cast("_SparseVisible", share.visible) for share in self.shares]
        phases = [(x.v0, x.v0_mu) for x in visibles] + [
            (x.vk, x.vk_mu) for x in visibles
        ]
        G = np.column_stack([G, r])
        total = np.dot(np.ones_like(r), G)
        c += total[:-1]
        joint[-2, :-1] -= total
        start = 0
        for v, v_mu in phases:
            rows = slice(start, start + len(v_mu))
            add_sparse_product(joint[:-2, :-1], v, G[rows])
            joint[-1, :-1] += v_mu @ G[rows]
            start = rows.stop
        if onto is not None:
            changed = onto.joint[:, :-1]  # all but mu
            changed += joint[:, :-1]
            np.add(onto.c, c, out=onto.c)


# What it costs to hand work to another thread and wait for it, about a tenth of a
# millisecond, in terms of a matrix product.
_HANDOVER = 1 << 24


def count_shares(n_rows: int, n_weights: int, *, sparse: bool = False) -> int:
    """Return in how many shares to cut the rows of a mini-batch.

    Each share costs BLAS a pass over W before it multiplies.  A second thread makes
    up for that from 48 rows a share on, or 96 sparse ones, whose products keep the
    interpreter lock; cutting further wants 256.
    """
    n_shares = max(min(n_rows // (96 if sparse else 48), 2), n_rows // 256)
    return _power_of_two(min(n_shares, n_rows * n_weights // _HANDOVER))


def count_slabs(n_rows: int, n_features: int, n_weights: int) -> int:
    """Return in how many slabs to cut the visible units for the gradient.

    A slab that takes less time than two hand-overs is not worth cutting off.
    """
    n_slabs = n_rows * n_weights // (2 * _HANDOVER)
    return _power_of_two(min(n_features // 128, n_slabs))


def count_strips(n_rows: int, n_features: int, n_weights: int) -> int:
    """Return in how many strips to cut the visible units to add a small gradient.

    A strip of two matrices stays in the cache while it is added from one to the other.
    With more strips than 16 there are too many calls.
    """
    n_strips = -(-n_rows * n_weights // SMALL_TERMS)
    return min(n_strips, n_features) if n_strips <= 16 else 1


def _power_of_two(largest: int) -> int:
    """Return the largest power of two up to ``largest`` and `MAX_SHARES`."""
    return 1 << max(0, min(largest, MAX_SHARES).bit_length() - 1)
