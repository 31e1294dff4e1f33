"""What an epoch has done to the model, at a small part of its cost."""

from __future__ import annotations

import numpy as np

from skrbm._core.energy import (
    free_energy,
    hidden_probabilities,
    visible_probabilities,
)
from skrbm._core.parameters import Parameters
from skrbm._core.pseudo_likelihood import pseudo_log_likelihood
from skrbm._core.training import TrainingState
from skrbm._core.types import Array, Rows

# A hidden unit counts as dead when it is on in less than this share of the rows,
# and as saturated when it is off in less than this share.
RARE = 0.001


class Monitor:
    """Measures of each epoch on fixed rows; see ``history_``.

    ``rows`` are training rows in the model's floating point type, ``held_out``
    rows that are not trained on, if there are any.
    """

    def __init__(
        self, state: TrainingState, rows: Array, n_pseudo: int, held_out: Rows | None
    ) -> None:
        self.rows, self.few, self.held_out = rows, rows[:n_pseudo], held_out
        self.before = state

    @np.errstate(over="ignore")  # of exp(-x), see sigmoid
    def measure(self, state: TrainingState) -> dict[str, float]:
        """Return the measures of the epoch that ended in ``state``."""
        model, rows = state.model(), self.rows
        before, self.before = self.before, state
        gap = np.nan
        if self.held_out is not None:
            gap = mean_free_energy(model, self.held_out) - mean_free_energy(model, rows)
        return {
            "reconstruction_error": reconstruction_error(model, rows),
            "pseudo_log_likelihood": pseudo_log_likelihood(model, self.few).mean(),
            "free_energy_gap": gap,
            "mean_activity": state.hidden_mean.mean(),
            "dead_units": np.mean(state.hidden_mean < RARE),
            "saturated_units": np.mean(state.hidden_mean > 1 - RARE),
            "relative_update": relative_change(before.parameters, state.parameters),
            "learning_rate": state.learning_rate,
        }


def mean_free_energy(model: Parameters, rows: Rows) -> float:
    """Return the mean free energy of the rows, in nats."""
    return float(free_energy(model, rows).mean())


def reconstruction_error(model: Parameters, rows: Array) -> float:
    """Return the mean squared difference of v and P(v=1 | h=P(h=1 | v))."""
    p = visible_probabilities(model, hidden_probabilities(model, rows))
    p -= rows
    return float(np.mean(np.square(p)))


def relative_change(before: Parameters, after: Parameters) -> float:
    """Return the norm of the change of W over the norm of W."""
    # In double precision the squares of any single-precision weights are finite.
    change = (after.W.astype(np.float64) - before.W).ravel()
    W = after.W.astype(np.float64).ravel()
    return float(np.sqrt(change @ change) / max(np.sqrt(W @ W), np.finfo(float).tiny))
