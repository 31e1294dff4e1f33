"""log Z, log-likelihoods and scorers, against enumeration."""

import pickle
import tracemalloc
import warnings

import numpy as np
import pytest
from enumeration import FALSE_ALARM, chi_square
from scipy import sparse
from scipy.special import logsumexp
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neural_network import BernoulliRBM
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Binarizer, FunctionTransformer

from skrbm import BinaryCDRBM, DataRangeWarning
from skrbm._core import partition, rows
from skrbm._core.parameters import Parameters
from skrbm._core.sampling import Stream
from skrbm._core.threads import Workers
from skrbm.metrics import (
    LogPartition,
    _starting_rows,
    free_energy_gap_scorer,
    log_likelihood,
    log_likelihood_scorer,
    log_partition,
    sampling_diagnostics,
)


def all_rows(n):
    return np.arange(1 << n)[:, None] >> np.arange(n) & 1


def random_model(seed, n_features=9, n_components=6, largest=3.0):
    """A model with weights up to `largest`, and intercepts that balance them."""
    rng = np.random.default_rng(seed)
    rbm = BinaryCDRBM(n_components, n_iter=0, random_state=0)
    rbm.fit(rng.random((50, n_features)) < 0.5)
    W = rng.uniform(-largest, largest, (n_components, n_features))
    rbm.components_ = W.astype(np.float32)
    rbm.intercept_visible_ = (rng.normal(size=n_features) - W.sum(axis=0) / 2).astype(
        "f"
    )
    rbm.intercept_hidden_ = (rng.normal(size=n_components) - W.sum(axis=1) / 2).astype(
        "f"
    )
    return rbm


def enumerated(rbm):
    """log Z as a sum over visible states, each by its free energy in full."""
    V = all_rows(rbm.n_features_in_)
    W, b, c = (
        np.asarray(part, np.float64)
        for part in (rbm.components_.T, rbm.intercept_visible_, rbm.intercept_hidden_)
    )
    return logsumexp(V @ b + np.logaddexp(0, V @ W + c).sum(axis=1))


@pytest.mark.parametrize("shape", [(9, 6), (6, 9), (7, 1), (1, 3)])
@pytest.mark.parametrize("block", [1, 64, 1 << 20])
def test_exact_log_partition_is_the_sum_over_all_states(monkeypatch, shape, block):
    monkeypatch.setattr(partition, "_BLOCK", block)
    rbm = random_model(1, *shape)
    result = log_partition(rbm)
    assert result.method == "exact"
    assert result.value == pytest.approx(enumerated(rbm), abs=1e-10)
    assert (result.standard_error, result.reverse) == (0.0, result.value)


def test_exact_log_partition_is_the_same_on_any_number_of_threads(monkeypatch):
    monkeypatch.setattr(partition, "_BLOCK", 64)
    rbm = random_model(2)
    assert log_partition(rbm, n_jobs=1) == log_partition(rbm, n_jobs=3)


def failures(seeds, bias=0.0):
    """In how many models does a direction of AIS miss log Z by five standard errors?

    For normal errors of known scale that is a chance of 6e-7 for each estimate.  The
    scale is estimated from 100 chains and weights have a longer tail, hence the floor
    under it of a hundredth of a nat: with these seeds the largest error was below 3.
    """
    count = 0
    for seed in seeds:
        rbm = random_model(seed)
        exact = enumerated(rbm) + bias
        result = log_partition(
            rbm, method="ais", betas=300, n_gibbs_steps=100, random_state=seed, n_jobs=1
        )
        scale = max(result.standard_error, 0.01)
        count += abs(result.value - exact) > 5 * scale
        count += abs(result.reverse - exact) > 5 * scale
    return count


def test_annealed_importance_sampling_is_within_its_error():
    assert failures(range(12)) == 0


def test_a_model_in_single_precision_is_annealed_as_well():
    # Pairs of units that know of no other: log Z is a sum over them.
    n_features, n_pairs = 2100, 8
    rbm = BinaryCDRBM(n_pairs, n_iter=0, random_state=0).fit(np.eye(n_features))
    rng = np.random.default_rng(0)
    w, b = rng.uniform(-3, 3, n_pairs), rng.normal(-2, 1, n_features)
    rbm.components_ = np.eye(n_pairs, n_features, dtype="f") * w[:, None]
    rbm.intercept_visible_, rbm.visible_mean_ = b, 1 / (1 + np.exp(-b - 0.2))
    c, paired, alone = rbm.intercept_hidden_, b[:n_pairs], b[n_pairs:]
    exact = np.log(1 + np.exp(paired) + np.exp(c) + np.exp(paired + c + w)).sum()
    exact += np.logaddexp(0, alone).sum()
    assert rbm._model().W.dtype == np.float32
    result = log_partition(
        rbm, method="ais", betas=500, n_gibbs_steps=50, random_state=0
    )
    for value in (result.value, result.reverse):
        assert abs(value - exact) < 5 * max(result.standard_error, 0.01)


def test_weights_are_summed_in_double_precision():
    # Each step adds and subtracts hundreds of nats; without W their sum telescopes.
    c, betas = np.linspace(0.7, 1.7, 500, dtype="f"), np.linspace(0, 1, 3000)
    model = Parameters(np.zeros((1, 500), "f"), np.zeros(1, "f"), c)
    log_weight, _ = partition.anneal(
        model, model.b, betas, np.zeros((2, 1), "f"), Stream(0), Workers()
    )
    expected = np.logaddexp(0, np.float64(c)).sum() - 500 * np.log(2)
    np.testing.assert_allclose(log_weight, expected, atol=1e-5)


def annealed_p_value(beta):
    """Return the p-value of rows after a step at 0.6, drawn from the law at ``beta``.

    The law is that of the path between base and model, enumerated.
    """
    W, b, c, base = (
        np.random.default_rng(3).normal(size=shape) for shape in ((4, 3), 4, 3, 4)
    )
    V = all_rows(4).astype(float)

    def law(beta):
        log_p = V @ ((1 - beta) * base + beta * b)
        log_p += np.logaddexp(0, beta * (V @ W + c)).sum(axis=1)
        return np.exp(log_p - logsumexp(log_p))

    start = V[np.random.default_rng(0).choice(16, 60_000, p=law(beta))]
    model = Parameters(W, b, c)
    _, v = partition.anneal(
        model, base, np.array([0.0, 0.6]), start, Stream(0), Workers()
    )
    counts = np.bincount(v.astype(int) @ (1 << np.arange(4)), minlength=16)
    return chi_square(counts, law(0.6))


def test_a_step_of_annealing_leaves_its_temperature_invariant():
    # False-alarm rate 1e-6.
    assert annealed_p_value(0.6) > FALSE_ALARM
    # Negative control: rows from another temperature are on their way only.
    assert annealed_p_value(0.0) < FALSE_ALARM


def test_a_wrong_log_partition_is_noticed():
    assert failures(range(5), bias=0.5) == 10


def test_reverse_chains_start_from_the_rows_given():
    rbm = random_model(3)
    rows = all_rows(9)[:40]
    options = dict(
        method="ais", betas=50, n_gibbs_steps=1, tolerance=50, random_state=0
    )
    given, own = log_partition(rbm, rows, **options), log_partition(rbm, **options)
    assert given.value == own.value
    assert given.reverse != own.reverse


@pytest.fixture
def few_chains_together(monkeypatch):
    """Have chains go in groups, as those of large models do."""
    monkeypatch.setattr(rows, "_LONG_CALL", 0)


@pytest.mark.usefixtures("few_chains_together")
def test_ais_is_the_same_on_any_number_of_threads():
    rbm = random_model(4)
    options = dict(
        method="ais", betas=50, n_gibbs_steps=5, tolerance=50, random_state=0
    )
    assert log_partition(rbm, n_jobs=1, **options) == log_partition(
        rbm, n_jobs=2, **options
    )


def test_estimates_that_disagree_are_warned_of():
    # Ten units that are all on or all off, half the mass each: two temperatures
    # cannot get from independent units to that.
    rbm = random_model(0, 10, 1)
    rbm.components_ = np.full((1, 10), 12, np.float32)
    rbm.intercept_visible_ = np.full(10, -6, np.float32)
    rbm.intercept_hidden_ = np.full(1, -60, np.float32)
    options = dict(method="ais", betas=2, n_chains=10, random_state=0)
    for ask in (log_partition, log_likelihood):
        with pytest.warns(UserWarning, match="nats forward and .* in reverse") as told:
            ask(rbm, np.eye(10), **options)
        assert told[0].filename == __file__


@pytest.mark.parametrize("shape", [(30, 22), (400, 18)])
def test_enumeration_takes_bounded_memory(shape):
    rbm = random_model(0, *shape)
    tracemalloc.start()
    log_partition(rbm, method="exact", n_jobs=1)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 50_000_000  # as its documentation says; all at once take 840


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.int64])
def test_numbers_may_be_of_any_integer_type(kind):
    rbm = random_model(0)
    results = [
        log_partition(
            rbm,
            method="ais",
            betas=type_(9),
            n_chains=type_(100),
            n_gibbs_steps=type_(5),
            tolerance=99,
            random_state=0,
        )
        for type_ in (int, kind)
    ]
    assert results[0] == results[1]


def test_auto_is_exact_up_to_twenty_units():
    rbm = BinaryCDRBM(21, n_iter=0, random_state=0).fit(np.eye(30))
    assert log_partition(rbm, betas=10, n_gibbs_steps=1, tolerance=99).method == "ais"
    rbm = BinaryCDRBM(20, n_iter=0, random_state=0).fit(np.eye(30))
    assert log_partition(rbm).method == "exact"
    rbm = BinaryCDRBM(40, n_iter=0, random_state=0).fit(np.eye(8))
    assert log_partition(rbm).method == "exact"


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"method": "guess"}, ValueError, "method must be 'auto' or 'exact' or 'ais'"),
        ({"method": "exact"}, ValueError, r"2\^26 states.*at most 25"),
        ({"betas": 1}, ValueError, "betas must be an integer of at least 2"),
        ({"betas": [0, 0.5]}, ValueError, "betas must be .* from 0 to 1"),
        ({"betas": [0.5, 1]}, ValueError, "betas must be .* from 0 to 1"),
        ({"betas": [0, 0.5, 0.5, 1]}, ValueError, r"without repeats, got \[0, 0.5, 0."),
        ({"betas": [0, np.nan, 1]}, ValueError, "betas must be .* got .*nan"),
        ({"betas": "a"}, ValueError, "betas must be .* got 'a'"),
        ({"n_chains": 1}, ValueError, "n_chains"),
        ({"n_gibbs_steps": 0}, ValueError, "n_gibbs_steps"),
        ({"tolerance": -1}, ValueError, "tolerance"),
        ({"n_jobs": 0}, ValueError, "n_jobs"),
        ({"random_state": "x"}, ValueError, "random_state must be"),
        ({"X": np.eye(3)}, ValueError, "3 features"),
    ],
)
@pytest.mark.parametrize("n_components", [2, 26])
def test_arguments_that_are_not_allowed(options, error, match, n_components):
    rbm = BinaryCDRBM(n_components, n_iter=0, random_state=0).fit(np.eye(30))
    if options == {"method": "exact"} and n_components == 2:
        log_partition(rbm, **options)
        return
    with pytest.raises(error, match=match):
        log_partition(rbm, **options)


def test_likelihoods_of_all_rows_sum_to_one():
    rbm = random_model(5)
    total = np.exp(log_likelihood(rbm, all_rows(9))).sum()
    assert total == pytest.approx(1, abs=1e-5)


def test_log_z_may_be_given():
    rbm, V = random_model(6), all_rows(9)
    expected = -rbm.free_energy(V) - 2.5
    assert np.array_equal(log_likelihood(rbm, V, log_z=2.5), expected)
    given = LogPartition(2.5, 0.0, 2.5, "exact")
    assert np.array_equal(log_likelihood(rbm, V, log_z=given), expected)
    with pytest.raises(TypeError, match=r"betas.*no effect"):
        log_likelihood(rbm, V, log_z=2.5, betas=10)
    with pytest.raises(TypeError, match="log_z must be a finite number"):
        log_likelihood(rbm, V, log_z="2.5")
    with pytest.raises(ValueError, match="log_z must be a finite number"):
        log_likelihood(rbm, V, log_z=np.nan)


@pytest.mark.parametrize("scorer", [log_likelihood_scorer(), log_likelihood_scorer])
def test_log_likelihood_scorer_selects_models(scorer, X):
    search = GridSearchCV(
        BinaryCDRBM(n_iter=5, random_state=0),
        {"n_components": [1, 2]},
        scoring=scorer,
        cv=3,
    ).fit(X)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    best = search.best_estimator_
    assert search.scorer_(best, X) == pytest.approx(log_likelihood(best, X).mean())


def test_a_scorer_that_misses_its_rows_says_so(X):
    rbm = BinaryCDRBM(2, n_iter=1, random_state=0)
    with pytest.raises(TypeError, match=r"Write scoring=free_energy_gap_scorer\("):
        cross_val_score(
            rbm, X, scoring=free_energy_gap_scorer, error_score="raise", cv=2
        )


@pytest.mark.parametrize("options", [{"methode": "exact"}, {"X": [[0]]}, {"rbm": None}])
def test_a_scorer_knows_its_arguments(options):
    with pytest.raises(TypeError, match=next(iter(options))):
        log_likelihood_scorer(**options)


@pytest.mark.parametrize("options", [{"method": "guess"}, {"betas": 1}, {"n_jobs": 0}])
def test_a_scorer_checks_its_arguments_at_once(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        log_likelihood_scorer(**options)


@pytest.mark.parametrize("steps", [[], [Binarizer()]])
def test_scorers_take_pipelines_and_survive_pickling(steps, X):
    rbm = BinaryCDRBM(2, n_iter=2, random_state=0)
    model = make_pipeline(*steps, rbm).fit(X)
    for scorer in (
        log_likelihood_scorer(method="exact"),
        free_energy_gap_scorer(X[:9]),
    ):
        again = pickle.loads(pickle.dumps(scorer))
        assert scorer(model, X) == again(model, X) == scorer(model[-1], X)


@pytest.mark.filterwarnings("ignore::skrbm.DataRangeWarning")  # of halves
def test_likelihoods_take_pipelines(X):
    # Turned over, a row is another one.
    turn = FunctionTransformer(lambda X: 1 - X)
    model = make_pipeline(turn, BinaryCDRBM(2, n_iter=2, random_state=0)).fit(X)
    expected = log_likelihood(model[-1], 1 - X)
    half = FunctionTransformer(lambda X: X / 2)
    nested = make_pipeline(half, make_pipeline(turn, model[-1]))
    np.testing.assert_array_equal(
        log_likelihood(nested, X), log_likelihood(model[-1], 1 - X / 2)
    )
    gap = free_energy_gap_scorer(X[:9])(model, X[9:])
    assert gap == free_energy_gap_scorer(1 - X[:9])(model[-1], 1 - X[9:])
    assert not np.allclose(log_likelihood(model[-1], X), expected)
    np.testing.assert_array_equal(log_likelihood(model, X), expected)
    assert log_partition(model) == log_partition(model[-1])
    options = dict(method="ais", betas=20, n_chains=5, random_state=0, tolerance=99)
    assert log_partition(model, X, **options) == log_partition(
        model[-1], 1 - X, **options
    )


@pytest.mark.parametrize(
    ("model", "match"),
    [
        (BernoulliRBM(), "got BernoulliRBM."),
        (make_pipeline(BinaryCDRBM(), BernoulliRBM()), "got Pipeline that ends in Ber"),
    ],
)
@pytest.mark.parametrize("function", [log_partition, log_likelihood])
def test_other_models_are_refused(function, model, match, X):
    with pytest.raises(TypeError, match=match):
        function(model, X)


def test_free_energy_gap_falls_as_rows_are_learnt_by_heart():
    rng = np.random.default_rng(0)
    seen, unseen = rng.random((10, 20)) < 0.5, rng.random((100, 20)) < 0.5
    options = dict(
        learning_rate=0.3,
        learning_rate_schedule="constant",
        average=None,
        persistent=True,
        random_state=0,
    )
    score = free_energy_gap_scorer(seen)
    little, much = (
        BinaryCDRBM(30, n_iter=n_iter, **options).fit(seen) for n_iter in (1, 500)
    )
    assert score(much, unseen) < score(little, unseen) - 5
    assert score(much, seen) == 0


def test_exact_is_in_double_precision():
    rbm = random_model(3)
    model = rbm._model().astype(np.float32)
    assert partition.exact(model, Workers()) == pytest.approx(
        enumerated(rbm), rel=1e-13
    )


@pytest.mark.usefixtures("few_chains_together")
@pytest.mark.parametrize("n_gibbs_steps", [0, 3])
def test_reverse_chains_start_at_their_own_rows(n_gibbs_steps):
    rbm = random_model(4)
    model, base = rbm._model(), np.zeros(9)
    start = np.random.default_rng(0).permutation(all_rows(9))[:60].astype(float)
    forward, backward = partition.annealed(
        model,
        base,
        np.array([0.0, 1.0]),
        60,
        5,
        Workers(),
        start=start,
        n_gibbs_steps=n_gibbs_steps,
    )
    # From the model to the base at once, the weight is p_base / p of the first row.
    a = start @ model.W + model.c
    expected = -start @ model.b + (np.log(2) - np.logaddexp(0, a)).sum(axis=1)
    assert np.allclose(backward, expected) is (n_gibbs_steps == 0)
    # Chains of different groups are different ones.
    assert not np.array_equal(forward[:20], forward[20:40])


@pytest.mark.parametrize(
    ("shape", "sizes"),
    [((784, 500), [25] * 4), ((300, 300), [33, 33, 34]), ((9, 6), [100])],
)
def test_chains_of_a_small_model_go_together(shape, sizes):
    class Reader:
        def map(self, _, chains, *, share):
            assert share is (shape != (9, 6))
            assert [part.stop - part.start for part in chains] == sizes
            return [(np.zeros(1), np.zeros(1))]

    model = Parameters(*(np.zeros(size) for size in (shape, *shape)))
    partition.annealed(
        model, model.b, np.zeros(2), 100, 0, Reader(), start=None, n_gibbs_steps=0
    )


def test_what_is_made_of_the_weights(monkeypatch):
    rbm = random_model(7)
    forward, backward = np.log([2.0, 2.0, 8.0]), np.log([1.0, 1.0, 7.0])
    asked = {}

    def annealed(_, base, betas, n_chains, *__, **options):
        asked.update(options, betas=betas, n_chains=n_chains, base=base)
        return forward, backward

    monkeypatch.setattr(partition, "annealed", annealed)
    with pytest.warns(UserWarning, match="apart"):  # also where the reverse is lower
        result = log_partition(
            rbm, method="ais", betas=10, n_chains=7, n_gibbs_steps=5, random_state=0
        )
    assert (len(asked["betas"]), asked["n_chains"], asked["n_gibbs_steps"]) == (
        10,
        7,
        5,
    )
    log_base = np.logaddexp(0, asked["base"]).sum() + 6 * np.log(2)
    assert result.value == pytest.approx(log_base + np.log(4))
    assert result.reverse == pytest.approx(log_base - np.log(3))
    error = np.std([2, 2, 8], ddof=1) / 4 / np.sqrt(3)
    assert result.standard_error == pytest.approx(error)
    with pytest.warns(UserWarning, match="apart"):
        log_partition(rbm, method="ais", betas=[0, 0.9, 1], random_state=0)
    assert asked["betas"].tolist() == [0, 0.9, 1]
    assert asked["start"] is None
    with pytest.warns(UserWarning, match="apart"):
        log_likelihood(rbm, all_rows(9), method="ais", random_state=0)
    assert asked["start"].shape == (100, 9)


def test_constant_columns_have_a_base_model():
    X = np.random.default_rng(0).random((200, 6)) < 0.5
    X[:, 0], X[:, 1] = False, True
    rbm = BinaryCDRBM(3, random_state=0).fit(X)
    result = log_partition(rbm, X, method="ais", betas=200, random_state=0)
    assert result.value == pytest.approx(log_partition(rbm).value, abs=0.5)


def test_reverse_chains_start_from_rows_as_the_model_sees_them():
    rng = np.random.default_rng(0)
    B = rng.random((300, 6)) < 0.4
    rbm = BinaryCDRBM(3, n_iter=2, random_state=0).fit(B)
    how = dict(method="ais", betas=5, n_gibbs_steps=1, tolerance=99, random_state=0)
    expected = log_partition(rbm, B, **how)
    assert log_partition(rbm, sparse.csr_array(B.astype(float)), **how) == expected
    rbm.set_params(binarize=0.5)
    assert log_partition(rbm, np.where(B, 0.7, 0.3), **how) == expected
    # Not from the first rows alone.
    assert len(np.unique(_starting_rows(rbm, np.eye(300), 1, float, 50), axis=0)) > 40
    first = _starting_rows(rbm, np.eye(300), 1, float, 50)
    assert first[:, 100:].any()


def test_rows_that_are_not_zeros_and_ones_have_no_likelihood(X):
    rbm = BinaryCDRBM(2, n_iter=2, random_state=0).fit(X)
    for grey in (X / 2, sparse.csr_array(X / 2)):
        with pytest.warns(DataRangeWarning, match="is no log-likelihood") as record:
            log_likelihood(rbm, grey)
        assert len(record) == 1
    with pytest.warns(DataRangeWarning, match="from 0 to 3") as record:
        log_likelihood(rbm, 3 * X)
    assert len(record) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        log_likelihood(rbm, X.astype(bool))
        log_likelihood(rbm.set_params(binarize=0.2), X / 2)


def test_diagnostics_print_what_decides(X):
    rbm = BinaryCDRBM(2, n_iter=2, random_state=0).fit(X)
    report = sampling_diagnostics(rbm, X, random_state=0)
    shown = repr(report)
    assert shown.startswith(f"SamplingDiagnostics(trusted={report.trusted}, shift=")
    assert len(shown) < 160


def test_rows_given_to_the_maker_of_a_scorer_are_told_of(X):
    with pytest.raises(TypeError, match=r"write scoring=log_likelihood_scorer\(\)"):
        log_likelihood_scorer(X)
