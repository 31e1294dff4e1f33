"""The few heavy operations that the formulas are written in.

Another array library can stand under the same formulas by offering these.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse
from scipy.linalg import get_blas_funcs

from skrbm._core.types import Array, Rows


# With this many rows or more numpy's products serve: they let other threads run
# meanwhile, as scipy's direct calls of BLAS do not.  With fewer those are faster.
_FEW_ROWS = 48


@functools.cache
def _blas(name: str, dtype: np.dtype[Any]) -> Callable[..., Array]:
    return get_blas_funcs(name, dtype=dtype)


def product(x: Rows, M: Array, out: Array | None = None) -> Array:
    """Return ``x M``."""
    # x: (n, a)  M: (a, b) -> (n, b)
    if sparse.issparse(x):
        out = np.empty((x.shape[0], M.shape[1]), M.dtype) if out is None else out
        out[...] = x @ M
        return out
    if out is not None and len(x) < _FEW_ROWS and M.flags.f_contiguous:
        # numpy's matmul is slow by a third on a transposed matrix and few rows;
        # this is the same product, as Fortran stores it.
        gemm = _blas("gemm", M.dtype)
        gemm(1.0, M, x.T, 0.0, out.T, trans_a=True, overwrite_c=True)
        return out
    return np.matmul(x, M, out=out)


def affine(x: Rows, M: Array, intercept: Array, out: Array | None = None) -> Array:
    """Return ``x M + intercept`` row by row."""
    out = product(x, M, out)
    out += intercept
    return out


def add_product(W: Array, v: Rows, G: Array, keep: float = 1.0) -> None:
    """Compute ``W = keep W + v'G`` in place."""
    # v: (n, f)  G: (n, c) -> (f, c)
    if sparse.issparse(v):
        # Only the features that some row uses are touched.
        features, position = np.unique(v.indices, return_inverse=True)
        shape = (v.shape[0], len(features))
        used = sparse.csr_array((v.data, position, v.indptr), shape)
        if keep != 1:
            W *= keep
        W[features] += used.T @ G
    elif len(v) < 2 * _FEW_ROWS:
        gemm = _blas("gemm", W.dtype)
        gemm(1.0, G.T, v.T, keep, W.T, trans_b=True, overwrite_c=True)
    else:
        if keep != 1:
            W *= keep
        W += v.T @ G


def add_outer(W: Array, x: Array, y: Array) -> None:
    """Compute ``W += x y'`` in place."""
    _blas("ger", W.dtype)(1.0, y, x, a=W.T, overwrite_a=True)


def move_towards(mean: Array, value: Array, step: float) -> None:
    """Compute ``mean += step (value - mean)`` in place."""
    mean *= 1 - step
    _blas("axpy", mean.dtype)(value.reshape(-1), mean.reshape(-1), a=step)


def sigmoid(x: Array, out: Array) -> Array:
    """Return ``1 / (1 + exp(-x))``, accurate to rounding for every x.

    The exponential of a large -x may overflow to infinity, which gives the
    right limit; callers silence that warning once, around their loop.
    """
    np.negative(x, out=out)
    np.exp(out, out=out)
    out += 1
    return np.reciprocal(out, out=out)


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
