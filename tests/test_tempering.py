"""Chains at several temperatures: exchanges, partition functions, masses of groups."""

import warnings

import numpy as np
import pytest
from enumeration import (
    FALSE_ALARM,
    chi_square,
    energies,
    indices,
    log_likelihood,
    random_model,
    states,
)
from scipy import sparse, stats
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning

from skrbm import BinaryCDRBM, _measures
from skrbm._core import partition
from skrbm._core.mixing import mixing
from skrbm._core.parameters import Parameters
from skrbm._core.sampling import Stream
from skrbm._core.tempering import Ladders, Tempering, log_ratio, respaced
from skrbm._core.threads import Workers
from skrbm.metrics import log_partition, sampling_diagnostics


class FixedUniforms:
    """Stands for a generator whose uniform numbers are all the same."""

    def __init__(self, value):
        self.value = value

    def random(self, shape):
        return np.full(shape, self.value)


def two_halves(n_rows=1000, n_units=20, every=2):
    """Rows that are all 1, one in so many, or all 0."""
    return np.repeat((np.arange(n_rows) % every == 0)[:, None], n_units, axis=1) * 1.0


# -- exchanges -------------------------------------------------------------------


def test_exchanges_leave_the_ladder_invariant():
    """By enumeration: over every pair of joint states at two temperatures."""
    model, betas = random_model(2, 2, scale=1.5), np.array([0.3, 1.0])
    U = -energies(model).ravel()  # of all 16 states (v, h)
    low, high = (part.ravel() for part in np.meshgrid(U, U, indexing="ij"))
    law = np.exp(betas[0] * low + betas[1] * high)
    law /= law.sum()
    # For which uniform numbers do the two exchange?  So often they do.
    swaps, n = np.zeros(len(law)), 4000
    for u in (np.arange(n) + 0.5) / n:
        ladders = Ladders(betas, np.zeros((2 * len(law), 2)), FixedUniforms(u))
        order = ladders._exchange(np.column_stack([low, high]))
        swaps += order[:, 0] % 2
    p = swaps / n
    mirror = np.arange(256).reshape(16, 16).T.ravel()  # the two states exchanged
    np.testing.assert_allclose(law * p, (law * p)[mirror], atol=law.max() / n)
    assert (p[low >= high] == 1).all()
    assert 0.01 < p[low < high].mean() < 0.9
    # Negative control: with the temperatures of others they would not.
    wrong = np.exp(0.5 * low + betas[1] * high)
    wrong /= wrong.sum()
    assert np.abs(wrong * p - (wrong * p)[mirror]).max() > 10 * law.max() / n


def laws(model, betas):
    """Return log p_beta(v) for every v and each temperature."""
    joint = -energies(model)
    return [logsumexp(beta * joint, axis=1) - logsumexp(beta * joint) for beta in betas]


def temper(model, betas, n_ladders, n_steps, seed=0, **how):
    """Return what ladders that start from rows of zeros have seen."""
    v = np.zeros((n_ladders, len(model.b)))
    with Workers() as workers:
        return Tempering(model, betas, v, seed, 0, workers).run(n_steps, **how)


def p_value_of_rows(model, betas, law):
    run = temper(model, betas, 20_000, 25)
    return chi_square(np.bincount(indices(run.v), minlength=16), np.exp(law))


@pytest.mark.parametrize("n_temperatures", [1, 2, 3, 4])
def test_chains_at_temperature_1_follow_the_model(n_temperatures):
    # False-alarm rate 1e-6 each.
    model = random_model(4, 3, scale=1.5)
    betas = np.linspace(0.2, 1, n_temperatures) if n_temperatures > 1 else np.ones(1)
    assert p_value_of_rows(model, betas, laws(model, [1.0])[0]) > FALSE_ALARM


def test_chains_at_another_temperature_are_found_out():
    # Negative control.
    model = random_model(4, 3, scale=1.5)
    betas = np.array([0.2, 0.6, 1.0])
    assert p_value_of_rows(model, betas, laws(model, [0.9])[0]) < FALSE_ALARM


def test_every_temperature_has_its_energies():
    # The mean of U at each; six standard errors over 4,000 ladders.
    model, betas = random_model(4, 3, scale=1.5), np.array([0.0, 0.4, 0.7, 1.0])
    U = temper(model, betas, 4000, 25, record=True).U[-1]
    table = -energies(model)
    for beta, found in zip(betas, U.T, strict=True):
        p = np.exp(beta * table - logsumexp(beta * table))
        error = np.sqrt((p * table**2).sum() - (p * table).sum() ** 2) / np.sqrt(4000)
        assert abs(found.mean() - (p * table).sum()) < 6 * error


def test_chains_that_all_exchange_go_round():
    # Without weights all energies are alike: every offer is accepted.
    model = Parameters(np.zeros((3, 2)), np.zeros(3), np.zeros(2))
    run = temper(model, np.linspace(0, 1, 3), 5, 60, record=True)
    np.testing.assert_allclose(run.rates, 1)
    # With three chains that all exchange a state is back after three steps or so.
    assert run.n_round_trips >= 5 * 60 / 6
    # Negative control: temperatures so far apart that none does.
    model = Parameters(np.full((30, 20), 3.0), np.zeros(30), np.zeros(20))
    run = temper(model, np.array([0.0, 1.0]), 5, 60, record=True)
    assert run.rates.max() < 1e-3
    assert run.n_round_trips == 0


def test_temperatures_are_spaced_by_rejections():
    betas = np.array([0.0, 0.5, 1.0])
    np.testing.assert_allclose(respaced(betas, np.array([0.4, 0.4])), betas)
    # All of the rejections are in the upper half.
    np.testing.assert_allclose(
        respaced(betas, np.array([1.0, 0.5]))[1], 0.75, atol=2e-3
    )
    spaced = respaced(np.linspace(0, 1, 9), np.full(8, 1.0))
    assert (np.diff(spaced) > 0).all()
    assert (spaced[0], spaced[-1]) == (0, 1)


# -- partition functions ---------------------------------------------------------


def z_scores(seeds, bias=0.0):
    """Return errors of log Z in standard errors, over models of any kind."""
    scores = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        n_features, n_components = rng.integers(3, 12, 2)
        model = random_model(n_features, n_components, rng.choice([0.3, 1, 2]), seed)
        model = model._replace(b=model.b - model.W.sum(axis=1) / 2)
        run = temper(model, np.linspace(0, 1, 8), 30, 150, seed, record=True)
        found = log_ratio(np.linspace(0, 1, 8), run.U[30:])
        value = found.value + partition.log_partition_of_coins(model) + bias
        with Workers() as workers:
            exact = partition.exact(model, workers)
        scores.append((value - exact) / found.standard_error)
    return np.array(scores)


def test_log_z_is_within_its_error_at_the_nominal_rate():
    # The error is estimated from 30 ladders: t with 29 degrees of freedom.  The sum of
    # squares of 200 of them is within six of its standard deviations of its mean, and
    # so is their mean: a false-alarm rate of 4e-9.
    scores, law = z_scores(range(200)), stats.t(29)
    spread = np.sqrt(law.moment(4) - law.var() ** 2)
    assert abs((scores**2).mean() - law.var()) < 6 * spread / np.sqrt(200)
    assert abs(scores.mean()) < 6 * law.std() / np.sqrt(200)
    # Negative control: a hundredth of a nat would have been seen.
    assert abs(z_scores(range(20), bias=0.1).mean()) > 6 * law.std() / np.sqrt(20)


def test_the_two_directions_err_to_their_sides():
    model = random_model(12, 8, scale=2.0)
    with Workers() as workers:
        exact = partition.exact(model, workers)
        exact -= partition.log_partition_of_coins(model)
    betas = np.array([0.0, 0.4, 1.0])  # so few that it shows
    found = [
        log_ratio(betas, temper(model, betas, 4, 100, seed, record=True).U[70:])
        for seed in range(40)
    ]
    forward = np.mean([one.forward for one in found])
    reverse = np.mean([one.reverse for one in found])
    value = np.mean([one.value for one in found])
    assert forward < value < reverse
    assert abs(value - exact) < min(abs(forward - exact), abs(reverse - exact))


def fitted(X, **changes):
    how = {"persistent": True, "random_state": 0, "n_jobs": 1} | changes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return BinaryCDRBM(16, **how).fit(X)


def test_log_partition_by_tempering():
    X = (np.random.default_rng(0).random((300, 24)) < 0.3) * 1.0
    rbm = fitted(X)
    exact = log_partition(rbm).value
    how = dict(method="tempering", n_chains=300, n_gibbs_steps=800, random_state=0)
    for rows in (None, X):
        found = log_partition(rbm, rows, **how)
        assert found.method == "tempering"
        assert abs(found.value - exact) < 6 * found.standard_error
        assert found.standard_error < 0.2
        assert abs(found.reverse - exact) < 0.5
    one, two = (log_partition(rbm, X, **how, n_jobs=n_jobs) for n_jobs in (1, 2))
    assert one == two


@pytest.mark.parametrize(
    ("method", "name", "owner"),
    [
        ("exact", "betas", "'ais'"),
        ("exact", "n_chains", "'ais' or 'tempering'"),
        ("ais", "n_temperatures", "'tempering'"),
        ("tempering", "betas", "'ais'"),
    ],
)
def test_arguments_of_another_method_are_refused(method, name, owner):
    rbm = BinaryCDRBM(2, n_iter=0).fit(np.eye(3))
    with pytest.raises(ValueError, match=f"{name} belongs to method={owner}"):
        log_partition(rbm, method=method, **{name: 5})


def test_ladders_with_a_gap_are_told_of():
    rbm = fitted(two_halves(n_units=100))
    with pytest.warns(ConvergenceWarning, match="cannot be trusted") as told:
        log_partition(
            rbm, method="tempering", n_temperatures=2, n_chains=40, random_state=0
        )
    assert told[0].filename == __file__


# -- groups of rows --------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_two_halves_have_their_masses(seed):
    X = two_halves()
    rbm = fitted(X, random_state=seed)
    p = [np.exp(log_likelihood(rbm, row[None])) for row in X[:2]]
    assert min(p) > 0.4
    assert max(p) < 0.6


def test_at_one_temperature_they_do_not():
    # Negative control.
    X = two_halves()
    rbm = fitted(X, n_temperatures=1)
    assert min(np.exp(log_likelihood(rbm, row[None])) for row in X[:2]) < 0.01


def groups(shares, n_units=50, n_rows=1000, noise=0.05):
    """Return rows near one of several patterns, and their mean log-likelihood."""
    rng, shares = np.random.default_rng(0), np.array(shares) / np.sum(shares)
    patterns = rng.random((len(shares), n_units)) < 0.5
    which = rng.choice(len(shares), n_rows, p=shares)
    X = patterns[which] ^ (rng.random((n_rows, n_units)) < noise)
    off = (X[:, None] != patterns).sum(axis=2)
    log_p = off * np.log(noise) + (n_units - off) * np.log(1 - noise)
    return X * 1.0, logsumexp(np.log(shares) + log_p, axis=1).mean()


@pytest.mark.parametrize("shares", [[1, 1], [9, 1], [4, 3, 2, 1]])
def test_groups_of_rows_are_learnt_to_within_half_a_nat(shares):
    X, truth = groups(shares)
    assert log_likelihood(fitted(X), X) > truth - 0.5


@pytest.mark.parametrize("shares", [[1, 1], [2, 1, 1]])
def test_groups_that_chains_do_not_move_between_are_told_of(shares):
    X, _ = groups(shares)
    with pytest.warns(ConvergenceWarning, match='do not move.*n_temperatures="auto"'):
        BinaryCDRBM(16, persistent=True, n_temperatures=1, random_state=0).fit(X)
    with warnings.catch_warnings():  # negative control
        warnings.simplefilter("error")
        BinaryCDRBM(16, persistent=True, random_state=0).fit(X)


@pytest.mark.parametrize("n_temperatures", [1, "auto"])
@pytest.mark.parametrize("seed", range(3))
def test_rows_without_groups_are_not_told_of(seed, n_temperatures):
    model = random_model(12, 4, scale=1.0, seed=seed)
    law = np.exp(laws(model, [1.0])[0])
    X = states(12)[np.random.default_rng(seed).choice(4096, 500, p=law)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        BinaryCDRBM(
            8, persistent=True, n_temperatures=n_temperatures, random_state=seed
        ).fit(X)


def test_samples_come_from_groups_in_their_shares():
    # The binomial test of the share that the model itself gives: false-alarm rate 1e-6.
    X = two_halves()
    rbm = fitted(X)
    p = np.array([np.exp(log_likelihood(rbm, row[None])) for row in X[:2]])
    V = rbm.sample(400, random_state=0)
    n_on = int((V.mean(axis=1) > 0.5).sum())
    assert stats.binomtest(n_on, 400, p[0] / p.sum()).pvalue > FALSE_ALARM
    # Started all from one half, on request.
    V = rbm.gibbs(np.zeros((400, 20)), 1000, n_temperatures=5, random_state=0)
    n_on = int((V.mean(axis=1) > 0.5).sum())
    assert stats.binomtest(n_on, 400, p[0] / p.sum()).pvalue > FALSE_ALARM
    # Negative control: without temperatures they stay.
    assert (
        not rbm.gibbs(np.zeros((400, 20)), 100, random_state=0).mean(axis=1).max() > 0.5
    )


def test_samples_that_stay_in_groups_are_told_of():
    rbm = fitted(two_halves())
    with pytest.warns(ConvergenceWarning, match="stayed in separate groups"):
        rbm.sample(100, n_temperatures=1, random_state=0)
    with warnings.catch_warnings():  # negative control
        warnings.simplefilter("error")
        rbm.sample(100, random_state=0)


def test_diagnostics_say_whether_samples_can_be_trusted():
    X = two_halves()
    rbm = fitted(X)
    good = sampling_diagnostics(rbm, X, random_state=0)
    assert good.trusted
    assert good.n_round_trips > 100
    assert good.exchange_rates.shape == (4,)
    assert good.exchange_rates.min() > 0.1
    difference = np.abs(good.sample_mean - good.row_mean)
    assert (difference < 6 * good.standard_error).all()
    stuck = sampling_diagnostics(rbm, X, n_temperatures=1, random_state=0)
    assert not stuck.trusted
    assert stuck.stuck > 0.9
    lost = sampling_diagnostics(
        fitted(X, n_temperatures=1), X, n_temperatures=5, random_state=0
    )
    assert not lost.trusted
    assert lost.shift > 0.5


def test_mixing_measures_shifts_and_spreads_in_deviations_of_the_rows():
    rows = two_halves(400, 6)
    found = mixing(np.full((20, 6), 0.5), rows)
    assert (found.shift, found.stuck) == pytest.approx((0, 0), abs=1e-6)
    assert mixing(rows[:40], rows).stuck == pytest.approx(1, abs=0.02)
    # A mean of 0.75 is half a standard deviation off.
    assert mixing(np.full((20, 6), 0.75), rows).shift == pytest.approx(0.5, abs=1e-6)
    assert mixing(np.zeros((20, 6)), np.zeros((9, 6))) == (0, 0, 0)  # all rows alike


# -- training --------------------------------------------------------------------


def test_sparse_rows_are_tempered_as_dense_ones(X):
    how = dict(n_iter=2, n_temperatures=3, n_chains=12, learning_rate=0.1)
    dense, other = fitted(X, **how), fitted(sparse.csr_array(X), **how)
    np.testing.assert_allclose(other.components_, dense.components_, atol=1e-4)


@pytest.mark.parametrize("n_jobs", [2, 3])
def test_tempered_training_is_the_same_on_any_number_of_threads(n_jobs):
    X = (np.random.default_rng(0).random((400, 300)) < 0.3) * 1.0
    how = dict(n_iter=1, batch_size=200, n_chains=1000, n_temperatures=5)
    one = BinaryCDRBM(128, persistent=True, random_state=0, n_jobs=1, **how).fit(X)
    other = BinaryCDRBM(128, persistent=True, random_state=0, n_jobs=n_jobs, **how)
    np.testing.assert_array_equal(other.fit(X).components_, one.components_)


@pytest.mark.parametrize("n_chains", [3, 4, 40])
def test_as_many_temperatures_as_there_are_chains_for(n_chains, X):
    rbm = fitted(X, n_iter=1, n_chains=n_chains, n_temperatures=5)
    state = rbm._state["state"]
    assert len(state["chains"]) <= n_chains
    assert len(state["chains"]) % len(state["betas"]) == 0


def test_the_likelihood_is_measured_as_training_goes(X):
    # Over epochs within six of its standard errors, but for what the chains lag behind.
    X = np.tile(X, (20, 1))
    rbm = fitted(X, n_iter=6, average=None)
    exact = []

    def keep(meter, model, mean_free_energy):
        with Workers() as workers:
            exact.append(-mean_free_energy - partition.exact(model, workers))
        return real(meter, model, mean_free_energy)

    real = _measures.LikelihoodMeter.measure
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_measures.LikelihoodMeter, "measure", keep)
        history = fitted(X, n_iter=6, average=None).history_
    np.testing.assert_array_equal(
        history["log_likelihood"], rbm.history_["log_likelihood"]
    )
    off = np.abs(history["log_likelihood"] - exact)
    assert (off < 0.1 + 6 * history["log_likelihood_error"]).all()
    assert history["log_likelihood_error"].max() < 0.5


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_early_stopping_goes_by_the_likelihood(X, monkeypatch, capsys):
    path = iter([(-5, 0.1), (-4, 0.1), (-3.9, 0.1), (-3.8, 0.1), (-3.75, 0.1)])
    monkeypatch.setattr(
        _measures.LikelihoodMeter,
        "measure",
        lambda *_: _measures.Likelihood(*next(path)),
    )
    pseudo = iter([-9.0, -10.0, -11.0, -12.0, -13.0])
    monkeypatch.setattr(
        _measures.Watch, "pseudo_log_likelihood", lambda *_: next(pseudo)
    )
    rbm = fitted(X, early_stopping=True, n_iter_no_change=3, n_iter=9, verbose=True)
    # From the third on it rises by less than twice its error, and stops.
    assert rbm.n_iter_ == 5
    assert rbm._present_state().epoch == 2
    assert rbm.history_["log_likelihood"].tolist() == [-5, -4, -3.9, -3.8, -3.75]
    assert ", log-likelihood -4.00, " in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_where_the_meter_has_no_value_the_pseudo_likelihood_decides(X, monkeypatch):
    monkeypatch.setattr(
        _measures.LikelihoodMeter, "measure", lambda *_: _measures.Likelihood()
    )
    pseudo = iter([-9.0, -8.0, -10.0, -11.0])
    monkeypatch.setattr(
        _measures.Watch, "pseudo_log_likelihood", lambda *_: next(pseudo)
    )
    rbm = fitted(X, early_stopping=True, n_iter_no_change=2, n_iter=9)
    assert rbm.n_iter_ == 4
    assert rbm._present_state().epoch == 2


def test_streams_of_ladders_are_their_own():
    keys = []

    class Recorded(Stream):
        def __init__(self, *key):
            keys.append(key)
            super().__init__(*key)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("skrbm._core.tempering.Stream", Recorded)
        temper(random_model(30, 20), np.linspace(0, 1, 3), 5000, 1)
    assert len(keys) > 1
    assert len(set(keys)) == len(keys)
