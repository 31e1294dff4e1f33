"""One mini-batch of contrastive divergence: its two phases and its gradient.

    positive phase   v0 the data            h0 ~ P(h | v0)
    negative phase   k times  v ~ P(v | h), h ~ P(h | v), starting from h0 or,
                     with persistent chains, from where the last batch left off

The gradient of the log-likelihood is the mean of v h' over the n positive rows less
its mean over the m negative rows.  With offsets mu and lambda it reads

    S = [v0; vk] - mu        G = [h0 - lambda; (lambda - hk) n/m]
    n dW = S'G       n db = S'(t - G lambda)       n dc = G'1

where t is 1 for positive and -n/m for negative rows.  For mu = lambda = 0 this is the
ordinary gradient, and otherwise that of ``-(v-mu)'W(h-lambda) - b_c'v - c'h`` (Montavon
& Mueller 2012; Melchior, Fischer & Wiskott 2016, section 3).  There b_c = b + W lambda
would have to change whenever lambda does; b is carried in its place, hence db.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from skrbm._core.layers import Layers
from skrbm._core.operations import ones, subtract
from skrbm._core.sampling import Stream, bernoulli
from skrbm._core.tempering import Ladders
from skrbm._core.threads import Workers, cut, worth_sharing
from skrbm._core.types import Array, Rows

# Shares of a mini-batch at most, and terms of a product that are worth one.
_MOST_SHARES, _SHARE = 16, 1 << 26


class Share(NamedTuple):
    """Rows of a mini-batch that need no others: room for their layers, and draws."""

    rows: slice
    v0: Array | None
    vk: Array | None
    h0: Array
    hk: Array
    h: Array  # states that v is drawn from: the chains themselves, if they persist
    rng: Stream
    ladders: Ladders | None  # with the chains, where they are tempered


class MiniBatch:
    """Both layers of n positive and m negative rows, and their gradient.

    Shares of the rows go through both phases by themselves, share i with random numbers
    from ``stream(i)``.  How many there are follows from the shape alone.  ``chains``
    (m, n_components) are the hidden states of persistent chains, which are moved on in
    place; without them there are as many negative rows as positive ones.
    """

    def __init__(
        self,
        model: Layers,
        n: int,
        n_components: int,
        chains: Array | None,
        stream: Callable[[int], Stream],
        *,
        betas: Array | None = None,
        n_gibbs_steps: int = 1,
        sample_statistics: bool = False,
    ) -> None:
        R = 1 if betas is None else len(betas)
        m = n if chains is None else len(chains) // R
        self.model, self.n, self.persistent = model, n, chains is not None
        self.n_gibbs_steps, self.sample_statistics = n_gibbs_steps, sample_statistics
        self.S = S = model.room(n + m)
        self.H = ones(n + m, n_components, like=model.mu)
        self.H0, self.Hk = self.H[:n], self.H[n:]
        self.t = ones(n + m, like=model.mu)
        self.t[n:] = -n / m
        h = ones(m, n_components, like=model.mu) if chains is None else chains
        n_weights = len(model.mu) * n_components
        n_shares = count_shares(n, m, R * m, n_weights, model.least_rows)
        self.shares = []
        for i, (up, down) in enumerate(
            zip(cut(n, n_shares), cut(m, n_shares), strict=True)
        ):
            v0, vk = (None, None) if S is None else (S[:n][up], S[n:][down])
            own, rng = h[R * down.start : R * down.stop], stream(i)
            ladders = None
            if betas is not None:
                ladders = Ladders(betas, own, rng, model.room(len(own)))
            layers = v0, vk, self.H0[up], self.Hk[down], own
            self.shares.append(Share(up, *layers, rng, ladders))

    def run_phases(self, load: Callable[[Share], Rows], workers: Workers) -> None:
        """Fill both layers in both phases, from the rows that ``load`` returns."""
        phases = workers.map(
            lambda share: self._run(share, load(share), workers), self.shares
        )
        positive, negative = zip(*phases, strict=True)
        self.rows = [*positive, *negative] if self.S is None else [self.S]

    def _run(self, share: Share, rows: Rows, workers: Workers) -> tuple[Rows, Rows]:
        """Run both phases of a share; return v0 and vk."""
        v0 = self._positive_phase(share, rows)
        if share.ladders is None:
            return v0, self._negative_phase(share, workers)
        return v0, self._tempered_phase(share, share.ladders, workers)

    def _positive_phase(self, share: Share, rows: Rows) -> Rows:
        h0, h, rng = share.h0, share.h, share.rng
        v0 = self.model.centre(rows, share.v0)
        self.model.hidden(v0, out=h0)
        if self.sample_statistics:
            h0[...] = bernoulli(h0, rng, scratch=h0)
        if not self.persistent:
            h[...] = h0 if self.sample_statistics else bernoulli(h0, rng, scratch=h)
        return v0

    def _negative_phase(self, share: Share, workers: Workers) -> Rows:
        vk, hk, h, rng = share.vk, share.hk, share.h, share.rng
        for step in range(1, self.n_gibbs_steps + 1):
            vk = self.model.draw_visible(h, rng, vk, workers)
            self.model.hidden(vk, out=hk)
            last = step == self.n_gibbs_steps
            if not last or self.persistent or self.sample_statistics:
                h[...] = bernoulli(hk, rng, scratch=h)
        if self.sample_statistics:
            hk[...] = h
        return vk

    def _tempered_phase(self, share: Share, ladders: Ladders, workers: Workers) -> Rows:
        vk, hk = share.vk, share.hk
        for _ in range(self.n_gibbs_steps):
            v = ladders.step(self.model, workers)
        if vk is None:
            vk = v
        else:
            vk[...] = v
        self.model.hidden(vk, out=hk)
        if self.sample_statistics:
            hk[...] = bernoulli(hk, share.rng)
        return vk

    def add_gradient(
        self,
        target: Layers,
        rate: float,
        lam: Array,
        pull: Array | float,
        workers: Workers,
    ) -> None:
        """Add ``rate`` times the gradient to the target; H is used up.

        ``lam`` is the hidden offset, and ``pull`` a further derivative at the input of
        the hidden units on the positive rows.
        """
        n, m = len(self.H0), len(self.Hk)
        self.H0 += pull - lam
        subtract(lam, self.Hk, out=self.Hk)
        if m != n:
            self.Hk *= n / m
        G = self.H
        r = self.t - G.dot(lam)
        target.add(self.rows, G, r, rate / n, workers)


def count_shares(n: int, m: int, n_chains: int, n_weights: int, least_rows: int) -> int:
    """Return into how many shares to cut n positive and m negative rows.

    Each takes a pass over the weights, and a thread its hand-over: so there are few.
    """
    n_terms = max(n, n_chains) * n_weights
    if not worth_sharing(n_terms, n_weights):
        return 1
    most = min(_MOST_SHARES, max(n, n_chains) // least_rows, n, m)
    return max(1, min(max(2, n_terms // _SHARE), most))
