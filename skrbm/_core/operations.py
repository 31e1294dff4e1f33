"""The few heavy operations that the formulas are written in.

They are what another array library would replace first.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse
from scipy.linalg import cython_blas, get_blas_funcs

from skrbm._core.types import Array, Rows

# With fewer rows than this, scipy's direct calls of BLAS are faster than numpy's
# product where a matrix is transposed.
_FEW_ROWS = 48
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
        # np.dot takes less time to call, but copies matrices whose rows lie apart.
        return (np.dot if W.flags.c_contiguous else np.matmul)(x, W, out=out)
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


class AddProduct:
    """``W = keep W + v'G`` in place, for three arrays that stay where they are.

    Each has contiguous rows.  There is no further matrix for the product, and other
    threads run meanwhile.
    """

    def __init__(self, W: Array, v: Array, G: Array) -> None:
        # v: (n, f)  G: (n, c) -> (f, c)
        self._arrays = W, v, G
        self._gemm = _unlocked_gemm(W.dtype)
        number = {"f": ctypes.c_float, "d": ctypes.c_double}[W.dtype.char]
        self._keep: Any = number()
        # Arrays in C order are transposed ones to BLAS: W' = keep W' + G'v.
        self._letters = ctypes.c_char(b"N"), ctypes.c_char(b"T")
        self._sizes = [ctypes.c_int(size) for size in (G.shape[1], *v.shape[::-1])]
        self._one = number(1)
        self._steps = [
            ctypes.c_int(max(A.strides[0] // A.itemsize, A.shape[1])) for A in (G, v, W)
        ]
        # All is passed by address.
        address = ctypes.addressof
        G_step, v_step, W_step = [address(step) for step in self._steps]
        self._arguments = [
            *[address(letter) for letter in self._letters],
            *[address(size) for size in self._sizes],
            *(address(self._one), G.ctypes.data, G_step, v.ctypes.data, v_step),
            *(address(self._keep), W.ctypes.data, W_step),
        ]

    def __call__(self, keep: float = 1.0) -> None:
        """Add the product of what v and G hold now."""
        if self._gemm is None:
            W, v, G = self._arrays
            gemm = _blas("gemm", W.dtype)
            gemm(1.0, G.T, v.T, keep, W.T, trans_b=True, overwrite_c=True)
        else:
            self._keep.value = keep
            self._gemm(*self._arguments)


@functools.cache
def _unlocked_gemm(dtype: np.dtype[Any]) -> Callable[..., None] | None:
    """Return BLAS's gemm, which takes addresses, to call without the interpreter lock.

    scipy exports BLAS to code in C.  None if sizes are not what they have been so far.
    """
    exported: dict[str, Any] = {**cython_blas.__pyx_capi__}
    routine = exported[{"f": "sgemm", "d": "dgemm"}[dtype.char]]
    name_of = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(
        ("PyCapsule_GetName", ctypes.pythonapi)
    )
    address_of = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", ctypes.pythonapi)
    )
    signature = name_of(routine)
    if not signature.startswith(b"void (char *, char *, int *, int *, int *, "):
        return None
    address = address_of(routine, signature)
    return ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 13)(address)


def touch_buffers() -> None:
    """Make BLAS touch the memory that it copies matrices to.

    For matrices of up to some 300 columns OpenBLAS leaves most of it untouched, and on
    some processors such products take two or three times as long until a larger one
    has been worked out, presumably because it prefetches from there.  Each library has
    such memory for each thread that is in it.
    """
    W, v, G = (
        np.zeros(shape, np.float32) for shape in ((64, 512), (768, 64), (768, 512))
    )
    np.matmul(v.T, G, out=W)
    AddProduct(W, v, G)()


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


# To a small array it takes half the time to add one without dimensions that it takes
# to add a Python number.
_ONE = {char: np.ones((), char) for char in "fd"}


def sigmoid(
    x: Array, intercept: Array | None = None, out: Array | None = None
) -> Array:
    """Turn x into ``1 / (1 + exp(-(x + intercept)))``, in place without ``out``.

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
    np.add(out, _ONE[out.dtype.char], out=out)
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
