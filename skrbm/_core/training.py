"""Epochs of training as a generator of immutable states.

Stopping, recording and reporting belong to whoever consumes the states.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from skrbm._core.averaging import ROWS_BETWEEN, Average
from skrbm._core.contrastive_divergence import MiniBatch, Share
from skrbm._core.layers import Dense, Layers, Sparse
from skrbm._core.missing import gaps, start_in_gaps
from skrbm._core.operations import quiet, sum_rows
from skrbm._core.parameters import Parameters, zeros_like
from skrbm._core.rows import Moments, converted, rows_at, visits
from skrbm._core.sampling import (
    CHAINS,
    PHASES,
    SHUFFLE,
    WEIGHTS,
    Stream,
    bernoulli,
    drawn,
)
from skrbm._core.tempering import mean_rates, respaced
from skrbm._core.threads import Workers
from skrbm._core.types import Array, Rows, is_sparse

# The running mean of the hidden units looks back on so many mini-batches, as in
# Melchior, Fischer & Wiskott (2016), and so many rows at least.
_BATCHES_BEHIND, _ROWS_BEHIND = 100, 1000

# Gibbs steps that draw missing units, from units that are independent of each other.
FILLING_STEPS = 5

SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda _: 1.0,
    "linear": lambda progress: 1.0 - progress,
    "cosine": lambda progress: 0.5 * (1.0 + math.cos(math.pi * progress)),
}


def hidden_mean_rate(n_rows: int) -> float:
    """Return the weight of a mini-batch in the running mean of the hidden units."""
    return min(1 / _BATCHES_BEHIND, n_rows / _ROWS_BEHIND)


@dataclass(frozen=True, slots=True)
class Settings:
    """Hyper-parameters without "auto"; see `skrbm.BinaryCDRBM` for their meaning."""

    learning_rate: float
    batch_size: int
    n_components: int = 256
    n_iter: int = 20
    n_gibbs_steps: int = 1
    persistent: bool = False
    n_chains: int = 200
    n_temperatures: int = 1
    statistics: str = "probabilities"
    fill_gaps: bool = False  # draw units that are missing, NaN
    draw_rows: bool = False  # take values of the data as probabilities of being on
    centered: bool = True
    momentum: float = 0.0
    weight_decay: float = 0.0
    sparsity_target: float = 0.1
    sparsity_cost: float = 0.0
    learning_rate_schedule: str = "constant"
    average: float | int | None = None
    weight_scale: float = 0.01
    visible_intercept_init: float | str = "logit"
    hidden_intercept_init: float = -1.0
    shuffle: bool = True
    early_stopping: bool = False
    n_iter_no_change: int = 5
    tol: float = 1e-4
    threshold: float | Array | None = None


@dataclass(frozen=True, slots=True)
class TrainingState:
    """All that the next epoch depends on, beside the data and the settings.

    Random numbers are not among it: those of an epoch follow from ``root`` and
    ``epoch`` alone.
    """

    parameters: Parameters
    seen: Moments  # of the rows; their mean is mu
    hidden_mean: Array  # lambda: (n_components,), a running mean
    root: int
    epoch: int = 0
    velocity: Parameters | None = None
    chains: Array | None = None  # (n_chains, n_components), states
    betas: Array | None = None  # inverse temperatures of chains, in turn
    average: Average | None = None
    learning_rate: float = 0.0  # of the last update

    def model(self) -> Parameters:
        """Return the parameters to use: the averaged ones where there are any."""
        average = self.average and self.average.value()
        return average or self.parameters

    def to_dict(self) -> dict[str, Any]:
        """Return the state as arrays, numbers and tuples of them."""
        return {field.name: getattr(self, field.name) for field in fields(self)} | {
            "parameters": tuple(self.parameters),
            "seen": tuple(self.seen),
            "velocity": self.velocity and tuple(self.velocity),
            "average": self.average and self.average.to_dict(),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainingState:
        """Return the state that `to_dict` was called of."""
        velocity, average = values["velocity"], values["average"]
        made = {
            "parameters": Parameters(*values["parameters"]),
            "seen": Moments(*values["seen"]),
            "velocity": velocity and Parameters(*velocity),
            "average": average and Average.from_dict(average),
        }
        return cls(**(values | made))


def prepare(state: TrainingState, settings: Settings) -> TrainingState:
    """Add what the settings need and the state does not hold yet."""
    velocity, chains, average = state.velocity, state.chains, state.average
    betas, n_temperatures = state.betas, min(settings.n_temperatures, settings.n_chains)
    if settings.momentum and velocity is None:
        velocity = zeros_like(state.parameters)
    if betas is None or len(betas) != n_temperatures:
        betas = np.linspace(0, 1, n_temperatures) if n_temperatures > 1 else None
    n_chains = settings.n_chains // n_temperatures * n_temperatures
    if settings.persistent and (chains is None or len(chains) != n_chains):
        p = np.tile(state.hidden_mean, (n_chains, 1))
        chains = bernoulli(p, Stream(state.root, CHAINS, state.epoch)).astype(p.dtype)
    if average is None or average.weight != settings.average:
        average = None if settings.average is None else Average(settings.average)
    return replace(
        state,
        velocity=velocity if settings.momentum else None,
        chains=chains if settings.persistent else None,
        betas=betas if settings.persistent else None,
        average=average,
    )


def epochs(
    X: Rows,
    rows: Array | None,
    state: TrainingState,
    settings: Settings,
    workers: Workers,
    sample_weight: Array | None = None,
) -> Iterator[TrainingState]:
    """Yield the state after each of ``n_iter`` passes over X, or ``rows`` of it.

    With weights (one for each row of X) a pass visits rows in proportion to them.
    """
    schedule, n_iter = SCHEDULES[settings.learning_rate_schedule], settings.n_iter
    state = prepare(state, settings)
    if rows is None:
        rows = np.arange(X.shape[0])
    for done in range(n_iter):

        def rate(part: float, done: int = done) -> float:
            return settings.learning_rate * schedule((done + part) / n_iter)

        visited = rows
        if sample_weight is not None:
            offset = Stream(state.root, WEIGHTS, state.epoch).random()
            visited = visits(rows, sample_weight, offset)
        epoch = _Epoch(X, state, settings, workers)
        epoch.run(visited, rate)
        state = epoch.end()
        yield state


class _Epoch:
    """A pass over the rows: what it trains in place, and the update of a mini-batch.

    The state it starts from is not written to.  Both that state and the one it ends
    in are in ordinary form, so that an epoch does not show whether the one before it
    was run in the same call.
    """

    @quiet
    def __init__(
        self, X: Rows, state: TrainingState, settings: Settings, workers: Workers
    ) -> None:
        self.X, self.state, self.settings, self.workers = X, state, settings, workers
        mu = state.seen.mean.astype(state.parameters.W.dtype)
        self.hidden_mean = state.hidden_mean.copy()
        self.lam = self.hidden_mean  # the same array: the offset moves with the mean
        if not settings.centered:
            # Both offsets are zero then, and the formulas stay the same.
            mu, self.lam = np.zeros_like(mu), np.zeros_like(self.lam)
        layers: type[Layers] = Sparse if is_sparse(X) else Dense
        self.model = layers.take(state.parameters, mu)
        self.velocity: Layers | None = None
        if state.velocity is not None:
            self.velocity = layers.take(state.velocity, mu)
        self.average = state.average and state.average.converted(
            lambda mean: layers.take(mean, mu)
        )
        self.chains = None if state.chains is None else state.chains.copy()
        self.stream = functools.cache(
            functools.partial(Stream, state.root, PHASES, state.epoch)
        )
        self.mini_batches: dict[int, MiniBatch] = {}
        self.shrink, self.n_undecayed = 1.0, 0  # what `decay` has put off
        self.learning_rate = 0.0

    @quiet
    def end(self) -> TrainingState:
        """Return the state after the epoch."""
        parameters, average = self.model.restore(), self.average
        if average is not None:
            average = average.converted(lambda mean: mean.restore())
            average.end_epoch(parameters)
        return replace(
            self.state,
            parameters=parameters,
            hidden_mean=self.hidden_mean,
            epoch=self.state.epoch + 1,
            velocity=None if self.velocity is None else self.velocity.restore(),
            chains=self.chains,
            betas=self.betas(),
            average=average,
            learning_rate=self.learning_rate,
        )

    def betas(self) -> Array | None:
        """Return temperatures spaced by how probable exchanges were."""
        every = [
            x.ladders for batch in self.mini_batches.values() for x in batch.shares
        ]
        ladders = [x for x in every if x is not None]
        if self.state.betas is None:
            return None
        return respaced(self.state.betas, mean_rates(ladders))

    @quiet
    def run(self, rows: Array, rate: Callable[[float], float]) -> None:
        """Pass once over the rows named."""
        state, settings = self.state, self.settings
        if settings.shuffle:
            rows = Stream(state.root, SHUFFLE, state.epoch).permutation(rows)
        for start in range(0, len(rows), settings.batch_size):
            self.learning_rate = rate(start / len(rows))
            self.update(rows[start : start + settings.batch_size])
            if settings.weight_decay:
                self.decay(now=start + settings.batch_size >= len(rows))
            if self.average is not None:
                self.average.add(self.model, settings.batch_size)

    def mini_batch(self, n: int) -> MiniBatch:
        """Return the room for mini-batches of n rows; the last may be short."""
        if n not in self.mini_batches:
            self.mini_batches[n] = MiniBatch(
                self.model,
                n,
                len(self.lam),
                self.chains,
                self.stream,
                betas=self.state.betas,
                n_gibbs_steps=self.settings.n_gibbs_steps,
                sample_statistics=self.settings.statistics == "states",
            )
        return self.mini_batches[n]

    def load(self, index: Array, share: Share) -> Rows:
        """Return the rows of a share, as they enter the positive phase."""
        settings = self.settings
        rows = rows_at(self.X, index[share.rows])
        if settings.fill_gaps:
            rows = converted(rows, self.lam.dtype, settings.threshold)
            rows = self.filled(rows, share.rng)
            return drawn(rows, share.rng) if settings.draw_rows else rows
        if settings.draw_rows or settings.threshold is not None or is_sparse(rows):
            rows = converted(rows, self.lam.dtype, settings.threshold)
        return drawn(rows, share.rng) if settings.draw_rows else rows

    def filled(self, rows: Rows, rng: Stream) -> Rows:
        """Return rows whose gaps are drawn from the model, given what is observed."""
        missing = gaps(rows)
        if missing.any():
            rows = start_in_gaps(rows, self.state.seen.mean, rng)
            for _ in range(FILLING_STEPS):
                rows = self.model.redraw(rows, missing, rng)
        return rows

    def update(self, index: Array) -> None:
        """Follow the gradient of the mini-batch ``X[index]``."""
        settings, batch = self.settings, self.mini_batch(len(index))
        batch.run_phases(functools.partial(self.load, index), self.workers)

        mean, rate = self.hidden_mean, hidden_mean_rate(batch.n)
        mean *= 1 - rate
        mean += (rate / batch.n) * sum_rows(batch.H0)
        # Hinton (2010), section 11: the derivative of the cross-entropy of the target
        # and the running mean, at the input of each hidden unit.
        pull = settings.sparsity_cost * (settings.sparsity_target - mean)

        target = self.model if self.velocity is None else self.velocity
        if self.velocity is not None:
            for change in self.velocity.arrays:
                change *= settings.momentum
        batch.add_gradient(target, self.learning_rate, self.lam, pull, self.workers)
        if self.velocity is not None:
            for part, change in zip(
                self.model.arrays, self.velocity.arrays, strict=True
            ):
                part += change

    def decay(self, *, now: bool) -> None:
        """Shrink the weights, every few small mini-batches for all of them at once."""
        settings = self.settings
        self.shrink *= 1 - self.learning_rate * settings.weight_decay
        self.n_undecayed += settings.batch_size
        if now or self.n_undecayed >= ROWS_BETWEEN:
            self.model.shrink(self.shrink)
            self.shrink, self.n_undecayed = 1.0, 0
