"""The measures of an epoch, each worked out again."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from enumeration import random_model, sigmoid

from skrbm._core import energy, missing
from skrbm._core.averaging import Average
from skrbm._core.monitoring import Monitor
from skrbm._core.pseudo_likelihood import PseudoLikelihood
from skrbm._core.rows import Selected, moments
from skrbm._core.training import TrainingState

rng = np.random.default_rng(0)
ROWS, HELD_OUT = ((rng.random((n, 6)) < 0.4).astype(float) for n in (20, 12))


def state_of(seed, hidden_mean=(0.5, 0.5, 0.5, 0.5)):
    model = random_model(6, 4, scale=1.0, seed=seed)
    return TrainingState(model, moments(Selected(ROWS), None), np.array(hidden_mean), 7)


def monitor_of(state, n_rows=1_000_000, batch_size=10, held_out=HELD_OUT):
    return Monitor(state, n_rows, batch_size, ROWS, 5, held_out)


def test_measures_are_those_of_the_model_and_of_its_last_epoch():
    states = [state_of(seed) for seed in (1, 2, 3)]
    mean = random_model(6, 4, scale=1.0, seed=4)
    average = Average(0.1)
    average.mean = mean  # of which all but the size of the update is
    states = [replace(state, average=average, learning_rate=0.3) for state in states]
    monitor = monitor_of(states[0])
    for before, after in itertools.pairwise(states):
        record = monitor.measure(after)
        p = sigmoid(sigmoid(ROWS @ mean.W + mean.c) @ mean.W.T + mean.b)
        assert record.reconstruction_error == pytest.approx(((p - ROWS) ** 2).mean())
        scores = PseudoLikelihood(mean, n_rows=5)(ROWS[:5])
        assert record.pseudo_log_likelihood == pytest.approx(scores.mean())
        gap = energy.free_energy(mean, HELD_OUT).mean()
        gap -= energy.free_energy(mean, ROWS).mean()
        assert record.free_energy_gap == pytest.approx(gap)
        W, moved = after.parameters.W, after.parameters.W - before.parameters.W
        assert record.relative_update == pytest.approx(
            np.linalg.norm(moved) / np.linalg.norm(W)
        )
        assert record.learning_rate == 0.3
    assert np.isnan(monitor_of(states[0], held_out=None).measure(after).free_energy_gap)


def test_few_watched_rows_cost_what_few_rows_do(monkeypatch):
    asked = []

    def scores(model, *, n_rows):
        asked.append(n_rows)
        return PseudoLikelihood(model, n_rows=n_rows)

    monkeypatch.setattr(missing, "PseudoLikelihood", scores)
    monitor_of(state_of(1)).measure(state_of(2))
    assert asked == [5]


def test_a_unit_counts_as_useless_beyond_one_row_in_a_thousand():
    after = state_of(1, [0.0005, 0.0015, 0.9985, 0.9995])
    record = monitor_of(state_of(1)).measure(after)
    assert (record.dead_units, record.saturated_units) == (0.25, 0.25)


def test_activity_is_that_of_the_epochs_looked_back_on():
    # 1005 rows are 100 mini-batches of weight 0.01, and one of 5 rows.
    memory = 0.99**100 * (1 - 0.005)
    before, true = np.array([0.9, 0.5, 0.2, 0.0]), np.array([0.1, 0.2, 0.3, 0.4])
    after = memory * before + (1 - memory) * true
    monitor = monitor_of(state_of(1, before), n_rows=1005)
    for _ in range(2):
        record = monitor.measure(state_of(1, after))
        assert record.mean_activity == pytest.approx(true.mean())
        after = memory * after + (1 - memory) * true
