"""What went wrong in training, and what to do about it."""

from __future__ import annotations

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skrbm._core.training import Settings
from skrbm._core.types import Array
from skrbm._fitting import Outcome
from skrbm._measures import Scores
from skrbm._warnings import warn

# exp(-20) is 2e-9: a weight beyond that settles its unit alone, whatever the others.
LARGE_WEIGHT = 20.0

# Gain in the score, as a share of it, below which hidden units are of no use.
LITTLE = 0.02

# Share of dead or saturated hidden units that is worth a warning.
MANY_UNITS = 0.05

# Epochs in which a held-out score has to fall from the start to be worth a warning.
FALLING = 5


def warn_of_trouble(
    outcome: Outcome,
    settings: Settings,
    *,
    lost: bool = False,
    scores: Scores | None = None,
) -> None:
    """Give a ConvergenceWarning for each sign of trouble.

    ``lost`` says whether the model has lost groups of rows, and ``scores`` are those of
    the rows, where they were few.
    """
    largest = float(np.abs(outcome.state.parameters.W).max())
    if largest > LARGE_WEIGHT:
        warn(
            f"The largest weight is {largest:.3g}: beyond {LARGE_WEIGHT:g} training is "
            "exploding. Check that X lies in [0, 1], and use a smaller learning_rate "
            "or some weight_decay.",
            ConvergenceWarning,
        )
    if lost:
        warn(
            "The rows fall into groups, and the persistent chains do not move between "
            "them: the model may give a group far more or less probability than its "
            f"share of the rows. {_remedy(settings)}",
            ConvergenceWarning,
        )
    if scores is not None and scores.dependent:
        gain = scores.hidden - scores.alone
        if gain < LITTLE * abs(scores.alone):
            warn(
                "The hidden units have learnt next to nothing: rows score "
                f"{scores.hidden:.4g} nats, and {scores.alone:.4g} without them, "
                "although columns are correlated. Raise n_iter from "
                f"{settings.n_iter} to some hundreds, or learning_rate from "
                f"{settings.learning_rate:.2g}.",
                ConvergenceWarning,
            )
    if not outcome.records:  # of `train_once`
        return
    history = outcome.history
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
