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

from skrbm._core import contrastive_divergence, tiles
from skrbm._core.contrastive_divergence import MiniBatch, count_strips
from skrbm._core.parameters import Apart, Parameters, Stacked
from skrbm._core.sampling import Stream, bernoulli
from skrbm._core.threads import Crew
from skrbm._core.tiles import MAX_TILES, count_tasks, count_tiles

CREW = Crew()


def cut_in(monkeypatch, *counts):
    """Cut mini-batches of any shape in so many shares of rows and parts of units."""
    monkeypatch.setattr(contrastive_divergence, "count_tiles", lambda *_, **__: counts)


@pytest.fixture(params=[(1, 1), (4, 1), (1, 2), (2, 3)], ids=str)
def _cuts(request, monkeypatch):
    cut_in(monkeypatch, *request.param)


whole_and_cut = pytest.mark.usefixtures("_cuts")


def mini_batch_of(model, n, chains=None, mu=None, *, sparse=False, crew=CREW, **how):
    """Return a mini-batch of a model given in the ordinary form."""
    mu = np.zeros_like(model.b) if mu is None else mu.astype(model.b.dtype)
    model = (Apart if sparse else Stacked).take(model, mu)
    stream = functools.partial(Stream, 0)
    return MiniBatch(model, mu, n, stream, chains, crew=crew, **how)


def run(mini_batch, rows):
    """Run the phases of a mini-batch of all rows, in order."""
    # Of finite numbers BLAS at times says that one was invalid.
    with np.errstate(invalid="ignore"):
        mini_batch.run_phases(rows, np.arange(rows.shape[0]))


def gradient(mini_batch, lam=None, **how):
    """Return, in the ordinary form, what a mini-batch would add to zero."""
    c, n_features = mini_batch.model.c, len(mini_batch.mu)
    zeros = [np.zeros(shape, c.dtype) for shape in ((n_features, len(c)), n_features)]
    target = type(mini_batch.model).take(
        Parameters(*zeros, np.zeros_like(c)), mini_batch.mu
    )
    lam = np.zeros_like(c) if lam is None else lam.astype(c.dtype)
    mini_batch.add_gradient(target, 1.0, lam, **how)
    return target.restore(mini_batch.mu)


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
        tiles,
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


GREY = np.array([[1, 0.2, 0.9, 0], [0, 0.7, 0.7, 1], [0.1, 0.1, 0, 0]])


def grey_law():
    """Return the law over all v of rows whose values are probabilities."""
    V = states(4)
    return np.mean([np.prod(np.where(V, p, 1 - p), axis=1) for p in GREY], axis=0)


def grey_gradient(k):
    step = hidden_given_visible(MODEL) @ visible_given_hidden(MODEL)
    law = grey_law()
    return statistics(law) - statistics(law @ np.linalg.matrix_power(step, k))


@whole_and_cut
@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("k", [1, 2])
def test_drawn_rows_have_the_mean_gradient_of_their_draws(k, make):
    how = {"n_gibbs_steps": k, "sample_statistics": True, "sample_rows": True}
    z = largest_z(grey_gradient(k), rows=GREY, make=make, **how)
    assert z < Z
    # Negative control: the rows as they are.
    how["sample_rows"] = False
    assert largest_z(grey_gradient(k), rows=GREY, make=make, **how) > Z


@pytest.mark.parametrize("counts", [(1, 1), (1, 2), (2, 3)])
def test_rows_are_drawn_by_the_first_tile_of_their_share(counts, monkeypatch):
    cut_in(monkeypatch, *counts)
    n_shares, n_parts = counts
    mini_batch = mini_batch_of(MODEL, 3, sample_rows=True)
    run(mini_batch, GREY)
    expected = [
        bernoulli(GREY[first:end], Stream(0, i * n_parts))
        for i, (first, end) in enumerate(parts(3, n_shares))
    ]
    np.testing.assert_array_equal(visible(mini_batch)[:3], np.vstack(expected))


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
def test_drawing_rows_leaves_them_alone(make):
    rows = make(GREY)
    mini_batch = mini_batch_of(
        MODEL, 3, sparse=make is sparse.csr_array, sample_rows=True
    )
    run(mini_batch, rows)
    assert set(np.unique(visible(mini_batch))) == {0, 1}
    np.testing.assert_array_equal(rows if make is np.asarray else rows.toarray(), GREY)


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
    if mini_batch.sparse:
        layers = [tile.v0 for tile in mini_batch.tiles]
        layers += [tile.vk for tile in mini_batch.tiles]
        return np.vstack([v.toarray() if sparse.issparse(v) else v for v in layers])
    return mini_batch.mu - mini_batch.S[:, :-1]


sizes = pytest.mark.parametrize(("n", "m"), [(10, None), (1, None), (10, 3), (2, 50)])
types = pytest.mark.parametrize(
    ("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-4)]
)


@whole_and_cut
@sizes
@types
def test_each_phase_is_a_mean_over_its_own_rows(n, m, dtype, tolerance):
    mini_batch, _, v0, vk, h0, hk = phases(n, m, dtype)
    mean = np.ones_like(h0[0])
    mini_batch.move_towards_activity(mean, 0.25)
    np.testing.assert_allclose(mean, 0.75 + h0.mean(axis=0) / 4, atol=1e-6)
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

    target = Stacked.take(Parameters(W, b, c), mu)
    mini_batch.add_gradient(target, rate, lam)
    target = target.restore(mu)
    np.testing.assert_allclose(target.W, W_new, atol=tolerance)
    np.testing.assert_allclose(target.b, b_new, atol=tolerance)
    np.testing.assert_allclose(target.c, c_new, atol=tolerance)


@whole_and_cut
@types
def test_the_target_shrinks_before_the_gradient_is_added(dtype, tolerance):
    expected = gradient(phases(10, None, dtype)[0])
    mini_batch, before, *_ = phases(10, None, dtype)
    target = Stacked.take(before, np.zeros_like(before.b))
    mini_batch.add_gradient(target, 1.0, np.zeros_like(before.c), keep=0.75)
    target = target.restore(np.zeros_like(before.b))
    for part, old, new in zip(target, before, expected, strict=True):
        np.testing.assert_allclose(part, 0.75 * old + new, atol=tolerance)


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
    cut_in(monkeypatch, n_shares, 1)
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


def plain_phases(model, v0, h, rngs, n_gibbs_steps, sample_statistics):
    """Return h0, vk, hk and h of some rows; h is None where no chain goes on."""
    W, b, c = model
    x = v0 @ W + c
    h0 = toss(x, *rngs) if sample_statistics else sigmoid(x)
    if h is None:
        h = h0 if sample_statistics else toss(x, *rngs)
        last = sample_statistics
    else:
        last = True
    for step in range(n_gibbs_steps):
        vk = toss(h @ W.T + b, *rngs)
        x = vk @ W + c
        hk = sigmoid(x)
        if last or step < n_gibbs_steps - 1:
            h = toss(x, *rngs)
    return h0, vk, h if sample_statistics else hk, h


@pytest.mark.parametrize(
    ("make", "n_shares", "n_parts"),
    [
        (np.asarray, 3, 1),
        (np.asarray, 1, 2),
        (np.asarray, 3, 2),
        (sparse.csr_array, 3, 1),
    ],
)
@pytest.mark.parametrize("sample_statistics", [False, True])
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("m", [None, 3, 7, 20])
def test_each_tile_is_drawn_from_a_stream_of_its_own(
    make, n_shares, n_parts, sample_statistics, k, m, monkeypatch
):
    n = 11
    cut_in(monkeypatch, n_shares, n_parts)
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
    assert len(mini_batch.tiles) == n_shares * n_parts
    run(mini_batch, make(rows))

    # One share after the other, each with all it needs.
    shares = [
        plain_phases(
            model,
            rows[first:end],
            None if m is None else before[first_chain:end_chain],
            [Stream(0, i * n_parts + part) for part in range(n_parts)],
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


@whole_and_cut
@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("threshold", [None, 0.3])
def test_the_rows_are_those_named_in_their_order(make, threshold):
    rng = np.random.default_rng(0)
    X = rng.random((40, 6)) * (rng.random((40, 6)) < 0.5)
    if threshold is None:
        X = (X > 0.3).astype(float)
    index = rng.permutation(40)[:11]
    how = {"sparse": make is sparse.csr_array, "binarize": threshold}
    named, given = (mini_batch_of(random_model(6, 4), 11, **how) for _ in range(2))
    named.run_phases(make(X), index)
    run(given, make(X[index]))
    np.testing.assert_array_equal(visible(named)[:11], X[index] > 0.3)
    np.testing.assert_array_equal(visible(named), visible(given))
    np.testing.assert_array_equal(named.H, given.H)


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize(
    ("make", "shape", "counts"),
    [
        (np.asarray, (400, 784, 500), (2, 1)),
        (np.asarray, (1030, 300, 220), (2, 1)),
        (np.asarray, (4200, 300, 220), (4, 1)),
        (np.asarray, (70, 2100, 2000), (1, 4)),
        (np.asarray, (150, 2000, 900), (2, 2)),
        (np.asarray, (100, 784, 600), (1, 2)),
        (sparse.csr_array, (400, 784, 500), (2, 1)),
        (sparse.csr_array, (1030, 300, 220), (2, 1)),
        (sparse.csr_array, (70, 1024, 1000), (1, 1)),
        (sparse.csr_array, (100, 784, 500), (1, 1)),
    ],
)
def test_large_mini_batches_get_the_plain_gradient(
    make, shape, counts, persistent, centred
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

    def results(crew):
        chains = start.copy() if persistent else None
        mini_batch = mini_batch_of(model, n, chains, mu, sparse=is_sparse, crew=crew)
        assert counts == count_tiles(n, n_features, n_components, sparse=is_sparse)
        assert len(mini_batch.tiles) == mini_batch.n_slabs == np.prod(counts)
        run(mini_batch, batch)
        V, H = visible(mini_batch), mini_batch.H.copy()
        return V, H, gradient(mini_batch, lam), chains

    V, H, (dW, db, dc), _ = results(CREW)
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
        with Crew(n_threads) as crew:
            every.append(results(crew))
    for V, H, change, chains in every[1:]:
        np.testing.assert_array_equal(V, every[0][0])
        np.testing.assert_array_equal(H, every[0][1])
        np.testing.assert_array_equal(flat(change), flat(every[0][2]))
        if persistent:
            np.testing.assert_array_equal(chains, every[0][3])


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize(
    ("counts", "is_sparse", "waits"),
    [
        ((1, 1), False, False),
        ((4, 1), False, False),
        ((2, 2), False, True),
        ((2, 1), True, True),
    ],
)
def test_only_tiles_that_need_others_wait_for_them(
    counts, is_sparse, waits, k, monkeypatch
):
    cut_in(monkeypatch, *counts)

    class Counting(Crew):
        n_calls = 0

        def map(self, task, items):
            self.n_calls += 1
            return super().map(task, items)

    crew = Counting()
    make = sparse.csr_array if is_sparse else np.asarray
    mini_batch = mini_batch_of(MODEL, 6, sparse=is_sparse, crew=crew, n_gibbs_steps=k)
    run(mini_batch, make(np.tile(ROWS, (2, 1)).astype(float)))
    assert crew.n_calls == (4 + 2 * (k - 1) if waits else 1)


def test_sparse_visible_units_are_drawn_in_blocks_on_any_thread():
    n, n_features, n_components = 150, 2000, 6
    rng = np.random.default_rng(0)
    W = rng.normal(size=(n_features, n_components)) * 0.1
    b = rng.normal(size=n_features) - 3
    model = Parameters(W, b, np.zeros(n_components))
    rows = sparse.csr_array((rng.random((n, n_features)) < 0.05).astype(float))
    every = []
    for n_threads in (1, 2, 3):
        with Crew(n_threads) as crew:
            mini_batch = mini_batch_of(
                model, n, mu=rows.mean(axis=0), sparse=True, crew=crew
            )
            (tile,) = mini_batch.tiles
            assert len(tile.blocks) == 4
            run(mini_batch, rows)
            every.append((visible(mini_batch), mini_batch.H.copy()))
    V, H = every[0]
    np.testing.assert_allclose(H, sigmoid(V @ W), atol=1e-10)
    for other_V, other_H in every[1:]:
        np.testing.assert_array_equal(other_V, V)
        np.testing.assert_array_equal(other_H, H)


def test_blocks_may_be_drawn_in_any_order():
    n, n_features, n_components = 150, 2000, 6
    rng = np.random.default_rng(0)
    model = Parameters(
        rng.normal(size=(n_features, n_components)) * 0.1,
        rng.normal(size=n_features) - 3,
        np.zeros(n_components),
    )
    h = rng.random((n, n_components)) < 0.5

    def drawn(order):
        mini_batch = mini_batch_of(model, n, mu=np.full(n_features, 0.05), sparse=True)
        (tile,) = mini_batch.tiles
        tile.hold(h)
        assert len(tile.blocks) == len(order)
        for i in order:
            tile.sample(i)
        return [tile.on[i] for i in sorted(order)]

    np.testing.assert_equal(drawn([3, 1, 0, 2]), drawn(range(4)))


def test_the_number_of_tasks_depends_on_the_terms():
    assert count_tasks(0, 784 * 500) == 1
    assert count_tasks(10, 784 * 500) == 1  # over in no time
    assert count_tasks(20, 784 * 500) == 2
    assert count_tasks(600, 784 * 500) == 2
    assert count_tasks(700, 784 * 500) == 4
    assert count_tasks(4096, 64 * 64) == 1  # calls are short
    assert count_tasks(512, 128 * 128) == 2
    assert count_tasks(20_000, 64 * 64) == 2
    assert count_tasks(10**6, 10**6) == MAX_TILES


def test_rows_are_cut_where_there_are_many_and_else_units(monkeypatch):
    monkeypatch.setattr(tiles, "copies_weights", lambda n, f: True)
    assert count_tiles(10, 784, 500) == (1, 1)
    assert count_tiles(20, 784, 500) == (1, 2)
    assert count_tiles(95, 784, 500) == (1, 2)
    assert count_tiles(100, 784, 500) == (2, 1)
    assert count_tiles(199, 1568, 1000) == (2, 2)
    assert count_tiles(400, 1568, 1000) == (4, 2)
    assert count_tiles(100, 10_000, 1000) == (2, 4)
    assert count_tiles(10**6, 784, 500) == (MAX_TILES, 1)
    assert count_tiles(100, 10**6, 4) == (2, 1)  # few units
    assert count_tiles(95, 10**6, 4) == (1, 1)  # and few rows


def test_rows_are_cut_where_that_costs_no_copies(monkeypatch):
    monkeypatch.setattr(tiles, "copies_weights", lambda n, f: n > 20)
    assert count_tiles(10, 784, 500) == (1, 1)
    assert count_tiles(15, 2000, 2000) == (1, 2)
    assert count_tiles(17, 784, 500) == (2, 1)
    assert count_tiles(40, 784, 500) == (2, 1)
    assert count_tiles(41, 784, 500) == (1, 2)
    assert count_tiles(100, 784, 500) == (2, 1)


def test_sparse_rows_are_cut_by_rows_alone():
    assert count_tiles(191, 20_000, 1000, sparse=True) == (1, 1)
    assert count_tiles(192, 20_000, 1000, sparse=True) == (2, 1)
    assert count_tiles(10**6, 20_000, 1000, sparse=True) == (MAX_TILES, 1)


def test_the_number_of_strips_depends_on_the_shape():
    assert count_strips(20, 64, 64) == 1
    assert count_strips(20, 784, 500) == 8
    assert count_strips(20, 5, 60_000) == 5
    assert count_strips(40, 784, 500) == 16
    assert count_strips(42, 784, 500) == 1  # too many


@pytest.mark.parametrize(("n", "m", "count"), [(1, 5, 1), (5, 2, 2), (5, 9, 4)])
def test_no_tile_is_without_rows(n, m, count, monkeypatch):
    cut_in(monkeypatch, 4, 1)
    mini_batch = mini_batch_of(random_model(6, 4), n, np.zeros((m, 4)))
    assert len(mini_batch.tiles) == count
    assert all(len(tile.H0) and len(tile.Hk) for tile in mini_batch.tiles)


@whole_and_cut
def test_binarize_thresholds_the_batch():
    batch = np.random.default_rng(0).random((10, 6))
    for make in (np.asarray, sparse.csr_array):
        thresholded, given = (
            mini_batch_of(random_model(6, 4), 10, sparse=make is not np.asarray, **how)
            for how in ({"binarize": 0.3}, {})
        )
        run(thresholded, make(batch))
        run(given, make((batch > 0.3).astype(float)))
        np.testing.assert_array_equal(visible(thresholded)[:10], batch > 0.3)
        np.testing.assert_array_equal(
            flat(gradient(thresholded)), flat(gradient(given))
        )
