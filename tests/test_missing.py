"""Rows with gaps: what is expected of them, training with them, filling them in."""

import numpy as np
import pandas as pd
import pytest
from enumeration import (
    FALSE_ALARM,
    chi_square,
    indices,
    log_visible,
    random_model,
    states,
)
from enumeration import log_joint as log_joint_of
from scipy import sparse
from scipy.special import logsumexp

from skrbm import BinaryCDRBM
from skrbm._core import missing, partition
from skrbm._core.energy import hidden_probabilities
from skrbm._core.layers import Dense, Sparse
from skrbm._core.rows import Selected, moments
from skrbm._core.sampling import Stream
from skrbm._core.threads import Workers
from skrbm._core.training import Settings, TrainingState, _Epoch
from skrbm.metrics import log_likelihood

V, H = states(6), states(4)


def gappy(n=20, share=0.4, seed=0):
    """Return rows of six units, each with a gap."""
    rng = np.random.default_rng(seed)
    rows = V[rng.integers(64, size=n)].copy()
    rows[rng.random(rows.shape) < share] = np.nan
    return rows[np.isnan(rows).any(axis=1)]


def by_enumeration(model, rows):
    """Return what `missing.expected` does, by sums over the table of all states."""
    table, joint = log_visible(model), log_joint_of(model)
    with Workers() as workers:
        log_z = partition.exact(model, workers)

    def known(row):
        fits = ((row == V) | np.isnan(row)).all(axis=1)
        return logsumexp(table[fits]), fits

    found = []
    for row in rows:
        log_p, fits = known(row)
        score = 0.0
        for i in np.flatnonzero(~np.isnan(row)):
            rest = row.copy()
            rest[i] = np.nan
            score += log_p - known(rest)[0]
        visible = np.exp(table[fits] - log_p) @ V[fits]
        hidden = np.exp(logsumexp(joint[fits], axis=0) - log_p) @ H
        found.append((-log_p - log_z, score, visible, hidden))
    return missing.Expected(*map(np.array, zip(*found, strict=True)))


def with_model(model, **changes):
    W, b, c = model
    rbm = BinaryCDRBM(len(c), random_state=0, **changes)
    rbm.components_, rbm.intercept_visible_, rbm.intercept_hidden_ = W.T, b, c
    return rbm


# -- what is expected --------------------------------------------------------------


@pytest.mark.parametrize("few_hidden", [0, 10])
def test_sums_over_gaps_are_those_over_all_states(few_hidden, monkeypatch):
    monkeypatch.setattr(missing, "FEW_HIDDEN", few_hidden)  # else over few gaps
    model, rows = random_model(6, 4, scale=1.5), gappy()
    found = missing.expected(model, rows)
    for ours, right in zip(found, by_enumeration(model, rows), strict=True):
        np.testing.assert_allclose(ours, right, rtol=1e-11, atol=1e-11)


def test_the_mean_field_is_a_bound_that_is_exact_for_independent_units():
    rows = gappy()
    model = random_model(6, 4, scale=1.5)
    right = by_enumeration(model, rows)
    found = missing.mean_field(model, rows)
    assert (found.free_energy > right.free_energy - 1e-12).all()
    assert found.free_energy.mean() < right.free_energy.mean() + 0.3
    model.W[...] = 0
    right = by_enumeration(model, rows)
    for ours, exact in zip(missing.mean_field(model, rows), right, strict=True):
        np.testing.assert_allclose(ours, exact, atol=1e-9)


def test_rows_of_all_kinds_keep_their_order(monkeypatch):
    monkeypatch.setattr(missing, "FEW_HIDDEN", 0)
    monkeypatch.setattr(missing, "FEW_GAPS", 2)
    monkeypatch.setattr(missing, "_BLOCK", 64)
    model, rows = random_model(6, 4), gappy(60)
    found = missing.expected(model, rows)
    for i, row in enumerate(rows):
        alone = missing.expected(model, row[None])
        for ours, single in zip(found, alone, strict=True):
            np.testing.assert_allclose(ours[i], single[0], rtol=1e-10)


# -- queries -----------------------------------------------------------------------


def test_queries_sum_over_what_is_missing():
    model = random_model(6, 4, scale=1.5)
    rbm, rows = with_model(model, handle_missing="sample"), np.vstack([gappy(), V[:9]])
    gaps, whole = rows[:-9], rows[-9:]
    right = by_enumeration(model, gaps)
    plain = with_model(model)
    for query, expected in (
        ("transform", right.hidden),
        ("free_energy", right.free_energy),
        ("score_samples", right.score),
        ("reconstruct", plain.inverse_transform(right.hidden)),
    ):
        found = getattr(rbm, query)(rows)
        np.testing.assert_allclose(found[:-9], expected, rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(found[-9:], getattr(plain, query)(whole))
    log_p = log_likelihood(rbm, gaps)
    for row, p in zip(gaps, np.exp(log_p), strict=True):
        fits = ((row == V) | np.isnan(row)).all(axis=1)
        assert p == pytest.approx(np.exp(log_visible(model))[fits].sum())


@pytest.mark.parametrize("query", ["transform", "score_samples", "complete"])
def test_stored_nan_of_sparse_rows_is_missing(query):
    rbm = with_model(random_model(6, 4), handle_missing="sample")
    rows = np.vstack([gappy(), V[:5]])
    found = getattr(rbm, query)(sparse.csr_array(rows))
    np.testing.assert_allclose(found, getattr(rbm, query)(rows), rtol=1e-12)


def containers():
    rows = gappy()
    frame = pd.DataFrame(rows)
    return {
        "array": rows,
        "single precision": rows.astype(np.float32),
        "Fortran order": np.asfortranarray(rows),
        "frame": frame,
        "nullable": frame.astype("Int64"),
        "masked": np.ma.masked_array(
            np.nan_to_num(rows, nan=7).astype(int), np.isnan(rows)
        ),
        "objects": rows.astype(object),
    }


@pytest.mark.parametrize("name", containers())
def test_what_is_missing_is_so_in_every_container(name):
    rbm = with_model(random_model(6, 4), handle_missing="sample")
    X = containers()[name]
    np.testing.assert_allclose(rbm.transform(X), rbm.transform(gappy()), atol=1e-6)
    with pytest.raises(ValueError, match=r"NaN|masked values, which are missing"):
        rbm.set_params(handle_missing="error").transform(X)
    with pytest.raises(ValueError, match=r"NaN|masked values, which are missing"):
        BinaryCDRBM(2, n_iter=1).fit(X)


# -- filling in --------------------------------------------------------------------


@pytest.mark.parametrize("handle_missing", ["error", "sample"])
def test_means_are_completed_exactly(handle_missing):
    model, rows = random_model(6, 4), gappy()
    rbm = with_model(model, handle_missing=handle_missing)
    right = by_enumeration(model, rows).visible
    np.testing.assert_allclose(rbm.complete(rows), right, atol=1e-9)
    seen = ~np.isnan(rows)
    np.testing.assert_array_equal(rbm.complete(rows)[seen], rows[seen])


def test_means_by_gibbs_steps_come_near(monkeypatch):
    monkeypatch.setattr(missing, "FEW_HIDDEN", 0)
    monkeypatch.setattr(missing, "FEW_GAPS", 0)
    model, rows = random_model(6, 4, scale=1.5), gappy()
    found = with_model(model).complete(rows, n_gibbs_steps=4000)
    # 2,000 steps, worth a few hundred independent ones: 0.15 is six standard errors.
    np.testing.assert_allclose(found, by_enumeration(model, rows).visible, atol=0.15)


def test_samples_given_a_row_are_those_of_the_conditional():
    model = random_model(6, 4, scale=1.0)
    row = np.array([1, np.nan, 0, np.nan, np.nan, 1])
    rbm = with_model(model)
    drawn = rbm.sample(4000, given=row, n_gibbs_steps=60, random_state=0)
    assert drawn.dtype == bool
    fits = ((row == V) | np.isnan(row)).all(axis=1)
    counts = np.bincount(indices(drawn), minlength=64)
    assert counts[~fits].sum() == 0
    p = np.exp(log_visible(model)[fits])
    assert chi_square(counts[fits], p / p.sum()) > FALSE_ALARM
    # Negative control: not those of the model without the row.
    assert chi_square(counts, np.exp(log_visible(model)) + 1e-300) < FALSE_ALARM


def test_completions_have_a_seed_and_no_gaps():
    rbm = BinaryCDRBM(12, n_iter=2, random_state=0).fit(V)
    rows = np.full((50, 6), np.nan)
    rows[:, 0] = 1
    for method in ("mean", "sample"):
        found = rbm.complete(rows, method=method)
        assert found.shape == rows.shape
        assert ((found >= 0) & (found <= 1)).all()
        np.testing.assert_array_equal(found[:, 0], 1)
        np.testing.assert_array_equal(found, rbm.complete(rows, method=method))
    assert set(np.unique(rbm.complete(rows, method="sample"))) == {0, 1}
    with pytest.raises(ValueError, match="method must be 'mean' or 'sample', got 'x'"):
        rbm.complete(rows, method="x")
    with pytest.raises(ValueError, match="given must be one row"):
        rbm.sample(given=rows)


def test_what_was_observed_stays_as_it_came_also_where_the_model_is_single():
    X = np.full((3, 200), 0.1)  # which single precision rounds
    rbm = BinaryCDRBM(100, n_iter=0, random_state=0).fit(X)
    X[:, 7] = np.nan
    found = rbm.complete(X)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(np.delete(found, 7, axis=1), 0.1)
    assert (found[:, 7] != 0.1).all()


# -- training ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Dense, Sparse])
def test_gaps_are_drawn_from_the_model_given_what_is_observed(kind):
    model = random_model(6, 4, scale=1.0)
    layers = kind.take(model, np.full(6, 0.3))
    row = np.array([1, np.nan, 0, np.nan, np.nan, 1])
    rows = np.tile(row, (4000, 1))
    if kind is Sparse:
        rows = sparse.csr_array(rows)
    rng, gaps = Stream(0), missing.gaps(rows)
    v = missing.start_in_gaps(rows, np.full(6, 0.5), rng)
    for _ in range(60):
        v = layers.redraw(v, gaps, rng)
    v = v.toarray() if kind is Sparse else v
    fits = ((row == V) | np.isnan(row)).all(axis=1)
    counts = np.bincount(indices(v), minlength=64)
    assert counts[~fits].sum() == 0
    p = np.exp(log_visible(model)[fits])
    assert chi_square(counts[fits], p / p.sum()) > FALSE_ALARM


def test_the_positive_phase_has_the_gradient_of_what_was_observed():
    # d log p(o) / dW = E[v h' | o] - E[v h']: the first term, enumerated, against rows
    # whose gaps training draws; each entry within six standard errors (2e-9, times 24).
    model = random_model(6, 4, scale=1.0)
    row = np.array([1, np.nan, 0, np.nan, np.nan, 1])
    rows = np.tile(row, (4000, 1))
    how = Settings(0.1, 4000, n_components=4, fill_gaps=True, centered=False)
    state = TrainingState(model, moments(Selected(rows), None), np.full(4, 0.5), root=1)
    with Workers() as workers:
        epoch = _Epoch(rows, state, how, workers)
        drawn = [epoch.filled(rows, Stream(1, i)) for i in range(12)]
    v = np.concatenate(drawn)
    h = hidden_probabilities(model, v)
    products = v[:, :, None] * h[:, None]
    error = products.std(axis=0) / np.sqrt(len(v))
    table = np.exp(log_joint_of(model))
    fits = ((row == V) | np.isnan(row)).all(axis=1)
    joint = np.where(fits[:, None], table, 0) / table[fits].sum()
    exact = V.T @ joint @ H
    off = np.abs(products.mean(axis=0) - exact)
    # Five steps from independent units leave a bias, here of less than 0.005.
    assert (off < 6 * error + 0.005).all()
    # Negative control: gaps as zeros, or at the means of the columns.
    for filling in (0.0, 0.5):
        v = np.where(np.isnan(row), filling, row)[None]
        wrong = v.T @ hidden_probabilities(model, v)
        assert (np.abs(wrong - exact) > 0.05).any()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_training_with_gaps_finds_what_training_without_finds(container):
    # Two patterns and their noise: with a third of all values missing the likelihood
    # of whole rows comes within half a nat; with gaps as zeros it loses more than one.
    rng = np.random.default_rng(0)
    pattern = np.where(rng.random(2000)[:, None] < 0.5, 1, 0) ^ (np.arange(8) % 2)
    X = (pattern ^ (rng.random((2000, 8)) < 0.05)).astype(float)
    gaps = rng.random(X.shape) < 1 / 3
    holes = np.where(gaps, np.nan, X)

    def fit(rows, **changes):
        how = {"persistent": True, "random_state": 0, "learning_rate": 0.1} | changes
        return BinaryCDRBM(4, **how).fit(rows)

    def likelihood(rbm):
        return log_likelihood(rbm, X, method="exact").mean()

    whole = likelihood(fit(container(X)))
    holed = fit(container(holes), handle_missing="sample")
    assert likelihood(holed) > whole - 0.5
    assert likelihood(fit(container(np.nan_to_num(holes)))) < whole - 1
    assert np.isfinite(holed.history_["pseudo_log_likelihood"]).all()
    np.testing.assert_allclose(holed.visible_mean_, np.nanmean(holes, axis=0))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "changes", [{}, {"persistent": True}, {"early_stopping": True}]
)
def test_rows_without_gaps_train_as_before(changes):
    X = V[np.random.default_rng(0).integers(64, size=80)]
    how = {"n_iter": 3, "random_state": 0} | changes
    bits = [
        BinaryCDRBM(3, handle_missing=handle, **how).fit(X).components_
        for handle in ("error", "sample")
    ]
    np.testing.assert_array_equal(*bits)


def test_a_column_of_gaps_alone_is_even_odds():
    X = V.copy()
    X[:, 2] = np.nan
    rbm = BinaryCDRBM(3, n_iter=2, random_state=0, handle_missing="sample").fit(X)
    assert rbm.visible_mean_[2] == 0.5
    assert np.isfinite(rbm.transform(X)).all()


def test_chunks_with_gaps_add_up():
    X = gappy(200, 0.3)
    how = {"n_iter": 1, "random_state": 0, "handle_missing": "sample"}
    rbm = BinaryCDRBM(3, **how)
    for start in range(0, len(X), 37):
        rbm.partial_fit(X[start : start + 37])
    np.testing.assert_allclose(rbm.visible_mean_, np.nanmean(X, axis=0))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_threshold_leaves_gaps_missing():
    rows = gappy(60)
    how = {"n_iter": 2, "random_state": 0, "handle_missing": "sample"}
    thresholds = np.arange(6.0)
    raw = rows * 2 - 1 + thresholds
    rbm = BinaryCDRBM(3, **how).fit(rows)
    by_column = BinaryCDRBM(3, binarize=thresholds, **how).fit(raw)
    np.testing.assert_array_equal(by_column.components_, rbm.components_)
    np.testing.assert_array_equal(by_column.transform(raw), rbm.transform(rows))
