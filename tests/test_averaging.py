"""Averaged parameters against a recomputation from every update."""

import dataclasses

import numpy as np
import pytest
from enumeration import plain_training, random_model, sigmoid

from skrbm._core.averaging import Average
from skrbm._core.parameters import Parameters
from skrbm._core.threads import Crew
from skrbm._core.training import Settings, TrainingState, epochs


def path(n):
    """Return n parameters with nothing in common."""
    return [random_model(3, 2, seed=seed) for seed in range(n)]


def weighted_mean(parameters, weights):
    shares = np.asarray(weights) / np.sum(weights)
    return Parameters(
        *(
            np.tensordot(shares, np.stack(parts), axes=1)
            for parts in zip(*parameters, strict=True)
        )
    )


def assert_same(model, expected, atol=1e-12):
    for part, expected_part in zip(model, expected, strict=True):
        np.testing.assert_allclose(part, expected_part, atol=atol)


@pytest.mark.parametrize("weight", [0.002, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("n", [1, 2, 3, 30])
def test_an_exponential_average_is_corrected_for_its_start(weight, n):
    average = Average(weight)
    assert average.value() is None
    for update, parameters in enumerate(path(n), start=1):
        average.add(parameters, update, batch_size=100)
    # Update s of t counts in proportion to (1 - weight)^(t - s), and all sum to one.
    weights = (1 - weight) ** np.arange(n)[::-1]
    assert_same(average.value(), weighted_mean(path(n), weights))


@pytest.mark.parametrize(
    ("batch_size", "every"), [(100, 1), (64, 1), (63, 2), (10, 7), (1, 64)]
)
def test_small_batches_are_looked_at_now_and_then(batch_size, every):
    weight, n = 0.1, 200
    average, parameters = Average(weight), path(n)
    for update, present in enumerate(parameters, start=1):
        average.add(present, update, batch_size)
    seen = np.arange(every, n + 1, every)
    weights = (1 - weight) ** (seen[-1] - seen)
    assert_same(
        average.value(), weighted_mean([parameters[s - 1] for s in seen], weights)
    )


@pytest.mark.parametrize("window", [1, 2, 3, 10])
def test_a_window_averages_all_updates_of_its_epochs_alike(window):
    average = Average(window)
    lengths = [3, 1, 5, 2]  # updates of each epoch
    update, epochs_seen = 0, []
    parameters = iter(path(sum(lengths)))
    for length in lengths:
        epochs_seen.append([])
        for _ in range(length):
            update += 1
            epochs_seen[-1].append(next(parameters))
            average.add(epochs_seen[-1][-1], update, batch_size=100)
        average.end_epoch()
        inside = [p for epoch in epochs_seen[-window:] for p in epoch]
        assert_same(average.value(), weighted_mean(inside, np.ones(len(inside))))


@pytest.mark.parametrize("weight", [0.3, 2])
def test_a_copy_goes_its_own_way(weight):
    average = Average(weight)
    first, second, third = path(3)
    for update, parameters in enumerate((first, second), start=1):
        average.add(parameters, update, batch_size=100)
        average.end_epoch()
    before = average.value().copy()
    other = average.copy()
    other.add(third, 3, batch_size=100)
    other.end_epoch()
    assert_same(average.value(), before, 0)
    assert np.abs(other.value().W - before.W).max() > 0


@pytest.mark.parametrize("weight", [0.05, 0.5, 1, 2])
@pytest.mark.parametrize("batch_size", [64, 100, 30])
def test_training_averages_its_updates(weight, batch_size):
    X = (np.random.default_rng(0).random((250, 6)) < 0.4).astype(np.float64)
    model = random_model(6, 4, scale=0.5)
    state = TrainingState(model, X.mean(axis=0), 250, sigmoid(model.c), root=3)
    how = Settings(learning_rate=0.2, batch_size=batch_size, average=weight)
    plain = dataclasses.replace(how, average=None)
    updates = list(plain_training(X, state, plain, 3))
    every = -(-64 // batch_size)
    for after in epochs(X, None, state, how, 3, Crew()):
        seen = [
            (epoch, parameters)
            for number, (epoch, parameters, _) in enumerate(updates, start=1)
            if epoch < after.epoch and number % every == 0
        ]
        if isinstance(weight, int):
            seen = [(epoch, p) for epoch, p in seen if epoch >= after.epoch - weight]
            weights = np.ones(len(seen))
        else:
            weights = (1 - weight) ** (every * np.arange(len(seen))[::-1])
        assert_same(after.model(), weighted_mean([p for _, p in seen], weights), 1e-10)
        assert np.abs(after.model().W - after.parameters.W).max() > 1e-6


def test_without_a_snapshot_the_parameters_stand_in():
    X = np.eye(6)
    model = random_model(6, 4, scale=0.5)
    state = TrainingState(model, X.mean(axis=0), 6, sigmoid(model.c), root=3)
    how = Settings(learning_rate=0.2, batch_size=1, average=0.1)
    (after,) = epochs(X, None, state, how, 1, Crew())  # six rows of the 64 it takes
    assert after.model() is after.parameters
