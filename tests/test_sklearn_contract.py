"""scikit-learn's own checks."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

from skrbm import BinaryCDRBM

pytestmark = [
    # The checks feed blobs and normal numbers; outside [0, 1] we must warn.
    pytest.mark.filterwarnings("ignore::skrbm.DataRangeWarning"),
    # On such data, after so few epochs, units may well die: not what is tested here.
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    # 1.6 and 1.7 warn of checks that they themselves skip.
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning"),
]

CONFIGURATIONS = [
    {},
    {"persistent": True, "n_chains": 10, "n_gibbs_steps": 2},
    {"statistics": "states", "centered": False, "average": 2},
    {"binarize": 0.5, "momentum": 0.5, "weight_decay": 1e-3},
    {"early_stopping": True, "n_iter_no_change": 2},
    {"handle_missing": "sample"},
    # Not warm_start: some checks fit twice, and a second fit goes on from the first.
    {"n_jobs": 2, "shuffle": False, "learning_rate_schedule": "linear"},
]


# Mini-batches are drawn: that a row with the weight 2 is trained on as often as a row
# that is there twice holds in the mean, not in the bits.
EXPECTED = dict.fromkeys(
    (
        "check_sample_weight_equivalence_on_dense_data",
        "check_sample_weight_equivalence_on_sparse_data",
    ),
    "rows are drawn in proportion to their weights",
)
CHECKS = parametrize_with_checks(
    [BinaryCDRBM(n_components=8, n_iter=3, **changes) for changes in CONFIGURATIONS],
    expected_failed_checks=lambda _: EXPECTED,
).mark


# A list where scikit-learn < 1.8 gives a generator, which pytest 9 warns of.
@pytest.mark.parametrize(CHECKS.args[0], list(CHECKS.args[1]), **CHECKS.kwargs)
def test_every_check(estimator, check):
    check(estimator)


def test_a_model_of_the_default_size_passes():
    check_estimator(BinaryCDRBM(n_iter=3), expected_failed_checks=EXPECTED)  # 256 units


def test_a_subclass_may_have_parameters_of_its_own():
    class Small(BinaryCDRBM):
        def __init__(self, n_components=2, name=None):
            super().__init__(n_components, n_iter=1, random_state=0)
            self.name = name

    X = np.eye(4)
    rbm = clone(Small(3, name="a").fit(X)).fit(X)
    assert rbm.get_params() == {"n_components": 3, "name": "a"}
    ours = BinaryCDRBM(3, n_iter=1, random_state=0).fit(X)
    np.testing.assert_array_equal(rbm.transform(X), ours.transform(X))
