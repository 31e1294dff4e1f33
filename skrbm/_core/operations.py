"""The few heavy operations that the formulas are written in.

They are what another array library would replace first.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse
from scipy.linalg import get_blas_funcs

from skrbm._core.types import Array, Rows

# numpy's products release the interpreter lock.  scipy's direct calls of BLAS keep it,
# so that other threads wait; they are faster with fewer rows than this where a matrix
# is transposed, and wherever a product is added to a matrix, for which numpy needs a
# further one.
_FEW_ROWS = 48
# Terms of a product for which the lock may be held: a few milliseconds.
_SHORT = 1 << 27
# A product of so few terms OpenBLAS works out as it stands, while for a larger one it
# first copies both matrices: about half of the time where there are few rows.
SMALL_TERMS = 10**6
# Results that such a product may have where a matrix is transposed.
_SMALL_RESULTS = 1200
# Parts with fewer columns, or rows, of W than this take longer than the copies.
_LEAST_COLUMNS, _LEAST_ROWS = 96, 24
# So do the calls where a row of W is shorter.
_SHORT_ROW = 128
# Numbers that stay in the second-level cache from when they are read until they are
# written.
_IN_CACHE = 1 << 16


@functools.cache
def _blas(name: str, dtype: np.dtype[Any]) -> Callable[..., Array]:
    return get_blas_funcs(name, dtype=dtype)


def times(x: Rows, W: Array, out: Array | None = None) -> Array:
    """Return ``x W``."""
    # x: (n, f)  W: (f, c) -> (n, c)
    if not isinstance(x, np.ndarray):
        if out is None:
            return x @ W
        out[...] = x @ W
        return out
    if out is None:
        return np.dot(x, W)
    width = SMALL_TERMS // x.size // 16 * 16  # whole vectors
    if not _LEAST_COLUMNS <= width < W.shape[1]:
        return np.dot(x, W, out=out)
    for start in range(0, W.shape[1], width):
        part = slice(start, start + width)
        np.matmul(x, W[:, part], out=out[:, part])
    return out


def times_transposed(h: Array, W: Array, out: Array | None = None) -> Array:
    """Return ``h W'``."""
    # h: (n, c)  W: (f, c) -> (n, f)
    n, c = h.shape
    if out is None or n >= _FEW_ROWS:
        return np.matmul(h, W.T, out=out)
    height = min(_SMALL_RESULTS // n, SMALL_TERMS // h.size) // 8 * 8
    if c < _SHORT_ROW or not _LEAST_ROWS <= height < len(W):
        gemm = _blas("gemm", W.dtype)
        gemm(1.0, W.T, h.T, 0.0, out.T, trans_a=True, overwrite_c=True)
        return out
    for start in range(0, len(W), height):
        part = slice(start, start + height)
        np.matmul(h, W[part].T, out=out[:, part])
    return out


def add_product(
    W: Array, v: Array, G: Array, keep: float = 1.0, *, alone: bool = True
) -> None:
    """Compute ``W = keep W + v'G`` in place, for W in C order.

    ``alone`` says that no other thread of the crew is at work meanwhile.
    """
    # v: (n, f)  G: (n, c) -> (f, c)
    if (alone and len(v) * W.size <= _SHORT) or len(v) < 2 * _FEW_ROWS:
        gemm = _blas("gemm", W.dtype)
        gemm(1.0, G.T, v.T, keep, W.T, trans_b=True, overwrite_c=True)
        return
    if keep != 1:
        W *= keep
    W += v.T @ G


def add_sparse_product(W: Array, v: Rows, G: Array) -> None:
    """Compute ``W += v'G`` in place, for a v that may be sparse, or not after all."""
    # v: (n, f)  G: (n, c) -> (f, c)
    if isinstance(v, np.ndarray):
        W += v.T @ G
        return
    # Only the features that some row uses are touched.
    features, position = np.unique(v.indices, return_inverse=True)
    shape = (v.shape[0], len(features))
    change = sparse.csr_array((v.data, position, v.indptr), shape).T @ G
    n_rows = max(1, _IN_CACHE // change.shape[1])
    for start in range(0, len(features), n_rows):
        part = slice(start, start + n_rows)
        W[features[part]] += change[part]


def move_towards(mean: Array, value: Array, step: float) -> None:
    """Compute ``mean += step (value - mean)`` in place."""
    mean *= 1 - step
    _blas("axpy", mean.dtype)(value.reshape(-1), mean.reshape(-1), a=step)


def move_towards_product(mean: Array, w: Array, H: Array, step: float) -> None:
    """Compute ``mean += step (w'H - mean)`` in place, for arrays in C order."""
    # mean: (c,)  w: (n,)  H: (n, c)
    gemv = _blas("gemv", mean.dtype)
    gemv(step, H.T, w, beta=1 - step, y=mean, overwrite_y=True)


def sigmoid(
    x: Array,
    intercept: Array | None = None,
    scale: float = 1.0,
    out: Array | None = None,
) -> Array:
    """Turn x into ``scale / (1 + exp(-(x + intercept)))``, in place without ``out``.

    Accurate to rounding for every x.  The exponential of a large -x may overflow
    to infinity, which gives the right limit; callers silence that warning once,
    around their loop.
    """
    out = x if out is None else out
    if intercept is None:
        np.negative(x, out=out)
    else:
        np.subtract(-intercept, x, out=out)
    np.exp(out, out=out)
    out += 1
    return np.divide(scale, out, out=out)


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
