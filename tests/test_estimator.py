"""What a fitted estimator offers, and how fits continue, stop and fail."""

import itertools
import pickle
import warnings

import joblib
import numpy as np
import pytest
from enumeration import (
    FALSE_ALARM,
    chi_square,
    indices,
    kernel,
    log_visible,
    random_model,
    sigmoid,
    states,
)
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.pipeline import make_pipeline

from skrbm import (
    BinaryCDRBM,
    DataRangeWarning,
    DivergenceError,
    _advice,
    _estimator,
    _fitting,
    _measures,
)
from skrbm._core.rows import Selected, moments
from skrbm._core.training import Settings
from skrbm._fitting import Outcome, new_state, split
from skrbm._hyperparameters import resolve
from skrbm._measures import _n_scored, monitor_of
from skrbm.metrics import log_partition


def make(n_components=3, **changes):
    """Return an estimator whose result depends on no default that may change."""
    settings = {
        "learning_rate": 0.1,
        "batch_size": 10,
        "n_iter": 3,
        "n_gibbs_steps": 1,
        "persistent": False,
        "statistics": "probabilities",
        "centered": True,
        "momentum": 0.0,
        "weight_decay": 0.0,
        "sparsity_cost": 0.0,
        "learning_rate_schedule": "constant",
        "average": None,
        "weight_scale": 0.01,
        "visible_intercept_init": "logit",
        "hidden_intercept_init": -1.0,
        "shuffle": True,
        "early_stopping": False,
        "n_jobs": 1,
        "random_state": 0,
    }
    return BinaryCDRBM(n_components, **(settings | changes))


def state_of(X, root=0, **settings):
    """Return the state that training on X starts from."""
    seen = moments(Selected(np.asarray(X, float)), None)
    return new_state(seen, root, Settings(0.1, 10, **settings))


def with_model(model):
    """Return a fitted estimator that holds a given model."""
    n_features, n_components = model.W.shape
    rbm = make(n_components, n_iter=1).fit(np.eye(n_features))
    rbm.components_ = model.W.T.astype(np.float32)
    rbm.intercept_visible_ = model.b.astype(np.float32)
    rbm.intercept_hidden_ = model.c.astype(np.float32)
    return rbm


def parameters(rbm):
    return np.concatenate(
        [rbm.components_.ravel(), rbm.intercept_visible_, rbm.intercept_hidden_]
    )


def assert_same_model(first, second):
    np.testing.assert_array_equal(parameters(first), parameters(second))


QUERIES = {
    "transform": lambda rbm, X: rbm.transform(X),
    "reconstruct": lambda rbm, X: rbm.reconstruct(X),
    "free_energy": lambda rbm, X: rbm.free_energy(X),
    "score_samples": lambda rbm, X: rbm.score_samples(X),
    "score": lambda rbm, X: rbm.score(X),
    "gibbs": lambda rbm, X: rbm.gibbs(X, random_state=0),
    "inverse_transform": lambda rbm, _: rbm.inverse_transform(np.eye(rbm.n_components)),
    "sample": lambda rbm, _: rbm.sample(4, n_gibbs_steps=2),
    "get_feature_names_out": lambda rbm, _: rbm.get_feature_names_out(),
}
queries = pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)


# -- attributes ------------------------------------------------------------------


def test_fitted_attributes(X):
    rbm = make(n_components=5, n_iter=4).fit(X)
    assert rbm.components_.shape == (5, 8)
    assert rbm.intercept_visible_.shape == (8,)
    assert rbm.intercept_hidden_.shape == (5,)
    assert rbm.n_features_in_ == 8
    assert rbm.n_iter_ == 4
    assert not hasattr(rbm, "feature_names_in_")
    np.testing.assert_allclose(rbm.visible_mean_, X.mean(axis=0))


def test_init_sets_parameters_and_nothing_else():
    rbm = make()
    assert vars(rbm) == rbm.get_params()


def test_parameters_come_back_and_clone():
    rbm = make(n_components=7, momentum=0.5)
    assert rbm.get_params()["momentum"] == 0.5
    assert clone(rbm).get_params() == rbm.get_params()
    assert rbm.set_params(momentum=0.25) is rbm
    assert rbm.momentum == 0.25


def test_hyper_parameters_are_keywords_but_for_the_number_of_components():
    assert BinaryCDRBM(7).n_components == 7
    with pytest.raises(TypeError, match="positional"):
        BinaryCDRBM(7, 0.1)


def test_fit_leaves_hyper_parameters_alone(X):
    rbm = make()
    before = rbm.get_params()
    assert rbm.fit(X) is rbm
    assert rbm.get_params() == before


def test_zero_iterations_give_the_starting_model(X):
    rbm = make(n_iter=0, weight_scale=0.0, hidden_intercept_init=-2.0).fit(X)
    assert rbm.n_iter_ == 0
    assert not rbm.components_.any()
    np.testing.assert_array_equal(rbm.intercept_hidden_, -2)
    # log odds of each column, with one row on and one row off added
    on = X.sum(axis=0)
    expected = np.log((on + 1) / (len(X) - on + 1))
    np.testing.assert_allclose(rbm.intercept_visible_, expected, rtol=1e-5)


def test_starting_values_are_those_asked_for(X):
    rbm = make(
        n_components=200,
        n_iter=0,
        weight_scale=0.5,
        visible_intercept_init=0.25,
        hidden_intercept_init=-1.5,
    ).fit(X)
    np.testing.assert_array_equal(rbm.intercept_visible_, 0.25)
    np.testing.assert_array_equal(rbm.intercept_hidden_, -1.5)
    # 1600 weights: six standard errors, a false-alarm rate of 2e-9 each.
    n = rbm.components_.size
    assert abs(rbm.components_.mean()) < 6 * 0.5 / np.sqrt(n)
    assert abs(rbm.components_.std() - 0.5) < 6 * 0.5 / np.sqrt(2 * n)


def test_constant_columns_stay_finite(X):
    X[:, 0], X[:, 1] = 0, 1
    rbm = make(n_iter=15).fit(X)
    assert np.isfinite(parameters(rbm)).all()
    reconstruction = rbm.reconstruct(X)
    assert (reconstruction[:, 0] < 0.1).all()
    assert (reconstruction[:, 1] > 0.9).all()


def split_of(X, rbm, fraction):
    """Return which rows of X a fit trained on, and which it held out."""
    parts = split(Selected(X), fraction, rbm._present_state().root)
    return [part.chosen for part in parts]


HISTORY = {
    "reconstruction_error",
    "pseudo_log_likelihood",
    "free_energy_gap",
    "validation_score",
    "mean_activity",
    "dead_units",
    "saturated_units",
    "relative_update",
    "learning_rate",
    "seconds",
}


@pytest.mark.parametrize("early_stopping", [False, True])
def test_history_has_one_number_an_epoch(X, early_stopping):
    rbm = make(n_iter=4, early_stopping=early_stopping, n_iter_no_change=50, tol=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # four epochs are few
        rbm.fit(X)
    assert set(rbm.history_) >= HISTORY
    for name, values in rbm.history_.items():
        assert values.shape == (4,), name
        held_out = name in {"free_energy_gap", "validation_score"}
        finite = early_stopping or not held_out
        finite &= not name.startswith("log_likelihood")  # of persistent chains alone
        assert np.isfinite(values).all() == finite, name
    np.testing.assert_allclose(rbm.history_["learning_rate"], 0.1)
    assert (rbm.history_["seconds"] > 0).all()


def test_verbose_prints_what_auto_stands_for_and_a_line_an_epoch(X, capsys):
    rbm = make(n_iter=3, batch_size="auto", verbose=True).fit(X)
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.startswith("[BinaryCDRBM] learning_rate=0.1, batch_size=10, n_iter=3,")
    assert "n_chains" not in first
    scores = rbm.history_["pseudo_log_likelihood"]
    for i, (line, score) in enumerate(zip(lines, scores, strict=True), 1):
        start = f"[BinaryCDRBM] epoch {i} of 3: pseudo-log-likelihood {score:.2f}, "
        assert line.startswith(start)
        assert line.endswith(" left")
    rbm.set_params(early_stopping=True, n_iter_no_change=9).fit(X)
    _, *lines = capsys.readouterr().out.splitlines()
    for line, score in zip(lines, rbm.history_["validation_score"], strict=False):
        assert f", held out {score:.2f}, " in line
    rbm.partial_fit(X[:7])
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("[BinaryCDRBM] 7 rows, 61 so far: pseudo-log-likelihood -")
    rbm.set_params(verbose=0).partial_fit(X).fit(X)
    assert capsys.readouterr().out == ""


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_verbose_says_which_epoch_is_kept(X, monkeypatch, capsys):
    path = iter([-20, -19, -21])
    monkeypatch.setattr(
        _measures.Watch, "pseudo_log_likelihood", lambda *_: float(next(path))
    )
    rbm = make(early_stopping=True, verbose=1).fit(X)
    assert rbm.kept_epoch_ == 2
    assert capsys.readouterr().out.endswith("[BinaryCDRBM] epoch 2 is kept\n")


@pytest.mark.parametrize("changes", [{}, {"average": 0.1}, {"average": 2}])
def test_training_goes_on_from_attributes_that_were_changed_in_place(changes, X):
    rbm = make(learning_rate=1e-6, **changes).fit(X)
    rbm.components_[...], rbm.intercept_hidden_[...] = 2, 3
    rbm.partial_fit(X)
    np.testing.assert_allclose(rbm.components_, 2, atol=1e-3)
    np.testing.assert_allclose(rbm.intercept_hidden_, 3, atol=1e-3)


# -- queries ---------------------------------------------------------------------


@queries
def test_queries_need_a_fitted_estimator(query, X):
    with pytest.raises(NotFittedError):
        query(make(), X)


@queries
@pytest.mark.parametrize("changes", [{}, {"persistent": True, "average": 0.1}])
def test_queries_change_nothing(query, changes, X):
    rbm = make(**changes).fit(X)
    before, names = joblib.hash(vars(rbm)), set(vars(rbm))
    query(rbm, X)
    assert set(vars(rbm)) == names
    assert joblib.hash(vars(rbm)) == before


@queries
def test_queries_give_the_same_answer_twice(query, X):
    rbm = make().fit(X)
    np.testing.assert_array_equal(query(rbm, X), query(rbm, X))


def test_queries_follow_the_formulas():
    model = random_model(4, 3, scale=2)
    rbm, V = with_model(model), states(4)
    W, b, c = model
    hidden = sigmoid(c + V @ W)
    np.testing.assert_allclose(rbm.transform(V), hidden, atol=1e-5)
    np.testing.assert_allclose(rbm.reconstruct(V), sigmoid(b + hidden @ W.T), atol=1e-5)
    np.testing.assert_allclose(
        rbm.inverse_transform(states(3)), sigmoid(b + states(3) @ W.T), atol=1e-5
    )
    F = rbm.free_energy(V)
    np.testing.assert_allclose(
        -F - np.logaddexp.reduce(-F), log_visible(model), atol=1e-4
    )


def test_score_samples_is_the_exact_pseudo_log_likelihood():
    model = random_model(4, 3, scale=2)
    log_p = log_visible(model)
    rows = np.arange(16)
    expected = sum(
        log_p - np.logaddexp(log_p, log_p[rows ^ bit]) for bit in (1, 2, 4, 8)
    )
    np.testing.assert_allclose(
        with_model(model).score_samples(states(4)), expected, atol=1e-4
    )


def test_a_rows_score_is_its_own(X):
    rbm = make(n_iter=15).fit(X)
    scores = rbm.score_samples(X)
    order = np.random.default_rng(0).permutation(len(X))
    np.testing.assert_array_equal(rbm.score_samples(X[order]), scores[order])
    one_by_one = [rbm.score_samples(row[None])[0] for row in X]
    np.testing.assert_array_equal(one_by_one, scores)
    np.testing.assert_array_equal(rbm.score_samples(np.tile(X, (20, 1)))[-60:], scores)


def test_score_is_the_mean_of_score_samples(X):
    rbm = make().fit(X)
    assert rbm.score(X) == pytest.approx(rbm.score_samples(X).mean())
    assert isinstance(rbm.score(X), float)
    assert rbm.score(X, np.zeros(60)) == rbm.score(X)  # y is ignored


def test_results_come_in_the_type_of_the_rows(X):
    rbm = make().fit(X)
    for dtype, expected in [
        (np.float64, np.float64),
        (np.float32, np.float32),
        (np.float16, np.float32),
        (np.uint8, np.float32),
        (np.int64, np.float32),
        (bool, np.float32),
        (np.dtype(np.float64).newbyteorder(), np.float64),
    ]:
        rows = X.astype(dtype)
        assert rbm.transform(rows).dtype == expected
        assert rbm.reconstruct(rows).dtype == expected
        assert (
            rbm.inverse_transform(rbm.transform(rows).astype(dtype)).dtype == expected
        )
        assert rbm.free_energy(rows).dtype == np.float64
        assert rbm.score_samples(rows).dtype == np.float64


def test_more_rows_than_fit_in_a_block(X):
    rbm = make().fit(X)
    many = np.tile(X, (30, 1))
    np.testing.assert_allclose(
        rbm.transform(many), np.tile(rbm.transform(X), (30, 1)), rtol=1e-5
    )
    np.testing.assert_allclose(
        rbm.free_energy(many), np.tile(rbm.free_energy(X), 30), rtol=1e-5
    )


def test_fit_transform_is_fit_and_transform(X):
    np.testing.assert_array_equal(make().fit_transform(X), make().fit(X).transform(X))


def test_inverse_transform_has_the_name_of_its_rows_in_common(X):
    rbm = make().fit(X)
    H = rbm.transform(X)
    np.testing.assert_array_equal(
        rbm.inverse_transform(X=H), make_pipeline(rbm).inverse_transform(H)
    )


def test_inverse_transform_checks_its_columns(X):
    rbm = make().fit(X)
    with pytest.raises(ValueError, match=r"4 columns.*3 hidden"):
        rbm.inverse_transform(np.zeros((2, 4)))


def test_feature_names_out(X):
    names = make(n_components=2).fit(X).get_feature_names_out()
    assert names.tolist() == ["binarycdrbm0", "binarycdrbm1"]


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_set_output(library, X):
    frames = pytest.importorskip(library)
    rbm = make().set_output(transform=library)
    H = rbm.fit_transform(X)
    assert isinstance(H, frames.DataFrame)
    assert list(H.columns) == ["binarycdrbm0", "binarycdrbm1", "binarycdrbm2"]
    np.testing.assert_array_equal(H.to_numpy(), make().fit_transform(X))


# -- sampling --------------------------------------------------------------------


def test_samples_are_boolean_rows(X):
    rbm = make().fit(X)
    V = rbm.sample(7, n_gibbs_steps=3)
    assert V.shape == (7, 8)
    assert V.dtype == bool
    assert rbm.sample().shape == (1, 8)
    np.testing.assert_array_equal(V, rbm.sample(7, n_gibbs_steps=3, random_state=0))
    assert (rbm.sample(7, n_gibbs_steps=3, random_state=1) != V).any()


def sample_p_value(model, law, n_gibbs_steps):
    V = with_model(model).sample(40_000, n_gibbs_steps=n_gibbs_steps, random_state=0)
    return chi_square(np.bincount(indices(V), minlength=len(law)), law)


def test_samples_follow_the_model():
    # False-alarm rate 1e-6.
    model = random_model(4, 3, scale=1)
    assert sample_p_value(model, np.exp(log_visible(model)), 40) > FALSE_ALARM


def test_samples_of_another_model_are_found_out():
    # Negative control: one intercept off by a tenth.
    model = random_model(4, 3, scale=1)
    other = model._replace(b=model.b + np.array([0.1, 0, 0, 0]))
    assert sample_p_value(model, np.exp(log_visible(other)), 40) < FALSE_ALARM


@pytest.mark.parametrize("n_steps", [1, 3])
def test_gibbs_follows_the_kernel(n_steps):
    # False-alarm rate 1e-6 each.
    model = random_model(4, 3, scale=1)
    rows = np.tile([1, 0, 1, 0], (40_000, 1))
    V = with_model(model).gibbs(rows, n_steps, random_state=0)
    assert V.dtype == bool
    counts = np.bincount(indices(V), minlength=16)
    law = np.linalg.matrix_power(kernel(model), n_steps)[0b1010]
    assert chi_square(counts, law) > FALSE_ALARM


def test_gibbs_of_another_number_of_steps_is_found_out():
    # Negative control.
    model = random_model(4, 3, scale=1)
    V = with_model(model).gibbs(np.tile([1, 0, 1, 0], (40_000, 1)), 2, random_state=0)
    law = kernel(model)[0b1010]
    assert chi_square(np.bincount(indices(V), minlength=16), law) < FALSE_ALARM


def test_gibbs_can_be_repeated_and_takes_any_rows(X):
    rbm = make().fit(X)
    V = rbm.gibbs(X, random_state=1)
    assert V.shape == X.shape
    np.testing.assert_array_equal(V, rbm.gibbs(X, 1, random_state=1))
    np.testing.assert_array_equal(V, rbm.gibbs(sparse.csr_array(X), random_state=1))
    assert (rbm.gibbs(X, random_state=2) != V).any()


def test_calls_of_gibbs_in_a_loop_draw_anew(X):
    rbm = make().fit(X)
    assert (rbm.gibbs(X) != rbm.gibbs(X)).any()


@pytest.mark.parametrize("wrong", [0, -1])
def test_numbers_of_steps_and_samples_are_checked(wrong, X):
    rbm = make().fit(X)
    with pytest.raises(ValueError, match="n_steps"):
        rbm.gibbs(X, wrong)
    with pytest.raises(ValueError, match="n_samples"):
        rbm.sample(wrong)
    with pytest.raises(ValueError, match="n_gibbs_steps"):
        rbm.sample(1, n_gibbs_steps=wrong)
    with pytest.raises(TypeError, match="n_steps"):
        rbm.gibbs(X, 1.5)


def test_traps_of_the_caller_for_floating_point_errors_stay_out(X):
    # One column many times has weights grow until probabilities underflow.
    rows = np.repeat(X[:, :1], 100, axis=1)
    with np.errstate(all="raise"):
        rbm = make(50, n_iter=20).fit(rows)
        rbm.components_ *= 1000
        for query in QUERIES.values():
            query(rbm, rows)
        small = make().fit(X)
        small.components_ *= 1000
        log_partition(small)
        log_partition(small, method="ais", betas=9, n_gibbs_steps=2, tolerance=1e9)


def test_seeds_of_queries_are_checked(X):
    rbm = make().fit(X)
    with pytest.raises(ValueError, match=r"random_state must be .*, got 'x'"):
        rbm.gibbs(X, random_state="x")
    with pytest.raises(ValueError, match=r"random_state must be .*, got -1"):
        rbm.sample(random_state=-1)


# -- going on --------------------------------------------------------------------

CONTINUED = pytest.mark.parametrize(
    "changes",
    [
        {},
        {"centered": False},
        {"momentum": 0.5},
        {"persistent": True, "n_chains": 20},
        {"average": 0.1},
        {"average": 2, "batch_size": 64},
        {"sparsity_cost": 0.5, "sparsity_target": 0.2},
        {"statistics": "states", "n_gibbs_steps": 2},
    ],
)


@CONTINUED
def test_warm_start_goes_on_where_fit_stopped(changes, X):
    rbm = make(n_iter=2, warm_start=True, **changes).fit(X)
    rbm.set_params(n_iter=3).fit(X)
    assert rbm.n_iter_ == 3
    assert len(rbm.history_["seconds"]) == 3
    assert_same_model(rbm, make(n_iter=5, **changes).fit(X))


def test_without_warm_start_fit_forgets(X):
    rbm = make().fit(X[:30]).fit(X)
    assert_same_model(rbm, make().fit(X))


@CONTINUED
def test_partial_fits_of_all_rows_are_the_epochs_of_fit(changes, X):
    rbm = make(**changes)
    for _ in range(3):
        assert rbm.partial_fit(X) is rbm
    assert_same_model(rbm, make(n_iter=3, **changes).fit(X))


@pytest.mark.parametrize("chunk", [1, 2, 7, 10, 13, 60, 1000])
@pytest.mark.parametrize("persistent", [False, True])
def test_partial_fit_takes_chunks_of_any_size(chunk, persistent, X):
    rbm = make(persistent=persistent, n_chains=20, visible_intercept_init=0.0)
    for _ in range(5):
        for start in range(0, len(X), chunk):
            rbm.partial_fit(X[start : start + chunk])
    assert np.isfinite(parameters(rbm)).all()
    assert rbm.n_features_in_ == 8
    if not persistent:
        untrained = make(n_iter=0, visible_intercept_init=0.0).fit(X)
        assert rbm.score(X) > untrained.score(X)
    np.testing.assert_allclose(rbm.visible_mean_, X.mean(axis=0))


def test_a_chunk_is_a_mini_batch_of_its_own_size(X):
    # Seven rows get the gradient of seven rows, whatever batch_size.
    big, small = make(batch_size=1000), make(batch_size=7)
    assert_same_model(big.partial_fit(X[:7]), small.partial_fit(X[:7]))


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize(
    ("n_features", "grey", "statistics"),
    [
        (37, False, "states"),  # 37 columns of variance 1/4: 9.25
        (39, False, "probabilities"),  # 9.75
        (335, True, "states"),  # 335 of variance 1/12, a third of 1/4: 9.31
        (350, True, "probabilities"),  # 9.72
    ],
)
def test_statistics_follow_the_variance_of_the_rows(
    n_features, grey, statistics, persistent
):
    # Each column holds the same values, in an order of its own.
    rng = np.random.default_rng(0)
    cells = rng.permuted(np.tile(np.arange(200)[:, None], n_features), axis=0)
    X = (cells + 0.5) / 200
    X = X if grey else np.round(X)

    def components(statistics):
        rbm = BinaryCDRBM(
            3, n_iter=1, persistent=persistent, statistics=statistics, random_state=0
        )
        return rbm.fit(X).components_

    same = {
        name: np.array_equal(components("auto"), components(name))
        for name in ("states", "probabilities")
    }
    assert same == {name: name == statistics for name in same}


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("binarize", [None, 0.3])
def test_moments_of_chunks_are_those_of_the_whole(binarize, make):
    X = np.random.default_rng(0).random((1300, 5)) ** 3
    rbm = BinaryCDRBM(2, n_iter=0, binarize=binarize, random_state=0).fit(make(X)[:7])
    for chunk in (slice(7, 8), slice(8, 1300)):
        rbm.partial_fit(make(X)[chunk])
    V = X if binarize is None else binarize < X
    np.testing.assert_allclose(rbm.visible_mean_, V.mean(axis=0), rtol=1e-6)
    mean, variance = V.mean(axis=0), V.var(axis=0).sum()
    signal, grey = rbm._present_state().seen.signal()
    expected = variance**2 / (mean * (1 - mean)).sum()
    np.testing.assert_allclose(signal, expected, rtol=1e-5)
    assert grey is (binarize is None)


def test_partial_fit_after_fit_goes_on(X):
    rbm = make(n_iter=2).fit(X).partial_fit(X)
    assert_same_model(rbm, make(n_iter=3).fit(X))


@pytest.mark.parametrize("how", ["warm_start", "partial_fit"])
def test_going_on_needs_the_same_shape(how, X):
    rbm = make(warm_start=True).fit(X)
    again = rbm.fit if how == "warm_start" else rbm.partial_fit
    with pytest.raises(ValueError, match="features"):
        again(X[:, :5])
    rbm.set_params(n_components=4)
    with pytest.raises(ValueError, match=r"n_components=4.*3"):
        again(X)


@CONTINUED
@pytest.mark.parametrize("through", [pickle, joblib])
def test_pickles_go_on_alike(changes, through, X, tmp_path):
    rbm = make(**changes).partial_fit(X)
    if through is joblib:
        joblib.dump(rbm, tmp_path / "rbm")
        copy = joblib.load(tmp_path / "rbm")
    else:
        copy = pickle.loads(pickle.dumps(rbm))
    np.testing.assert_array_equal(copy.transform(X), rbm.transform(X))
    assert_same_model(copy.partial_fit(X[:33]), rbm.partial_fit(X[:33]))
    assert_same_model(copy.fit(X), rbm.fit(X))


@CONTINUED
def test_skops_saves_arrays_and_numbers_alone(changes, X):
    skops = pytest.importorskip("skops.io")
    rbm = make(**changes).partial_fit(X)
    data = skops.dumps(rbm)
    assert skops.get_untrusted_types(data=data) == ["skrbm._estimator.BinaryCDRBM"]
    copy = skops.loads(data, trusted=["skrbm._estimator.BinaryCDRBM"])
    again = pickle.loads(pickle.dumps(rbm))
    np.testing.assert_array_equal(copy.transform(X), rbm.transform(X))
    for _ in range(3):
        assert_same_model(copy.partial_fit(X), again.partial_fit(X))
    assert_same_model(
        copy.set_params(warm_start=True).fit(X),
        again.partial_fit(X).partial_fit(X).partial_fit(X),
    )


@pytest.mark.parametrize("how", ["partial_fit", "warm_start"])
@pytest.mark.parametrize("version", ["0.0.1", None])
def test_a_model_of_another_version_answers_and_is_not_trained_on(version, how, X):
    rbm = make(warm_start=True).fit(X)
    expected = rbm.transform(X)
    if version is None:  # as 0.1.0 wrote until it was released
        rbm._state = rbm._present_state()
    else:
        rbm._state["version"] = version
    rbm = pickle.loads(pickle.dumps(rbm))
    np.testing.assert_array_equal(rbm.transform(X), expected)
    train = rbm.partial_fit if how == "partial_fit" else rbm.fit
    with pytest.raises(
        ValueError, match=f"trained by .*{version or 'another'}.* fit anew"
    ):
        train(X)
    np.testing.assert_array_equal(rbm.transform(X), expected)
    rbm.set_params(warm_start=False).fit(X).partial_fit(X)


# -- stopping early --------------------------------------------------------------


def test_early_stopping_keeps_the_best(X):
    # A learning rate so large that the best epoch is not the last.
    rbm = make(
        n_components=20,
        n_iter=60,
        learning_rate=1.0,
        early_stopping=True,
        n_iter_no_change=6,
        validation_fraction=0.25,
        tol=0.0,
    ).fit(X)
    scores = rbm.history_["validation_score"]
    assert rbm.n_iter_ == len(scores) < 60
    assert scores.argmax() < len(scores) - 1
    assert len(scores) - 1 - scores.argmax() == 6
    held_out = split_of(X, rbm, 0.25)[1]
    assert len(held_out) == 15
    assert rbm.score(X[held_out]) == pytest.approx(scores.max(), abs=1e-5)


def test_rows_held_out_are_not_trained_on(X):
    rbm = make(early_stopping=True, validation_fraction=0.25, n_iter_no_change=100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # three epochs are few
        rbm.fit(X)
        rows, held_out = split_of(X, rbm, 0.25)
        assert sorted([*rows, *held_out]) == list(range(60))
        other = X.copy()
        other[held_out] = 1 - other[held_out]
        flipped = clone(rbm).fit(other)
    np.testing.assert_allclose(rbm.visible_mean_, X[rows].mean(axis=0))
    # Each epoch's model is the same: it scores alike on training rows.
    for name in ("pseudo_log_likelihood", "reconstruction_error", "relative_update"):
        np.testing.assert_array_equal(rbm.history_[name], flipped.history_[name])
    assert (
        rbm.history_["validation_score"] != flipped.history_["validation_score"]
    ).all()


def test_no_epoch_with_early_stopping_is_the_starting_model(X):
    rbm = make(n_iter=0, early_stopping=True).fit(X)
    assert rbm.n_iter_ == 0
    assert rbm.history_["validation_score"].shape == (0,)
    assert np.isfinite(rbm.score(X))


def test_early_stopping_needs_rows_to_train_on(X):
    with pytest.raises(ValueError, match="early_stopping=False"):
        make(early_stopping=True).fit(X[:1])


def test_enough_rows_are_scored_and_not_the_first_ones():
    kinds, many = (np.zeros((0, 0)), sparse.csr_array((1, 1))), 10**6
    for n_rows, n_weights, expected in (
        (60, 1000, (10, 10)),
        (500, 10_000, (3, 1)),
        (1500, many, (5, 1)),
        (5000, many, (10, 1)),
        (40_000, many, (50, 10)),
        (10**7, many, (100, 100)),
    ):
        assert tuple(_n_scored(X, n_rows, n_weights) for X in kinds) == expected
    # Rows sorted by class: both halves are seen.
    X = np.repeat([[0.0, 1.0], [1.0, 0.0]], 1000, axis=0)
    state = state_of(X, root=1, n_components=3)
    monitor = monitor_of(Selected(X), None, state, Settings(0.1, 10))
    assert monitor.few.shape == (10, 2)
    assert 0 < monitor.few[:, 0].mean() < 1


@pytest.mark.parametrize("seed", range(4))
def test_values_out_of_range_are_no_stronger_signal_than_their_variance(seed):
    X = np.random.default_rng(seed).normal(size=(200, 5))
    with pytest.warns(DataRangeWarning):
        rbm = make(n_iter=0).fit(X)
    signal, _ = rbm._present_state().seen.signal()
    assert 0 < signal <= X.var(axis=0).sum() * (1 + 1e-5)


@pytest.mark.parametrize(
    ("scores", "changes", "told"),
    [
        ([-20, -19, -18], {}, True),
        ([-20, -21, -19], {}, True),
        ([-20], {}, True),
        # Negative controls: of one that has begun to fall, or only falls, or has
        # stopped by its own rule.
        ([-20, -18, -19], {}, False),
        ([-20, -21, -22], {}, False),
        ([-20, -19, -18], {"tol": 10, "n_iter_no_change": 2}, False),
    ],
)
def test_a_score_that_still_rises_is_told(X, scores, changes, told, monkeypatch):
    path = iter(scores)
    monkeypatch.setattr(
        _measures.Watch, "pseudo_log_likelihood", lambda *_: float(next(path))
    )
    rbm = make(early_stopping=True, n_iter=len(scores), **changes)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        rbm.fit(X)
    messages = [str(warning.message) for warning in caught]
    rising = f"still rising after n_iter={len(scores)} epochs"
    assert any(rising in message for message in messages) is told


@pytest.mark.parametrize("better", [False, True])
def test_a_warm_start_keeps_what_it_found_unless_it_gets_better(X, better, monkeypatch):
    # The model that is gone on from is scored first.
    path = iter([-20, -19, -19, -21, -18 if better else -22, -23])
    monkeypatch.setattr(
        _measures.Watch, "pseudo_log_likelihood", lambda *_: float(next(path))
    )
    rbm = make(early_stopping=True, warm_start=True, n_iter=2)
    with pytest.warns(ConvergenceWarning, match="still rising"):
        rbm.fit(X)
    before = parameters(rbm)
    rbm.set_params(n_iter=3).fit(X)
    np.testing.assert_array_equal(
        rbm.history_["validation_score"], [-21, -18 if better else -22, -23]
    )
    assert np.array_equal(parameters(rbm), before) is not better
    assert next(path, None) is None


def test_auto_looks_at_the_rows_of_a_fit_or_at_all_chunks(X, monkeypatch):
    seen = []

    def spy(rbm, moments, n_rows):
        seen.append(n_rows)
        return resolve(rbm, moments, n_rows)

    monkeypatch.setattr(_estimator, "resolve", spy)
    make().partial_fit(X).partial_fit(X[:5])
    make(warm_start=True).fit(X).fit(X)
    assert seen == [len(X), len(X) + 5, len(X), len(X)]


def test_a_score_that_falls_from_the_start_is_told(X, monkeypatch):
    scores = itertools.count(-20, -1)
    monkeypatch.setattr(
        _measures.Watch, "pseudo_log_likelihood", lambda *_: float(next(scores))
    )
    rbm = make(early_stopping=True, n_iter=50, n_iter_no_change=5)
    with pytest.warns(
        ConvergenceWarning, match="fell from -20 nats after the first .* to -25 after 6"
    ) as caught:
        rbm.fit(X)
    assert rbm.n_iter_ == 6
    assert caught[-1].filename == __file__
    # Negative control: not of one that rose first.
    scores = iter([-21.0, -20.0, *range(-22, -30, -1)])
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        rbm.fit(X)
    assert rbm.n_iter_ == 7


# -- trouble ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes", [{"learning_rate": 1e38, "momentum": 0.99}, {"learning_rate": 1e300}]
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_divergence_is_an_error_that_names_the_learning_rate(changes, method, X):
    rbm = make(**changes)
    with pytest.raises(DivergenceError, match="in epoch 1:") as caught:
        getattr(rbm, method)(X)
    assert f"(learning_rate={rbm.learning_rate:g}, " in str(caught.value)
    with pytest.raises(NotFittedError):
        rbm.transform(X)


def test_divergence_keeps_the_last_good_epoch(X):
    rbm = make(n_iter=40, learning_rate=2e37, momentum=0.99)
    with pytest.raises(DivergenceError, match="last good epoch is kept") as caught:
        rbm.fit(X)
    assert rbm.n_iter_ >= 1
    assert f"in epoch {rbm.n_iter_ + 1}:" in str(caught.value)
    assert len(rbm.history_["seconds"]) == rbm.n_iter_
    assert np.isfinite(parameters(rbm)).all()
    assert np.isfinite(rbm.score_samples(X)).all()


@pytest.mark.filterwarnings("ignore::skrbm.DataRangeWarning")  # of rows to diverge on
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("how", ["fit", "warm_start", "partial_fit"])
def test_a_call_without_a_good_epoch_leaves_the_estimator(how, early_stopping, X):
    def train(rbm, X):
        rbm.set_params(warm_start=how == "warm_start")
        return rbm.partial_fit(X) if how == "partial_fit" else rbm.fit(X)

    rbm, other = (
        make(early_stopping=early_stopping, n_iter_no_change=9).fit(X) for _ in range(2)
    )
    before = vars(rbm) | {"warm_start": how == "warm_start"}
    with pytest.raises(DivergenceError, match="stays as it was"):
        train(rbm, 1e30 * (X[:, :5] if how == "fit" else X))
    assert vars(rbm).keys() == before.keys()
    assert all(value is before[name] for name, value in vars(rbm).items())
    # The rows have left nothing from which good ones would diverge.
    np.testing.assert_array_equal(
        parameters(train(rbm, X)), parameters(train(other, X))
    )


@pytest.mark.filterwarnings("ignore::skrbm.DataRangeWarning")  # it is the point here
def test_divergence_from_data_out_of_range(X):
    with pytest.raises(DivergenceError, match=r"\[0, 1\]"):
        make().fit(1e30 * X)


@pytest.mark.parametrize("rate", [1e10, 1e25])
def test_exploding_but_finite_training_is_told(rate, X):
    with pytest.warns(ConvergenceWarning, match=r"learning_rate"):
        rbm = make(learning_rate=rate).fit(X)
    assert np.isfinite(rbm.history_["relative_update"]).all()


@pytest.mark.parametrize(("intercept", "what"), [(-12.0, "dead"), (12.0, "saturated")])
def test_useless_hidden_units_are_counted(intercept, what, X):
    with pytest.warns(ConvergenceWarning, match=f"3 of 3 hidden units are {what}"):
        rbm = make(hidden_intercept_init=intercept, learning_rate=1e-3).fit(X)
    assert rbm.history_[f"{what}_units"].tolist() == [1, 1, 1]


def test_a_rare_unit_is_not_dead_to_small_batches():
    # On in 20 rows of 4,000.  Of the last 100 rows alone it is on in none more often
    # than not.
    for seed in range(5):
        rng = np.random.default_rng(seed)
        X = (rng.permuted(np.arange(4000)) % 200 == 0)[:, None]
        rbm = make(1, batch_size=1, n_iter=1, warm_start=True, random_state=seed).fit(X)
        rbm.components_[...] = 20
        rbm.intercept_hidden_[...] = -10
        rbm.set_params(learning_rate=1e-9).fit(X)
        assert rbm.history_["dead_units"].tolist() == [0]


@pytest.mark.parametrize("batch_size", [10, 100, 2000])
@pytest.mark.parametrize(("intercept", "what"), [(-20.0, "dead"), (20.0, "saturated")])
def test_units_that_have_died_are_told_whatever_the_batches(
    intercept, what, batch_size, X
):
    X = np.tile(X, (34, 1))[:2000]
    rbm = make(batch_size=batch_size, n_iter=1, warm_start=True).fit(X)
    assert rbm.history_[f"{what}_units"].tolist() == [0]
    activity = rbm.transform(X).mean()
    np.testing.assert_allclose(rbm.history_["mean_activity"], activity, atol=0.1)
    rbm.components_[...] = 0
    rbm.intercept_hidden_[...] = intercept
    with pytest.warns(ConvergenceWarning, match=f"3 of 3 hidden units are {what}"):
        rbm.set_params(n_iter=2, learning_rate=1e-6).fit(X)
    assert rbm.history_[f"{what}_units"].tolist() == [1, 1]


@pytest.mark.parametrize("steps", [0, 1, 2])
@pytest.mark.parametrize("method", ["fit", "fit_transform"])
def test_a_warning_points_at_the_line_that_led_to_it(steps, method, X):
    def call(rbm, rows):
        model = rbm if steps == 0 else make_pipeline(*[rbm] * steps)
        return getattr(model, method)(rows)

    for rbm, rows, category in (
        (make(hidden_intercept_init=-12.0, learning_rate=1e-3), X, ConvergenceWarning),
        (make(), 2 * X, DataRangeWarning),
    ):
        with pytest.warns(category) as record:
            call(rbm, rows)
        assert {warning.filename for warning in record} == {__file__}


def test_an_ordinary_fit_warns_of_nothing(X):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(n_iter=100, learning_rate=0.5).fit(X).score(X)


@pytest.mark.parametrize(("weight", "told"), [(19, False), (21, True), (-21, True)])
def test_weights_beyond_twenty_are_told_of(weight, told, X):
    rbm = make(warm_start=True, n_iter=1, learning_rate=1e-6).fit(X)
    rbm.components_[0, 0] = weight
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        rbm.fit(X)
    told_of = [f"{weight:g}".strip("-") in str(warning.message) for warning in caught]
    assert any(told_of) is told


def test_a_fit_of_no_epochs_has_a_history_of_none(X):
    history = make(n_iter=0).fit(X).history_
    assert history.keys() == make(n_iter=1).fit(X).history_.keys()
    assert all(values.shape == (0,) for values in history.values())


def records(history):
    """Return one record an epoch from one array a measure."""
    return tuple(
        dict(zip(history, values, strict=True))
        for values in zip(*history.values(), strict=True)
    )


def test_useless_units_are_those_of_the_epoch_that_is_kept():
    settings = Settings(0.1, 10, early_stopping=True, n_iter=3)
    state = state_of(np.eye(4), n_components=40)
    history = dict.fromkeys(_measures.MEASURES, np.zeros(3))
    history["dead_units"] = np.array([0.0, 0.5, 1.0])
    for n_kept, dead in ((0, None), (1, None), (2, 20), (3, 40)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            outcome = Outcome(state, 3, n_kept, since_best=1, records=records(history))
            _advice.warn_of_trouble(outcome, settings)
        told = [str(warning.message) for warning in caught]
        assert [f"{dead} of 40" in message for message in told] == [True] * bool(dead)


def test_units_that_are_useless_in_the_end_are_told_of_with_a_remedy():
    settings = Settings(0.1, 10)
    state = state_of(np.eye(4), n_components=40)
    for name, remedy in (("dead_units", "raise"), ("saturated_units", "lower")):
        history = dict.fromkeys(_measures.MEASURES, np.zeros(3))
        for shares, told in (([0.5, 0.5, 0.05], False), ([0, 0, 0.075], True)):
            history[name] = np.array(shares)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", ConvergenceWarning)
                outcome = Outcome(state, 3, 3, records=records(history))
                _advice.warn_of_trouble(outcome, settings)
            messages = [str(warning.message) for warning in caught]
            assert bool(messages) is told
            assert all(
                f"3 of 40 hidden units are {name.split('_')[0]}" in message
                and f"{remedy} hidden_intercept_init" in message
                for message in messages
            )


def test_a_better_score_is_kept_also_within_tol(X, monkeypatch):
    path = iter([-20.0, -19.95, -19.9])
    monkeypatch.setattr(_measures.Watch, "pseudo_log_likelihood", lambda *_: next(path))
    rbm = make(early_stopping=True, tol=1.0).fit(X)
    assert rbm._present_state().epoch == 3


def test_seconds_are_those_of_the_epoch_alone(X, monkeypatch):
    clock = itertools.count()
    monkeypatch.setattr(_fitting.time, "perf_counter", lambda: next(clock))
    assert make().fit(X).history_["seconds"].tolist() == [1, 1, 1]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_history_sees_rows_through_the_threshold(X):
    how = {"early_stopping": True, "validation_fraction": 0.3, "random_state": 1}
    expected = make(**how).fit(X).history_
    history = make(binarize=0.5, **how).fit(np.where(X, 0.7, 0.2)).history_
    for name in HISTORY - {"seconds"}:
        np.testing.assert_array_equal(history[name], expected[name])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_held_out_rows_are_scored_by_the_averaged_model(X):
    X = np.tile(X, (20, 1))  # the average looks at the parameters every 512 rows
    rbm = make(early_stopping=True, average=0.01, learning_rate=1.0).fit(X)
    held_out = split_of(X, rbm, 0.1)[1]
    score = rbm.history_["validation_score"].max()
    assert score == pytest.approx(rbm.score(X[held_out]), abs=1e-5)
    rbm.components_ = rbm._present_state().parameters.W.T
    assert score != pytest.approx(rbm.score(X[held_out]), abs=1e-5)


def test_partial_fit_has_a_constant_rate_and_holds_nothing_out(X):
    changes = {"learning_rate_schedule": "linear", "early_stopping": True}
    rbm = make(**changes).partial_fit(X)
    assert_same_model(rbm, make().partial_fit(X))
    assert not hasattr(rbm, "n_iter_")
    assert not hasattr(rbm, "history_")
    before = make(n_iter=2).fit(X)
    assert before.partial_fit(X).n_iter_ == 2


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_rows_seen_are_those_trained_on(X, monkeypatch):
    scores = itertools.count()  # every epoch is better, and kept
    monkeypatch.setattr(
        _measures.Watch, "pseudo_log_likelihood", lambda *_: float(next(scores))
    )
    rbm = make(early_stopping=True, warm_start=True).fit(X)
    assert rbm._present_state().seen.n_rows == 54
    assert rbm.fit(X)._present_state().seen.n_rows == 108


def test_the_hidden_mean_starts_at_the_intercepts(X):
    state = state_of(X, weight_scale=5.0, hidden_intercept_init=-2.0)
    np.testing.assert_allclose(state.hidden_mean, sigmoid(-2.0), rtol=1e-6)


def test_grey_rows_are_drawn_where_states_are():
    rows, rbm = np.random.default_rng(0).random((30, 4)), make(statistics="states")
    asked = [
        resolve(rbm, moments(Selected(X), None), 30).draw_rows
        for X in (rows, rows.round())
    ]
    assert asked == [True, False]
    assert not resolve(make(), moments(Selected(rows), None), 30).draw_rows


def test_momentum_does_not_outlive_the_parameters_it_moved(X):
    rbm = make(momentum=0.5).fit(X)
    assert rbm._present_state().velocity is not None
    rbm.components_[...] = 1
    assert rbm._present_state().velocity is None


def test_a_model_that_is_kept_is_kept_as_it_was(X, monkeypatch):
    rbm = make(early_stopping=True, warm_start=True).fit(X)
    rbm.components_[0, 0] = 0.5
    kept, mean, n_rows = (
        parameters(rbm),
        rbm.visible_mean_,
        rbm._present_state().seen.n_rows,
    )
    scores = itertools.count(0, -1)  # no epoch is better
    monkeypatch.setattr(
        _measures.Watch, "pseudo_log_likelihood", lambda *_: float(next(scores))
    )
    rbm.fit(np.ones_like(X))
    np.testing.assert_array_equal(parameters(rbm), kept)
    np.testing.assert_array_equal(rbm.visible_mean_, mean)
    assert rbm._present_state().seen.n_rows == n_rows
    assert len(rbm.history_["validation_score"]) == rbm.n_iter_ == 3


def test_attributes_are_copies(X):
    rbm = make().fit(X)
    before = joblib.hash(rbm._state)
    for name in ("components_", "intercept_visible_", "intercept_hidden_"):
        getattr(rbm, name)[...] = 0
    rbm.visible_mean_[...] = 0
    assert joblib.hash(rbm._state) == before


def test_fits_that_go_on_need_nothing_more_of_their_generator(X):
    seeds = [np.random.RandomState(3) for _ in range(2)]
    warm = make(warm_start=True, random_state=seeds[0]).fit(X).fit(X)
    assert_same_model(warm, make(n_iter=6, random_state=seeds[1]).fit(X))


def test_samples_start_from_the_mean_of_the_rows():
    rbm = make(n_components=8).fit(np.tile([1.0, 0.0], (60, 4)))
    # A unit copies one of the other layer.
    rbm.components_ = 60 * np.eye(8, dtype=np.float32)
    rbm.intercept_visible_ = rbm.intercept_hidden_ = np.full(8, -30, np.float32)
    sample = rbm.sample(200, n_gibbs_steps=1, n_temperatures=1)
    np.testing.assert_array_equal(sample, np.tile([True, False], (200, 4)))
    # Also where a threshold would turn states over.
    sample = rbm.set_params(binarize=5.0).sample(200, n_gibbs_steps=1, n_temperatures=1)
    np.testing.assert_array_equal(sample, np.tile([True, False], (200, 4)))


def test_a_seed_of_0_is_a_seed(X):
    rbm = make(random_state=5).fit(X)
    first, again = rbm.sample(30, random_state=0), rbm.sample(30)
    np.testing.assert_array_equal(rbm.set_params(random_state=0).sample(30), first)
    assert (first != again).any()


def test_every_stream_of_a_query_is_another(X, monkeypatch):
    keys = []

    class Recorded(_estimator.Stream):
        def __init__(self, *key):
            keys.append(key)
            super().__init__(*key)

    rbm = make().fit(X)
    monkeypatch.setattr(_estimator, "Stream", Recorded)
    rbm.sample(3000, n_gibbs_steps=1, random_state=0)
    rbm.gibbs(np.tile(X, (50, 1)), random_state=0)
    assert len(keys) >= 4
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("n_features", "dtype"), [(128, np.float64), (129, np.float32)]
)
def test_models_of_up_to_16384_weights_are_queried_in_double(n_features, dtype):
    rbm = make(128, n_iter=0).fit(np.eye(n_features))
    assert rbm._model().W.dtype == dtype


CALLS_OF_THE_MODEL = {
    name: query for name, query in QUERIES.items() if name != "get_feature_names_out"
} | {
    "partial_fit": lambda rbm, X: rbm.partial_fit(X),
    "log_partition": lambda rbm, _: log_partition(rbm),
}
model_calls = pytest.mark.parametrize(
    "call", CALLS_OF_THE_MODEL.values(), ids=CALLS_OF_THE_MODEL
)


@model_calls
@pytest.mark.parametrize(
    "name",
    ["components_", "intercept_visible_", "intercept_hidden_", "visible_mean_"],
)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_parameters_that_are_not_finite_are_told_of(call, name, value, X):
    rbm = make().fit(X)
    getattr(rbm, name).flat[-1] = value
    with pytest.raises(ValueError, match=r"components_.* is not finite"):
        call(rbm, X)


@model_calls
def test_parameters_too_large_for_the_type_of_the_model_are_told_of(call):
    # Large enough for single precision.
    rbm = make(300, n_iter=1).fit(np.eye(64))
    rbm.intercept_hidden_ = rbm.intercept_hidden_.astype(np.float64)
    rbm.intercept_hidden_[2] = 1e39
    with pytest.raises(ValueError, match=r"components_.*too large for float32"):
        call(rbm, np.eye(64))


def test_going_on_from_parameters_too_large_for_training_is_refused(X):
    rbm = make().fit(X)
    rbm.intercept_hidden_ = [0.0, 1e39, 0.0]
    rbm.transform(X)  # in double precision, as a small model
    with pytest.raises(ValueError, match=r"components_.*too large for float32"):
        rbm.partial_fit(X)


@model_calls
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("components_", (2, 8)),
        ("components_", (8, 3)),
        ("intercept_visible_", (1,)),
        ("intercept_hidden_", (3, 1)),
        ("visible_mean_", (3,)),
    ],
)
def test_parameters_of_another_shape_are_told_of(call, name, shape, X):
    rbm = make().fit(X)
    setattr(rbm, name, np.zeros(shape))
    with pytest.raises(
        ValueError, match=r"shapes .* but .*\(\(3, 8\), \(8,\), \(3,\), \(8,\)\)"
    ):
        call(rbm, X)


def test_whoever_vouches_for_finite_parameters_is_believed(X):
    rbm = make().fit(X)
    rbm.components_[1, 2] = np.nan
    with config_context(assume_finite=True):
        missing = np.isnan(rbm.transform(X))
    np.testing.assert_array_equal(missing.any(axis=0), [False, True, False])


def test_hidden_rows_are_checked(X):
    rbm = make().fit(X)
    H = rbm.transform(X)
    H[3, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        rbm.inverse_transform(H)


def test_both_floating_types_are_said_to_be_kept():
    tags = make().__sklearn_tags__()
    assert tags.transformer_tags.preserves_dtype == ["float64", "float32"]
    assert tags.input_tags.sparse


def test_divergence_is_an_arithmetic_error():
    assert issubclass(DivergenceError, ArithmeticError)


@pytest.mark.parametrize("intercept", [-1000, 1000])
def test_units_that_are_certain_are_sampled_in_silence(intercept):
    rbm = with_model(random_model(8, 4))
    rbm.intercept_hidden_[...], rbm.intercept_visible_[...] = intercept, -intercept
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rbm.sample(20, n_gibbs_steps=3, random_state=0)
        log_partition(rbm, method="ais", betas=5, tolerance=1e9, random_state=0)


def test_a_score_that_never_beats_that_of_an_earlier_fit_did_not_fall(X, monkeypatch):
    scores = iter([-20.0, -20.0, *range(-21, -28, -1)])
    monkeypatch.setattr(
        _measures.Watch, "pseudo_log_likelihood", lambda *_: float(next(scores))
    )
    rbm = make(early_stopping=True, warm_start=True, n_iter=1, n_iter_no_change=7)
    with pytest.warns(ConvergenceWarning, match="still rising"):
        rbm.fit(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rbm.set_params(n_iter=7).fit(X)
    assert rbm.n_iter_ == 7


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_rows_held_out_stay_held_out_when_training_goes_on(X, monkeypatch):
    seen = []

    def recorded(*arguments):
        parts = split(*arguments)
        seen.append([part.chosen for part in parts])
        return parts

    monkeypatch.setattr(_estimator, "split", recorded)
    seed = np.random.RandomState(0)
    make(early_stopping=True, warm_start=True, random_state=seed).fit(X).fit(X)
    for first, again in zip(*seen, strict=True):
        np.testing.assert_array_equal(first, again)


def test_rows_that_are_kept_stay_in_their_order():
    for part in split(Selected(np.eye(60)), 0.25, 7):
        assert (np.diff(part.chosen) > 0).all()


def test_another_seed_starts_from_other_weights(X):
    first, second = (make(n_iter=0, random_state=seed).fit(X) for seed in (0, 1))
    assert (first.components_ != second.components_).all()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_monitor_counts_the_rows_trained_on(X, monkeypatch):
    counts = []

    class Recorded(_measures.Monitor):
        def __init__(self, state, n_rows, *rest):
            counts.append(n_rows)
            super().__init__(state, n_rows, *rest)

    monkeypatch.setattr(_measures, "Monitor", Recorded)
    make(early_stopping=True).fit(X)
    make().fit(X)
    assert counts == [54, 60]
