"""The few operations on arrays that the formulas are written in, here for numpy.

Another array library would stand under the same formulas by fulfilling these.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numpy as np
from scipy.linalg import get_blas_funcs

from skrbm._core.types import Array, Rows

P = ParamSpec("P")
R = TypeVar("R")


@functools.cache
def _blas(name: str, dtype: np.dtype[Any]) -> Callable[..., Array]:
    return get_blas_funcs(name, dtype=dtype)


def times(x: Rows, W: Array, out: Array | None = None) -> Array:
    """Return ``x W``, for rows that may be sparse."""
    # x: (n, f)  W: (f, c) -> (n, c)
    if not isinstance(x, np.ndarray):
        if out is None:
            return x @ W
        out[...] = x @ W
        return out
    width = _width(len(x), W.size)
    if not width:
        return np.matmul(x, W, out=out)
    if out is None:
        out = np.empty((len(x), W.shape[1]), np.result_type(x, W))
    for first in range(0, W.shape[1], width):
        part = slice(first, first + width)
        np.matmul(x, W[:, part], out=out[:, part])
    return out


def times_transposed(h: Array, W: Array, out: Array | None = None) -> Array:
    """Return ``h W'``."""
    # h: (n, c)  W: (f, c) -> (n, f)
    return times(h, W.T, out)


def _width(n: int, n_weights: int) -> int:
    """Return how many columns to multiply n rows with at a time, or 0 for all of them.

    Before BLAS multiplies it copies both matrices, which for few rows takes longer than
    the product.  Some do without where there are about 1000 results.
    """
    if n * n_weights < 10**6 or n == 1:
        return 0
    width = 1000 // n // 16 * 16
    return width if width >= 32 else 0


def add_outer(W: Array, v: Array, G: Array, scale: float = 1.0) -> None:
    """Compute ``W += scale v'G`` in place, for arrays in C order."""
    # v: (n, f)  G: (n, c) -> (f, c)
    _blas("gemm", W.dtype)(scale, G.T, v.T, 1, W.T, trans_b=True, overwrite_c=True)


def add_outer_beside_others(W: Array, v: Array, G: Array) -> None:
    """Compute ``W += v'G`` while other threads run, which takes a further matrix."""
    W += np.matmul(v.T, G)


def ones(*shape: int, like: Array) -> Array:
    """Return an array of ones, of the type of another."""
    return np.ones(shape, like.dtype)


def subtract(x: Array, y: Array, out: Array) -> Array:
    """Return ``x - y``."""
    return np.subtract(x, y, out=out)


def sum_rows(x: Array) -> Array:
    """Return the sum of the rows of x."""
    return ones(len(x), like=x).dot(x)  # BLAS rounds less than np.sum


# To a small array it takes half the time to add one without dimensions that it takes
# to add a Python number.
_ONE = np.ones((), np.float32)


def sigmoid(
    x: Array, intercept: Array | float = 0.0, scale: Array | None = None
) -> Array:
    """Turn x into ``1 / (1 + exp(-scale (x + intercept)))``, in place.

    Accurate to rounding for every x.  The exponential of a large -x may overflow
    to infinity, which gives the right limit; callers silence that once (`quiet`).
    """
    np.subtract(-intercept, x, out=x)
    if scale is not None:
        np.multiply(scale, x, out=x)
    np.exp(x, out=x)
    np.add(x, _ONE, out=x)
    return np.divide(_ONE, x, out=x)  # in half the time of np.reciprocal


def softplus(x: Array) -> Array:
    """Return ``log(1 + exp(x))`` without overflow."""
    # Several times faster than logaddexp(0, x).  log1p would keep the relative
    # accuracy of values near 0 too, which is lost in any sum with others.
    y = np.abs(x)
    np.negative(y, out=y)
    np.exp(y, out=y)
    y += 1
    np.log(y, out=y)
    y += np.maximum(x, 0)
    return y


def norm(x: Array) -> float:
    """Return the square root of the sum of squares, however large these are."""
    return float(_blas("nrm2", x.dtype)(x.reshape(-1)))


def quiet(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function with no warning of what floating point numbers come to.

    Infinities and zeros from exp(-x) are the right limit, see `sigmoid`; and of finite
    numbers BLAS at times says that one was invalid.
    """

    # Not np.errstate itself as a decorator: before numpy 2 all calls share one state,
    # and one within another leaves the caller's changed.
    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            return function(*args, **kwargs)

    return call
