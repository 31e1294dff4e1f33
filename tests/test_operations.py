"""The heavy operations, against plain products in double precision."""

import numpy as np
import pytest
from scipy import sparse

from skrbm._core import operations
from skrbm._core.layers import add_rows

# Few rows and many, models of some terms and of many: in parts and whole.
SHAPES = [
    (n, f, c)
    for n in (1, 3, 10, 19, 31, 33, 100)
    for f, c in ((1, 1), (40, 130), (784, 500), (785, 127), (2000, 129))
]


def numbers(*shape):
    return np.random.default_rng(0).standard_normal(shape, np.float32)


@pytest.mark.parametrize(("n", "f", "c"), SHAPES)
def test_products_that_are_cut_are_whole(n, f, c):
    x, h, W = numbers(n, f), numbers(n, c), numbers(f, c)
    for product, factor, other in (
        (operations.times, x, W),
        (operations.times_transposed, h, W.T),
    ):
        expected = factor.astype(np.float64) @ other.astype(np.float64)
        tolerance = 1e-4 * np.sqrt(len(other))  # of rounding
        out = np.full(expected.shape, np.nan, np.float32)
        assert product(factor, W, out=out) is out
        np.testing.assert_allclose(out, expected, atol=tolerance)
        np.testing.assert_allclose(product(factor, W), expected, atol=tolerance)


def test_products_of_few_rows_with_many_weights_are_cut():
    assert operations._width(10, 784 * 500) == 96
    assert operations._width(31, 784 * 500) == 32
    for n, n_weights in ((1, 10**7), (10, 64 * 64), (40, 784 * 500)):
        assert operations._width(n, n_weights) == 0


@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize("n_dense", [0, 1])
def test_rows_are_added_in_place(n_dense, dtype, index):
    rng = np.random.default_rng(0)
    rows = rng.random((12, 40)) * (rng.random((12, 40)) < 0.1)
    parts = []
    for part in np.split(rows.astype(dtype), 3):
        v = sparse.csr_array(part)
        v.indices, v.indptr = v.indices.astype(index), v.indptr.astype(index)
        parts.append(v)
    if n_dense:
        parts[1] = parts[1].toarray()
    # A part of a larger array, which may not be written to beside it.
    larger, G = rng.random((43, 7)).astype(dtype), rng.random((12, 5)).astype(dtype)
    expected = larger.copy()
    expected[1:-2, 1:-1] += rows.astype(dtype).T @ G
    add_rows(larger[1:-2, 1:-1], parts, G)
    np.testing.assert_allclose(larger, expected, rtol=1e-5 if dtype == "f" else 1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("n", "f", "c"), [(1, 1, 1), (1, 5, 3), (7, 1, 4), (7, 4, 1), (20, 301, 130)]
)
def test_an_outer_product_is_added_in_place(n, f, c, dtype):
    # Within a larger array, which may not be written to beside its place.
    v, G, W = (numbers(*shape).astype(dtype) for shape in ((n, f), (n, c), (f + 3, c)))
    strip = slice(1, f + 1)
    expected = W.copy()
    expected[strip] -= 0.5 * v.T @ G
    operations.add_outer(W[strip], v, G, -0.5)
    np.testing.assert_allclose(W, expected, rtol=1e-4, atol=1e-5)
    operations.add_outer_beside_others(W[strip], v, 0.5 * G)
    expected[strip] += 0.5 * v.T @ G
    np.testing.assert_allclose(W, expected, rtol=1e-4, atol=1e-5)


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
