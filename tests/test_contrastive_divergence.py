"""The gradient of one mini-batch: its expectation, its centring, its shares."""

import functools

import numpy as np
import pytest
from enumeration import (
    FALSE_ALARM,
    chi_square,
    hidden_given_visible,
    indices,
    log_visible,
    parts,
    random_model,
    sigmoid,
    states,
    toss,
    visible_given_hidden,
)
from scipy import sparse

from skrbm._core import contrastive_divergence, layers
from skrbm._core.contrastive_divergence import MiniBatch, count_shares
from skrbm._core.layers import Dense, Sparse, count_slabs
from skrbm._core.parameters import Parameters, zeros_like
from skrbm._core.sampling import Stream
from skrbm._core.threads import Workers

ONE = Workers()


def cut_in(monkeypatch, count):
    """Cut mini-batches of any shape in so many shares of the rows."""
    monkeypatch.setattr(
        contrastive_divergence, "count_shares", lambda n, m, *_: min(count, n, m)
    )


@pytest.fixture(params=[1, 4])
def _cuts(request, monkeypatch):
    cut_in(monkeypatch, request.param)


whole_and_cut = pytest.mark.usefixtures("_cuts")


def mini_batch_of(model, n, chains=None, mu=None, *, sparse=False, **how):
    """Return a mini-batch of a model given in the ordinary form."""
    mu = np.zeros_like(model.b) if mu is None else mu.astype(model.b.dtype)
    form = Sparse if sparse else Dense
    stream = functools.partial(Stream, 0)
    return MiniBatch(form.take(model, mu), n, len(model.c), chains, stream, **how)


def run(mini_batch, rows, workers=ONE):
    """Run the phases of a mini-batch of all rows, in order."""
    # Of finite numbers BLAS at times says that one was invalid.
    with np.errstate(invalid="ignore"):
        mini_batch.run_phases(lambda share: rows[share.rows], workers)


def gradient(mini_batch, lam=None, pull=0.0, workers=ONE):
    """Return, in the ordinary form, what a mini-batch would add to zero."""
    model = mini_batch.model
    zero = zeros_like(model.restore())
    target = type(model).take(zero, model.mu)
    lam = np.zeros_like(zero.c) if lam is None else lam.astype(zero.c.dtype)
    mini_batch.add_gradient(target, 1.0, lam, pull, workers)
    return target.restore()


def flat(parameters):
    return np.concatenate([part.ravel() for part in parameters])


# -- the expectation -------------------------------------------------------------

ROWS = np.array([[1, 0, 1, 0], [0, 1, 1, 1], [0, 0, 0, 0]])
MODEL = random_model(4, 3, scale=3)


def statistics(law):
    """Return E[v P(h|v)'], E[v] and E[P(h|v)] under a law over all v."""
    V, H = states(4), states(3)
    p = hidden_given_visible(MODEL) @ H
    return flat((V.T @ (law[:, None] * p), law @ V, law @ p))


def empirical(rows):
    return np.bincount(rows @ [8, 4, 2, 1], minlength=16) / len(rows)


def expected_gradient(k):
    """Return the gradient of CD-k, in expectation over every path of the chain."""
    step = hidden_given_visible(MODEL) @ visible_given_hidden(MODEL)
    data = empirical(ROWS)
    return statistics(data) - statistics(data @ np.linalg.matrix_power(step, k))


def largest_z(expected, *, dtype=np.float64, rows=ROWS, make=np.asarray, **how):
    """Return the largest z-score of the mean gradient over 400 mini-batches."""
    batch = make(np.tile(rows, (50, 1)).astype(dtype))
    how["sparse"] = make is sparse.csr_array
    mini_batch = mini_batch_of(MODEL.astype(dtype), batch.shape[0], **how)
    draws = []
    for _ in range(400):
        run(mini_batch, batch)
        draws.append(flat(gradient(mini_batch)))
    error = np.std(draws, axis=0) / np.sqrt(len(draws))
    return np.abs((np.mean(draws, axis=0) - expected) / error).max()


# |z| > 6 for one of 19 numbers: a false-alarm rate of 4e-8.
Z = 6


@whole_and_cut
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("sample_statistics", [False, True])
@pytest.mark.parametrize("k", [1, 3])
def test_the_mean_gradient_is_the_enumerated_one(k, sample_statistics, dtype):
    z = largest_z(
        expected_gradient(k),
        n_gibbs_steps=k,
        sample_statistics=sample_statistics,
        dtype=dtype,
    )
    assert z < Z


@pytest.mark.parametrize("width", [4, 2])
def test_rare_units_of_sparse_rows_are_drawn_as_others(width, monkeypatch):
    # 40,000 rows take the draws of rare units, in blocks as wide as told.
    n = 40_000
    model = Parameters(MODEL.W, MODEL.b - 5, MODEL.c)
    monkeypatch.setattr(
        layers,
        "cut",
        lambda length, _: (
            [slice(i, i + width) for i in range(0, length, width)]
            if length == 4
            else [slice(0, length)]
        ),
    )
    mini_batch = mini_batch_of(model, n, sparse=True)
    run(mini_batch, sparse.csr_array(np.tile(ROWS, (n // 3 + 1, 1))[:n].astype(float)))
    step = hidden_given_visible(model) @ visible_given_hidden(model)
    observed = np.bincount(indices(visible(mini_batch)[n:]), minlength=16)
    law = empirical(np.tile(ROWS, (n // 3 + 1, 1))[:n]) @ step
    # False-alarm rate 1e-6.
    assert chi_square(observed, law) > FALSE_ALARM


@pytest.mark.parametrize("k", [1, 3])
def test_it_is_not_that_of_another_chain_length(k):
    # Negative control; nor is it that of the log-likelihood.
    assert largest_z(expected_gradient(k + 1), n_gibbs_steps=k) > Z
    likelihood = statistics(empirical(ROWS)) - statistics(np.exp(log_visible(MODEL)))
    assert largest_z(likelihood, n_gibbs_steps=k) > Z


@whole_and_cut
@pytest.mark.parametrize("n_gibbs_steps", [1, 2])
def test_persistent_chains_go_on_from_their_own_state(n_gibbs_steps):
    # Chains that all start from one hidden state, to be told from the data.
    m = 40_000
    chains = np.tile([1.0, 0.0, 1.0], (m, 1))
    mini_batch = mini_batch_of(MODEL, len(ROWS), chains, n_gibbs_steps=n_gibbs_steps)
    run(mini_batch, ROWS.astype(float))
    to_visible, to_hidden = visible_given_hidden(MODEL), hidden_given_visible(MODEL)
    law = (
        np.linalg.matrix_power(to_visible @ to_hidden, n_gibbs_steps - 1)[0b101]
        @ to_visible
    )
    # Six standard errors of means of m numbers in [0, 1]: a false-alarm rate of 4e-8.
    atol = 6 * 0.5 / np.sqrt(m)
    np.testing.assert_allclose(
        chains.mean(axis=0), law @ to_hidden @ states(3), atol=atol
    )
    expected = statistics(empirical(ROWS)) - statistics(law)
    np.testing.assert_allclose(flat(gradient(mini_batch)), expected, atol=atol)
    # Negative control: one step more would have been seen.
    further = statistics(law @ to_hidden @ to_visible)
    assert np.abs(further - statistics(law)).max() > 2 * atol


@whole_and_cut
def test_sampling_statistics_of_the_rows_leaves_chains_alone():
    # As many rows as chains, and enough for both to be drawn 15 bits at a time.
    m = 39_999
    chains = np.tile([1.0, 0.0, 1.0], (m, 1))
    mini_batch = mini_batch_of(MODEL, m, chains, sample_statistics=True)
    run(mini_batch, np.tile(ROWS, (m // 3, 1)).astype(float))
    law = visible_given_hidden(MODEL)[0b101]
    observed = np.bincount(indices(visible(mini_batch)[m:]), minlength=16)
    # False-alarm rate 1e-6.
    assert chi_square(observed, law) > FALSE_ALARM


@whole_and_cut
def test_sampled_statistics_of_persistent_chains_are_their_states():
    chains = np.ones((7, 3))
    mini_batch = mini_batch_of(MODEL, len(ROWS), chains, sample_statistics=True)
    run(mini_batch, ROWS.astype(float))
    np.testing.assert_array_equal(mini_batch.H[len(ROWS) :], chains)
    assert set(np.unique(mini_batch.H)) <= {0, 1}
    assert not chains.all()


# -- the gradient of given layers ------------------------------------------------


def phases(n, m=None, dtype=np.float64, mu=None, n_features=6, n_components=4):
    """Return a mini-batch after its phases, its model, and copies of v0, vk, h0, hk."""
    rng = np.random.default_rng(0)
    model = random_model(n_features, n_components, scale=1).astype(dtype)
    chains = None
    if m is not None:
        chains = (rng.random((m, n_components)) < 0.5).astype(dtype)
    batch = (rng.random((n, n_features)) < 0.4).astype(dtype)
    mini_batch = mini_batch_of(model, n, chains, mu)
    run(mini_batch, batch)
    V, H = visible(mini_batch), mini_batch.H.copy()
    np.testing.assert_allclose(V[:n], batch, atol=1e-6)
    return mini_batch, model, V[:n], V[n:], H[:n], H[n:]


def visible(mini_batch):
    """Return v0 and vk, stacked."""
    if isinstance(mini_batch.model, Dense):
        return mini_batch.model.mu + mini_batch.S[:, :-1]
    return np.vstack(
        [v.toarray() if sparse.issparse(v) else v for v in mini_batch.rows]
    )


sizes = pytest.mark.parametrize(("n", "m"), [(10, None), (1, None), (10, 3), (2, 50)])
types = pytest.mark.parametrize(
    ("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-4)]
)


@whole_and_cut
@sizes
@types
def test_each_phase_is_a_mean_over_its_own_rows(n, m, dtype, tolerance):
    mini_batch, _, v0, vk, h0, hk = phases(n, m, dtype)
    dW, db, dc = gradient(mini_batch)
    np.testing.assert_allclose(
        dW, v0.T @ h0 / len(v0) - vk.T @ hk / len(vk), atol=tolerance
    )
    np.testing.assert_allclose(db, v0.mean(axis=0) - vk.mean(axis=0), atol=tolerance)
    np.testing.assert_allclose(dc, h0.mean(axis=0) - hk.mean(axis=0), atol=tolerance)


@whole_and_cut
@sizes
@types
def test_centring_is_training_the_centred_form(n, m, dtype, tolerance):
    rng = np.random.default_rng(1)
    mu, lam = rng.random(6).astype(dtype), rng.random(4).astype(dtype)
    rate = 0.3
    mini_batch, (W, b, c), v0, vk, h0, hk = phases(n, m, dtype, mu)
    np.testing.assert_allclose(h0, sigmoid(v0 @ W + c), atol=tolerance)
    np.testing.assert_allclose(hk, sigmoid(vk @ W + c), atol=tolerance)

    # One step on -(v-mu)'W(h-lambda) - b'v - c'h, taken literally:
    # there and back by b_ordinary = b - W lambda and c_ordinary = c - W'mu.
    b_centred, c_centred = b + W @ lam, c + W.T @ mu
    W_new = W + rate * (
        (v0 - mu).T @ (h0 - lam) / len(v0) - (vk - mu).T @ (hk - lam) / len(vk)
    )
    b_centred = b_centred + rate * (v0.mean(axis=0) - vk.mean(axis=0))
    c_centred = c_centred + rate * (h0.mean(axis=0) - hk.mean(axis=0))
    b_new, c_new = b_centred - W_new @ lam, c_centred - W_new.T @ mu

    target = Dense.take(Parameters(W, b, c), mu)
    mini_batch.add_gradient(target, rate, lam, 0.0, ONE)
    target = target.restore()
    np.testing.assert_allclose(target.W, W_new, atol=tolerance)
    np.testing.assert_allclose(target.b, b_new, atol=tolerance)
    np.testing.assert_allclose(target.c, c_new, atol=tolerance)


@whole_and_cut
@sizes
@types
def test_the_pull_acts_at_the_input_of_each_hidden_unit(n, m, dtype, tolerance):
    rng = np.random.default_rng(1)
    mu, lam = rng.random(6).astype(dtype), rng.random(4).astype(dtype)
    pull = rng.normal(size=4).astype(dtype)
    without = gradient(phases(n, m, dtype, mu)[0], lam)
    mini_batch, _, v0, *_ = phases(n, m, dtype, mu)
    with_pull = gradient(mini_batch, lam, pull=pull)
    change = [a - b for a, b in zip(with_pull, without, strict=True)]
    # The input of unit j is c'_j + (v-mu)'W_j in the centred form.
    W = (v0 - mu).mean(axis=0)[:, None] * pull
    np.testing.assert_allclose(change[0], W, atol=tolerance)
    np.testing.assert_allclose(change[1], -W @ lam, atol=tolerance)
    np.testing.assert_allclose(change[2], pull - W.T @ mu, atol=tolerance)


# -- sparse and cut -----------------------------------------------------------


@pytest.mark.parametrize("n_shares", [1, 4])
@pytest.mark.parametrize("container", [sparse.csr_array, sparse.csr_matrix])
@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("rate", [0.01, 0.5])  # of ones: sparse and dense draws
@types
def test_sparse_rows_give_the_gradient_of_dense_ones(
    dtype, tolerance, rate, centred, container, n_shares, monkeypatch
):
    cut_in(monkeypatch, n_shares)
    rng = np.random.default_rng(0)
    model = random_model(60, 5, scale=1).astype(dtype)
    model.b[...] = np.log(rate / (1 - rate))
    model.W[...] *= rate
    batch = (rng.random((12, 60)) < rate).astype(dtype)
    mu, lam = centred * rng.random(60), centred * rng.random(5)
    pull = rng.random(5).astype(dtype)

    def both(rows):
        mini_batch = mini_batch_of(model, 12, mu=mu, sparse=sparse.issparse(rows))
        run(mini_batch, rows)
        return gradient(mini_batch, lam, pull=pull)

    for from_sparse, from_dense in zip(
        both(container(batch)), both(batch), strict=True
    ):
        np.testing.assert_allclose(from_sparse, from_dense, atol=tolerance)


def plain_phases(model, v0, h, rng, n_gibbs_steps, sample_statistics):
    """Return h0, vk, hk and h of some rows; h is None where no chain goes on."""
    W, b, c = model
    x = v0 @ W + c
    h0 = toss(x, rng) if sample_statistics else sigmoid(x)
    if h is None:
        h = h0 if sample_statistics else toss(x, rng)
        last = sample_statistics
    else:
        last = True
    for step in range(n_gibbs_steps):
        vk = toss(h @ W.T + b, rng)
        x = vk @ W + c
        hk = sigmoid(x)
        if last or step < n_gibbs_steps - 1:
            h = toss(x, rng)
    return h0, vk, h if sample_statistics else hk, h


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("sample_statistics", [False, True])
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("m", [None, 3, 7, 20])
def test_each_share_is_drawn_from_a_stream_of_its_own(
    make, sample_statistics, k, m, monkeypatch
):
    n, n_shares = 11, 3
    cut_in(monkeypatch, n_shares)
    rng = np.random.default_rng(0)
    model = random_model(6, 4, scale=1)
    rows = (rng.random((n, 6)) < 0.4).astype(float)
    before = None if m is None else (rng.random((m, 4)) < 0.5).astype(float)
    chains = None if m is None else before.copy()
    mini_batch = mini_batch_of(
        model,
        n,
        chains,
        mu=rng.random(6),
        sparse=make is sparse.csr_array,
        n_gibbs_steps=k,
        sample_statistics=sample_statistics,
    )
    assert len(mini_batch.shares) == n_shares
    run(mini_batch, make(rows))

    # One share after the other, each with all it needs.
    shares = [
        plain_phases(
            model,
            rows[first:end],
            None if m is None else before[first_chain:end_chain],
            Stream(0, i),
            k,
            sample_statistics,
        )
        for i, ((first, end), (first_chain, end_chain)) in enumerate(
            zip(parts(n, n_shares), parts(m or n, n_shares), strict=True)
        )
    ]
    h0, vk, hk, h = map(np.vstack, zip(*shares, strict=True))
    np.testing.assert_allclose(visible(mini_batch), np.vstack([rows, vk]), atol=1e-12)
    np.testing.assert_allclose(mini_batch.H, np.vstack([h0, hk]), atol=1e-12)
    if m is not None:
        np.testing.assert_array_equal(chains, h)
        assert (chains != before).any()


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize(
    ("make", "shape", "n_shares", "n_slabs"),
    [
        (np.asarray, (400, 784, 500), 2, 2),
        (np.asarray, (100, 784, 600), 2, 2),
        (np.asarray, (10, 784, 500), 1, 1),
        (sparse.csr_array, (400, 784, 500), 2, 2),
        (sparse.csr_array, (100, 784, 500), 1, 1),
    ],
)
def test_large_mini_batches_get_the_plain_gradient(
    make, shape, n_shares, n_slabs, persistent, centred
):
    n, n_features, n_components = shape
    m, is_sparse = n - 5 if persistent else n, make is sparse.csr_array
    rng = np.random.default_rng(0)
    model = Parameters(
        rng.normal(size=(n_features, n_components)) * 0.02,
        rng.normal(size=n_features) - 3,
        rng.normal(size=n_components),
    ).astype(np.float32)
    start = (rng.random((m, n_components)) < 0.5).astype(np.float32)
    rows = (rng.random((n, n_features)) < 0.05).astype(np.float32)
    batch = make(rows)
    mu, lam = (
        (centred * rng.random(size)).astype(np.float32)
        for size in (n_features, n_components)
    )

    def results(workers):
        chains = start.copy() if persistent else None
        mini_batch = mini_batch_of(model, n, chains, mu, sparse=is_sparse)
        assert len(mini_batch.shares) == n_shares
        assert count_slabs(n + m, (n_features + 1) * n_components) >= n_slabs
        run(mini_batch, batch, workers)
        V, H = visible(mini_batch), mini_batch.H.copy()
        return V, H, gradient(mini_batch, lam, workers=workers), chains

    V, H, (dW, db, dc), _ = results(ONE)
    np.testing.assert_allclose(V[:n], rows, atol=1e-6)
    np.testing.assert_allclose(
        H, sigmoid(V.astype(float) @ model.W + model.c), atol=1e-4
    )
    w = np.repeat([1 / n, -1 / m], [n, m])
    W = (w[:, None] * (V - mu)).T @ (H - lam)
    np.testing.assert_allclose(dW, W, atol=1e-5)
    np.testing.assert_allclose(db, w @ V - W @ lam, atol=1e-4)
    np.testing.assert_allclose(dc, w @ H - W.T @ mu, atol=1e-4)

    # The same bits, whatever the number of threads.
    every = []
    for n_threads in (1, 2, 3):
        with Workers(n_threads) as workers:
            every.append(results(workers))
    for V, H, change, chains in every[1:]:
        np.testing.assert_array_equal(V, every[0][0])
        np.testing.assert_array_equal(H, every[0][1])
        np.testing.assert_array_equal(flat(change), flat(every[0][2]))
        if persistent:
            np.testing.assert_array_equal(chains, every[0][3])


def test_sparse_visible_units_are_drawn_in_blocks_on_any_thread():
    n, n_features, n_components = 150, 3000, 6
    rng = np.random.default_rng(0)
    W = rng.normal(size=(n_features, n_components)) * 0.1
    b = rng.normal(size=n_features) - 3
    model = Parameters(W, b, np.zeros(n_components))
    rows = sparse.csr_array((rng.random((n, n_features)) < 0.05).astype(float))
    assert n * n_features > 3 * layers._BLOCK
    every = []
    for n_threads in (1, 2, 3):
        with Workers(n_threads) as workers:
            mini_batch = mini_batch_of(model, n, mu=rows.mean(axis=0), sparse=True)
            run(mini_batch, rows, workers)
            every.append((visible(mini_batch), mini_batch.H.copy()))
    V, H = every[0]
    np.testing.assert_allclose(H, sigmoid(V @ W), atol=1e-10)
    # Blocks draw from streams of their own: no two of them agree.
    first, second = V[n:, :870], V[n:, 870:1740]
    assert (first != second).any()
    for other_V, other_H in every[1:]:
        np.testing.assert_array_equal(other_V, V)
        np.testing.assert_array_equal(other_H, H)


def test_the_number_of_shares_depends_on_the_shape():
    assert count_shares(10, 10, 10, 784 * 500, 32) == 1  # over in no time
    assert count_shares(100, 100, 100, 784 * 500, 32) == 2
    assert count_shares(10, 100, 100, 784 * 500, 32) == 2
    assert count_shares(10, 20, 100, 784 * 500, 32) == 2
    assert count_shares(100, 100, 100, 784 * 500, 192) == 1  # too few rows for threads
    assert count_shares(1000, 1000, 1000, 784 * 500, 32) == 5
    assert count_shares(10**6, 10**6, 10**6, 784 * 500, 32) == 16
    assert count_shares(10**5, 10**5, 10**5, 64 * 64, 32) == 1  # calls are short
    assert count_shares(1, 10**6, 10**6, 784 * 500, 32) == 1


@pytest.mark.parametrize(("n", "m", "count"), [(1, 5, 1), (5, 2, 2), (5, 9, 4)])
def test_no_share_is_without_rows(n, m, count, monkeypatch):
    cut_in(monkeypatch, 4)
    mini_batch = mini_batch_of(random_model(6, 4), n, np.zeros((m, 4)))
    assert len(mini_batch.shares) == count
    assert all(len(share.h0) and len(share.hk) for share in mini_batch.shares)
