"""Parallel tempering: chains at several inverse temperatures that exchange states.

Inverse temperature beta scales all parameters, from fair coins at 0 to the model at 1:

    log p_beta(v, h) = beta U(v, h) - log Z(beta)        U = b'v + c'h + v'Wh

A ladder has one chain at each of the temperatures ``betas``.  Every step moves each
chain by a Gibbs step at its own, and then offers neighbours i and i + 1 an exchange,
which is accepted with probability

    min(1, exp((beta_i+1 - beta_i) (U_i - U_i+1)))

(Swendsen & Wang 1986; for RBMs Desjardins et al. 2010), first pairs with even i, then
those with odd i.  What U is along the ladder also tells the ratios of the neighbours'
partition functions (`log_ratio`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit, logsumexp

from skrbm._core.layers import Dense, Layers
from skrbm._core.operations import quiet, sigmoid
from skrbm._core.parameters import Parameters
from skrbm._core.progress import Progress
from skrbm._core.rows import pieces
from skrbm._core.sampling import Stream, bernoulli
from skrbm._core.threads import Workers, worth_sharing
from skrbm._core.types import Array, Rows


class Ladders:
    """Ladders and the hidden states h (n_ladders * R, n_components) of their chains.

    They lie one ladder after the other, and are moved on in place.  ``rates`` (R - 1,)
    adds up how probable exchanges between neighbours were in ``n_steps`` steps.  Of the
    last one, ``U`` (n_ladders, R) is from before the exchanges, and ``order``
    (n_ladders, R) says whose state each chain has got.
    """

    def __init__(self, betas: Array, h: Array, rng: Stream, room: Any = None) -> None:
        self.h, self.rng, self.room = h, rng, room
        self.n_ladders = len(h) // len(betas)
        self.set_betas(betas)

    def set_betas(self, betas: Array) -> None:
        """Go on at other temperatures, and count exchanges anew."""
        self.betas, self.gaps = betas, np.diff(betas)
        self.beta = np.tile(betas, self.n_ladders)[:, None].astype(self.h.dtype)
        self.rates, self.n_steps = np.zeros(len(betas) - 1), 0
        first = np.arange(len(betas) - 1)  # the lower chains of even and of odd pairs
        self.pairs = [pairs for pairs in (first[::2], first[1::2]) if len(pairs)]

    def step(self, model: Layers, workers: Workers) -> Rows:
        """Move all chains on; return v of those that are at temperature 1."""
        v = model.draw_visible(self.h, self.rng, self.room, workers, self.beta)
        a, bv = model.inputs(v)
        U = bv + np.einsum("ij,ij->i", self.h, a)
        order = self._exchange(U.reshape(self.n_ladders, -1)).ravel()
        p = sigmoid(a[order], scale=self.beta)
        self.h[...] = bernoulli(p, self.rng, scratch=p)
        R = len(self.betas)
        return v[order[R - 1 :: R]]

    def _exchange(self, U: Array) -> Array:
        """Return whose state each chain has after the exchanges."""
        self.U, U = U, U.copy()
        self.order = np.arange(U.size).reshape(U.shape)
        self.n_steps += 1
        for i in self.pairs:  # even ones, then odd ones
            p = np.exp(np.minimum(self.gaps[i] * (U[:, i] - U[:, i + 1]), 0))
            self.rates[i] += p.mean(axis=0)
            ladder, pair = np.nonzero(self.rng.random(p.shape) < p)
            low, high = (ladder, i[pair]), (ladder, i[pair] + 1)
            for states in (U, self.order):
                states[low], states[high] = states[high], states[low]
        return self.order


def mean_rates(every: list[Ladders]) -> Array:
    """Return how probable exchanges were, between each two neighbours."""
    rates: Array = np.sum([x.rates * x.n_ladders for x in every], axis=0)
    n_steps = sum(ladders.n_steps * ladders.n_ladders for ladders in every)
    return rates / max(n_steps, 1)


def respaced(betas: Array, rates: Array) -> Array:
    """Return as many temperatures between which exchanges would be equally probable.

    The rejections between neighbours add up to about the same along any spacing (Syed
    et al. 2022).
    """
    barrier = np.concatenate([[0.0], np.cumsum(np.maximum(1 - rates, 1e-3))])
    return np.interp(np.linspace(0, barrier[-1], len(betas)), barrier, betas)


class Run(NamedTuple):
    """What a run of ladders on a model that stays as it is has seen."""

    v: Array  # (n_ladders, n_features), the last rows at temperature 1
    mean: Array  # (n_ladders, n_features), of v at temperature 1 over all steps
    U: Array  # (n_steps, n_ladders, R), if recorded
    rates: Array  # (R - 1,)
    n_round_trips: int  # of chains that came from 1 to 0 and back to 1


class Tempering:
    """Ladders on a model that stays as it is, each of which starts from a row of v.

    They are cut into groups by their number and the size of the model alone, each with
    a stream of its own.
    """

    @quiet
    def __init__(
        self,
        parameters: Parameters,
        betas: Array,
        v: Array,
        root: int,
        purpose: int,
        workers: Workers,
    ) -> None:
        self.model = Dense.take(parameters, np.zeros_like(parameters.b))
        self.betas, self.workers = betas, workers
        R = len(betas)
        self.groups = []
        for group in pieces(len(v), R * parameters.W.size, least=8):
            rng = Stream(root, purpose, group.start)
            room = self.model.room((group.stop - group.start) * R)
            S = self.model.centre(np.repeat(v[group], R, axis=0), room)
            a = self.model.inputs(S)[0]
            ladders = Ladders(betas, np.empty_like(a), rng, room)
            ladders.h[...] = bernoulli(sigmoid(ladders.beta * a), rng)
            self.groups.append(ladders)
        # From which end each state last came, and which state each chain has.
        self.state = np.tile(np.arange(R), (len(v), 1))
        self.from_hot = np.zeros((len(v), R), bool)

    def follow(self, parameters: Parameters) -> None:
        """Go on with another model, which is not far from this one."""
        self.model = Dense.take(parameters, np.zeros_like(parameters.b))

    def adapt(self, n_rounds: int, n_steps: int) -> Tempering:
        """Run for a while, and space the temperatures by the exchanges, so many times.

        With a single temperature there is nothing to space.
        """
        for _ in range(n_rounds):
            rates = self.run(n_steps).rates
            if len(rates):
                self.betas = respaced(self.betas, rates)
            for ladders in self.groups:
                ladders.set_betas(self.betas)
        return self

    def run(
        self, n_steps: int, *, record: bool = False, progress: Progress | None = None
    ) -> Run:
        """Move all ladders on, and record what exchanges say where asked to."""
        progress = progress or Progress()
        progress.begin(n_steps * len(self.groups))

        @quiet
        def move(ladders: Ladders) -> tuple[Array, Array, Array, Array]:
            U, orders = [], []
            total = np.zeros(
                (ladders.n_ladders, len(self.model.mu)), self.model.mu.dtype
            )
            for _ in self.workers.steps(range(n_steps)):
                S = ladders.step(self.model, self.workers)
                total += S[:, :-1]
                if record:
                    U.append(ladders.U)
                    orders.append(ladders.order)
                progress.step()
            mean = total / max(n_steps, 1)
            return S[:, :-1].copy(), mean, np.array(U), np.array(orders)

        n_weights = len(self.betas) * self.model.W_c.size
        share = worth_sharing(n_steps * len(self.state) * n_weights, n_weights)
        parts = self.workers.map(move, self.groups, share=share)
        v, mean, U, orders = zip(*parts, strict=True)
        trips = 0
        if record:
            trips = self._count_round_trips(np.concatenate(orders, axis=1))
        rates = mean_rates(self.groups)
        return Run(np.concatenate(v), np.concatenate(mean), np.hstack(U), rates, trips)

    def _count_round_trips(self, orders: Array) -> int:
        n_ladders, R = self.state.shape
        rows, trips = np.arange(n_ladders), 0
        for order in orders % R:
            self.state = np.take_along_axis(self.state, order, axis=1)
            self.from_hot[rows, self.state[:, 0]] = True
            trips += int(self.from_hot[rows, self.state[:, -1]].sum())
            self.from_hot[rows, self.state[:, -1]] = False
        return trips


class LogRatio(NamedTuple):
    """The logarithm of Z(model) / Z(coins), from both directions and from each."""

    value: float
    standard_error: float
    forward: float
    reverse: float


@quiet
def log_ratio(betas: Array, U: Array) -> LogRatio:
    """Add up the log ratios of the partition functions of neighbours.

    With x = (beta_i+1 - beta_i) U_i and y = -(beta_i+1 - beta_i) U_i+1 the log ratio r
    of the two solves mean(sigmoid(x - r)) = mean(sigmoid(y + r)) (Bennett 1976).  Each
    direction alone gives log mean(exp(x)), which tends to be too low, and
    -log mean(exp(y)), too high.  Ladders are independent of each other: the standard
    error is that of the mean over ladders, to first order.
    """
    gaps = np.diff(betas)
    x, y = gaps * U[..., :-1].astype(np.float64), -gaps * U[..., 1:]
    over = (0, 1)  # steps and ladders
    low = np.minimum(x.min(axis=over), -y.max(axis=over))
    high = np.maximum(x.max(axis=over), -y.min(axis=over))
    for _ in range(50):  # the difference of the means falls with r
        r = (low + high) / 2
        rising = expit(x - r).mean(axis=over) > expit(y + r).mean(axis=over)
        low, high = np.where(rising, r, low), np.where(rising, high, r)
    p, q = expit(x - r), expit(y + r)
    slope = (p * (1 - p)).mean(axis=over) + (q * (1 - q)).mean(axis=over)
    influence = ((p - q).mean(axis=0) / np.maximum(slope, 1e-300)).sum(axis=1)
    n = x.shape[0] * x.shape[1]
    forward = logsumexp(x, axis=over) - np.log(n)
    reverse = np.log(n) - logsumexp(y, axis=over)
    error = influence.std(ddof=1) / np.sqrt(len(influence))
    return LogRatio(*(float(part.sum()) for part in (r, error, forward, reverse)))
