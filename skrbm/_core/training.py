"""Epochs of training as a generator of immutable states.

Stopping, recording and reporting belong to whoever consumes the states.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from skrbm._core.averaging import ROWS_BETWEEN, Average
from skrbm._core.contrastive_divergence import MiniBatch
from skrbm._core.operations import quiet
from skrbm._core.parameters import Apart, Parameters, Stacked, zeros_like
from skrbm._core.sampling import CHAINS, PHASES, SHUFFLE, Stream, bernoulli
from skrbm._core.threads import Crew
from skrbm._core.types import Array, Rows, is_sparse

# The running mean of the hidden units looks back on so many mini-batches, as in
# Melchior, Fischer & Wiskott (2016), and so many rows at least.
_BATCHES_BEHIND, _ROWS_BEHIND = 100, 1000

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
    """Hyper-parameters of training; see `skrbm.BinaryCDRBM` for their meaning."""

    learning_rate: float
    batch_size: int
    schedule: str = "constant"
    n_gibbs_steps: int = 1
    n_chains: int | None = None  # persistent chains; None for contrastive divergence
    sample_statistics: bool = False
    sample_rows: bool = False  # take values of the data as probabilities of being on
    centered: bool = True
    momentum: float = 0.0
    weight_decay: float = 0.0
    sparsity_target: float = 0.0
    sparsity_cost: float = 0.0
    average: float | int | None = None
    shuffle: bool = True
    binarize: float | None = None


@dataclass(frozen=True, slots=True)
class TrainingState:
    """All that the next epoch depends on, beside the data and the settings.

    Random numbers are not among it: those of an epoch follow from ``root`` and
    ``epoch`` alone.
    """

    parameters: Parameters
    visible_mean: Array  # mu: (n_features,), the mean of the rows seen
    n_rows_seen: int
    hidden_mean: Array  # lambda: (n_components,), a running mean
    root: int
    epoch: int = 0
    velocity: Parameters | None = None
    chains: Array | None = None  # (n_chains, n_components), states
    average: Average | None = None
    learning_rate: float = 0.0  # of the last update
    visible_square: float = 0.0  # the mean of |v|^2 over the rows seen

    def signal(self) -> tuple[float, bool]:
        """Return how strong the data are as a signal, and whether they are grey.

        That is the variance of the visible units, added up, times its share of what
        binary units of the same means have: 1, or less where values between 0 and 1
        make the rows grey.
        """
        mean, square = self.visible_mean, float(self.visible_mean @ self.visible_mean)
        variance, binary = self.visible_square - square, float(mean.sum()) - square
        # The share of values outside [0, 1], which have been warned of, has no meaning.
        share = min(variance / binary, 1.0) if binary > 0 else 1.0
        return variance * share, share < 1 - 1e-6

    def model(self) -> Parameters:
        """Return the parameters to use: the averaged ones where there are any."""
        average = self.average and self.average.value()
        return average or self.parameters


def prepare(state: TrainingState, settings: Settings) -> TrainingState:
    """Add what the settings need and the state does not hold yet."""
    velocity, chains, average = state.velocity, state.chains, state.average
    if settings.momentum and velocity is None:
        velocity = zeros_like(state.parameters)
    if settings.n_chains is not None and (
        chains is None or len(chains) != settings.n_chains
    ):
        p = np.tile(state.hidden_mean, (settings.n_chains, 1))
        chains = bernoulli(p, Stream(state.root, CHAINS, state.epoch))
    if average is None or average.weight != settings.average:
        average = None if settings.average is None else Average(settings.average)
    return replace(
        state,
        velocity=velocity if settings.momentum else None,
        chains=chains if settings.n_chains is not None else None,
        average=average,
    )


def epochs(
    X: Rows,
    rows: Array | None,
    state: TrainingState,
    settings: Settings,
    n_epochs: int,
    crew: Crew,
) -> Iterator[TrainingState]:
    """Yield the state after each of ``n_epochs`` passes over X, or ``rows`` of it."""
    schedule = SCHEDULES[settings.schedule]
    state = prepare(state, settings)
    if rows is None:
        rows = np.arange(X.shape[0])
    for done in range(n_epochs):

        def rate(part: float, done: int = done) -> float:
            return settings.learning_rate * schedule((done + part) / n_epochs)

        epoch = _Epoch(X, state, settings, crew)
        epoch.run(rows, rate)
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
        self, X: Rows, state: TrainingState, settings: Settings, crew: Crew
    ) -> None:
        self.X, self.state, self.settings, self.crew = X, state, settings, crew
        self.mu = state.visible_mean.astype(state.parameters.W.dtype)
        self.hidden_mean = state.hidden_mean.copy()
        self.lam = self.hidden_mean  # the same array: the offset moves with the mean
        if not settings.centered:
            # Both offsets are zero then, and the formulas stay the same.
            self.mu, self.lam = np.zeros_like(self.mu), np.zeros_like(self.lam)
        take = functools.partial((Apart if is_sparse(X) else Stacked).take, mu=self.mu)
        self.model = take(state.parameters)
        self.velocity = state.velocity and take(state.velocity)
        self.average = state.average and state.average.converted(take)
        self.chains = None if state.chains is None else state.chains.copy()
        self.stream = functools.cache(
            functools.partial(Stream, state.root, PHASES, state.epoch)
        )
        self.mini_batches: dict[int, MiniBatch] = {}
        self.shrink, self.n_undecayed = 1.0, 0  # what `decay` has put off
        self.learning_rate = 0.0
        # As arrays without dimensions, which take less time with small arrays.
        self.sparsity_target = np.array(settings.sparsity_target, self.mu.dtype)
        self.sparsity_cost = np.array(settings.sparsity_cost, self.mu.dtype)

    @quiet
    def end(self) -> TrainingState:
        """Return the state after the epoch."""
        parameters, average = self.model.restore(self.mu), self.average
        if average is not None:
            average = average.converted(lambda mean: mean.restore(self.mu))
            average.end_epoch(parameters)
        return replace(
            self.state,
            parameters=parameters,
            hidden_mean=self.hidden_mean,
            epoch=self.state.epoch + 1,
            velocity=self.velocity and self.velocity.restore(self.mu),
            chains=self.chains,
            average=average,
            learning_rate=self.learning_rate,
        )

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
        """Return the buffers for mini-batches of n rows; the last may be short."""
        if n not in self.mini_batches:
            self.mini_batches[n] = MiniBatch(
                self.model,
                self.mu,
                n,
                self.stream,
                self.chains,
                crew=self.crew,
                n_gibbs_steps=self.settings.n_gibbs_steps,
                sample_statistics=self.settings.sample_statistics,
                sample_rows=self.settings.sample_rows,
                binarize=self.settings.binarize,
            )
        return self.mini_batches[n]

    def update(self, index: Array) -> None:
        """Follow the gradient of the mini-batch ``X[index]``."""
        settings, mini_batch = self.settings, self.mini_batch(len(index))
        mini_batch.run_phases(self.X, index)

        mini_batch.move_towards_activity(
            self.hidden_mean, hidden_mean_rate(mini_batch.n)
        )
        pull = None
        if settings.sparsity_cost:
            # Hinton (2010), section 11: the derivative of the cross-entropy of the
            # target and the running mean, at the input of each hidden unit.
            pull = self.sparsity_cost * (self.sparsity_target - self.hidden_mean)

        target, keep, onto = self.model, 1.0, None
        if self.velocity is not None:
            target, keep, onto = self.velocity, settings.momentum, self.model
        mini_batch.add_gradient(
            target, self.learning_rate, self.lam, keep=keep, pull=pull, onto=onto
        )

    def decay(self, *, now: bool) -> None:
        """Shrink the weights, every few small mini-batches for all of them at once."""
        settings = self.settings
        self.shrink *= 1 - self.learning_rate * settings.weight_decay
        self.n_undecayed += settings.batch_size
        if now or self.n_undecayed >= ROWS_BETWEEN:
            self.model.shrink(self.shrink)
            self.shrink, self.n_undecayed = 1.0, 0
