"""Epochs of training against a plain loop that trains the centred form literally."""

import dataclasses
from copy import deepcopy

import numpy as np
import pytest
from enumeration import plain_training, random_model, sigmoid
from scipy import sparse

from skrbm._core import averaging, contrastive_divergence, training
from skrbm._core.contrastive_divergence import Share
from skrbm._core.layers import Dense, Sparse
from skrbm._core.parameters import Parameters
from skrbm._core.rows import Moments, Selected, moments
from skrbm._core.sampling import SHUFFLE, Stream
from skrbm._core.threads import Workers
from skrbm._core.training import (
    SCHEDULES,
    Settings,
    TrainingState,
    epochs,
    prepare,
)

N_ROWS, N_FEATURES, N_COMPONENTS = 23, 6, 4


def rows(n=N_ROWS, dtype=np.float64):
    return (np.random.default_rng(0).random((n, N_FEATURES)) < 0.4).astype(dtype)


def start(X, dtype=np.float64, **changes):
    model = random_model(N_FEATURES, N_COMPONENTS, scale=0.5).astype(dtype)
    mean = np.asarray(X.mean(axis=0)).ravel()
    seen = Moments(
        mean, np.zeros_like(mean), X.shape[0], np.full_like(mean, X.shape[0])
    )
    state = TrainingState(model, seen, sigmoid(model.c), root=7)
    return dataclasses.replace(state, **changes)


def settings(**changes):
    return dataclasses.replace(
        Settings(learning_rate=0.2, batch_size=5, centered=False), **changes
    )


def train(X, state, how, n_epochs=3):
    how = dataclasses.replace(how, n_iter=n_epochs)
    return list(epochs(X, None, state, how, Workers()))


def assert_same(model, expected, atol=1e-10):
    for part, expected_part in zip(model, expected, strict=True):
        np.testing.assert_allclose(part, expected_part, atol=atol)


CONFIGURATIONS = {
    "plain": {},
    "centred": {"centered": True},
    "states": {"statistics": "states"},
    "cd-3": {"n_gibbs_steps": 3},
    "cd-2 on states": {"n_gibbs_steps": 2, "statistics": "states", "centered": True},
    "in order": {"shuffle": False},
    "momentum": {"momentum": 0.9},
    "centred momentum": {"momentum": 0.7, "centered": True},
    "weight decay": {"weight_decay": 0.3},
    "decay and momentum": {"weight_decay": 0.3, "momentum": 0.5, "centered": True},
    "sparsity": {"sparsity_target": 0.1, "sparsity_cost": 0.5},
    "centred sparsity": {
        "sparsity_target": 0.1,
        "sparsity_cost": 0.5,
        "centered": True,
    },
    "linear": {"learning_rate_schedule": "linear"},
    "cosine": {"learning_rate_schedule": "cosine", "momentum": 0.5},
    "one row at a time": {"batch_size": 1},
    "one batch": {"batch_size": 100, "centered": True},
    "batch of all rows": {"batch_size": N_ROWS},
    "everything": {
        "centered": True,
        "n_gibbs_steps": 2,
        "momentum": 0.5,
        "weight_decay": 0.1,
        "sparsity_target": 0.2,
        "sparsity_cost": 0.3,
        "learning_rate_schedule": "linear",
    },
}


def cut_in(monkeypatch, count):
    """Cut mini-batches of any shape in so many shares of the rows."""
    monkeypatch.setattr(
        contrastive_divergence, "count_shares", lambda n, m, *_: min(count, n, m)
    )


@pytest.mark.parametrize("changes", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
@pytest.mark.parametrize(("dtype", "atol"), [(np.float64, 1e-10), (np.float32, 1e-4)])
@pytest.mark.parametrize("n_shares", [1, 3])
def test_epochs_are_those_of_the_plain_loop(
    changes, dtype, atol, n_shares, monkeypatch
):
    cut_in(monkeypatch, n_shares)
    X, how = rows(dtype=dtype), settings(**changes)
    path = list(plain_training(X, start(X, dtype), how, 3, n_shares))
    n_updates = len(path) // 3
    assert n_updates == -(-N_ROWS // how.batch_size)
    for epoch, after in enumerate(train(X, start(X, dtype), how)):
        _, expected, rate = path[(epoch + 1) * n_updates - 1]
        assert after.parameters.W.dtype == dtype
        assert_same(after.parameters, expected, atol)
        assert after.learning_rate == pytest.approx(rate)
        assert after.epoch == epoch + 1


@pytest.mark.parametrize("n_rows", [1, 4, 5, 6, 11])
def test_a_short_batch_gets_the_right_gradient(n_rows):
    X, how = rows(n_rows), settings(centered=True)
    *_, (_, expected, _) = plain_training(X, start(X), how, 2)
    assert_same(train(X, start(X), how, 2)[-1].parameters, expected)


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("changes", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
@pytest.mark.parametrize("n_shares", [1, 3])
def test_sparse_rows_train_the_model_of_dense_ones(
    changes, persistent, n_shares, monkeypatch
):
    cut_in(monkeypatch, n_shares)
    X = rows()
    how = settings(**changes, persistent=persistent, n_chains=7)
    dense = train(X, start(X), how)[-1]
    from_sparse = train(sparse.csr_array(X), start(X), how)[-1]
    assert_same(from_sparse.parameters, dense.parameters)


@pytest.mark.parametrize("average", [0.1, 1, 2])
@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_sparse_rows_have_the_average_of_dense_ones(average, momentum, monkeypatch):
    monkeypatch.setattr(averaging, "ROWS_BETWEEN", 1)  # look at every update
    X, how = rows(), settings(average=average, momentum=momentum, centered=True)
    dense = train(X, start(X), how)
    from_sparse = train(sparse.csr_array(X), start(X), how)
    for one, other in zip(from_sparse, dense, strict=True):
        assert_same(one.model(), other.model())
    # Negative control: it is not the last value.
    last = dense[-1]
    assert np.abs(last.model().W - last.parameters.W).max() > 1e-3


def test_only_the_rows_named_are_trained_on():
    X = rows()
    chosen = np.array([3, 4, 8, 20])
    how = settings(centered=True)
    how = dataclasses.replace(how, n_iter=1)
    (after,) = epochs(X, chosen, start(X), how, Workers())
    order = Stream(7, SHUFFLE, 0).permutation(chosen)
    state = start(X)
    *_, (_, expected, _) = plain_training(
        X[order], state, dataclasses.replace(how, shuffle=False), 1
    )
    assert_same(after.parameters, expected)


def test_shuffling_changes_the_result():
    X = rows()
    shuffled = train(X, start(X), settings())[-1]
    in_order = train(X, start(X), settings(shuffle=False))[-1]
    assert np.abs(shuffled.parameters.W - in_order.parameters.W).max() > 1e-3


# -- persistent chains -----------------------------------------------------------


@pytest.mark.parametrize("n_chains", [1, 3, 50])
def test_persistent_chains_move_on_from_batch_to_batch(n_chains):
    X, how = rows(), settings(persistent=True, n_chains=n_chains, centered=True)
    before = prepare(start(X), how)
    assert before.chains.shape == (n_chains, N_COMPONENTS)
    states = train(X, start(X), how)
    for state in states:
        assert state.chains.shape == (n_chains, N_COMPONENTS)
        assert set(np.unique(state.chains)) <= {0, 1}
    if n_chains > 1:
        assert (states[0].chains != before.chains).any()
        assert (states[1].chains != states[0].chains).any()


def test_persistent_chains_are_renewed_when_their_number_changes():
    X = rows()
    (state,) = train(X, start(X), settings(persistent=True, n_chains=5), 1)
    assert prepare(state, settings(persistent=True, n_chains=5)).chains is state.chains
    assert prepare(state, settings(persistent=True, n_chains=6)).chains.shape == (
        6,
        N_COMPONENTS,
    )
    assert prepare(state, settings()).chains is None


def test_chains_start_as_often_on_as_the_hidden_units():
    X = rows()
    state = start(X, hidden_mean=np.array([0.0, 0.2, 0.7, 1.0]))
    chains = prepare(state, settings(persistent=True, n_chains=20_000)).chains
    # Six standard errors: a false-alarm rate of 2e-9.
    np.testing.assert_allclose(
        chains.mean(axis=0), state.hidden_mean, atol=6 * 0.5 / np.sqrt(20_000)
    )


# -- states ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {
            "momentum": 0.5,
            "persistent": True,
            "n_chains": 5,
            "centered": True,
            "average": 0.1,
        },
        {"average": 2, "batch_size": 300},
    ],
)
def test_past_states_are_not_written_to(changes):
    X = rows()
    state = start(X)
    before = deepcopy(state)
    kept = [
        (after, deepcopy(after), after.model().copy())
        for after in epochs(X, None, state, settings(n_iter=3, **changes), Workers())
    ]
    for past, copy, model in kept:
        assert_same(past.parameters, copy.parameters, 0)
        assert_same(past.model(), model, 0)
        np.testing.assert_array_equal(past.hidden_mean, copy.hidden_mean)
    assert_same(state.parameters, before.parameters, 0)
    np.testing.assert_array_equal(state.hidden_mean, before.hidden_mean)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"momentum": 0.5},
        {"persistent": True, "n_chains": 5},
        {"average": 0.1},
        {"average": 2},
        {"centered": True},
    ],
)
def test_an_epoch_can_be_repeated_from_the_state_before_it(changes):
    X, how = rows(70), settings(**changes)
    first, second, third = train(X, start(X), how)
    again = train(X, first, how, 2)
    for state, repeated in zip((second, third), again, strict=True):
        assert_same(repeated.parameters, state.parameters, 0)
        assert_same(repeated.model(), state.model(), 0)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
def test_parameters_beyond_any_float_are_left_to_the_consumer(make):
    X = np.ones((5, 6), np.float32)
    state = start(X, np.float32)
    huge = Parameters(*(np.full_like(part, 3e38) for part in state.parameters))
    state = dataclasses.replace(state, parameters=huge)
    (after,) = train(make(X), state, settings(centered=True), 1)  # without a warning
    assert not after.parameters.is_finite()


# Of 1,000 rows or, if that is more, 100 mini-batches.
@pytest.mark.parametrize(("n_rows", "rate"), [(1, 0.001), (5, 0.005), (30, 0.01)])
def test_the_hidden_mean_follows_the_data(n_rows, rate):
    X, how = rows(n_rows), settings(batch_size=n_rows)
    state = start(X)
    h0 = sigmoid(X @ state.parameters.W + state.parameters.c).mean(axis=0)
    (after,) = train(X, state, how, 1)
    expected = state.hidden_mean + rate * (h0 - state.hidden_mean)
    np.testing.assert_allclose(after.hidden_mean, expected, atol=1e-12)


def train_on_zeros(X, n_components, n_chains):
    """Return the state after one mini-batch of all rows, under a model of zeros."""
    n, f, c = *X.shape, n_components
    model = Parameters(np.zeros((f, c)), np.zeros(f), np.zeros(c))
    seen = moments(Selected(X), None)
    state = TrainingState(
        model.astype(np.float32), seen, np.full(c, 0.5, np.float32), 7
    )
    how = settings(
        batch_size=n,
        persistent=n_chains is not None,
        n_chains=n_chains or 1,
        learning_rate=1.0,
        shuffle=False,
    )
    return train(X, state, how, 1)[-1]


def half_of_the_rows():
    return (np.random.default_rng(0).random((96, 512)) < 0.5).astype(np.float32)


@pytest.mark.parametrize("n_chains", [None, 192])
def test_shares_draw_from_streams_of_their_own(n_chains):
    # Two shares of the same rows, under the same model: only their draws differ.
    X = np.vstack([half_of_the_rows()] * 2)
    assert contrastive_divergence.count_shares(192, 192, 192, 512 * 180, 32) == 2
    after = train_on_zeros(X, 180, n_chains)
    # Twice the same tosses would make the number of those that are on even.
    on = 192 * (X.mean(axis=0) - after.parameters.b)
    np.testing.assert_allclose(on, np.round(on), atol=1e-3)
    # Six standard errors of a share of 512: a false-alarm rate of 2e-9.
    assert abs(np.mean(np.round(on) % 2) - 0.5) < 6 * 0.5 / np.sqrt(512)
    if n_chains is not None:
        same = np.mean(after.chains[:96] == after.chains[96:])
        assert abs(same - 0.5) < 6 * 0.5 / np.sqrt(96 * 180)


# -- schedules and penalties -----------------------------------------------------


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("constant", [1, 1, 1, 1, 1]),
        ("linear", [1, 0.75, 0.5, 0.25, 0]),
        ("cosine", [1, (1 + np.sqrt(0.5)) / 2, 0.5, (1 - np.sqrt(0.5)) / 2, 0]),
    ],
)
def test_schedules_have_their_values(name, values):
    actual = [SCHEDULES[name](progress) for progress in (0, 0.25, 0.5, 0.75, 1)]
    np.testing.assert_allclose(actual, values, atol=1e-12)


def test_the_schedule_runs_over_all_epochs():
    X = rows(20)
    states = train(X, start(X), settings(learning_rate_schedule="linear"), 4)
    # The last of four updates of each of four epochs: 3, 7, 11 and 15 of 16 are done.
    np.testing.assert_allclose(
        [state.learning_rate for state in states],
        0.2 * (1 - np.array([3, 7, 11, 15]) / 16),
    )


def cross_entropy(target, q):
    return -(target * np.log(q) + (1 - target) * np.log1p(-q))


@pytest.mark.parametrize("centered", [False, True])
def test_the_sparsity_pull_descends_the_cross_entropy(centered):
    """Hinton (2010), section 11, by finite differences at the input of each unit."""
    target, cost, rate = 0.1, 0.7, 0.2
    X = rows(5)
    state = start(X)
    how = settings(centered=centered, sparsity_target=target, learning_rate=rate)
    (without,) = train(X, state, how, 1)
    (with_pull,) = train(X, state, dataclasses.replace(how, sparsity_cost=cost), 1)
    q = without.hidden_mean
    a = np.log(q / (1 - q))
    eps = 1e-6
    slope = (
        cross_entropy(target, sigmoid(a + eps))
        - cross_entropy(target, sigmoid(a - eps))
    ) / (2 * eps)
    mu = state.seen.mean * centered
    lam = q * centered
    W = -rate * cost * np.outer((X - mu).mean(axis=0), slope)
    difference = [
        x - y for x, y in zip(with_pull.parameters, without.parameters, strict=True)
    ]
    np.testing.assert_allclose(difference[0], W, atol=1e-8)
    np.testing.assert_allclose(difference[1], -W @ lam, atol=1e-8)
    np.testing.assert_allclose(
        difference[2], -rate * cost * slope - W.T @ mu, atol=1e-8
    )


@pytest.mark.parametrize("n_rows", [1, 10, 256])
@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_weights_decay_every_few_rows(n_rows, momentum, monkeypatch):
    monkeypatch.setattr(training, "ROWS_BETWEEN", n_rows)
    X, how = rows(), settings(weight_decay=0.3, momentum=momentum, centered=True)
    *_, (_, expected, _) = plain_training(X, start(X), how, 3)
    assert_same(train(X, start(X), how)[-1].parameters, expected)


def test_weight_decay_leaves_the_intercepts_alone():
    X = rows(5)
    (without,) = train(X, start(X), settings(), 1)
    (decayed,) = train(X, start(X), settings(weight_decay=0.5), 1)
    np.testing.assert_allclose(
        decayed.parameters.W, (1 - 0.2 * 0.5) * without.parameters.W
    )
    np.testing.assert_array_equal(decayed.parameters.b, without.parameters.b)
    np.testing.assert_array_equal(decayed.parameters.c, without.parameters.c)


def test_what_the_settings_no_longer_ask_for_is_dropped():
    state = start(rows())
    state = prepare(
        state, settings(momentum=0.5, average=0.1, persistent=True, n_chains=3)
    )
    after = prepare(state, settings(average=0.2))
    assert after.velocity is after.chains is None
    assert after.average.weight == 0.2
    kept = prepare(
        state, settings(momentum=0.5, average=0.1, persistent=True, n_chains=3)
    )
    assert kept.velocity is state.velocity
    assert kept.chains is state.chains
    assert kept.average is state.average


def test_chains_that_begin_in_another_epoch_are_others():
    first, later = (
        prepare(
            start(rows(), epoch=epoch), settings(persistent=True, n_chains=50)
        ).chains
        for epoch in (0, 1)
    )
    assert (first != later).any()


def test_weights_decay_before_they_are_averaged():
    # One update an epoch, so that the average is the parameters after it.
    how = settings(batch_size=600, weight_decay=1.0, average=0.5)
    (after,) = train(rows(600), start(rows(600)), how, 1)
    assert_same(after.average.value(), after.parameters)


def test_binary_rows_are_not_grey_for_rounding():
    mean = rows().mean(axis=0)
    for square, grey in ((mean.sum() * (1 - 1e-9), False), (mean.sum() * 0.9, True)):
        assert (
            Moments(mean, np.array([square]), N_ROWS, np.ones(N_FEATURES)).signal()[1]
            == grey
        )


@pytest.mark.parametrize("form", [Dense, Sparse])
def test_restored_parameters_are_arrays_of_their_own(form):
    mu = np.full(N_FEATURES, 0.3)
    model = random_model(N_FEATURES, N_COMPONENTS)
    taken = form.take(model, mu)
    restored = taken.restore()
    for part in taken.arrays:
        part[...] = 0
    assert_same(restored, model)
    assert all(part.flags.c_contiguous for part in restored)


# -- the rows as they enter the positive phase -----------------------------------

GREY = np.array(
    [[1, 0.2, 0.9, 0, 0.5, 0], [0, 0.7, 0.7, 1, 0, 0.3], [0.1, 0.1, 0, 0, 1, 0.6]]
)
containers = pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])


def loaded(X, index, how, shares=((0, 3),)):
    """Return the rows that each share is given, one below the other."""
    epoch = training._Epoch(X, start(X), how, Workers())
    parts = []
    for i, (first, end) in enumerate(shares):
        share = Share(slice(first, end), *[None] * 5, Stream(0, i), None)
        part = epoch.load(np.asarray(index), share)
        parts.append(part.toarray() if sparse.issparse(part) else part)
    return np.vstack(parts)


@containers
def test_the_rows_are_those_named_in_their_order(make):
    X = rows()
    index = [4, 0, 17]
    np.testing.assert_array_equal(loaded(make(X), index, settings()), X[index])


@containers
def test_grey_rows_are_drawn_with_their_values_as_probabilities(make):
    X = np.tile(GREY, (40_000, 1))
    how, index = settings(statistics="states", draw_rows=True), np.arange(len(X))
    drawn = loaded(make(X), index, how, [(0, 60_000), (60_000, 120_000)])
    assert set(np.unique(drawn)) == {0, 1}
    means = drawn.reshape(-1, *GREY.shape).mean(axis=0)
    # Six standard errors: a false-alarm rate of 2e-9 each.
    np.testing.assert_allclose(means, GREY, atol=6 * 0.5 / np.sqrt(40_000))
    # Shares draw from streams of their own, and leave X alone.
    assert (drawn[:60_000] != drawn[60_000:]).any()
    np.testing.assert_array_equal(X[:3], GREY)
    # Negative control: the rows as they are.
    assert set(np.unique(loaded(make(X), index[:3], settings()))) > {0, 1}


@containers
def test_binarize_thresholds_the_rows(make):
    how = settings(threshold=0.3)
    np.testing.assert_array_equal(loaded(make(GREY), range(3), how), GREY > 0.3)
