"""From data to a trained state: where training starts, and when it stops."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning

from skrbm._core.energy import free_energy
from skrbm._core.mixing import LARGE_SHIFT, STUCK, SURE, mixing
from skrbm._core.monitoring import Likelihood, LikelihoodMeter, Measures, Monitor
from skrbm._core.parameters import Parameters, initial_parameters
from skrbm._core.pseudo_likelihood import TERMS_A_WEIGHT, PseudoLikelihood
from skrbm._core.rows import Moments, converted, map_rows, moments
from skrbm._core.sampling import INITIALISE, METER, MONITOR, SPLIT, Stream
from skrbm._core.tempering import Tempering
from skrbm._core.threads import Workers
from skrbm._core.training import Settings, TrainingState, epochs
from skrbm._core.types import Array, Rows, dense, is_sparse
from skrbm._hyperparameters import FEW_ROWS, temperatures
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
MEASURES = (
    *Measures._fields,
    "validation_score",
    "log_likelihood",
    "log_likelihood_error",
    "seconds",
)

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
    lost: bool = False  # whether the model has lost groups of rows


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
    watch = monitor, _meter(monitor, state, settings, workers)
    history: list[dict[str, float]] = []
    best, best_score, error = state, Score(), None
    if held_out is not None and before is not None:
        pseudo = _mean_score(X, held_out, before, settings, workers)
        best, best_score = before, Score(pseudo, np.nan)
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
        score, likelihood = _score(X, held_out, after, settings, watch, workers)
        measured = monitor.measure(after)
        measures = (*measured, score.pseudo, *likelihood, seconds)
        history.append(dict(zip(MEASURES, measures, strict=True)))
        if settings.verbose:
            print(_line(n_iter, history[-1]))  # noqa: T201  (asked for)
        if held_out is not None:
            # A step within tol is kept, but does not count as getting better.
            rise = score.rise(best_score)
            since_best = 0 if rise > settings.tol else since_best + 1
        if held_out is None or rise > 0:
            best, best_score, n_kept = after, score, n_iter
        if held_out is not None and since_best >= settings.n_iter_no_change:
            break
        began = time.perf_counter()
    arrays = {name: np.array([record[name] for record in history]) for name in MEASURES}
    lost = n_kept > 0 and _has_lost_groups(X, rows, best, settings, workers)
    return Outcome(best, n_iter, arrays, error, n_kept, since_best, lost=lost)


def run_once(
    X: Rows, state: TrainingState, settings: Settings, workers: Workers
) -> Outcome:
    """Pass over the rows of X once, at a constant learning rate."""
    settings = replace(settings, learning_rate_schedule="constant", n_iter=1)
    (after,) = epochs(X, None, state, settings, workers)
    if not after.parameters.is_finite():
        raise _diverged(after, settings, kept=False)
    return Outcome(after, 1, {}, None, 1)


def _score(
    X: Rows,
    held_out: Array | None,
    state: TrainingState,
    settings: Settings,
    watch: tuple[Monitor, LikelihoodMeter | None],
    workers: Workers,
) -> tuple[Score, Likelihood]:
    """Return the score of held-out rows, and the likelihood, else of those watched."""
    (monitor, meter), likelihood = watch, Likelihood()
    if meter is not None:
        mean = monitor.mean_free_energy(state)
        if held_out is not None:
            mean = _mean_free_energy(X, held_out, state, settings, workers)
        likelihood = meter.measure(state.model(), mean)
    if held_out is None:
        return Score(np.nan), likelihood
    pseudo = _mean_score(X, held_out, state, settings, workers)
    return Score(pseudo, *likelihood), likelihood


def _mean_score(
    X: Rows, index: Array, state: TrainingState, settings: Settings, workers: Workers
) -> float:
    """Return the mean pseudo-log-likelihood of these rows of X, in nats."""
    model = state.model()
    scores = PseudoLikelihood(model)
    return _mean(scores, X, index, model, settings, workers, TERMS_A_WEIGHT)


def _mean_free_energy(
    X: Rows, index: Array, state: TrainingState, settings: Settings, workers: Workers
) -> float:
    """Return the mean free energy of these rows of X, in nats."""
    model = state.model()
    return _mean(lambda v, _: free_energy(model, v), X, index, model, settings, workers)


def _mean(
    function: Callable[[Rows, Array | None], Array],
    X: Rows,
    index: Array,
    model: Parameters,
    settings: Settings,
    workers: Workers,
    terms_a_weight: int = 1,
) -> float:
    """Return the mean of a function of these rows of X."""
    out = np.empty(len(index))
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


def _has_lost_groups(
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
    held_out, likelihood = record["validation_score"], record["log_likelihood"]
    return (
        f"[BinaryCDRBM] Iteration {n_iter}, "
        f"pseudo-log-likelihood = {record['pseudo_log_likelihood']:.2f}, "
        + (f"held out = {held_out:.2f}, " if np.isfinite(held_out) else "")
        + (f"log-likelihood = {likelihood:.2f}, " if np.isfinite(likelihood) else "")
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
    if outcome.lost:
        warn(
            "The rows fall into groups, and the persistent chains do not move between "
            "them: the model may give a group far more or less probability than its "
            f"share of the rows. {_remedy(settings)}",
            ConvergenceWarning,
        )
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


def _remedy(settings: Settings) -> str:
    if settings.n_temperatures == 1:
        return 'Use n_temperatures="auto" or 10.'
    return (
        f"Use more temperatures than n_temperatures={settings.n_temperatures}, more "
        f"chains than n_chains={settings.n_chains}, or a smaller learning_rate with "
        "more epochs."
    )


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
