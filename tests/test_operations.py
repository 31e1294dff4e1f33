"""The heavy operations, against plain products in double precision."""

import tracemalloc

import numpy as np
import pytest
from scipy import sparse

from skrbm._core import operations

# Few rows and many, models of some terms and of many: with parts of W and without.
SHAPES = [
    (n, f, c)
    for n in (1, 3, 10, 19, 33, 47, 48, 100)
    for f, c in ((1, 1), (40, 130), (784, 500), (785, 127), (301, 1000), (2000, 129))
] + [(n, f, c) for n in (512, 1333) for f, c in ((130, 100), (784, 32), (784, 40))]


def numbers(*shape):
    return np.random.default_rng(0).standard_normal(shape, np.float32)


@pytest.fixture(params=[True, False], ids=["small-kernels", "no-small-kernels"])
def small_kernels(request, monkeypatch):
    monkeypatch.setattr(operations, "_has_small_kernels", lambda: request.param)
    return request.param


@pytest.mark.usefixtures("small_kernels")
@pytest.mark.parametrize(("n", "f", "c"), SHAPES)
def test_products_that_are_cut_are_whole(n, f, c):
    x, W = numbers(n, f), numbers(f, c)
    expected = x.astype(np.float64) @ W.astype(np.float64)
    tolerance = 1e-4 * np.sqrt(f)  # of rounding, far below a missing product
    out = np.full((n, c), np.nan, np.float32)
    assert operations.times(x, W, out=out) is out
    np.testing.assert_allclose(out, expected, atol=tolerance)
    np.testing.assert_allclose(operations.times(x, W), expected, atol=tolerance)


@pytest.mark.usefixtures("small_kernels")
@pytest.mark.parametrize(("n", "f", "c"), SHAPES)
def test_transposed_products_that_are_cut_are_whole(n, f, c):
    h, W = numbers(n, c), numbers(f, c)
    expected = h.astype(np.float64) @ W.astype(np.float64).T
    tolerance = 1e-4 * np.sqrt(c)
    out = np.full((n, f), np.nan, np.float32)
    assert operations.times_transposed(h, W, out=out) is out
    np.testing.assert_allclose(out, expected, atol=tolerance)
    result = operations.times_transposed(h, W)
    np.testing.assert_allclose(result, expected, atol=tolerance)


# Rows, and the parts of each product of theirs on 784 x 500, the last one smaller.
@pytest.mark.parametrize(
    ("n", "n_parts", "n_parts_transposed"), [(1, 1, 1), (10, 8, 7), (100, 1, 98)]
)
def test_parts_are_small_enough_for_blas_to_work_out_as_they_stand(
    n, n_parts, n_parts_transposed, small_kernels, monkeypatch
):
    shapes = []

    def prepared(*products):
        for x, W, out in products:
            number = len(out) if out.ndim == 3 else 1
            if out.size:
                shapes.extend([(*x.shape[-2:], W.shape[-1])] * number)
        return lambda: None

    monkeypatch.setattr(operations, "_prepared", prepared)
    x, h, W = numbers(n, 784), numbers(n, 500), numbers(784, 500)
    operations.times(x, W, out=numbers(n, 500))
    assert len(shapes) == (n_parts if small_kernels else 1)
    operations.times_transposed(h, W, out=numbers(n, 784))
    transposed = shapes[n_parts if small_kernels else 1 :]
    assert len(transposed) == (n_parts_transposed if small_kernels else 1)
    if small_kernels and n == 10:
        assert max(np.prod(shapes, axis=1)) <= operations.SMALL_TERMS
    if len(transposed) > 1:
        assert max(np.prod(transposed, axis=1)) <= operations.SMALL_TERMS
        assert max(n * f for n, _, f in transposed) <= operations._SMALL_RESULTS
    # Many rows and few columns: parts of the rows, 112 at a time.
    shapes.clear()
    operations.times(numbers(1000, 88), numbers(88, 100), out=numbers(1000, 100))
    assert len(shapes) == (9 if small_kernels else 1)
    if small_kernels:
        assert max(np.prod(shapes, axis=1)) <= operations.SMALL_TERMS
    # Parts of less than 32 rows would cost more than a copy of W.
    shapes.clear()
    operations.times(numbers(1000, 200), numbers(200, 200), out=numbers(1000, 200))
    assert len(shapes) == 1


@pytest.mark.parametrize("strips", ["x", "W", "out"])
def test_strips_of_larger_matrices_are_multiplied_without_a_copy(strips, monkeypatch):
    monkeypatch.setattr(operations, "_has_small_kernels", lambda: False)
    x, W, out = (
        numbers(length, width + 5)[:, 2:-3]
        if name == strips
        else numbers(length, width)
        for name, length, width in (("x", 90, 80), ("W", 80, 70), ("out", 90, 70))
    )
    tracemalloc.start()
    operations.times(x, W, out=out)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < W.nbytes / 2
    np.testing.assert_allclose(out, x.astype(np.float64) @ W, atol=1e-3)


def test_few_rows_cost_no_copy_of_the_weights(small_kernels):
    for n, f, few in [
        (2, 784, True),
        (39, 784, True),
        (40, 784, False),
        (7, 2000, True),
        (8, 2000, False),
        (1, 784, False),
    ]:
        assert operations.copies_weights(n, f) == (not (few and small_kernels))


def test_small_kernels_are_known_by_the_name_of_the_processor(monkeypatch):
    def has_small_kernels(*names):
        libraries = [{"architecture": name} if name else {} for name in names]
        monkeypatch.setattr(operations, "blas_libraries", lambda: libraries)
        return operations._has_small_kernels.__wrapped__()

    assert has_small_kernels("SkylakeX", "SapphireRapids")
    assert not has_small_kernels("SkylakeX", "Haswell")
    assert not has_small_kernels("SkylakeX", None)  # not OpenBLAS
    assert not has_small_kernels()


@pytest.mark.parametrize("public", [True, False])
@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("dtype", ["f", "d"])
def test_a_sparse_product_is_added_in_place(dtype, index, public, monkeypatch):
    if public:
        monkeypatch.setattr(operations, "_csc_matvecs", None)
    else:
        assert operations._csc_matvecs is not None
    rng = np.random.default_rng(0)
    rows = rng.random((12, 40)) * (rng.random((12, 40)) < 0.1)
    v = sparse.csr_array(rows.astype(dtype))
    v.indices, v.indptr = v.indices.astype(index), v.indptr.astype(index)
    # A part of larger arrays, which may not be written to beside it.
    larger, G = rng.random((43, 5)).astype(dtype), rng.random((14, 5)).astype(dtype)
    W, G = larger[1:-2], G[1:-1]
    expected = larger.copy()
    expected[1:-2] += v.toarray().T @ G
    operations.add_sparse_product(W, v, G)
    np.testing.assert_allclose(larger, expected, rtol=1e-5 if dtype == "f" else 1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("unlocked", [True, False])
@pytest.mark.parametrize(
    ("n", "f", "c"), [(1, 1, 1), (1, 5, 3), (7, 1, 4), (7, 4, 1), (20, 301, 130)]
)
def test_a_product_is_added_in_place(n, f, c, unlocked, dtype, monkeypatch):
    if not unlocked:
        monkeypatch.setattr(operations, "_unlocked_gemm", lambda _: None)
    # Within larger arrays, none of which may be written to beside its place.
    v, G, W = (
        numbers(*shape).astype(dtype) for shape in ((n, f + 2), (n, c), (f + 3, c))
    )
    before, strip = W.copy(), slice(1, f + 1)
    add_product = operations.AddProduct(W[strip], v[:, strip], G)
    for scale, keep in ((1.0, 1.0), (-0.5, 0.25)):
        expected = W.copy()
        expected[strip] = keep * W[strip] + scale * v[:, strip].T @ G
        add_product(scale, keep)
        np.testing.assert_allclose(W, expected, rtol=1e-4, atol=1e-5)
    # What the arrays hold at the time of the call is what counts.
    G[...] = 0
    add_product(keep=0.0)
    assert not W[strip].any()
    np.testing.assert_array_equal(W[0], before[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_product_is_added_without_the_lock(dtype):
    assert operations._unlocked_gemm(np.dtype(dtype)) is not None


def test_arrays_of_a_single_row_may_have_any_stride():
    rng = np.random.default_rng(0)
    v, G = rng.random((1, 1)), rng.random((1, 5))
    W = np.lib.stride_tricks.as_strided(rng.random(5), (1, 5), (0, 8))
    expected = W + v.T @ G
    operations.AddProduct(W, v, np.lib.stride_tricks.as_strided(G, (1, 5), (0, 8)))()
    np.testing.assert_allclose(W, expected, rtol=1e-12)


def test_quiet_calls_leave_the_treatment_of_errors_as_it_was():
    @operations.quiet
    def depth(n):
        treatment = np.geterr()
        assert treatment["over"] == treatment["invalid"] == "ignore"
        return depth(n - 1) + 1 if n else 0

    with np.errstate(over="raise", invalid="warn"):
        before = np.geterr()
        assert depth(2) == 2
        assert np.geterr() == before
