"""Draws of units: exact where enumeration can tell, chi-square where it cannot."""

import numpy as np
import pytest
from enumeration import FALSE_ALARM, chi_square, indices, kernel, random_model, states
from scipy import sparse, stats

from skrbm._core import sampling
from skrbm._core.operations import sigmoid
from skrbm._core.sampling import (
    Stream,
    bernoulli,
    draw_rare,
    gibbs_chain,
    settle,
    successes,
)
from skrbm._core.threads import Workers


class FixedRest:
    """Stands for a generator whose uniform numbers are given."""

    def __init__(self, values):
        self.values = np.asarray(values)

    def random(self, size):
        return np.resize(self.values, size)


# -- streams ---------------------------------------------------------------------


def test_a_stream_depends_on_its_root_and_its_key_alone():
    draw = lambda *key: Stream(*key).random(4).tolist()  # noqa: E731
    assert draw(1, 2, 3) == draw(1, 2, 3)
    keys = [(1, 2, 3), (1, 3, 2), (1, 2), (2, 2, 3), (1,), (2**127, 2, 3)]
    assert len({tuple(draw(*key)) for key in keys}) == len(keys)


def test_parts_of_a_stream_are_streams_of_their_own():
    whole, again = Stream(1, 2), Stream(1, 2)
    drawn = [rng.random(4).tolist() for rng in whole.parts(3)]
    assert len(set(map(tuple, drawn))) == 3
    assert drawn[0] == Stream(1, 2).random(4).tolist()
    # Whatever else has been drawn before, and going on where they left off.
    assert again.parts(2)[1].random(4).tolist() == drawn[1]
    assert again.parts(3)[1].random(4).tolist() != drawn[1]


# -- one draw --------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_probability_is_met_exactly_over_all_words(dtype):
    # All 128 words, each with 1024 equally likely continuations: the share of ones
    # is p itself for every p that is a multiple of 1 / (128 * 1024).
    words = np.repeat(np.arange(128, dtype=np.uint8), 1024)
    rng = FixedRest((np.arange(1024) + 0.5) / 1024)
    unit = 128 * 1024
    some = np.random.default_rng(0).integers(1, unit, 200)
    for k in [0, 1, 2, 1023, 1024, 1025, unit // 2, unit - 1024, unit - 1, unit, *some]:
        scaled = np.full(words.shape, 128 * k / unit, dtype)
        on = settle(scaled, words, rng)
        assert on.dtype == bool
        assert on.sum() == k


@pytest.mark.parametrize("word", [np.uint8, np.uint16])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rest", [0.0, 0.5, 1 - 2**-53])
@pytest.mark.parametrize("p", [0, 1])
def test_zero_and_one_are_certain(p, rest, dtype, word):
    words = np.arange(np.iinfo(word).max // 2 + 1, dtype=word)
    scaled = np.full(words.shape, p * len(words), dtype)
    on = settle(scaled, words, FixedRest([rest]))
    assert (on == p).all()


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 1001])
def test_any_number_of_draws(size):
    p = np.full(size, 0.5, np.float32)
    assert bernoulli(p, Stream(0)).shape == (size,)


@pytest.mark.parametrize("size", [10, 5000])  # few and many
@pytest.mark.parametrize("p", [-0.5, 0, 1, 1.5, 2, 1e9])
def test_probabilities_out_of_range_are_certain(p, size):
    # Twice as many as a word has values would wrap round to none.
    draws = bernoulli(np.full(size, p, np.float32), Stream(0))
    assert (draws == (p > 0)).all()


@pytest.mark.parametrize("shape", [(5, 7), (50, 70)])
def test_scratch_may_be_the_probabilities(shape):
    p = np.random.default_rng(0).random(shape, np.float32)
    expected = bernoulli(p, Stream(0))
    assert expected.dtype == bool
    for scratch in (np.empty_like(p), p):
        np.testing.assert_array_equal(bernoulli(p, Stream(0), scratch), expected)


def p_value_of_draws(p, draw):
    """Return the two-sided p-value of the number of ones among 20 times 2^20."""
    rng = Stream(0)
    ones = sum(int(draw(np.full(1 << 20, p, np.float32), rng).sum()) for _ in range(20))
    return stats.binomtest(ones, 20 << 20, float(np.float32(p))).pvalue


@pytest.mark.parametrize("p", [1.1e-6, 0.3, 1 - 1.1e-6])
def test_draws_have_their_probability(p):
    # False-alarm rate 1e-6 each.
    assert p_value_of_draws(p, bernoulli) > FALSE_ALARM


@pytest.mark.parametrize("p", [1.1e-6, 1 - 1.1e-6])
def test_draws_without_the_tie_rule_do_not(p):
    # Negative control: sixteen bits alone, off by less than 1 / 65536.
    def truncated(p, rng):
        return rng.integers(2**16, size=p.shape, dtype=np.uint16) < np.floor(p * 2**16)

    assert p_value_of_draws(p, truncated) < FALSE_ALARM


def grid_p_value(draw):
    p = np.linspace(0.01, 0.99, 64, dtype=np.float32)
    n = 20_000
    ones = draw(np.tile(p, (n, 1)), Stream(1)).sum(axis=0, dtype=np.float64)
    statistic = ((ones - n * p) ** 2 / (n * p * (1 - p))).sum()
    return stats.chi2.sf(statistic, len(p))


def test_draws_of_many_probabilities_at_once():
    # False-alarm rate 1e-6.
    assert grid_p_value(bernoulli) > FALSE_ALARM


def test_draws_of_slightly_wrong_probabilities_are_found_out():
    # Negative control: one per cent of an activation.
    def wrong(p, rng):
        return bernoulli(p + np.float32(0.04) * p * (1 - p), rng)

    assert grid_p_value(wrong) < FALSE_ALARM


def test_neighbouring_draws_are_independent():
    # Four draws share one 64-bit word.  False-alarm rate 1e-6.
    bits = bernoulli(np.full((200_000, 4), 0.5, np.float32), Stream(2))
    counts = np.bincount(indices(bits), minlength=16)
    assert chi_square(counts, np.full(16, 1 / 16)) > FALSE_ALARM


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (31, 41), (50, 70)])
def test_what_is_certain_is_certain(shape, dtype):
    for scratch in (None, np.empty(shape, dtype)):
        assert bernoulli(np.ones(shape, dtype), Stream(0), scratch).all()
        assert not bernoulli(np.zeros(shape, dtype), Stream(0), scratch).any()
        with np.errstate(invalid="ignore"):  # see sigmoid
            nan = np.full(shape, np.nan, dtype)
            assert not bernoulli(nan, Stream(0), scratch).any()


# -- rows and chains -------------------------------------------------------------


def chain_p_value(model, n_steps, law):
    """Return the p-value of where chains from one v end, under a law over all v."""
    v = np.tile(np.array([1, 0, 1, 0], np.float32), (50_000, 1))
    end = gibbs_chain(model.astype(np.float32), v, n_steps, Stream(3), Workers())
    return chi_square(np.bincount(indices(end), minlength=16), law)


@pytest.mark.parametrize("n_steps", [1, 2, 3])
def test_chains_follow_the_enumerated_kernel(n_steps):
    # False-alarm rate 1e-6 each.
    model = random_model(4, 3, scale=1)
    law = np.linalg.matrix_power(kernel(model), n_steps)[0b1010]
    assert chain_p_value(model, n_steps, law) > FALSE_ALARM


def test_chains_of_another_length_are_found_out():
    # Negative control.
    model = random_model(4, 3, scale=1)
    assert chain_p_value(model, 2, kernel(model)[0b1010]) < FALSE_ALARM


def test_chains_take_sparse_rows_and_leave_them_alone():
    model = random_model(4, 3).astype(np.float32)
    V = states(4).astype(np.float32)
    rows = sparse.csr_array(V)
    end = gibbs_chain(model, rows, 2, Stream(0), Workers())
    np.testing.assert_array_equal(end, gibbs_chain(model, V, 2, Stream(0), Workers()))
    np.testing.assert_array_equal(rows.toarray(), states(4))


# -- rare units ------------------------------------------------------------------


@pytest.mark.parametrize("n_trials", [0, 1, 2, 100, 10_000])
@pytest.mark.parametrize("p", [1 / 128, 0.5, 1.0])
def test_successes_are_among_the_trials_in_order(p, n_trials):
    places = successes(n_trials, p, Stream(0))
    assert (np.diff(places) > 0).all()
    assert ((places >= 0) & (places < n_trials)).all()
    if p == 1:
        assert len(places) == n_trials


def success_p_values(p, draw):
    """Return p-values: of each place's frequency, and of the number of successes."""
    n_trials, n = 50, 40_000
    rng = Stream(4)
    found = [draw(n_trials, p, rng) for _ in range(n)]
    counts = np.bincount(np.concatenate(found), minlength=n_trials)
    statistic = ((counts - n * p) ** 2 / (n * p * (1 - p))).sum()
    law = stats.binom.pmf(np.arange(n_trials + 1), n_trials, p)
    numbers = np.bincount([len(places) for places in found], minlength=n_trials + 1)
    return stats.chi2.sf(statistic, n_trials), chi_square(numbers, law)


@pytest.mark.parametrize("p", [1 / 128, 0.3])
def test_each_trial_succeeds_on_its_own(p):
    # False-alarm rate 2e-6 each.
    assert min(success_p_values(p, successes)) > FALSE_ALARM


def test_trials_that_miss_the_first_are_found_out():
    # Negative control.
    def late(n_trials, p, rng):
        places = successes(n_trials, p, rng) + 1
        return places[places < n_trials]

    assert min(success_p_values(0.3, late)) < FALSE_ALARM


def rare_p_value(draw):
    """Return the p-value of how often units of many probabilities are on."""
    # Across the probability where the way of drawing changes, and just around it.
    rare = sampling._RARE
    p = np.concatenate(
        [np.geomspace(1e-3, 0.9 * rare, 90), rare * np.linspace(0.98, 1.02, 9), [0.5]]
    )
    n = 60_000
    x = np.tile(np.log(p / (1 - p)), (n, 1)).T.astype(np.float32, order="C")
    units, _ = draw(x, Stream(5))
    ones = np.bincount(units, minlength=len(p))
    statistic = ((ones - n * p) ** 2 / (n * p * (1 - p))).sum()
    return stats.chi2.sf(statistic, len(p))


def test_rare_units_are_on_with_their_probability():
    # False-alarm rate 1e-6.
    assert rare_p_value(draw_rare) > FALSE_ALARM


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_rare_units_of_other_probabilities_are_found_out(factor):
    # Negative control.
    def wrong(x, rng):
        return draw_rare(x + np.float32(np.log(factor)), rng)

    assert rare_p_value(wrong) < FALSE_ALARM


def very_rare_p_value(p, draw):
    """Return the p-value of how often units are on that hardly ever are."""
    n_draws, shape = 5, (2000, 2000)
    x = np.log(p / (1 - p))
    count = sum(
        len(draw(np.full(shape, x, np.float32), Stream(6, i))[0])
        for i in range(n_draws)
    )
    return stats.binomtest(count, n_draws * shape[0] * shape[1], p).pvalue


@pytest.mark.parametrize("p", [2.0**-18, 1e-5])  # one 16-bit word has none below 2^-16
def test_very_rare_units_are_on_with_their_probability(p):
    # False-alarm rate 1e-6 each.
    assert very_rare_p_value(p, draw_rare) > FALSE_ALARM


def test_very_rare_units_of_another_probability_are_found_out():
    # Negative controls: half as much again, and rounded to 0.
    def wrong(x, rng):
        return draw_rare(x + np.float32(np.log(1.5)), rng)

    def never(x, rng):
        return draw_rare(np.where(x < np.log(2.0**-16), -np.inf, x), rng)

    assert very_rare_p_value(1e-5, wrong) < FALSE_ALARM
    assert very_rare_p_value(1e-5, never) < FALSE_ALARM


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_unit_is_named_once(dtype):
    x = np.random.default_rng(0).normal(-6, 1, (100, 50)).astype(dtype)
    on = draw_rare(x, Stream(0))
    assert len(on[0]) > 10
    assert len(set(zip(*on, strict=True))) == len(on[0])


@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (50, 100), (100, 50)])
def test_certain_units_are_certain(shape):
    x = np.full(shape, -np.inf)
    assert len(draw_rare(x.copy(), Stream(0))[0]) == 0
    x.ravel()[::99] = np.inf
    assert set(zip(*draw_rare(x.copy(), Stream(0)), strict=True)) == set(
        zip(*np.nonzero(x > 0), strict=True)
    )


# So few draws, or so many units that are often on, that each takes its own.
@pytest.mark.parametrize("n_units", [20, 400])
def test_units_that_are_not_rare_are_drawn_like_others(n_units):
    x = np.random.default_rng(0).normal(-2, 2, (n_units, 10)).astype(np.float32)
    units, rows = draw_rare(x.copy(), Stream(0))
    on = np.zeros((10, n_units), bool)
    on[rows, units] = True
    assert on.sum() == len(units)
    p = sigmoid(x.copy())
    # Row by row, as dense rows are drawn, where that costs nothing.
    drawn = bernoulli(p.T, Stream(0)) if n_units == 20 else bernoulli(p, Stream(0)).T
    np.testing.assert_array_equal(on, drawn)
