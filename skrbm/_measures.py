"""What is measured of each epoch, and what early stopping goes by."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from skrbm._core.energy import free_energy
from skrbm._core.mixing import LARGE_SHIFT, STUCK, SURE, mixing
from skrbm._core.monitoring import Likelihood, LikelihoodMeter, Measures, Monitor
from skrbm._core.parameters import Parameters
from skrbm._core.pseudo_likelihood import TERMS_A_WEIGHT, PseudoLikelihood
from skrbm._core.rows import converted, map_rows
from skrbm._core.sampling import METER, MONITOR, Stream
from skrbm._core.tempering import Tempering
from skrbm._core.threads import Workers
from skrbm._core.training import Settings, TrainingState
from skrbm._core.types import Array, Rows, dense, is_sparse
from skrbm._hyperparameters import DTYPE, FEW_ROWS, temperatures

# Values of the rows that are watched, of which there are ten at least.
WATCHED_VALUES = 1 << 22

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
        X: Rows,
        rows: Array | None,
        held_out: Array | None,
        state: TrainingState,
        settings: Settings,
        workers: Workers,
    ) -> None:
        self.X, self.held_out = X, held_out
        self.settings, self.workers = settings, workers
        self.monitor = _monitor(X, rows, held_out, state, settings)
        self.meter = _meter(self.monitor, state, settings, workers)

    def measure(self, state: TrainingState) -> tuple[Score, dict[str, float]]:
        """Return the score of the rows held out, and what `history_` records."""
        likelihood, score = Likelihood(), Score(np.nan)
        if self.meter is not None:
            likelihood = self.meter.measure(
                state.model(), self._mean_free_energy(state)
            )
        if self.held_out is not None:
            score = Score(self.score_of(state).pseudo, *likelihood)
        measured = self.monitor.measure(state)
        values = (*measured, score.pseudo, *likelihood)
        return score, dict(zip(MEASURES, values, strict=False))

    def score_of(self, state: TrainingState) -> Score:
        """Return the score of the rows held out, without their likelihood."""
        where = self.X, self.held_out
        return Score(_mean_score(*where, state, self.settings, self.workers), np.nan)

    def _mean_free_energy(self, state: TrainingState) -> float:
        """Return the mean free energy of the rows held out, else of those watched."""
        if self.held_out is None:
            return self.monitor.mean_free_energy(state)
        model = state.model()
        return _mean(
            lambda v, _: free_energy(model, v),
            self.X,
            self.held_out,
            model,
            self.settings,
            self.workers,
        )


def _mean_score(
    X: Rows,
    index: Array | None,
    state: TrainingState,
    settings: Settings,
    workers: Workers,
) -> float:
    """Return the mean pseudo-log-likelihood of these rows of X, in nats."""
    model = state.model()
    scores = PseudoLikelihood(model)
    return _mean(scores, X, index, model, settings, workers, TERMS_A_WEIGHT)


def _mean(
    function: Callable[[Rows, Array | None], Array],
    X: Rows,
    index: Array | None,
    model: Parameters,
    settings: Settings,
    workers: Workers,
    terms_a_weight: int = 1,
) -> float:
    """Return the mean of a function of these rows of X."""
    out = np.empty(X.shape[0] if index is None else len(index))
    map_rows(
        function,
        X,
        out,
        DTYPE,
        settings.binarize,
        model.W.size,
        workers,
        terms_a_weight=terms_a_weight,
        index=index,
    )
    return float(out.mean())


def _monitor(
    X: Rows,
    rows: Array | None,
    held_out: Array | None,
    state: TrainingState,
    settings: Settings,
) -> Monitor:
    """Return a monitor on so few rows that it costs a few per cent of an epoch."""
    pool = np.arange(X.shape[0]) if rows is None else rows
    rng = Stream(state.root, MONITOR)
    # The rows are dense, which must not take much where there are many features.
    most = min(500, WATCHED_VALUES // X.shape[1])
    share = len(pool) // (200 if is_sparse(X) else 50)
    n_rows = min(len(pool), max(10, min(share, most)))
    watched = X[rng.choice(pool, n_rows, replace=False)]
    valid = None
    if held_out is not None:
        valid = X[rng.choice(held_out, min(len(held_out), n_rows), replace=False)]
    return Monitor(
        state,
        len(pool),
        settings.batch_size,
        _dense_rows(watched, settings),
        _n_scored(X, len(pool), state.parameters.W.size),
        None if valid is None else _dense_rows(valid, settings),
    )


def _meter(
    monitor: Monitor, state: TrainingState, settings: Settings, workers: Workers
) -> LikelihoodMeter | None:
    """Return a meter that takes a small part of an epoch, for tempered chains."""
    if not settings.persistent or settings.n_temperatures == 1:
        return None
    n_updates = -(-monitor.n_rows // settings.batch_size)
    share = 0.08 if monitor.n_rows < FEW_ROWS else 0.035
    n_temperatures = 3 * settings.n_temperatures
    return LikelihoodMeter(
        monitor.rows,
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
    return converted(dense(rows), DTYPE, settings.binarize)


def pseudo_log_likelihood(X: Rows, state: TrainingState, settings: Settings) -> float:
    """Return the mean score of a few rows of X, in nats."""
    monitor = _monitor(X, None, None, state, settings)
    return monitor.measure(state).pseudo_log_likelihood


def has_lost_groups(
    X: Rows,
    rows: Array | None,
    state: TrainingState,
    settings: Settings,
    workers: Workers,
) -> bool:
    """Say whether persistent chains did not tell the model the shares of groups.

    At several temperatures that shows by chains that are not where the rows are.  At a
    single one it is enough that chains from different rows stay apart; large models, of
    which all chains do, are not asked.
    """
    shape = state.parameters.W.shape
    if not settings.persistent or temperatures(*shape) == 1:
        return False
    pool = np.arange(X.shape[0]) if rows is None else rows
    most = min(500, WATCHED_VALUES // X.shape[1], len(pool))
    some = Stream(state.root, MONITOR, 1).choice(pool, most, replace=False)
    watched = _dense_rows(X[some], settings)
    betas = np.ones(1) if state.betas is None else state.betas
    start = watched[np.arange(20 if len(betas) > 1 else 100) % len(watched)]
    chains = Tempering(state.model(), betas, start, state.root, METER, workers)
    chains.run(50)
    found = mixing(chains.run(100).mean, watched)
    if len(betas) == 1:
        return found.stuck > STUCK
    return found.shift > max(LARGE_SHIFT, SURE * found.shift_error)
