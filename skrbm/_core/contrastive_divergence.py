"""One mini-batch of contrastive divergence: its two phases and its gradient.

    positive phase   v0 the data            h0 ~ P(h | v0)
    negative phase   k times  v ~ P(v | h), h ~ P(h | v), starting from h0 or,
                     with persistent chains, from where the last batch left off

The gradient of the log-likelihood is the mean of v h' over the n positive rows
less its mean over the m negative rows.  With offsets mu and lambda it reads

    S = mu - [v0; vk]        G = [lambda - h0; (hk - lambda) n/m]
    n dW = S'G       n db = S'(t - G lambda)       n dc = -G'1

where t is -1 for positive and n/m for negative rows.  S has its sign flipped
because the sigmoid takes an exponential of minus its input: with c the hidden intercept
at v = mu, P(h=1 | v) = 1 / (1 + exp(SW - c)).  So has G, which leaves S'G as it is.

For mu = lambda = 0 this is the ordinary gradient, and otherwise that of
``-(v-mu)'W(h-lambda) - b_c'v - c'h`` (Montavon & Mueller 2012; Melchior, Fischer &
Wiskott 2016, section 3).  There b_c = b + W lambda would have to change whenever
lambda does; b is carried in its place, hence the - G lambda in db.

`parameters` has the two forms in which a model is trained: for dense rows S has a
further column of -1, and W the row c'; for sparse ones what mu adds is kept apart.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import cast

import numpy as np

from skrbm._core.blocks import converted, rows_at
from skrbm._core.operations import (
    SMALL_TERMS,
    AddProduct,
    add_sparse_product,
    move_towards_product,
)
from skrbm._core.parameters import Apart, Stacked
from skrbm._core.sampling import Stream, drawn, toss
from skrbm._core.threads import Crew, cut
from skrbm._core.tiles import DenseTile, SparseTile, count_tiles, shares
from skrbm._core.types import Array, Rows


class MiniBatch:
    """Both layers in both phases of a mini-batch, and the model they belong to.

    ``model`` is `Stacked` for dense rows and `Apart` for sparse ones; ``n`` is the
    number of positive rows.  Tile i draws from ``stream(i)``.
    ``chains`` (m, n_components) holds the hidden states of persistent chains,
    which every negative phase moves on; without it there are as many negative
    rows as positive ones.  Model and chains are held by reference.

    Both layers are cut into tiles, each with random numbers of its own, and the
    gradient into slabs of visible units, all by the shape of the data alone: the number
    of threads never shows in the result.
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
        self.S = np.full((0 if self.sparse else n + m, n_features + 1), -1, dtype)
        self.H = np.empty((n + m, n_components), dtype)
        self.H0, self.Hk = self.H[:n], self.H[n:]
        self.t = np.repeat(np.array([-1, n / m], dtype), [n, m])
        self.mean_weights = np.full(n, 1 / n, dtype)
        h = np.empty((m, n_components), dtype) if chains is None else chains

        n_shares, n_parts = count_tiles(
            max(n, m), n_features, n_components, sparse=self.sparse
        )
        cuts = shares(n, m, min(n_shares, n, m))
        self.tiles: list[DenseTile | SparseTile] = []
        if isinstance(model, Apart):
            n_parts = 1
            for i, share in enumerate(cuts):
                self.tiles.append(SparseTile(model, mu, self.H, h, share, stream(i)))
        else:
            visible, hidden = cut(n_features, n_parts), cut(n_components, n_parts)
            parts = zip(visible, hidden, strict=True)
            for i, (share, units) in enumerate(itertools.product(cuts, parts)):
                layers = model, mu, self.S, self.H, h
                self.tiles.append(DenseTile(*layers, share, units, stream(i)))
        # Dense tiles with all units go through both phases without waiting for another.
        self.independent = n_parts == 1 and not self.sparse
        # The rows of a share are loaded once, for all its tiles, by the first of them.
        self.loaders = self.tiles[::n_parts]
        self.blocks = [
            (tile, i) for tile in self.tiles for i in range(len(tile.blocks))
        ]
        self.n_slabs = min(len(self.tiles), max(1, n_features // 64))
        self._sums: tuple[Array, list[list[tuple[slice, AddProduct]]]] | None = None

    def run_phases(self, X: Rows, index: Array) -> None:
        """Fill both layers in both phases from the rows ``X[index]``.

        The hidden layers hold probabilities unless statistics are to be sampled.
        """
        each = self.crew.map
        if self.independent:
            each(functools.partial(self._run_tile, X, index), self.tiles)
            return
        each(functools.partial(self._load, X, index), self.loaders)
        each(self._start, self.tiles)
        for _ in range(self.n_gibbs_steps - 1):
            each(self._sample, self.blocks)
            each(self._go_on, self.tiles)
        each(self._sample, self.blocks)
        each(self._finish, self.tiles)

    def _run_tile(self, X: Rows, index: Array, tile: DenseTile | SparseTile) -> None:
        """Run both phases on a tile that waits for no other."""
        self._load(X, index, tile)
        self._start(tile)
        for _ in range(self.n_gibbs_steps - 1):
            tile.sample(0)
            self._go_on(tile)
        tile.sample(0)
        self._finish(tile)

    def _load(self, X: Rows, index: Array, tile: DenseTile | SparseTile) -> None:
        """Take the positive rows of a share."""
        v0 = rows_at(X, index[tile.rows])
        if self.sparse or self.sample_rows or self.binarize is not None:
            v0 = converted(v0, self.H.dtype, self.binarize)
        if self.sample_rows:
            v0 = drawn(v0, tile.rng)
        tile.take(v0)

    def _start(self, tile: DenseTile | SparseTile) -> None:
        """Run the positive phase, and have h for the negative one to start from."""
        tile.see_data()
        if self.sample_statistics:
            tile.H0[...] = toss(tile.H0, tile.rng, scratch=tile.H0)
        if self.persistent:
            tile.hold(tile.h)
        else:
            tile.hold(tile.H0 if self.sample_statistics else tile.states_of(tile.H0))

    def _sample(self, place: tuple[DenseTile | SparseTile, int]) -> None:
        """Draw a block of v ~ P(v | h)."""
        tile, block = place
        tile.sample(block)

    def _go_on(self, tile: DenseTile | SparseTile) -> None:
        """Draw h ~ P(h | v) for a further step of the negative phase."""
        tile.see_sample()
        tile.hold(tile.states_of(tile.Hk))

    def _finish(self, tile: DenseTile | SparseTile) -> None:
        """Have P(h | v), or states of h, of both phases."""
        tile.see_sample()
        if self.persistent or self.sample_statistics:
            tile.hold(tile.states_of(tile.Hk))
        if self.sample_statistics:
            tile.Hk[...] = tile.h
        tile.deliver()

    def move_towards_activity(self, mean: Array, step: float) -> None:
        """Move ``mean``, in place, towards the mean of h0 by so much of the way."""
        move_towards_product(mean, self.mean_weights, self.H0, step)

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
        # G = [lambda - h0; (hk - lambda) n/m], in the place of the hidden layer.
        G, H0, Hk = self.H, self.H0, self.Hk
        np.subtract(lam if pull is None else lam - pull, H0, out=H0)
        Hk -= lam
        if len(Hk) != self.n:
            Hk *= self.t[-1]
        r = self.t - G.dot(lam)
        step = learning_rate / self.n
        if isinstance(target, Apart):
            onto = cast("Apart | None", onto)
            self._add_sparse_gradient(target, G, r, step, keep, onto)
        else:
            onto = cast("Stacked | None", onto)
            self._add_dense_gradient(target, G, r, step, keep, onto)

    def _add_dense_gradient(
        self,
        target: Stacked,
        G: Array,
        r: Array,
        step: float,
        keep: float,
        onto: Stacked | None,
    ) -> None:
        """Add ``step S'[G, r]`` to the target, and then the target ``onto`` another."""
        joint, b = target
        if keep != 1:
            b *= keep
        b += (step * r).dot(self.S)[:-1]
        if onto is not None:
            np.add(onto.b, b, out=onto.b)

        def add(slab: list[tuple[slice, AddProduct]]) -> None:
            for strip, add_product in slab:
                add_product(step, keep)
                if onto is not None:
                    part = onto.joint[strip]
                    part += joint[strip]

        self.crew.map(add, self._sums_of(joint, G, in_strips=onto is not None))

    def _sums_of(
        self, joint: Array, G: Array, *, in_strips: bool
    ) -> list[list[tuple[slice, AddProduct]]]:
        """Return, slab by slab, what adds a multiple of S'G to ``joint``.

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
        self,
        target: Apart,
        G: Array,
        r: Array,
        step: float,
        keep: float,
        onto: Apart | None,
    ) -> None:
        """Add ``-step [v, -1, v mu]'[G, r]`` to the target, and that ``onto`` another.

        The sign is that of v in S = mu - v.
        """
        joint, c = target
        if keep != 1:
            kept = joint[:, :-1]  # all but mu
            kept *= keep
            np.multiply(c, keep, out=c)
        tiles = [cast("SparseTile", tile) for tile in self.tiles]
        phases = [(x.v0, x.v0_mu) for x in tiles] + [(x.vk, x.vk_mu) for x in tiles]
        G = np.column_stack([G, r, np.zeros_like(r)])  # 0 for mu
        G *= -step
        total = np.dot(np.ones_like(r), G)
        c += total[:-2]
        joint[-2] -= total
        start = 0
        for v, v_mu in phases:
            rows = slice(start, start + len(v_mu))
            add_sparse_product(joint[:-2], v, G[rows])
            joint[-1] += v_mu @ G[rows]
            start = rows.stop
        if onto is not None:
            changed = onto.joint[:, :-1]  # all but mu
            changed += joint[:, :-1]
            np.add(onto.c, c, out=onto.c)


def count_strips(n_rows: int, n_features: int, n_components: int) -> int:
    """Return into how many strips to cut the visible units to add a small gradient.

    With more strips than 16 there are too many calls.
    """
    n_strips = -(-n_rows * n_features * n_components // SMALL_TERMS)
    return min(n_strips, n_features) if n_strips <= 16 else 1
