"""Every hyper-parameter: what is refused, how, and what is taken."""

import re
from fractions import Fraction

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from skrbm import BinaryCDRBM
from skrbm._core.rows import Moments
from skrbm._core.training import Settings
from skrbm._hyperparameters import RULES, auto, resolve

NUMBER = ["a", None, [0.1], 1j, True, np.array([0.1])]
WHOLE = [*NUMBER, 2.0, np.float64(2)]
FLAG = [0, 1, "True", None, 1.0]
NOT_FINITE = [np.nan, np.inf, -np.inf]

# name: values of a wrong type, wrong values, values that are right.
CASES = {
    "n_components": (WHOLE, [0, -1], [1, np.int64(5)]),
    "learning_rate": (
        [None, [0.1], 1j, True],
        [0, 0.0, -0.1, "a", 10**400, *NOT_FINITE],
        [1e-9, 1, np.float32(0.1)],
    ),
    "batch_size": ([None, 1.5, True], [0, -5, "a"], [1, np.int32(5), 10**9]),
    "n_iter": ([None, 1.5, True], [-1, "a"], [0, 1, np.uint8(2)]),
    "n_gibbs_steps": (WHOLE, [0], [1, np.int64(2)]),
    "persistent": (FLAG, [], [True, False, np.True_]),
    "n_chains": ([None, 1.5, True], [0, "a"], [1, np.int64(5)]),
    "n_temperatures": ([None, 1.5, True], [0, "a"], [1, 2, np.int64(5)]),
    "statistics": (
        [None, 1, True],
        ["mean", "", "Probabilities"],
        ["probabilities", "states"],
    ),
    "centered": (FLAG, [], [True, False, np.False_]),
    "momentum": (NUMBER, [-0.1, 1, 1.5, *NOT_FINITE], [0, 0.0, 0.99, np.float32(0.5)]),
    "weight_decay": (
        [None, [0], True],
        ["a", -1e-9, *NOT_FINITE],
        ["auto", 0, 0.1, np.float64(1)],
    ),
    "sparsity_target": (NUMBER, [0, 1, -0.1, *NOT_FINITE], [0.1, np.float32(0.5)]),
    "sparsity_cost": (
        [None, [1], True],
        [-0.1, "a", *NOT_FINITE],
        [0, 0.5, np.float32(1)],
    ),
    "learning_rate_schedule": (
        [None, 1],
        ["step", ""],
        ["constant", "linear", "cosine"],
    ),
    "average": (
        [True, [0.1]],
        [0, 0.0, 1.0, 1.5, -1, "a", *NOT_FINITE],
        [None, 1, 5, 0.5, np.int64(2), np.float32(0.1)],
    ),
    "weight_scale": (NUMBER, [-0.1, *NOT_FINITE], [0, 0.01, np.float32(0.1)]),
    "visible_intercept_init": (
        [None, [0], True],
        ["a", "Logit", *NOT_FINITE],
        ["logit", 0, -1.5, np.float32(2)],
    ),
    "hidden_intercept_init": (
        [None, [0], True],
        ["a", "logit", *NOT_FINITE],
        ["auto", 0, -4.0, np.float32(1)],
    ),
    "shuffle": (FLAG, [], [True, False]),
    "warm_start": (FLAG, [], [True, False]),
    "early_stopping": (FLAG, [], [True, False]),
    "validation_fraction": (
        NUMBER,
        [0, 1, -0.1, 2, *NOT_FINITE],
        [0.1, np.float32(0.5)],
    ),
    "n_iter_no_change": (WHOLE, [0], [1, np.int64(3)]),
    "tol": (NUMBER, [-1e-9, *NOT_FINITE], [0, 1e-4, np.float32(1)]),
    "binarize": (
        [True, 1j],
        ["a", 10**400, *NOT_FINITE, [[0.5] * 8], ["a"] * 8, [np.nan] * 8],
        [None, 0, 0.5, np.float32(0.5), "mean", [0.5] * 8, np.zeros(8)],
    ),
    "handle_missing": ([None, True, 1], ["drop"], ["error", "sample"]),
    "n_jobs": (["a", 1.5, [1]], [0], [None, 1, 2, -1, np.int64(1)]),
    "verbose": (["a", None, 1.5], [-1], [False, 0]),
    "random_state": (
        [],
        ["a", 1.5, -1, np.random.default_rng(0)],
        [None, 0, np.int64(1)],
    ),
}


def test_no_hyper_parameter_is_forgotten():
    assert set(CASES) == set(RULES) == set(BinaryCDRBM().get_params())


def make(**changes):
    return BinaryCDRBM(
        **({"n_components": 3, "n_iter": 1, "random_state": 0} | changes)
    )


def cases(place):
    return [
        pytest.param(name, value, id=f"{name}={value!r}")
        for name, lists in CASES.items()
        for value in lists[place]
    ]


def check(error, name, value, X):
    for method in ("fit", "partial_fit", "fit_transform"):
        with pytest.raises(error, match=rf"\b{name}\b") as caught:
            getattr(make(**{name: value}), method)(X)
        message = str(caught.value)
        assert repr(value) in message
        assert re.search(r"must be .+, got ", message)


@pytest.mark.parametrize(("name", "value"), cases(0))
def test_wrong_types(name, value, X):
    check(TypeError, name, value, X)


@pytest.mark.parametrize(("name", "value"), cases(1))
def test_wrong_values(name, value, X):
    check(ValueError, name, value, X)


@pytest.mark.filterwarnings(
    "ignore:.*still rising:sklearn.exceptions.ConvergenceWarning"
)
@pytest.mark.parametrize(("name", "value"), cases(2))
def test_right_values(name, value, X):
    make(**{name: value}).fit(X)


def test_what_is_allowed_is_named(X):
    with pytest.raises(
        ValueError, match=r"n_gibbs_steps must be an integer of at least 1, got 0"
    ):
        make(n_gibbs_steps=0).fit(X)
    with pytest.raises(
        ValueError, match=r"momentum must be a finite number in \[0, 1\), got 1"
    ):
        make(momentum=1).fit(X)
    with pytest.raises(ValueError, match=r"'probabilities' or 'states', got 'mean'"):
        make(statistics="mean").fit(X)
    with pytest.raises(TypeError, match=r"centered must be True or False, got 1"):
        make(centered=1).fit(X)


def test_construction_and_queries_do_not_check(X):
    rbm = make().fit(X).set_params(learning_rate=-1)
    rbm.transform(X)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [("n_jobs", 0, ValueError), ("binarize", "a", ValueError)],
)
def test_queries_check_what_they_use(name, value, error, X):
    rbm = make().fit(X).set_params(**{name: value})
    with pytest.raises(error, match=f"{name} must be .*, got {value!r}"):
        rbm.transform(X)
    with pytest.raises(error, match=f"{name} must be .*, got {value!r}"):
        rbm.sample()


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_weights_do_not_decay_past_0(method, X):
    def fitted(**changes):
        return getattr(make(**changes), method)(X)

    with pytest.raises(ValueError, match=r"weight_decay=4 .*=0\.5 is 2.* at most 2 or"):
        fitted(learning_rate=0.5, weight_decay=4)
    with pytest.raises(ValueError, match=r"weight_decay=4 times learning_rate=0\.28"):
        fitted(weight_decay=4)  # with the learning rate that "auto" stands for
    decayed = fitted(learning_rate=0.5, weight_decay=2)
    assert not decayed.components_.any()
    with pytest.warns(ConvergenceWarning, match="exploding"):
        fitted(learning_rate=1e10)  # where "auto" decays, that is not its fault


@pytest.mark.parametrize(
    "changes",
    [
        {"weight_scale": 1e300},
        {"hidden_intercept_init": -1e39},
        {"visible_intercept_init": 1e39},
    ],
)
def test_starts_beyond_single_precision(changes, X):
    (given,) = (f"{name}={value!r}" for name, value in changes.items())
    with pytest.raises(
        ValueError, match=f"{re.escape(given)}.*beyond single precision"
    ):
        make(**changes).fit(X)


@pytest.mark.parametrize(
    "changes",
    [
        {"learning_rate": Fraction(1, 10), "weight_decay": Fraction(0)},
        {"average": 10**30},
        {"batch_size": 10**30},
        {"n_jobs": 10**30},
        {"n_iter_no_change": 10**30, "early_stopping": True},
        {"verbose": np.uint8(0)},
        {"momentum": np.longdouble("0.5")},
    ],
)
@pytest.mark.filterwarnings(
    "ignore:.*still rising:sklearn.exceptions.ConvergenceWarning"
)
def test_numbers_of_any_type_and_size_are_taken(changes, X):
    make(**changes).fit(X)


@pytest.mark.parametrize(
    "changes",
    [
        {"n_components": 10**30},
        {"n_chains": 10**5000, "persistent": True},
        {"learning_rate": Fraction(10**400)},
        {"learning_rate": np.longdouble("1e-4000")},
        {"momentum": Fraction(10**30 - 1, 10**30)},  # 1 in floating point
        {"tol": 10**5000},
    ],
)
def test_numbers_that_cannot_be_used_are_refused_by_name(changes, X):
    with pytest.raises(ValueError, match=f"{next(iter(changes))} must be .*, got "):
        make(**changes).fit(X)


def test_decay_past_0_is_told_of_whatever_the_type(X):
    changes = dict(learning_rate=Fraction(1, 2), weight_decay=Fraction(5))
    with pytest.raises(ValueError, match=r"weight_decay=5 times learning_rate=0\.5"):
        make(**changes).fit(X)


AUTO = [name for name in RULES if "'auto'" in RULES[name].allowed]


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("name", AUTO)
def test_auto_stands_for_an_allowed_value(name, persistent, X):
    rbm = make(persistent=persistent, **{name: "auto"}).fit(X)
    value = getattr(resolve(rbm, seen(), len(X)), name)
    RULES[name](name, value)
    assert value != "auto"
    other = {
        "learning_rate_schedule": ("constant", "linear"),
        "hidden_intercept_init": (-2, -1),
    }
    if name in other:
        assert value == other[name][persistent]


def seen(variance=20.0, *, grey=False):
    """Return moments of rows with this variance in all, added up over columns."""
    mean = np.full(round(4 * variance), 0.5)
    square = float(mean @ mean) + variance * (0.9 if grey else 1)
    return Moments(mean, np.array([square]), 60, np.full_like(mean, 60))


@pytest.mark.parametrize("grey", [False, True])
def test_weak_signals_are_sampled(grey):
    strong = resolve(make(), seen(20.0, grey=grey), 60)
    assert (strong.statistics, strong.draw_rows) == ("probabilities", False)
    weak = resolve(make(), seen(5.0, grey=grey), 60)
    assert (weak.statistics, weak.draw_rows) == ("states", grey)


def resolved(**changes):
    """Return what "auto" stands for on 10,000 rows, or with these changes."""
    usual = {"persistent": False, "statistics": "auto", "signal": 20.0}
    usual["n_features"] = 50
    return auto(**(usual | {"n_rows": 10_000, "n_components": 10} | changes))


@pytest.mark.parametrize(
    ("n_rows", "n_components", "decay"),
    [
        (10, 16, 1e-3),
        (4000, 16, 1e-3),
        (8000, 16, 5e-4),
        (10**6, 1, 4e-6),
        (10**6, 16, 5e-4 / 16),
        (10**6, 128, 2.5e-4),
        (10**6, 256, 5e-4),
        (10**6, 1000, 5e-4),
        (10, 1000, 1e-3),
    ],
)
def test_auto_weight_decay(n_rows, n_components, decay):
    sizes = {"n_rows": n_rows, "n_components": n_components}
    assert resolved(**sizes)["weight_decay"] == pytest.approx(decay)
    assert resolved(**sizes, persistent=True)["weight_decay"] == 0


@pytest.mark.parametrize(
    ("statistics", "signal", "decays"),
    [
        ("auto", 20.0, True),
        ("auto", 5.0, False),
        ("probabilities", 5.0, True),
        ("states", 20.0, False),
    ],
)
def test_what_is_sampled_needs_no_weight_decay(statistics, signal, decays):
    p = resolved(statistics=statistics, signal=signal)
    assert p["statistics"] == ("probabilities" if decays else "states")
    assert (p["weight_decay"] > 0) is decays


@pytest.mark.parametrize(
    ("n_rows", "n_components", "rate", "persistent_rate"),
    [
        (4000, 1, 0.5, 0.25),
        (4000, 16, 0.5, 0.25),
        (4000, 64, 0.25, 0.25),
        (4000, 256, 0.125, 0.125),
        (4000, 500, 0.1, 0.2 / 5**0.5),
        (10**6, 64, 0.25, 0.125),
        (250, 16, 0.25, 0.25),
        (250, 64, 0.125, 0.25),
        (1, 16, 0.1, 0.25),
    ],
)
def test_auto_learning_rates(n_rows, n_components, rate, persistent_rate):
    for persistent, expected in ((False, rate), (True, persistent_rate)):
        p = resolved(persistent=persistent, n_rows=n_rows, n_components=n_components)
        assert p["learning_rate"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("n_rows", "n_iter"), [(1, 100), (40, 100), (250, 40), (1000, 20), (10**6, 20)]
)
def test_few_rows_are_passed_over_more_often(n_rows, n_iter):
    for persistent in (False, True):
        assert resolved(persistent=persistent, n_rows=n_rows)["n_iter"] == n_iter


@pytest.mark.parametrize(
    ("n_components", "n_chains", "cost"),
    [
        (1, 200, 0.3 / 500**2),
        (50, 200, 0.003),
        (64, 200, 0.3 * 0.128**2),
        (128, 100, 0.3 * 0.256**2),
        (250, 51, 0.075),
        (500, 50, 0.3),
        (5000, 50, 0.3),
    ],
)
def test_auto_follows_the_number_of_hidden_units(n_components, n_chains, cost):
    assert resolved(persistent=True, n_components=n_components)["n_chains"] == n_chains
    p = resolved(n_components=n_components)
    assert p["sparsity_cost"] == pytest.approx(cost)


def test_every_hyper_parameter_of_training_reaches_it():
    given = dict(
        n_components=5,
        learning_rate=0.3,
        batch_size=7,
        n_iter=13,
        n_gibbs_steps=3,
        persistent=True,
        n_chains=11,
        n_temperatures=3,
        statistics="states",
        centered=False,
        momentum=0.5,
        weight_decay=0.01,
        sparsity_target=0.2,
        sparsity_cost=0.4,
        learning_rate_schedule="cosine",
        average=0.03,
        weight_scale=0.02,
        visible_intercept_init=0.7,
        hidden_intercept_init=-0.8,
        shuffle=False,
        early_stopping=True,
        n_iter_no_change=6,
        tol=0.09,
    )
    assert resolve(BinaryCDRBM(**given), seen(), 60) == Settings(**given)
    # All of them but what is used before training, or beside it.
    beside = {"validation_fraction", "warm_start", "n_jobs", "random_state", "verbose"}
    of_rows = {"binarize", "handle_missing"}
    assert given.keys() == RULES.keys() - beside - of_rows


@pytest.mark.parametrize(
    ("value", "kind"), [(np.int64(1), int), (np.float16(0.5), float)]
)
def test_numbers_of_any_type_become_those_of_python(value, kind):
    settings = resolve(make(average=value, n_components=np.uint8(255)), seen(), 10**6)
    assert type(settings.average) is kind
    assert type(settings.n_components) is int
    assert settings.weight_decay == pytest.approx(5e-4 * 255 / 256)


@pytest.mark.parametrize(
    ("n_features", "n_components", "n_temperatures"),
    [
        (1, 1, 5),
        (500, 16, 5),
        (1556, 100, 1),
        (784, 500, 1),
        (501, 1, 1),
    ],
)
def test_auto_temperatures_follow_the_size(n_features, n_components, n_temperatures):
    p = resolved(persistent=True, n_features=n_features, n_components=n_components)
    assert p["n_temperatures"] == n_temperatures


def test_auto_batches_averages_and_schedules():
    def rule(n_rows, *, persistent=False):
        return auto(
            persistent=persistent,
            statistics="auto",
            n_rows=n_rows,
            signal=20.0,
            n_features=50,
            n_components=256,
        )

    assert [rule(n)["batch_size"] for n in (4999, 5000)] == [10, 20]
    for persistent, schedule in ((False, "constant"), (True, "linear")):
        rules = rule(5000, persistent=persistent)
        assert rules["learning_rate_schedule"] == schedule
        assert rules["average"] == 0.002
    assert rule(5000, persistent=True)["sparsity_cost"] == 0.01
