"""From data to a trained state: where training starts, and when it stops."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning

from skrbm._core.monitoring import Measures, Monitor
from skrbm._core.parameters import initial_parameters
from skrbm._core.pseudo_likelihood import TERMS_A_WEIGHT, PseudoLikelihood
from skrbm._core.rows import Moments, converted, map_rows, moments
from skrbm._core.sampling import INITIALISE, MONITOR, SPLIT, Stream
from skrbm._core.threads import Workers
from skrbm._core.training import Settings, TrainingState, epochs
from skrbm._core.types import Array, Rows, dense, is_sparse
from skrbm._warnings import warn
from skrbm.exceptions import DivergenceError

DTYPE = np.float32

# exp(-20) is 2e-9: a weight beyond that settles its unit alone, whatever the others.
LARGE_WEIGHT = 20.0

# Share of dead or saturated hidden units that is worth a warning.
MANY_UNITS = 0.05

# Values of the rows that are watched, of which there are ten at least.
WATCHED_VALUES = 1 << 22

# What `history_` holds of each epoch.
MEASURES = (*Measures._fields, "validation_score", "seconds")

# Epochs in which a held-out score has to fall from the start to be worth a warning.
FALLING = 5


class Outcome(NamedTuple):
    """What training has come to."""

    state: TrainingState
    n_iter: int
    history: dict[str, Array]
    error: DivergenceError | None
    n_kept: int  # of these epochs, those up to the state; 0 if it is from before
    since_best: int = 0  # epochs whose held-out score did not count as better


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


def seen_rows(X: Rows, rows: Array | None, binarize: float | None) -> Moments:
    """Return the moments of the rows to train on, if training can take them."""
    seen = moments(X, binarize, rows)
    if not np.isfinite(seen.mean).all():
        raise ValueError(
            "X has values too large for single precision. Scale them to [0, 1], or set "
            "binarize to a threshold."
        )
    return seen


def split(n_rows: int, fraction: float, root: int) -> tuple[Array, Array]:
    """Return the indices of the rows to train on and of those held out."""
    n_held_out = int(np.ceil(fraction * n_rows))
    if n_held_out >= n_rows:
        raise ValueError(
            f"early_stopping with validation_fraction={fraction!r} leaves no row to "
            f"train on: n_samples={n_rows}, {n_held_out} held out. "
            "Give more rows or set early_stopping=False."
        )
    order = Stream(root, SPLIT).permutation(n_rows)
    return np.sort(order[n_held_out:]), np.sort(order[:n_held_out])


def run(
    X: Rows,
    rows: Array | None,
    held_out: Array | None,
    state: TrainingState,
    settings: Settings,
    workers: Workers,
    before: TrainingState | None = None,
) -> Outcome:
    """Train for up to ``n_iter`` epochs; keep the best one if told to stop early.

    ``rows`` are trained on (all if None) and ``held_out`` decide when to stop; then
    ``before``, the model that state goes on from, is kept if no epoch makes it better.
    A state that is not finite ends the run; the best one of this run is kept, and the
    error raised here if there is none.
    """
    monitor = _monitor(X, rows, held_out, state, settings)
    history: list[dict[str, float]] = []
    best, best_score, error = state, -np.inf, None
    if held_out is not None and before is not None:
        best, best_score = before, _mean_score(X, held_out, before, settings, workers)
    n_iter = n_kept = since_best = 0
    began = time.perf_counter()
    for after in epochs(X, rows, state, settings, workers):
        seconds = time.perf_counter() - began
        if not after.parameters.is_finite():
            error = _diverged(after, settings, kept=n_kept > 0)
            if not n_kept:
                raise error
            break
        n_iter += 1
        score = np.nan
        if held_out is not None:
            score = _mean_score(X, held_out, after, settings, workers)
        measures = (*monitor.measure(after), score, seconds)
        history.append(dict(zip(MEASURES, measures, strict=True)))
        if settings.verbose:
            print(_line(n_iter, history[-1]))  # noqa: T201  (asked for)
        if held_out is not None:
            # A step within tol is kept, but does not count as getting better.
            since_best = 0 if score > best_score + settings.tol else since_best + 1
        if held_out is None or score > best_score:
            best, best_score, n_kept = after, score, n_iter
        if held_out is not None and since_best >= settings.n_iter_no_change:
            break
        began = time.perf_counter()
    arrays = {name: np.array([record[name] for record in history]) for name in MEASURES}
    return Outcome(best, n_iter, arrays, error, n_kept, since_best)


def run_once(
    X: Rows, state: TrainingState, settings: Settings, workers: Workers
) -> Outcome:
    """Pass over the rows of X once, at a constant learning rate."""
    settings = replace(settings, learning_rate_schedule="constant", n_iter=1)
    (after,) = epochs(X, None, state, settings, workers)
    if not after.parameters.is_finite():
        raise _diverged(after, settings, kept=False)
    return Outcome(after, 1, {}, None, 1)


def _mean_score(
    X: Rows, index: Array, state: TrainingState, settings: Settings, workers: Workers
) -> float:
    """Return the mean pseudo-log-likelihood of these rows of X, in nats."""
    out = np.empty(len(index))
    model = state.model()
    map_rows(
        PseudoLikelihood(model),
        X,
        out,
        DTYPE,
        settings.binarize,
        model.W.size,
        workers,
        terms_a_weight=TERMS_A_WEIGHT,
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


def _line(n_iter: int, record: Mapping[str, float]) -> str:
    held_out = record["validation_score"]
    return (
        f"[BinaryCDRBM] Iteration {n_iter}, "
        f"pseudo-log-likelihood = {record['pseudo_log_likelihood']:.2f}, "
        + (f"held out = {held_out:.2f}, " if np.isfinite(held_out) else "")
        + f"time = {record['seconds']:.2f}s"
    )


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


def warn_of_trouble(outcome: Outcome, settings: Settings) -> None:
    """Give a ConvergenceWarning for each sign of trouble."""
    largest = float(np.abs(outcome.state.parameters.W).max())
    if largest > LARGE_WEIGHT:
        warn(
            f"The largest weight is {largest:.3g}: beyond {LARGE_WEIGHT:g} training is "
            "exploding. Use a smaller learning_rate or some weight_decay.",
            ConvergenceWarning,
        )
    history = outcome.history
    if not history:  # of `run_once`
        return
    n_components = len(outcome.state.hidden_mean)
    for name, what, remedy in (
        ("dead_units", "dead (on in less than 0.1 % of the rows)", "raise"),
        ("saturated_units", "saturated (off in less than 0.1 % of the rows)", "lower"),
    ):
        # Of the epoch that is kept, which may be none of these.
        share = history[name][outcome.n_kept - 1] if outcome.n_kept else 0.0
        count = round(share * n_components)
        if count > MANY_UNITS * n_components:
            warn(
                f"{count} of {n_components} hidden units are {what}. "
                f"Use a smaller learning_rate or {remedy} hidden_intercept_init.",
                ConvergenceWarning,
            )
    message = _trouble_held_out(
        history["validation_score"], outcome.since_best, settings
    )
    if message:
        warn(message, ConvergenceWarning)


def _trouble_held_out(score: Array, since_best: int, settings: Settings) -> str:
    """Return what is wrong with the path of the held-out score, if anything."""
    if not settings.early_stopping or not len(score):
        return ""
    best, n_epochs = int(np.argmax(score)), len(score)
    if since_best == 0:
        return (
            f"The held-out score was still rising after n_iter={settings.n_iter} "
            "epochs. Raise n_iter."
        )
    # The best is from an earlier fit if it is as many epochs ago as there were.
    if best == 0 and n_epochs > FALLING and since_best < n_epochs:
        return (
            f"The held-out score fell from {score[0]:.4g} nats after the first epoch, "
            f"which is kept, to {score[-1]:.4g} after {n_epochs} epochs. Use a smaller "
            "learning_rate or fewer n_components, or give more rows."
        )
    return ""
