"""Rows that count for more than one, and rows of one's own to validate with."""

import numpy as np
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler

from skrbm import BinaryCDRBM
from skrbm._core.rows import Selected, moments, visits
from skrbm.metrics import free_energy_gap_scorer, log_likelihood_scorer

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture
def X():
    return (np.random.default_rng(0).random((60, 6)) < 0.4).astype(float)


@pytest.fixture
def weights():
    return np.random.default_rng(1).integers(0, 3, size=60)


def make(**changes):
    return BinaryCDRBM(3, **{"n_iter": 3, "random_state": 0} | changes)


# -- weights -----------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1, 1e-9, 1e9])
def test_rows_are_visited_in_proportion_to_their_weights(scale, weights):
    rows = np.flatnonzero(np.arange(60) % 7)
    expected = weights[rows] * len(rows) / weights[rows].sum()
    total = np.zeros(60)
    offsets = (np.arange(1000) + 0.5) / 1000
    for offset in offsets:
        visited = visits(rows, weights * scale, offset)
        counts = np.bincount(visited, minlength=60)
        assert len(visited) == len(rows)
        assert (np.abs(counts[rows] - expected) < 1).all()
        total += counts
    np.testing.assert_allclose(total[rows] / 1000, expected, atol=2e-3)
    assert total[np.arange(60) % 7 == 0].sum() == 0


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("gaps", [False, True])
def test_moments_of_weighted_rows_are_those_of_repeated_rows(
    container, gaps, X, weights
):
    if gaps:
        X[np.random.default_rng(2).random(X.shape) < 0.3] = np.nan
    found = moments(Selected(container(X), None, weights.astype(float)), None)
    repeated = moments(Selected(container(np.repeat(X, weights, axis=0))), None)
    for ours, right in zip(found, repeated, strict=True):
        if not np.isscalar(right):
            np.testing.assert_allclose(ours, right, rtol=1e-12)


def test_scores_of_weighted_rows_are_those_of_repeated_rows(X, weights):
    rbm, repeated = make().fit(X), np.repeat(X, weights, axis=0)
    for scorer in (
        BinaryCDRBM.score,
        log_likelihood_scorer(method="exact"),
        free_energy_gap_scorer(X[:9]),
    ):
        found = scorer(rbm, X, sample_weight=weights)
        assert found == pytest.approx(scorer(rbm, repeated), rel=1e-9)
        assert found != pytest.approx(scorer(rbm, X), rel=1e-4)


def test_the_mean_gradient_of_weighted_rows_is_that_of_repeated_rows(X, weights):
    # One update of all rows, with probabilities and without decay: what is added to b
    # has a mean over seeds, within six of its standard errors.
    how = {
        "n_iter": 1,
        "batch_size": 10**6,
        "average": None,
        "sparsity_cost": 0,
        "weight_decay": 0,
        "learning_rate": 1.0,
        "statistics": "probabilities",
        "centered": False,
        "visible_intercept_init": 0.3,
        "weight_scale": 0.5,
    }
    repeated = np.repeat(X, weights, axis=0)

    def changes(rows, **fit):
        after = [
            make(**how).set_params(random_state=seed).fit(rows, **fit)
            for seed in range(200)
        ]
        return np.array([rbm.intercept_visible_ for rbm in after])

    ours, right = changes(X, sample_weight=weights), changes(repeated)
    error = np.sqrt((ours.var(axis=0) + right.var(axis=0)) / 200)
    assert (np.abs(ours.mean(axis=0) - right.mean(axis=0)) < 6 * error).all()
    # Negative control: not that of rows which all count alike.
    plain = changes(X)
    assert (np.abs(plain.mean(axis=0) - right.mean(axis=0)) > 6 * error).any()


def test_equal_weights_are_none_and_rows_without_weight_are_not_there(X):
    plain = make().fit(X)
    equal = make().fit(X, sample_weight=np.full(60, 7.0))
    np.testing.assert_array_equal(equal.components_, plain.components_)
    weights = np.ones(60)
    weights[20:] = 0
    X[20:] = 1 - X[20:]
    rbm = make(early_stopping=True).fit(X, sample_weight=weights)
    assert rbm._present_state().seen.n_rows <= 20
    assert (
        make().partial_fit(X, sample_weight=weights)._present_state().seen.n_rows == 20
    )


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(59), "shape .*59.* 60 rows"),
        (np.ones((60, 1)), "shape .* one weight for each row"),
        (np.zeros(60), "not only zero weights"),
        (np.full(60, -1.0), "no negative and not only"),
        (np.full(60, np.nan), "NaN"),
        (["a"] * 60, "could not convert|str"),
    ],
)
def test_weights_that_are_none_are_told_of(weights, message, X):
    for call in (make().fit, make().partial_fit, make().fit(X).score):
        with pytest.raises((ValueError, TypeError), match=message):
            call(X, sample_weight=weights)


def test_weights_reach_the_model_through_a_pipeline_and_a_search(X, weights):
    expected = make().fit(X, sample_weight=weights)
    with config_context(enable_metadata_routing=True):
        rbm = make().set_fit_request(sample_weight=True)
        scaler = MinMaxScaler()
        pipeline = make_pipeline(scaler, rbm).fit(X, sample_weight=weights)
        np.testing.assert_array_equal(pipeline[-1].components_, expected.components_)
        rbm = rbm.set_score_request(sample_weight=True)
        search = GridSearchCV(rbm, {"n_components": [2, 3]}, cv=2)
        search.fit(X, sample_weight=weights)
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()


# -- rows to validate with -----------------------------------------------------------


def test_rows_to_validate_with_are_scored_and_not_trained_on(X):
    valid = 1 - X[:20]
    plain, rbm = make().fit(X), make().fit(X, X_val=valid)
    np.testing.assert_array_equal(rbm.components_, plain.components_)
    for name in ("validation_score", "free_energy_gap"):
        assert np.isnan(plain.history_[name]).all()
        assert np.isfinite(rbm.history_[name]).all()
    score = make(average=None).fit(X, X_val=valid)
    assert score.history_["validation_score"][-1] == pytest.approx(
        score.score(valid), abs=1e-4
    )


def test_early_stopping_goes_by_rows_of_ones_own(X):
    how = {"early_stopping": True, "n_iter": 40, "n_iter_no_change": 2}
    rbm = make(**how).fit(X, X_val=1 - X[:20])
    assert rbm._present_state().seen.n_rows == 60  # none held out
    best = int(np.argmax(rbm.history_["validation_score"])) + 1
    assert rbm.kept_epoch_ == best
    again = make(**how).set_params(warm_start=True).fit(X, X_val=X[:20])
    assert again.n_iter_ >= 1


def test_rows_to_validate_with_come_through_the_steps_before_the_model(X):
    with config_context(enable_metadata_routing=True):
        pipeline = Pipeline(
            [
                ("scale", MinMaxScaler()),
                ("rbm", make().set_fit_request(X_val=True)),
                ("classify", LogisticRegression()),
            ],
            transform_input=["X_val"],
        )
        pipeline.fit(4 * X, X[:, 0], X_val=4 * X[:20])
    rbm = make().fit(X, X_val=X[:20])
    np.testing.assert_array_equal(
        pipeline["rbm"].history_["validation_score"], rbm.history_["validation_score"]
    )


def test_rows_to_validate_with_are_checked(X):
    with pytest.raises(ValueError, match="5 features"):
        make().fit(X, X_val=X[:, :5])
    with pytest.raises(ValueError, match="NaN"):
        make().fit(X, X_val=np.full((3, 6), np.nan))


# -- thresholds ----------------------------------------------------------------------


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_columns_have_thresholds_of_their_own(container, X):
    expected = make().fit(X)
    thresholds = np.array([0.5, 1, 2, 3, 4, 5])
    raw = np.where(X == 1, thresholds * 2, thresholds / 2)
    rbm = make(binarize=thresholds.tolist()).fit(container(raw))
    np.testing.assert_allclose(rbm.components_, expected.components_, atol=1e-6)
    np.testing.assert_allclose(rbm.transform(container(raw)), rbm.transform(raw))
    np.testing.assert_array_equal(rbm.threshold_, thresholds)
    assert rbm.score(container(raw)) == pytest.approx(expected.score(X), abs=1e-5)
    np.testing.assert_array_equal(
        rbm.gibbs(container(raw), random_state=0), rbm.gibbs(raw, random_state=0)
    )
    np.testing.assert_allclose(rbm.transform(raw), expected.transform(X), atol=1e-6)


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_thresholds_may_be_the_means_of_fit(container, X):
    raw = container(X * [1, 2, 3, 4, 5, 6])
    rbm = make(binarize="mean").fit(raw)
    np.testing.assert_allclose(rbm.threshold_, X.mean(axis=0) * [1, 2, 3, 4, 5, 6])
    expected = make().fit(X)
    np.testing.assert_allclose(rbm.components_, expected.components_, atol=1e-6)
    # They stay those of `fit`.
    few = container((X * [1, 2, 3, 4, 5, 6])[:3])
    np.testing.assert_allclose(rbm.transform(few), expected.transform(X[:3]), atol=1e-6)
    before = rbm.threshold_.copy()
    np.testing.assert_array_equal(rbm.partial_fit(few).threshold_, before)


def test_thresholds_that_do_not_fit_are_told_of(X):
    with pytest.raises(ValueError, match="binarize has 2 thresholds, but X has 6"):
        make(binarize=[0.5, 0.5]).fit(X)
    with pytest.raises(ValueError, match="zeros of a sparse matrix into ones"):
        make(binarize=[0.5] * 5 + [-1]).fit(sparse.csr_array(X))
    rbm = make()
    rbm.components_, rbm.intercept_hidden_ = np.ones((3, 6)), np.ones(3)
    rbm.intercept_visible_ = np.ones(6)
    with pytest.raises(ValueError, match='binarize="mean" has no means yet'):
        rbm.set_params(binarize="mean").transform(X)
    assert make(binarize=0.5).fit(X).threshold_ == 0.5
    assert make().fit(X).threshold_ is None
