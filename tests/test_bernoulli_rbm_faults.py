"""A regression test for every known fault of scikit-learn's BernoulliRBM.

And for what it promises: whoever uses it changes the import and nothing else.
"""

import inspect
import warnings

import numpy as np
import pytest
from enumeration import log_likelihood
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import BernoulliRBM

from skrbm import BinaryCDRBM, DataRangeWarning

# The plain algorithm, as BernoulliRBM has it, but for the faults.
PLAIN = {
    "learning_rate": 0.1,
    "batch_size": 10,
    "learning_rate_schedule": "constant",
    "average": None,
    "statistics": "probabilities",
    "persistent": False,
    "sparsity_cost": 0.0,
    "n_jobs": 1,
    "random_state": 0,
}


def independent_bits(X):
    m = X.mean(axis=0)
    return (X * np.log(m) + (1 - X) * np.log(1 - m)).sum(axis=1).mean()


@pytest.fixture
def rows():
    """101 rows: with mini-batches of ten the last one has a single row."""
    rng = np.random.default_rng(0)
    cause = np.repeat(rng.random((101, 4)) < 0.4, 5, axis=1)
    return (cause ^ (rng.random((101, 20)) < 0.1)).astype(np.float64)


# -- the faults ------------------------------------------------------------------


def test_rows_are_shuffled():
    # Sorted by a unit that is on in the first half: in order, the visible intercept
    # has forgotten the first half by the end of the second.
    X = np.zeros((400, 3))
    X[:200, 0] = 1
    X[::2, 1:] = 1
    rbm = BinaryCDRBM(4, n_iter=1, centered=False, weight_scale=0.0, **PLAIN)
    rbm.set_params(learning_rate=0.5)
    on = {
        shuffle: clone(rbm)
        .set_params(shuffle=shuffle)
        .fit(X)
        .reconstruct(X)[:, 0]
        .mean()
        for shuffle in (True, False)
    }
    assert on[False] < 0.25
    assert 0.3 < on[True] < 0.7


@pytest.mark.parametrize("centered", [False, True])
def test_a_short_last_batch_does_not_bias_the_gradient(centered, rows):
    # BernoulliRBM: -16.4 on these rows, worse than independent bits at -13.6.
    rbm = BinaryCDRBM(8, n_iter=100, centered=centered, **PLAIN).fit(rows)
    assert log_likelihood(rbm, rows) > independent_bits(rows) + 2
    # The row more makes no more difference than a row does.
    without = clone(rbm).fit(rows[:100])
    assert abs(log_likelihood(without, rows) - log_likelihood(rbm, rows)) < 0.5


@pytest.mark.parametrize("chunk", [7, 25, 101])
def test_partial_fit_takes_any_chunk(chunk, rows):
    # BernoulliRBM: -17.1 to -18.2 in chunks of 25.
    rbm = BinaryCDRBM(8, weight_scale=0.1, **PLAIN)
    for _ in range(60):
        for start in range(0, 101, chunk):
            assert rbm.partial_fit(rows[start : start + chunk]) is rbm
    assert log_likelihood(rbm, rows) > independent_bits(rows) + 1


def test_score_samples_is_deterministic_and_blind_to_order(rows):
    rbm = BinaryCDRBM(4, n_iter=5, **PLAIN).fit(rows)
    scores = rbm.score_samples(rows)
    np.testing.assert_array_equal(rbm.score_samples(rows), scores)
    np.testing.assert_array_equal(rbm.score_samples(rows[::-1]), scores[::-1])


@pytest.mark.filterwarnings(
    "ignore:The hidden units have learnt"
)  # few rows teach little
def test_a_bare_grid_search_runs(rows):
    rbm = BinaryCDRBM(4, n_iter=60, weight_scale=0.1, **PLAIN)
    search = GridSearchCV(rbm, {"learning_rate": [1e-4, 0.1]}, cv=2).fit(rows)
    assert search.best_params_ == {"learning_rate": 0.1}
    assert search.best_score_ == search.cv_results_["mean_test_score"].max()


def wide_sparse_rows():
    """200 rows of 10,000 words, one in eight hundred of them on, in four topics."""
    rng = np.random.default_rng(0)
    p = np.full((4, 10_000), 0.001)
    for topic in range(4):
        p[topic, 250 * topic : 250 * (topic + 1)] = 0.012
    rows = rng.random((200, 10_000)) < p[rng.integers(4, size=200)]
    return sparse.csr_array(rows.astype(np.float32))


@pytest.mark.parametrize(
    ("changes", "collapse"),
    [
        ({"centered": True, "visible_intercept_init": "logit"}, False),
        ({"centered": False, "visible_intercept_init": "logit"}, False),
        ({"centered": True, "visible_intercept_init": 0.0}, False),
        # Negative control: what BernoulliRBM does, whose features are all 1.
        ({"centered": False, "visible_intercept_init": 0.0}, True),
    ],
)
def test_features_of_wide_sparse_rows_do_not_collapse(changes, collapse):
    X = wide_sparse_rows()
    rbm = BinaryCDRBM(10, n_iter=5, hidden_intercept_init=-1.0, **changes, **PLAIN)
    with warnings.catch_warnings():
        if collapse:
            warnings.simplefilter("ignore")  # of saturated units: so it should
        H = rbm.fit_transform(X)
    assert (H.min() > 0.99) == collapse
    assert (H.std(axis=0).mean() < 1e-3) == collapse


@pytest.mark.filterwarnings("ignore:The hidden units have learnt")  # the same
def test_features_of_wide_sparse_rows_differ_where_theirs_are_all_one():
    X = wide_sparse_rows()
    theirs = BernoulliRBM(10, n_iter=5, random_state=0).fit_transform(X)
    ours = BinaryCDRBM(10, random_state=0).fit_transform(X)
    assert theirs.min() > 0.99
    assert ours.std(axis=0).mean() > 100 * theirs.std(axis=0).mean()


def test_values_out_of_range_are_told(rows):
    with pytest.warns(DataRangeWarning):
        BinaryCDRBM(4, n_iter=1, **PLAIN).fit(16 * rows)


# -- the promise -----------------------------------------------------------------


def test_its_parameters_methods_and_attributes_are_here(rows):
    ours = inspect.signature(BinaryCDRBM).parameters
    for name, parameter in inspect.signature(BernoulliRBM).parameters.items():
        assert ours[name].kind == parameter.kind
    theirs = BernoulliRBM(4, n_iter=1, random_state=0).fit(rows)
    here = BinaryCDRBM(4, n_iter=1, random_state=0).fit(rows)
    public = {name for name in dir(theirs) if not name.startswith("_")}
    # An implementation detail without the underscore: states of its last batch.
    assert public - {"h_samples_"} <= set(dir(here))
    for name in ("components_", "intercept_hidden_", "intercept_visible_"):
        assert getattr(here, name).shape == getattr(theirs, name).shape
    assert here.transform(rows).shape == theirs.transform(rows).shape
    assert here.gibbs(rows).shape == theirs.gibbs(rows).shape
    assert here.gibbs(rows).dtype == theirs.gibbs(rows).dtype
    assert here.score_samples(rows).shape == theirs.score_samples(rows).shape


def test_its_model_gives_the_same_features_here(rows):
    theirs = BernoulliRBM(4, n_iter=3, random_state=0).fit(rows)
    here = BinaryCDRBM(4, n_iter=1, random_state=0).fit(rows)
    for name in ("components_", "intercept_hidden_", "intercept_visible_"):
        setattr(here, name, getattr(theirs, name))
    np.testing.assert_allclose(here.transform(rows), theirs.transform(rows), atol=1e-6)
    # Going on starts from what was set.
    here.set_params(learning_rate=1e-12).partial_fit(rows)
    np.testing.assert_allclose(here.components_, theirs.components_, atol=1e-6)
