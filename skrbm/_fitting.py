"""From data to a trained state: where training starts, and when it stops."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from skrbm._core.energy import hidden_probabilities
from skrbm._core.parameters import Parameters, initial_parameters
from skrbm._core.rows import Moments, Selected, moments
from skrbm._core.sampling import INITIALISE, SPLIT, Stream
from skrbm._core.threads import Workers
from skrbm._core.training import Settings, TrainingState, epochs
from skrbm._core.types import Array, Rows
from skrbm._hyperparameters import DTYPE
from skrbm._measures import MEASURES, Score, Watch
from skrbm.exceptions import DivergenceError


@dataclass(frozen=True)
class Task:
    """What is to be trained, on which rows, and how."""

    rows: Selected  # to train on
    state: TrainingState  # to start from
    settings: Settings
    valid: Selected | None = None  # rows that are not trained on
    before: TrainingState | None = None  # the model that `state` goes on from

    def start(self) -> Outcome:
        """Return what there is before the first epoch."""
        if self.before is None or not self.settings.early_stopping:
            return Outcome(self.state)
        return Outcome(self.before)


class Outcome(NamedTuple):
    """What training has come to after ``n_iter`` epochs."""

    state: TrainingState  # of the best of them, or of the last one
    n_iter: int = 0
    n_kept: int = 0  # of these epochs, those up to the state; 0 if it is from before
    best: Score = Score()
    since_best: int = 0  # epochs whose held-out score did not count as better
    stop: bool = False  # whether nothing better is to be expected
    records: tuple[dict[str, float], ...] = ()

    def with_epoch(
        self,
        after: TrainingState,
        score: Score,
        record: dict[str, float],
        settings: Settings,
    ) -> Outcome:
        """Return what training has come to after one epoch more."""
        n_iter, records = self.n_iter + 1, (*self.records, record)
        if not settings.early_stopping:
            return Outcome(after, n_iter, n_iter, records=records)
        # A step within tol is kept, but does not count as getting better.
        rise = score.rise(self.best)
        since_best = 0 if rise > settings.tol else self.since_best + 1
        kept = (
            (after, n_iter, score) if rise > 0 else (self.state, self.n_kept, self.best)
        )
        stop = since_best >= settings.n_iter_no_change
        state, n_kept, best = kept
        return Outcome(state, n_iter, n_kept, best, since_best, stop, records)

    @property
    def history(self) -> dict[str, Array]:
        """Return one array for each measure, with a value for each epoch."""
        return {
            name: np.array([record[name] for record in self.records])
            for name in MEASURES
        }


def new_state(seen: Moments, root: int, settings: Settings) -> TrainingState:
    """Return the state that training starts from."""
    with np.errstate(over="ignore"):
        model = initial_parameters(
            # A mean outside [0, 1] has been warned of; its logit does not exist.
            np.clip(seen.mean, 0, 1),
            seen.n_rows,
            settings.n_components,
            Stream(root, INITIALISE),
            weight_scale=settings.weight_scale,
            visible_intercept=settings.visible_intercept_init,
            hidden_intercept=settings.hidden_intercept_init,
            dtype=DTYPE,
        )
    if not model.is_finite():
        starts = "weight_scale", "visible_intercept_init", "hidden_intercept_init"
        given = ", ".join(f"{name}={getattr(settings, name)!r}" for name in starts)
        raise ValueError(
            f"A model that starts from {given} has parameters beyond single precision. "
            "Use smaller values."
        )
    return TrainingState(model, seen, expit(model.c).astype(DTYPE), root)


def new_state_of(model: Parameters, mean: Array, root: int) -> TrainingState:
    """Return the state that a model from elsewhere is trained on from."""
    mean_of_none = mean.astype(np.float64)
    seen = Moments(mean_of_none, mean_of_none, 0, np.zeros(len(mean)))
    return TrainingState(model, seen, hidden_probabilities(model, mean[None])[0], root)


def seen_rows(rows: Selected, threshold: float | Array | None) -> Moments:
    """Return the moments of the rows to train on, if training can take them."""
    seen = moments(rows, threshold)
    if not np.isfinite(seen.mean).all():
        raise ValueError(
            "X has values too large for single precision. Scale them to [0, 1], or set "
            "binarize to a threshold."
        )
    return seen


def counted(X: Rows, sample_weight: Array | None) -> Selected:
    """Return the rows that count: a weight of 0 is like not having the row."""
    chosen = None
    if sample_weight is not None and not sample_weight.all():
        chosen = np.flatnonzero(sample_weight)
    return Selected(X, chosen, sample_weight)


def split(rows: Selected, fraction: float, root: int) -> tuple[Selected, Selected]:
    """Return the rows to train on and those held out, in their order."""
    positions = rows.positions
    n_rows = len(positions)
    n_held_out = int(np.ceil(fraction * n_rows))
    if n_held_out >= n_rows:
        raise ValueError(
            f"early_stopping with validation_fraction={fraction!r} leaves no row to "
            f"train on: n_samples={n_rows}, {n_held_out} held out. "
            "Give more rows or set early_stopping=False."
        )
    order = Stream(root, SPLIT).permutation(n_rows)
    parts = order[n_held_out:], order[:n_held_out]
    train, held_out = (rows._replace(chosen=positions[np.sort(x)]) for x in parts)
    return train, held_out


def train(task: Task, workers: Workers) -> Iterator[Outcome]:
    """Yield what training has come to after each of up to ``n_iter`` epochs.

    With rows held out the best epoch is kept, else the last one.  A state that is not
    finite raises DivergenceError.
    """
    watch = Watch(task.rows, task.valid, task.state, task.settings, workers)
    outcome = task.start()
    if outcome.state is task.before:
        outcome = outcome._replace(best=watch.score_of(outcome.state))
    began = time.perf_counter()
    for after in _epochs(task, workers):
        seconds = time.perf_counter() - began
        if not after.parameters.is_finite():
            raise _diverged(after, task.settings, kept=outcome.n_kept > 0)
        score, record = watch.measure(after)
        record["seconds"] = seconds
        outcome = outcome.with_epoch(after, score, record, task.settings)
        yield outcome
        if outcome.stop:
            return
        began = time.perf_counter()


def _epochs(task: Task, workers: Workers) -> Iterator[TrainingState]:
    X, chosen, sample_weight = task.rows
    return epochs(X, chosen, task.state, task.settings, workers, sample_weight)


def train_once(task: Task, workers: Workers) -> Outcome:
    """Return what training has come to after its only epoch, which nobody watches."""
    (after,) = _epochs(task, workers)
    if not after.parameters.is_finite():
        raise _diverged(after, task.settings, kept=False)
    return Outcome(after, 1, 1)


def _diverged(
    after: TrainingState, settings: Settings, *, kept: bool
) -> DivergenceError:
    what_is_left = (
        "The last good epoch is kept, the best one with early_stopping."
        if kept
        else "The estimator stays as it was."
    )
    return DivergenceError(
        f"Training diverged in epoch {after.epoch}: a parameter is no longer finite "
        f"(learning_rate={settings.learning_rate:g}, momentum={settings.momentum:g}). "
        f"{what_is_left} Use a smaller learning_rate, and check that X lies in [0, 1]."
    )
