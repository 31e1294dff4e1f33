"""What is measured of each epoch, and what early stopping goes by."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from skrbm._core import missing
from skrbm._core.missing import start_in_gaps
from skrbm._core.mixing import LARGE_SHIFT, STUCK, SURE, mixing
from skrbm._core.monitoring import Likelihood, LikelihoodMeter, Measures, Monitor
from skrbm._core.parameters import Parameters
from skrbm._core.rows import Selected, converted, map_rows
from skrbm._core.sampling import METER, MONITOR, Stream
from skrbm._core.tempering import Tempering
from skrbm._core.threads import Workers
from skrbm._core.training import Settings, TrainingState
from skrbm._core.types import Array, Rows, dense, is_sparse
from skrbm._hyperparameters import DTYPE, FEW_ROWS, temperatures

# Values of the rows that are watched, of which there are ten at least.
WATCHED_VALUES = 1 << 22

# Epochs that are a long training, and rows so few that it may not be long enough.
LONG, FEW_ENOUGH = 20, 1000

# What `history_` holds of each epoch.
MEASURES = (
    *Measures._fields,
    "validation_score",
    "log_likelihood",
    "log_likelihood_error",
    "seconds",
)


class Score(NamedTuple):
    """What early stopping compares: of held-out rows, in nats."""

    pseudo: float = -np.inf
    likelihood: float = -np.inf
    error: float = 0.0

    def rise(self, before: Score) -> float:
        """Return by how much it is better than another, beyond twice the errors.

        By log-likelihoods where both are known, else by pseudo-log-likelihoods.
        """
        rise = self.likelihood - before.likelihood
        if np.isnan(rise):
            return self.pseudo - before.pseudo
        return rise - 2 * float(np.hypot(self.error, before.error))


class Watch:
    """What looks at the model after each epoch, at a small part of its cost."""

    def __init__(
        self,
        train: Selected,
        valid: Selected | None,
        state: TrainingState,
        settings: Settings,
        workers: Workers,
    ) -> None:
        self.valid, self.settings, self.workers = valid, settings, workers
        self.monitor = monitor_of(train, valid, state, settings)
        self.meter = _meter(self.monitor, state, settings, workers)

    def measure(self, state: TrainingState) -> tuple[Score, dict[str, float]]:
        """Return the score of the rows held out, and what `history_` records."""
        model, monitor = state.model(), self.monitor
        measured = monitor.measure(state)
        likelihood, score = Likelihood(), Score(np.nan)
        if self.meter is not None:
            free = missing.free_energies(model)
            mean = float(free(monitor.rows).mean())
            if self.valid is not None:
                mean = self._mean_over_valid(free)
            likelihood = self.meter.measure(model, mean)
        if self.valid is not None:
            score = Score(self.score_of(state).pseudo, *likelihood)
        values = (*measured, score.pseudo, *likelihood)
        return score, dict(zip(MEASURES, values, strict=False))

    def score_of(self, state: TrainingState) -> Score:
        """Return the score of the rows held out, without their likelihood."""
        return Score(self.pseudo_log_likelihood(state.model()), np.nan)

    def pseudo_log_likelihood(self, model: Parameters) -> float:
        """Return the mean pseudo-log-likelihood of the rows held out, in nats."""
        return self._mean_over_valid(missing.scores(model))

    def _mean_over_valid(self, quantity: missing.Quantity) -> float:
        """Return the mean of a quantity of the rows held out."""
        valid: Any = self.valid
        out = np.empty(len(valid.positions))
        map_rows(
            quantity,
            valid.X,
            out,
            DTYPE,
            self.settings.threshold,
            quantity.model.W.size,
            self.workers,
            terms_a_weight=quantity.terms_a_weight,
            index=valid.chosen,
        )
        return valid.mean(out)


def monitor_of(
    train: Selected, valid: Selected | None, state: TrainingState, settings: Settings
) -> Monitor:
    """Return a monitor on so few rows that it costs a few per cent of an epoch."""
    n_pool, rng = len(train.positions), Stream(state.root, MONITOR)
    # The rows are dense, which must not take much where there are many features.
    most = min(500, WATCHED_VALUES // train.X.shape[1])
    share = n_pool // (200 if is_sparse(train.X) else 50)
    n_rows = max(10, min(share, most))
    watched = _dense_rows(train.some(n_rows, rng), settings)
    held_out = None
    if valid is not None:
        held_out = _dense_rows(valid.some(min(n_rows, n_pool), rng), settings)
    n_scored = _n_scored(train.X, n_pool, state.parameters.W.size)
    return Monitor(state, n_pool, settings.batch_size, watched, n_scored, held_out)


def _meter(
    monitor: Monitor, state: TrainingState, settings: Settings, workers: Workers
) -> LikelihoodMeter | None:
    """Return a meter that takes a small part of an epoch, for tempered chains."""
    if not settings.persistent or settings.n_temperatures == 1:
        return None
    n_updates = -(-monitor.n_rows // settings.batch_size)
    share = 0.08 if monitor.n_rows < FEW_ROWS else 0.035
    n_temperatures = 3 * min(settings.n_temperatures, settings.n_chains)
    rng = Stream(state.root, METER, 1)
    return LikelihoodMeter(
        start_in_gaps(monitor.rows, state.seen.mean, rng),
        max(2, settings.n_chains // n_temperatures),
        n_temperatures,
        max(8, round(share * n_updates)),
        state.root,
        workers,
    )


def _n_scored(X: Rows, n_rows: int, n_weights: int) -> int:
    """Return how many rows to score after each epoch, at a small part of its cost."""
    # A sparse row takes less to be trained on, not to be scored.
    sparse = is_sparse(X)
    share = n_rows // (4000 if sparse else 800)
    # Few rows say little, but a large model takes milliseconds for each.
    if n_weights < 1 << 13:
        least = 10
    else:
        least = 1 if sparse else min(10, max(3, n_rows // 300))
    return min(max(share, least), 100)


def _dense_rows(rows: Rows, settings: Settings) -> Array:
    return converted(dense(rows), DTYPE, settings.threshold)


class Scores(NamedTuple):
    """Mean scores of rows in nats, and whether their columns depend on each other."""

    hidden: float  # with the hidden units
    alone: float  # without them
    dependent: bool


def scores_of_few_rows(
    train: Selected, state: TrainingState, settings: Settings, n_iter: int
) -> Scores | None:
    """Return what tells whether anything was learnt in so many epochs.

    Only where training was long and rows were few, so that it may not have begun.
    """
    n_rows = len(train.positions)
    if n_iter < LONG or n_rows >= FEW_ENOUGH:
        return None
    most = min(500, max(10, WATCHED_VALUES // train.X.shape[1]))
    rows = _dense_rows(train.some(most, Stream(state.root, MONITOR, 2)), settings)
    mean = np.clip(state.seen.mean, 0.5 / (n_rows + 1), 1 - 0.5 / (n_rows + 1))
    scored = rows[:100]
    alone = scored * np.log(mean) + (1 - scored) * np.log1p(-mean)
    model = state.model()
    scores = missing.scores(model)(scored)
    return Scores(
        float(scores.mean()),
        float(np.nansum(alone, axis=1).mean()),
        are_dependent(np.where(np.isnan(rows), mean, rows)),
    )


def are_dependent(rows: Array) -> bool:
    """Say whether columns are correlated, by more than five standard deviations.

    Of n rows of d independent columns n times the sum of r^2 over all pairs has the
    mean d (d - 1) / 2, about, and twice that as its variance.
    """
    rows = rows[:, rows.std(axis=0) > 0]
    (n, d), pairs = rows.shape, rows.shape[1] * (rows.shape[1] - 1) / 2
    if pairs == 0:
        return False
    y = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    squares = np.square(y @ y.T, dtype=np.float64).sum() / n**2  # of all r, as (d, d)
    excess = n * (squares - d) / 2 - pairs * n / (n - 1)
    return bool(excess > 5 * np.sqrt(2 * pairs))


def has_lost_groups(
    train: Selected, state: TrainingState, settings: Settings, workers: Workers
) -> bool:
    """Say whether persistent chains did not tell the model the shares of groups.

    At several temperatures that shows by chains that are not where the rows are.  At a
    single one it is enough that chains from different rows stay apart; large models, of
    which all chains do, are not asked.
    """
    shape = state.parameters.W.shape
    if not settings.persistent or temperatures(*shape) == 1:
        return False
    most = min(500, WATCHED_VALUES // train.X.shape[1])
    rng = Stream(state.root, MONITOR, 1)
    watched = _dense_rows(train.some(most, rng), settings)
    watched = start_in_gaps(watched, state.seen.mean, rng)
    betas = np.ones(1) if state.betas is None else state.betas
    start = watched[np.arange(20 if len(betas) > 1 else 100) % len(watched)]
    chains = Tempering(state.model(), betas, start, state.root, METER, workers)
    chains.run(50)
    found = mixing(chains.run(100).mean, watched)
    if len(betas) == 1:
        return found.stuck > STUCK
    return found.shift > max(LARGE_SHIFT, SURE * found.shift_error)
