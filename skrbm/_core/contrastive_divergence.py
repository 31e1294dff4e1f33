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

import itertools
from collections.abc import Callable
from typing import cast

import numpy as np

from skrbm._core.blocks import converted
from skrbm._core.operations import (
    SMALL_TERMS,
    AddProduct,
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

MAX_TILES = 16


class _Tile:
    """Some units of both layers on some rows; here the hidden ones.

    H0 and Hk are the mini-batch's own where the tile has all hidden units, and else
    arrays in C order, which are faster to work on.
    """

    def __init__(
        self,
        H: Array,
        h: Array,
        rng: Stream,
        rows: slice,
        chains: slice,
        hidden: slice = slice(None),
    ) -> None:
        n = len(H) - len(h)
        below = slice(n + chains.start, n + chains.stop)
        self.rng, self.h = rng, h[chains, hidden]
        self.places = H[rows, hidden], H[below, hidden]
        self.whole = self.h.shape[1] == h.shape[1]
        if self.whole:
            self.H0, self.Hk = self.places
            self.layers = [H] if len(self.h) == len(h) else [self.H0, self.Hk]
            self.scratch = self.h
        else:
            both = np.concatenate(self.places)
            self.H0, self.Hk = both[: len(self.places[0])], both[-len(self.h) :]
            self.layers = [both]
            self.scratch = np.empty_like(self.Hk)

    def draw_h(self, x: Array) -> Array:
        """Return states of the hidden units whose inputs are x."""
        return draw(x, self.rng, scratch=self.scratch)

    def activate(self) -> None:
        """Turn the inputs of the hidden units into probabilities."""
        for H in self.layers:
            sigmoid(H)

    def deliver(self) -> None:
        """Put both phases where the mini-batch has them."""
        if not self.whole:
            for place, H in zip(self.places, (self.H0, self.Hk), strict=True):
                place[...] = H


class _DenseTile(_Tile):
    """Units that see all of the other layer, dense: S = [v - mu, 1]."""

    def __init__(
        self,
        model: Stacked,
        mu: Array,
        S: Array,
        H: Array,
        h: Array,
        rng: Stream,
        rows: slice,
        chains: slice,
        visible: slice,
        hidden: slice,
    ) -> None:
        super().__init__(H, h, rng, rows, chains, hidden)
        n = len(S) - len(h)
        self.S0, self.Sk = S[rows], S[n + chains.start : n + chains.stop]
        self.W_below = model.joint[:, hidden]
        self.h_above, self.W_above = h[chains], model.weights[visible]
        self.b, self.mu, self.v = model.b[visible], mu[visible], self.Sk[:, visible]
        self.x = np.empty_like(self.v)
        self.n_blocks = 1

    def see_data(self) -> None:
        """Put c + S0 W in H0."""
        times(self.S0, self.W_below, out=self.H0)

    def see_sample(self) -> None:
        """Put c + Sk W in Hk."""
        times(self.Sk, self.W_below, out=self.Hk)

    def hold(self, h: Array) -> None:
        """Keep states of the hidden units, for v to be drawn from."""
        self.h[...] = h

    def sample(self, _: int) -> None:
        """Draw v ~ P(v | h) = sigmoid(b + Wh)."""
        x = times_transposed(self.h_above, self.W_above, out=self.x)
        on = draw(x, self.rng, scratch=x, intercept=self.b)
        np.subtract(on, self.mu, out=self.v)


class _SparseTile(_Tile):
    """All units, where few visible ones are on: S is never formed, but v is kept.

    The products follow the non-zeros; `Apart` says how.  Samples that are not sparse
    enough, early in training, are dense.
    """

    v0: Rows

    def __init__(
        self,
        model: Apart,
        mu: Array,
        H: Array,
        h: Array,
        rng: Stream,
        rows: slice,
        chains: slice,
    ) -> None:
        super().__init__(H, h, rng, rows, chains)
        self.model, self.mu_mu, self.shape = model, mu @ mu, (len(self.h), len(mu))
        # [h, 1, h a + beta]
        self.h_above = np.ones((len(self.h), len(model.c) + 2), h.dtype)
        # Visible units are drawn in blocks that stay in the second-level cache.
        self.blocks = cut(len(mu), max(1, len(self.h) * len(mu) >> 17))
        self.n_blocks = len(self.blocks)
        self.on: dict[int, tuple[Array, Array]] = {}

    def see_data(self) -> None:
        """Put c + S0 W in H0."""
        self.v0_mu = self._times(self.v0, self.H0)

    def see_sample(self) -> None:
        """Put c + Sk W in Hk."""
        places = [self.on[i] for i in range(self.n_blocks)]
        self.vk = rows_of(places, self.shape, self.h.dtype)
        self.vk_mu = self._times(self.vk, self.Hk)

    def _times(self, v: Rows, out: Array) -> Array:
        """Put c + SW in ``out`` and return v mu."""
        x = times(v, self.model.M_d_mu)
        v_M, v_mu = x[:, :-2], x[:, -1]
        np.outer(v_mu - self.mu_mu, self.model.a, out=out)
        out += self.model.c - self.model.mu_M
        out += v_M
        return v_mu

    def hold(self, h: Array) -> None:
        """Keep states of the hidden units, for v to be drawn from."""
        self.h[...] = h
        self.h_above[:, :-2] = self.h
        self.h_above[:, -1] = self.h @ self.model.a + self.model.beta

    def sample(self, i: int) -> None:
        """Draw block i of v ~ P(v | h) = sigmoid(b + Wh)."""
        block, rng = self.blocks[i], self.rng.part(i) if i else self.rng
        x = times_transposed(self.h_above, self.model.M_d_mu[block])
        row, column = np.divmod(draw_rare(x, rng), x.shape[1])
        self.on[i] = row, column + block.start


class MiniBatch:
    """Both layers in both phases of a mini-batch, and the model they belong to.

    ``model`` is `Stacked` for dense rows and `Apart` for sparse ones; ``n`` is the
    number of positive rows.  Tile i draws from ``stream(i)``.
    ``chains`` (m, n_components) holds the hidden states of persistent chains,
    which every negative phase moves on; without it there are as many negative
    rows as positive ones.  Model and chains are held by reference.

    Both layers are cut in tiles, each with random numbers of its own, and the gradient
    in slabs of visible units, all by the shape of the data alone: the number of threads
    never shows in the result.
    """

    def __init__(
        self,
        model: Stacked | Apart,
        mu: Array,
        n: int,
        stream: Callable[[int], Stream],
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

        n_shares, n_parts = count_tiles(
            max(n, m), n_features, n_components, sparse=self.sparse
        )
        n_shares = min(n_shares, n, m)
        shares = zip(cut(n, n_shares), cut(m, n_shares), strict=True)
        parts = zip(cut(n_features, n_parts), cut(n_components, n_parts), strict=True)
        self.tiles: list[_DenseTile | _SparseTile] = []
        if isinstance(model, Apart):
            for i, share in enumerate(shares):
                self.tiles.append(_SparseTile(model, mu, self.H, h, stream(i), *share))
        else:
            for i, (share, part) in enumerate(itertools.product(shares, parts)):
                layers = model, mu, self.S, self.H, h
                self.tiles.append(_DenseTile(*layers, stream(i), *share, *part))
        self.shares = list(enumerate(cut(n, n_shares)))
        self.blocks = [
            (tile, block) for tile in self.tiles for block in range(tile.n_blocks)
        ]
        self.n_slabs = min(len(self.tiles), max(1, n_features // 64))
        self._sums: tuple[Array, list[list[tuple[slice, AddProduct]]]] | None = None

    def run_phases(self, X: Rows, index: Array) -> None:
        """Fill both layers in both phases from the rows ``X[index]``.

        The hidden layers hold probabilities unless statistics are to be sampled.
        """
        self.crew.map(lambda share: self._load(X, index, *share), self.shares)
        self.crew.map(self._start, self.tiles)
        for _ in range(self.n_gibbs_steps - 1):
            self.crew.map(self._sample, self.blocks)
            self.crew.map(self._go_on, self.tiles)
        self.crew.map(self._sample, self.blocks)
        self.crew.map(self._finish, self.tiles)

    def _load(self, X: Rows, index: Array, i: int, rows: slice) -> None:
        """Take the positive rows of share i."""
        v0, tile = X[index[rows]], self.tiles[i]
        if self.sparse or self.sample_rows or self.binarize is not None:
            v0 = converted(v0, self.H.dtype, self.binarize)
        if self.sample_rows:
            v0 = drawn(v0, tile.rng)
        if isinstance(tile, _SparseTile):
            tile.v0 = v0
        else:
            np.subtract(v0, self.mu, out=self.S[rows, :-1])

    def _start(self, tile: _DenseTile | _SparseTile) -> None:
        """Run the positive phase, and have h for the negative one to start from."""
        # H0 and Hk hold the inputs of the hidden units until all is drawn.
        tile.see_data()
        if self.sample_statistics:
            tile.H0[...] = draw(tile.H0, tile.rng, scratch=tile.H0)
        if self.persistent:
            tile.hold(tile.h)
        else:
            tile.hold(tile.H0 if self.sample_statistics else tile.draw_h(tile.H0))

    def _sample(self, place: tuple[_DenseTile | _SparseTile, int]) -> None:
        """Draw a block of v ~ P(v | h)."""
        tile, block = place
        tile.sample(block)

    def _go_on(self, tile: _DenseTile | _SparseTile) -> None:
        """Draw h ~ P(h | v) for a further step of the negative phase."""
        tile.see_sample()
        tile.hold(tile.draw_h(tile.Hk))

    def _finish(self, tile: _DenseTile | _SparseTile) -> None:
        """Have P(h | v), or states of h, of both phases."""
        tile.see_sample()
        if self.persistent or self.sample_statistics:
            tile.hold(tile.draw_h(tile.Hk))
        if self.sample_statistics:
            tile.Hk[...] = tile.h
        else:
            tile.activate()
        tile.deliver()

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
        if keep != 1:
            b *= keep
        b += np.dot(r, self.S[:, :-1])
        if onto is not None:
            np.add(onto.b, b, out=onto.b)

        def add(slab: list[tuple[slice, AddProduct]]) -> None:
            for strip, add_product in slab:
                add_product(keep)
                if onto is not None:
                    part = onto.joint[strip]
                    part += joint[strip]

        self.crew.map(add, self._sums_of(joint, G, in_strips=onto is not None))

    def _sums_of(
        self, joint: Array, G: Array, *, in_strips: bool
    ) -> list[list[tuple[slice, AddProduct]]]:
        """Return, slab by slab, what adds S'G to ``joint``.

        A strip of two matrices stays in the cache while it is added from one to the
        other.
        """
        if self._sums is None or self._sums[0] is not joint:
            n_strips = count_strips(len(G), *joint.shape) if in_strips else 1
            n_strips = max(1, n_strips // self.n_slabs)
            sums = [
                (strip, AddProduct(joint[strip], self.S[:, strip], G))
                for strip in cut(len(joint), self.n_slabs * n_strips)
            ]
            slabs = [sums[i : i + n_strips] for i in range(0, len(sums), n_strips)]
            self._sums = joint, slabs
        return self._sums[1]

    def _add_sparse_gradient(
        self, target: Apart, G: Array, r: Array, keep: float, onto: Apart | None
    ) -> None:
        """Add [v, -1, v mu]'[G, r] to the target, and the target ``onto`` another."""
        joint, c = target
        if keep != 1:
            kept = joint[:, :-1]  # all but mu
            kept *= keep
            np.multiply(c, keep, out=c)
        tiles = [cast("_SparseTile", tile) for tile in self.tiles]
        phases = [(x.v0, x.v0_mu) for x in tiles] + [(x.vk, x.vk_mu) for x in tiles]
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


# Terms of a product from which on two threads are worth their hand-over, and for which
# a further one is.
_WORTH, _PLENTY = 6 << 20, 1 << 26


def count_tasks(n_terms: int) -> int:
    """Return in how many tasks to cut a product of so many terms."""
    return _power_of_two(max(2 if n_terms >= _WORTH else 1, n_terms // _PLENTY))


def count_tiles(
    n_rows: int, n_features: int, n_components: int, *, sparse: bool = False
) -> tuple[int, int]:
    """Return in how many shares to cut the rows, and in how many parts the units.

    Before BLAS multiplies it copies both matrices: a share costs a copy of W, a part
    one of its rows.  So the longer side is halved, until there are enough tiles or they
    get small.  The products of sparse rows, which keep the interpreter lock, are cut by
    rows alone, and where there are more of them.
    """
    n_tasks = count_tasks(n_rows * n_features * n_components)
    n_shares = n_parts = 1
    while n_shares * n_parts < n_tasks:
        rows, units = n_rows // n_shares, min(n_features, n_components) // n_parts
        if rows >= (192 if sparse else 96) and (sparse or rows > units):
            n_shares *= 2
        elif units >= 128 and not sparse:
            n_parts *= 2
        else:
            break
    return n_shares, n_parts


def count_strips(n_rows: int, n_features: int, n_components: int) -> int:
    """Return in how many strips to cut the visible units to add a small gradient.

    With more strips than 16 there are too many calls.
    """
    n_strips = -(-n_rows * n_features * n_components // SMALL_TERMS)
    return min(n_strips, n_features) if n_strips <= 16 else 1


def _power_of_two(largest: int) -> int:
    """Return the largest power of two up to ``largest`` and `MAX_TILES`."""
    return 1 << max(0, min(largest, MAX_TILES).bit_length() - 1)
