"""Models whose parameters come from elsewhere: set by hand, or of BernoulliRBM."""

import pickle

import numpy as np
import pytest
from enumeration import states
from scipy.special import expit
from sklearn.exceptions import NotFittedError
from sklearn.neural_network import BernoulliRBM
from sklearn.pipeline import make_pipeline

from skrbm import BinaryCDRBM
from skrbm.metrics import log_likelihood, log_partition, sampling_diagnostics


@pytest.fixture
def X():
    return (np.random.default_rng(0).random((60, 6)) < 0.4).astype(float)


def by_hand(n_visible=6, n_hidden=3, **changes):
    rng = np.random.default_rng(1)
    rbm = BinaryCDRBM(n_hidden, random_state=0, **changes)
    rbm.components_ = rng.normal(size=(n_hidden, n_visible))
    rbm.intercept_hidden_ = rng.normal(size=n_hidden)
    rbm.intercept_visible_ = rng.normal(size=n_visible)
    return rbm


def test_three_attributes_make_a_model_that_answers_all_queries(X):
    rbm = by_hand()
    c, W = rbm.intercept_hidden_, rbm.components_
    np.testing.assert_allclose(rbm.transform(X), expit(c + X @ W.T), rtol=1e-12)
    assert np.exp(log_likelihood(rbm, states(6))).sum() == pytest.approx(1)
    assert rbm.n_features_in_ == 6
    assert rbm.get_feature_names_out().tolist() == [f"binarycdrbm{j}" for j in range(3)]
    assert rbm.sample(5).shape == rbm.gibbs(X[:5]).shape == (5, 6)
    exact = log_partition(rbm).value
    for method in ("ais", "tempering"):
        estimate = log_partition(rbm, method=method, random_state=0)
        assert estimate.value == pytest.approx(exact, abs=0.1)
    assert sampling_diagnostics(rbm, rbm.sample(200), random_state=0).trusted
    with pytest.raises(ValueError, match="5 features"):
        rbm.transform(X[:, :5])
    assert pickle.loads(pickle.dumps(rbm)).score(X) == rbm.score(X)


@pytest.mark.parametrize(
    "missing", ["components_", "intercept_hidden_", "intercept_visible_"]
)
def test_two_attributes_make_none(missing, X):
    rbm = by_hand()
    delattr(rbm, missing)
    with pytest.raises(NotFittedError):
        rbm.transform(X)


def test_chains_start_at_the_visible_intercepts_where_no_mean_is_known():
    rbm = by_hand()
    rbm.intercept_visible_ = np.array([50.0, -50, 50, -50, 50, -50])
    rbm.components_ *= 0
    on = rbm.sample(20, n_gibbs_steps=1)
    np.testing.assert_array_equal(on, np.tile([True, False], (20, 3)))


@pytest.mark.parametrize("how", ["partial_fit", "fit"])
def test_a_model_by_hand_is_trained_on(how, X):
    rbm = by_hand(learning_rate=1e-6, warm_start=True, n_iter=1, average=None)
    before = rbm.components_.copy()
    getattr(rbm, how)(X)
    assert 0 < np.abs(rbm.components_ - before).max() < 1e-3
    np.testing.assert_allclose(rbm.visible_mean_, X.mean(axis=0))


def test_a_model_by_hand_of_another_size_is_not_trained_on(X):
    rbm = by_hand().set_params(n_components=5)
    assert rbm.transform(X).shape == (60, 3)
    with pytest.raises(ValueError, match=r"n_components=5, but the model .* has 3"):
        rbm.partial_fit(X)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_bernoulli_rbm_is_taken_over_exactly_and_given_back(dtype, X):
    theirs = BernoulliRBM(4, learning_rate=0.05, n_iter=3, random_state=0)
    theirs.fit(X.astype(dtype))
    ours = BinaryCDRBM.from_bernoulli_rbm(theirs)
    for name in ("components_", "intercept_hidden_", "intercept_visible_"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
        assert getattr(ours, name) is not getattr(theirs, name)
    assert ours.get_params()["learning_rate"] == 0.05
    assert ours.persistent
    np.testing.assert_allclose(ours.transform(X), theirs.transform(X), rtol=1e-5)
    back = ours.to_bernoulli_rbm()
    np.testing.assert_array_equal(back.transform(X), theirs.transform(X))
    assert back.get_feature_names_out().tolist() == [
        f"bernoullirbm{j}" for j in range(4)
    ]
    back.partial_fit(X)


def test_a_trained_model_becomes_a_bernoulli_rbm(X):
    ours = BinaryCDRBM(4, n_iter=2, random_state=0).fit(X)
    theirs = ours.to_bernoulli_rbm()
    np.testing.assert_allclose(theirs.transform(X), ours.transform(X), rtol=1e-5)
    np.testing.assert_array_equal(theirs.components_, ours.components_)
    assert theirs.learning_rate == ours.resolved_params_["learning_rate"]
    before = ours.components_.copy()
    theirs.partial_fit(X)
    np.testing.assert_array_equal(ours.components_, before)
    again = BinaryCDRBM.from_bernoulli_rbm(ours.to_bernoulli_rbm())
    np.testing.assert_array_equal(again.transform(X), ours.transform(X))


def test_names_of_columns_travel(X):
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame(X, columns=list("abcdef"))
    ours = BinaryCDRBM(2, n_iter=1, random_state=0).fit(X)
    back = BinaryCDRBM.from_bernoulli_rbm(ours.to_bernoulli_rbm())
    assert back.feature_names_in_.tolist() == list("abcdef")


def test_what_cannot_be_converted_is_told(X):
    fitted = BernoulliRBM(2, n_iter=1).fit(X)
    with pytest.raises(TypeError, match=r"got Pipeline. Take the last step"):
        BinaryCDRBM.from_bernoulli_rbm(make_pipeline(fitted))
    with pytest.raises(NotFittedError):
        BinaryCDRBM.from_bernoulli_rbm(BernoulliRBM())
    with pytest.raises(NotFittedError):
        BinaryCDRBM().to_bernoulli_rbm()
    rbm = BinaryCDRBM(2, n_iter=1, binarize=0.5).fit(X)
    with pytest.raises(ValueError, match=r"binarize=0.5.*Binarizer"):
        rbm.to_bernoulli_rbm()


@pytest.mark.parametrize("n_temperatures", [1, 3])
@pytest.mark.parametrize("container", [np.asarray, list])
def test_gibbs_takes_one_row(n_temperatures, container, X):
    rbm = by_hand()
    how = {"n_steps": 5, "n_temperatures": n_temperatures, "random_state": 0}
    row = rbm.gibbs(container(X[0]), **how)
    np.testing.assert_array_equal(row, rbm.gibbs(X[:1], **how)[0])
    assert row.shape == (6,)


def test_a_row_of_a_frame_keeps_its_names(X):
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame(X, columns=list("abcdef"))
    rbm = BinaryCDRBM(2, n_iter=1, random_state=0).fit(X)
    assert rbm.gibbs(X.iloc[0], random_state=0).shape == (6,)  # no warning either


def test_a_row_may_be_a_series_of_polars(X):
    pl = pytest.importorskip("polars")
    rbm, row = by_hand(), pl.Series(X[0])
    np.testing.assert_array_equal(
        rbm.gibbs(row, random_state=0), rbm.gibbs(X[0], random_state=0)
    )
    assert rbm.sample(2, given=row, n_gibbs_steps=1).shape == (2, 6)
