"""Tiles of a mini-batch: the pieces that its phases are worked out in.

A tile has some units of both layers on some of the rows, random numbers of its own,
and places of its own to write to, so that any thread may work on it.  How a mini-batch
is cut depends on its shape alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from skrbm._core.operations import (
    copies_weights,
    prepared_times,
    prepared_times_transposed,
    sigmoid,
    sigmoid_of_minus,
    times,
)
from skrbm._core.parameters import Apart, Stacked
from skrbm._core.sampling import Stream, draw_rare, rows_of, toss
from skrbm._core.threads import cut
from skrbm._core.types import Array, Rows


class Share(NamedTuple):
    """Rows of a mini-batch: positive ones, and the chains that go on below them."""

    rows: slice
    chains: slice
    below: slice  # where the chains lie when both phases are stacked


def shares(n: int, m: int, count: int) -> list[Share]:
    """Cut n positive rows and m chains in ``count`` shares."""
    return [
        Share(rows, chains, slice(n + chains.start, n + chains.stop))
        for rows, chains in zip(cut(n, count), cut(m, count), strict=True)
    ]


class _Tile:
    """Some units of both layers on some rows; here the hidden ones.

    H0 and Hk are the mini-batch's own where the tile has all hidden units, and else
    arrays in C order, which are faster to work on.
    """

    def __init__(
        self, H: Array, h: Array, share: Share, hidden: slice, rng: Stream
    ) -> None:
        self.rows, self.rng, self.h = share.rows, rng, h[share.chains, hidden]
        self.places = H[share.rows, hidden], H[share.below, hidden]
        self.whole = self.h.shape[1] == h.shape[1]
        if self.whole:
            self.H0, self.Hk = self.places
            self.scratch = self.h
        else:
            self.H0, self.Hk = (np.array(place, order="C") for place in self.places)
            self.scratch = np.empty_like(self.Hk)

    def hold(self, h: Array) -> None:
        """Keep states of the hidden units, for v to be drawn from."""
        self.h[...] = h

    def states_of(self, p: Array) -> Array:
        """Return states of hidden units that are on with probability p."""
        return toss(p, self.rng, scratch=self.scratch)

    def deliver(self) -> None:
        """Put both phases where the mini-batch has them."""
        if not self.whole:
            for place, H in zip(self.places, (self.H0, self.Hk), strict=True):
                place[...] = H


class DenseTile(_Tile):
    """Units that see all of the other layer, dense: S = [mu - v, -1]."""

    def __init__(
        self,
        model: Stacked,
        mu: Array,
        S: Array,
        H: Array,
        h: Array,
        share: Share,
        units: tuple[slice, slice],
        rng: Stream,
    ) -> None:
        visible, hidden = units
        super().__init__(H, h, share, hidden, rng)
        S0, Sk = S[share.rows], S[share.below]
        self.mu, self.S_v0 = mu, S0[:, :-1]
        self.b, self.mu_v, self.S_v = model.b[visible], mu[visible], Sk[:, visible]
        self.x = np.empty_like(self.S_v)
        # These put the products in H0, Hk and x.
        below, h_above = model.joint[:, hidden], h[share.chains]
        self.S0_times_W = prepared_times(S0, below, self.H0)
        self.Sk_times_W = prepared_times(Sk, below, self.Hk)
        self.h_times_W_transposed = prepared_times_transposed(
            h_above, model.weights[visible], self.x
        )
        self.blocks = [visible]

    def take(self, v0: Array) -> None:
        """Take the positive rows of the share."""
        np.subtract(self.mu, v0, out=self.S_v0)

    def see_data(self) -> None:
        """Put P(h=1 | v0) = 1 / (1 + exp(S0 W - c)) in H0."""
        self.S0_times_W()
        sigmoid_of_minus(self.H0)

    def see_sample(self) -> None:
        """Put P(h=1 | vk) = 1 / (1 + exp(Sk W - c)) in Hk."""
        self.Sk_times_W()
        sigmoid_of_minus(self.Hk)

    def sample(self, _: int) -> None:
        """Draw v ~ P(v=1 | h) = sigmoid(b + Wh)."""
        self.h_times_W_transposed()
        p = sigmoid(self.x, self.b)
        np.subtract(self.mu_v, toss(p, self.rng, scratch=p), out=self.S_v)


class SparseTile(_Tile):
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
        share: Share,
        rng: Stream,
    ) -> None:
        super().__init__(H, h, share, slice(None), rng)
        self.model, self.mu_mu, self.shape = model, mu @ mu, (len(self.h), len(mu))
        # [h, 1, h a + beta]'
        self.above = np.ones((len(model.c) + 2, len(self.h)), h.dtype)
        # Visible units are drawn in blocks that stay in the second-level cache, as many
        # as two or four threads share evenly.
        n_blocks = 1 << (len(self.h) * len(mu) >> 17).bit_length()
        self.blocks = cut(len(mu), min(n_blocks, len(mu)))
        self.on: dict[int, tuple[Array, Array]] = {}

    def take(self, v0: Rows) -> None:
        """Take the positive rows of the share."""
        self.v0 = v0

    def see_data(self) -> None:
        """Put P(h=1 | v0) in H0."""
        self.v0_mu = self._see(self.v0, self.H0)

    def see_sample(self) -> None:
        """Put P(h=1 | vk) in Hk."""
        places = [self.on[i] for i in range(len(self.blocks))]
        self.vk = rows_of(places, self.shape, self.h.dtype)
        self.vk_mu = self._see(self.vk, self.Hk)

    def _see(self, v: Rows, out: Array) -> Array:
        """Put P(h=1 | v) = sigmoid(c + (v - mu)'W) in ``out`` and return v mu."""
        x = times(v, self.model.M_d_mu)
        v_M, v_mu = x[:, :-2], x[:, -1]
        np.outer(v_mu - self.mu_mu, self.model.a, out=out)
        out += self.model.c - self.model.mu_M
        out += v_M
        sigmoid(out)
        return v_mu

    def hold(self, h: Array) -> None:
        """Keep states of the hidden units, for v to be drawn from."""
        super().hold(h)
        self.above[:-2] = self.h.T
        self.above[-1] = self.h @ self.model.a + self.model.beta

    def sample(self, i: int) -> None:
        """Draw block i of v ~ P(v | h) = sigmoid(b + Wh)."""
        block, rng = self.blocks[i], self.rng.part(i) if i else self.rng
        # The other way round, a row for each unit, W is multiplied as it lies.
        x = times(self.model.M_d_mu[block], self.above)
        unit, row = draw_rare(x, rng)
        self.on[i] = row, unit + block.start


MAX_TILES = 16
# Terms of a product from which on a second task is worth its hand-over, and for each of
# which a further one is.
_WORTH, _PLENTY = 6 << 20, 1 << 26
# With fewer weights than this calls of numpy are short, and threads wait for each
# other's interpreter lock.
_FEW_WEIGHTS = 1 << 14


def count_tasks(n_rows: int, n_weights: int) -> int:
    """Return into how many tasks to cut a product of so many rows and weights."""
    n_terms = n_rows * n_weights
    worth = _PLENTY if n_weights < _FEW_WEIGHTS else _WORTH
    return _power_of_two(max(2 if n_terms >= worth else 1, n_terms // _PLENTY))


def count_tiles(
    n_rows: int, n_features: int, n_components: int, *, sparse: bool = False
) -> tuple[int, int]:
    """Return into how many shares to cut the rows, and into how many parts the units.

    Shares need nothing of each other.  But before BLAS multiplies it copies both
    matrices: a share of the rows costs a copy of W, a part of the units one of the
    rows.  Rows are halved where there are many of them, or so few that they are
    multiplied without the copy, and else units, until there are enough tiles or they
    get small.  The products of sparse rows, which keep the interpreter lock, are cut by
    rows alone, and where there are more of them.
    """
    n_tasks = count_tasks(n_rows, n_features * n_components)
    n_shares = n_parts = 1
    while n_shares * n_parts < n_tasks:
        rows, units = n_rows // n_shares, min(n_features, n_components) // n_parts
        if sparse:
            by_rows = rows >= 192
        elif rows >= 96:
            by_rows = 5 * rows >= units
        else:
            few = rows >= 16 and not copies_weights(-(-rows // 2), n_features)
            by_rows = few and n_parts == 1
        if by_rows:
            n_shares *= 2
        elif units >= 128 and not sparse:
            n_parts *= 2
        else:
            break
    return n_shares, n_parts


def _power_of_two(largest: int) -> int:
    """Return the largest power of two up to ``largest`` and `MAX_TILES`."""
    return 1 << max(0, min(largest, MAX_TILES).bit_length() - 1)
