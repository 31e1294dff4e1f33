"""The same seed and the same data: the same bits."""

import pickle
import subprocess
import sys
import textwrap

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from skrbm import BinaryCDRBM
from skrbm._core.contrastive_divergence import count_shares
from skrbm._core.threads import worth_sharing

SETTINGS = {
    "plain": {"centered": False},
    "centred": {"centered": True},
    "persistent": {"persistent": True, "n_chains": 7, "average": 0.1},
    "early": {"early_stopping": True, "n_iter_no_change": 1, "tol": 100.0},
}
settings = pytest.mark.parametrize("changes", SETTINGS.values(), ids=SETTINGS)


def make(**changes):
    return BinaryCDRBM(
        4, n_iter=3, learning_rate=0.1, batch_size=7, random_state=3, **changes
    )


def digest(rbm):
    return joblib.hash([rbm.components_, rbm.intercept_visible_, rbm.intercept_hidden_])


@settings
def test_two_fits_agree(changes, X):
    rbm = make(**changes)
    first = digest(rbm.fit(X))
    assert digest(rbm.fit(X)) == first
    assert digest(clone(rbm).fit(X)) == first
    assert digest(pickle.loads(pickle.dumps(rbm)).fit(X)) == first
    assert digest(pickle.loads(pickle.dumps(make(**changes))).fit(X)) == first
    assert digest(make(**changes, verbose=1).fit(X)) == first
    assert digest(make(**changes).set_output(transform="pandas").fit(X)) == first


@settings
def test_another_seed_does_not(changes, X):
    assert digest(make(**changes).fit(X)) != digest(
        make(**changes).set_params(random_state=4).fit(X)
    )


def test_a_random_state_gives_what_its_seed_gives(X):
    assert digest(
        make().set_params(random_state=np.random.RandomState(3)).fit(X)
    ) == digest(make().fit(X))


def test_no_seed_gives_another_model_each_time(X):
    rbm = make().set_params(random_state=None)
    assert digest(rbm.fit(X)) != digest(rbm.fit(X))


def test_the_global_generators_are_left_alone(X):
    np.random.seed(0)  # noqa: NPY002
    expected = np.random.random(3)  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    make().fit(X).sample(3, n_gibbs_steps=2)
    np.testing.assert_array_equal(np.random.random(3), expected)  # noqa: NPY002


def test_another_process_agrees(X, tmp_path):
    np.save(tmp_path / "X.npy", X)
    script = """
        import sys, joblib, numpy as np
        from skrbm import BinaryCDRBM
        rbm = BinaryCDRBM(4, n_iter=3, learning_rate=0.1, batch_size=7, random_state=3)
        rbm.set_params(centered=True).fit(np.load(sys.argv[1]))
        parameters = rbm.components_, rbm.intercept_visible_, rbm.intercept_hidden_
        print(joblib.hash(list(parameters)))
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), tmp_path / "X.npy"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == digest(make(centered=True).fit(X))


def wide():
    return (np.random.default_rng(0).random((2200, 784)) < 0.2).astype(np.uint8)


def make_wide(**changes):
    return BinaryCDRBM(
        500, n_iter=1, batch_size=1030, learning_rate=0.05, random_state=0, **changes
    )


@pytest.mark.parametrize("changes", [{}, {"persistent": True, "n_chains": 60}])
def test_the_number_of_threads_never_shows(changes):
    X = wide()
    assert count_shares(1030, 1030, 1030, 784 * 500, 32) > 3
    one = make_wide(n_jobs=1, **changes).fit(X)
    for n_jobs in (2, 3, -1, None):
        other = make_wide(n_jobs=n_jobs, **changes).fit(X)
        assert digest(other) == digest(one)
    assert worth_sharing(len(X) * 784 * 500, 784 * 500)
    for query in ("transform", "reconstruct", "score_samples", "free_energy"):
        np.testing.assert_array_equal(getattr(other, query)(X), getattr(one, query)(X))


@pytest.mark.parametrize(("n_jobs", "limit"), [(2, 1), (None, 2)])
def test_the_number_of_threads_of_blas_does_not_show_in_samples(limit, n_jobs):
    # For these shapes products differ with the threads that BLAS takes.
    rbm = make_wide(n_jobs=1, weight_scale=0.1, persistent=True).fit(wide())
    chains = [
        lambda: rbm.sample(2000, n_gibbs_steps=5, random_state=0),
        lambda: rbm.gibbs(np.tile(wide(), (2, 1))[:2000], 5, random_state=0),
    ]
    with threadpool_limits(1):
        expected = [chain() for chain in chains]
    rbm.set_params(n_jobs=n_jobs)
    with threadpool_limits(limit):
        for chain, states in zip(chains, expected, strict=True):
            np.testing.assert_array_equal(chain(), states)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_large_activations_pass_in_silence_on_any_thread(n_jobs):
    # exp(-x) overflows on its way to the right limit, in every thread.
    X = wide()
    rbm = make_wide(n_jobs=n_jobs, centered=False, weight_scale=0.0)
    rbm.set_params(hidden_intercept_init=-100.0, n_iter=0).fit(X)
    rbm.set_params(warm_start=True, n_iter=1)
    with pytest.warns(match="dead"):
        rbm.fit(X)
    rbm.transform(X)
    rbm.score_samples(X[:5])
