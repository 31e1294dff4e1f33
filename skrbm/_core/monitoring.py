"""What an epoch has done to the model, at a small part of its cost."""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

import numpy as np

from skrbm._core import missing
from skrbm._core.operations import norm, quiet
from skrbm._core.parameters import Parameters
from skrbm._core.partition import log_partition_of_coins
from skrbm._core.sampling import METER
from skrbm._core.tempering import Tempering, log_ratio
from skrbm._core.threads import Workers
from skrbm._core.training import TrainingState, hidden_mean_rate
from skrbm._core.types import Array, Rows

# Neighbours that exchange less often than this do not tell their ratio, and a value
# with a larger standard error, in nats, tells nothing.
LEAST_RATE, LARGEST_ERROR = 0.05, 1.0
# A hidden unit counts as dead when it is on in less than this share of the rows,
# and as saturated when it is off in less than this share.
RARE = 0.001


class Likelihood(NamedTuple):
    """The mean log-likelihood of rows and its standard error; NaN if not known."""

    value: float = math.nan
    error: float = math.nan


class LikelihoodMeter:
    """Ladders of chains that follow the model from epoch to epoch, and measure log Z.

    They start from ``rows``, take so many steps after each epoch, and space their
    temperatures anew each time.
    """

    def __init__(
        self,
        rows: Array,
        n_ladders: int,
        n_temperatures: int,
        n_steps: int,
        root: int,
        workers: Workers,
    ) -> None:
        self.start = rows[np.arange(n_ladders) % len(rows)]
        self.betas = np.linspace(0, 1, n_temperatures)
        self.n_steps, self.root, self.workers = n_steps, root, workers
        self.ladders: Tempering | None = None

    def measure(self, model: Parameters, mean_free_energy: float) -> Likelihood:
        """Return the likelihood of rows with this mean free energy under the model.

        There is no value where neighbours hardly exchange.
        """
        if self.ladders is None:
            self.ladders = Tempering(
                model, self.betas, self.start, self.root, METER, self.workers
            )
        ladders = self.ladders
        ladders.follow(model)
        ladders.adapt(1, self.n_steps // 4 + 1)
        run = ladders.run(self.n_steps, record=True)
        ratio = log_ratio(ladders.betas, run.U)
        if run.rates.min() < LEAST_RATE or ratio.standard_error > LARGEST_ERROR:
            return Likelihood()
        log_z = ratio.value + log_partition_of_coins(model)
        return Likelihood(-mean_free_energy - log_z, ratio.standard_error)


class Measures(NamedTuple):
    """What `Monitor` measures of an epoch; see ``history_``."""

    reconstruction_error: float
    pseudo_log_likelihood: float
    free_energy_gap: float
    mean_activity: float
    dead_units: float
    saturated_units: float
    relative_update: float
    learning_rate: float


class Monitor:
    """Measures of each epoch on fixed rows.

    ``rows`` are training rows in the model's floating point type, of which
    ``n_pseudo`` are scored, and ``held_out`` rows that are not trained on, if there
    are any.
    """

    def __init__(
        self,
        state: TrainingState,
        n_rows: int,
        batch_size: int,
        rows: Array,
        n_pseudo: int,
        held_out: Rows | None,
    ) -> None:
        self.rows, self.few, self.held_out = rows, rows[:n_pseudo], held_out
        self.n_rows = n_rows
        self.before = state
        # The running means before the last epochs, so many that a rare unit shows.
        n_epochs = math.ceil(1 / (RARE * n_rows))
        self.hidden_means = deque([state.hidden_mean], maxlen=n_epochs)
        # What an epoch leaves of the running mean before it.
        n_updates, n_last = divmod(n_rows, batch_size)
        self.memory = (1 - hidden_mean_rate(batch_size)) ** n_updates
        self.memory *= 1 - hidden_mean_rate(n_last)

    @quiet
    def measure(self, state: TrainingState) -> Measures:
        """Return the measures of the epoch that ended in ``state``."""
        model, rows = state.model(), self.rows
        before, self.before = self.before, state
        gap = np.nan
        if self.held_out is not None:
            gap = mean_free_energy(model, self.held_out) - mean_free_energy(model, rows)
        scores = missing.scores(model, n_rows=len(self.few))(self.few)
        activity = self._activity(state.hidden_mean)
        return Measures(
            reconstruction_error=reconstruction_error(model, rows),
            pseudo_log_likelihood=float(scores.mean()),
            free_energy_gap=gap,
            mean_activity=float(activity.mean()),
            dead_units=float((activity < RARE).mean()),
            saturated_units=float((activity > 1 - RARE).mean()),
            relative_update=relative_change(before.parameters, state.parameters),
            learning_rate=state.learning_rate,
        )

    def _activity(self, hidden_mean: Array) -> Array:
        """Return how often each hidden unit has been on of late."""
        activity, means = hidden_mean, self.hidden_means
        if len(means) == means.maxlen:
            # Of the last epochs alone: where updates are few the running mean
            # remembers for long that a unit was alive.
            memory = self.memory ** len(means)
            activity = (hidden_mean - memory * means[0]) / (1 - memory)
        means.append(hidden_mean)
        return activity


def mean_free_energy(model: Parameters, rows: Rows) -> float:
    """Return the mean free energy of the rows, in nats."""
    return float(missing.free_energies(model)(rows).mean())


def reconstruction_error(model: Parameters, rows: Array) -> float:
    """Return the mean squared difference of v and P(v=1 | h=P(h=1 | v)); NaN is out."""
    p = missing.reconstructions(model)(rows)
    p -= rows
    seen = ~np.isnan(p)
    return float(np.square(p, out=p).mean(where=seen)) if seen.any() else np.nan


def relative_change(before: Parameters, after: Parameters) -> float:
    """Return the norm of the change of W over the norm of W."""
    change = norm(after.W - before.W)
    return change / max(norm(after.W), np.finfo(float).tiny)
