"""Averaged parameters against a recomputation from every update."""

import dataclasses

import numpy as np
import pytest
from enumeration import plain_training, random_model, sigmoid

from skrbm._core.averaging import Average
from skrbm._core.parameters import Parameters
from skrbm._core.rows import Selected, moments
from skrbm._core.threads import Workers
from skrbm._core.training import Settings, TrainingState, epochs, prepare


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


@pytest.mark.parametrize("weight", [1e-17, 1e-9, 0.3])
def test_an_exponential_average_of_any_weight(weight):
    models, average = path(3), Average(weight)
    for model in models:
        average.add(model, 512)
    shares = (1 - weight) ** np.array([2, 1, 0])
    assert_same(average.value(), weighted_mean(models, shares))


def assert_same(model, expected, atol=1e-12):
    for part, expected_part in zip(model, expected, strict=True):
        np.testing.assert_allclose(part, expected_part, atol=atol)


def looks(lengths, batch_size):
    """Return the updates of each epoch that are looked at; updates count from 1.

    That is every 512 rows, or at the end of an epoch that would go by unseen.
    """
    rows, update, seen = 0, 0, []
    for length in lengths:
        seen.append([])
        for _ in range(length):
            update += 1
            rows += batch_size
            if rows >= 512:
                seen[-1].append(update)
                rows = 0
        if not seen[-1]:
            seen[-1].append(update)
            rows = 0
    return seen


def expected_average(parameters, seen, weight):
    """Return the average of parameters, one for each update, where they were seen."""
    if isinstance(weight, int):
        inside = [update for epoch in seen[-weight:] for update in epoch]
        return weighted_mean([parameters[s - 1] for s in inside], np.ones(len(inside)))
    # An update counts as the next one that was seen.
    seen = np.concatenate(seen)
    updates = np.arange(1, seen[-1] + 1)
    stand_in = seen[np.searchsorted(seen, updates)]
    weights = (1 - weight) ** (seen[-1] - updates).astype(float)
    return weighted_mean([parameters[s - 1] for s in stand_in], weights)


def test_looks_by_hand():
    assert looks([3, 1, 5, 2], 600) == [[1, 2, 3], [4], [5, 6, 7, 8, 9], [10, 11]]
    # Updates 8 and 9 are still open when the last epoch begins.
    assert looks([3, 1, 5, 2], 200) == [[3], [4], [7], [10]]
    assert looks([1, 2, 2, 2], 200) == [[1], [3], [5], [7]]
    assert looks([1, 4, 1, 2], 128) == [[1], [5], [6], [8]]
    assert looks([1, 2, 2, 2], 1) == [[1], [3], [5], [7]]


@pytest.mark.parametrize("weight", [0.002, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("n", [1, 2, 3, 30])
def test_an_exponential_average_is_corrected_for_its_start(weight, n):
    average = Average(weight)
    assert average.value() is None
    for parameters in path(n):
        average.add(parameters, batch_size=600)
    # Update s of t counts in proportion to (1 - weight)^(t - s), and all sum to one.
    weights = (1 - weight) ** np.arange(n)[::-1]
    assert_same(average.value(), weighted_mean(path(n), weights))


@pytest.mark.parametrize(
    ("batch_size", "every"),
    [(600, 1), (512, 1), (511, 2), (200, 3), (10, 52), (1, 512)],
)
def test_small_batches_are_looked_at_now_and_then(batch_size, every):
    weight, n = 0.1, 600
    average, parameters = Average(weight), path(n)
    for present in parameters:
        average.add(present, batch_size)
    seen = np.arange(every, n + 1, every)
    weights = (1 - weight) ** (seen[-1] - seen)
    assert_same(
        average.value(), weighted_mean([parameters[s - 1] for s in seen], weights)
    )


@pytest.mark.parametrize("weight", [0.002, 0.3, 1, 2, 3, 10])
@pytest.mark.parametrize("batch_size", [1, 128, 200, 511, 512, 600])
@pytest.mark.parametrize("lengths", [[3, 1, 5, 2], [1, 2, 2, 9], [7, 7, 7, 1]])
def test_an_average_stands_for_all_updates_epoch_by_epoch(lengths, batch_size, weight):
    average, parameters = Average(weight), path(sum(lengths))
    seen = looks(lengths, batch_size)
    update = 0
    for epoch, length in enumerate(lengths, start=1):
        for _ in range(length):
            average.add(parameters[update], batch_size)
            update += 1
        average.end_epoch(parameters[update - 1])
        expected = expected_average(parameters, seen[:epoch], weight)
        assert_same(average.value(), expected)


@pytest.mark.parametrize("window", [1, 2, 3, 10])
def test_a_window_averages_all_updates_of_its_epochs_alike(window):
    average = Average(window)
    assert average.value() is None
    lengths = [3, 1, 5, 2]  # updates of each epoch
    epochs_seen = []
    parameters = iter(path(sum(lengths)))
    for length in lengths:
        epochs_seen.append([])
        for _ in range(length):
            epochs_seen[-1].append(next(parameters))
            average.add(epochs_seen[-1][-1], batch_size=600)
        average.end_epoch(epochs_seen[-1][-1])
        inside = [p for epoch in epochs_seen[-window:] for p in epoch]
        assert_same(average.value(), weighted_mean(inside, np.ones(len(inside))))


@pytest.mark.parametrize("weight", [0.3, 2])
@pytest.mark.parametrize("batch_size", [200, 600])
def test_a_copy_goes_its_own_way(weight, batch_size):
    average = Average(weight)
    first, second, third, fourth = path(4)
    for parameters in (first, second):
        average.add(parameters, batch_size)
        average.end_epoch(parameters)
    before = average.value().copy()
    other = average.converted(Parameters.copy)
    other.add(third, batch_size)
    other.end_epoch(third)
    assert_same(average.value(), before, 0)
    changed = other.value().copy()
    assert np.abs(changed.W - before.W).max() > 0
    # And goes on from where the other was, in the midst of an epoch too.
    for one in (average, other):
        one.add(third, batch_size)
    halfway = average.converted(Parameters.copy)
    for one in (average, halfway):
        one.add(fourth, batch_size)
        one.end_epoch(fourth)
    assert_same(halfway.value(), average.value(), 0)
    expected = expected_average(
        [first, second, third, fourth], looks([1, 1, 2], batch_size), weight
    )
    assert_same(average.value(), expected)


@pytest.mark.parametrize("weight", [0.05, 0.5, 1, 2])
@pytest.mark.parametrize(
    ("n_rows", "batch_size"),
    [
        (1400, 512),
        (1400, 600),
        (1400, 200),
        (500, 128),
        (500, 126),
        (500, 60),
        (120, 40),
    ],
)
def test_training_averages_its_updates(weight, n_rows, batch_size):
    X = (np.random.default_rng(0).random((n_rows, 6)) < 0.4).astype(np.float64)
    model = random_model(6, 4, scale=0.5)
    state = TrainingState(model, moments(Selected(X), None), sigmoid(model.c), root=3)
    how = Settings(learning_rate=0.2, batch_size=batch_size, average=weight, n_iter=4)
    plain = dataclasses.replace(how, average=None)
    updates = [parameters for _, parameters, _ in plain_training(X, state, plain, 4)]
    seen = looks([-(-n_rows // batch_size)] * 4, batch_size)
    for after in epochs(X, None, state, how, Workers()):
        expected = expected_average(updates, seen[: after.epoch], weight)
        assert_same(after.model(), expected, 1e-10)
        if len(seen[after.epoch - 1]) > 1 or (after.epoch > 1 and weight != 1):
            assert np.abs(after.model().W - after.parameters.W).max() > 1e-6


@pytest.mark.parametrize("weight", [0.1, 1, 2])
def test_an_epoch_that_would_go_by_unseen_is_looked_at_when_it_ends(weight):
    X = np.eye(6)
    model = random_model(6, 4, scale=0.5)
    state = TrainingState(model, moments(Selected(X), None), sigmoid(model.c), root=3)
    how = Settings(learning_rate=0.2, batch_size=1, average=weight, n_iter=2)
    first, second = epochs(X, None, state, how, Workers())  # six rows each
    assert_same(first.model(), first.parameters)
    assert np.abs(first.model().W - model.W).max() > 1e-3
    # The second counts for all its six updates.
    keep = {0.1: 0.9**6 / (1 + 0.9**6), 1: 0, 2: 0.5}[weight]
    expected = weighted_mean([first.parameters, second.parameters], [keep, 1 - keep])
    assert_same(second.model(), expected)


@pytest.mark.parametrize("weight", [0.1, 2])
def test_before_the_first_epoch_the_parameters_stand_in(weight):
    model = random_model(6, 4, scale=0.5)
    state = TrainingState(
        model, moments(Selected(np.full((6, 6), 0.5)), None), sigmoid(model.c), root=3
    )
    how = Settings(learning_rate=0.2, batch_size=1, average=weight)
    assert prepare(state, how).model() is model
