"""The few heavy operations that the formulas are written in.

They are what another array library would replace first.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numpy as np
from scipy.linalg import cython_blas, get_blas_funcs

from skrbm._core.threads import blas_libraries
from skrbm._core.types import Array, Rows

P = ParamSpec("P")
R = TypeVar("R")

# scipy's product of a CSC matrix adds to what there is, of which its public functions
# make no use: with them all of a matrix has to be worked out before it is added.
_csc_matvecs: Callable[..., None] | None = None
with contextlib.suppress(ImportError):
    from scipy.sparse._sparsetools import csc_matvecs

    _csc_matvecs = csc_matvecs

# A product of so few terms OpenBLAS works out as it stands where it has kernels for
# that, while for a larger one it first copies both matrices: with few rows more than
# half of the time.
SMALL_TERMS = 10**6
_HAVE_SMALL_KERNELS = {"SkylakeX", "Cooperlake", "SapphireRapids"}  # all of AVX-512
# Results that such a product may have where a matrix is transposed, and the terms that
# each has at least.
_SMALL_RESULTS, _LEAST_TERMS = 1200, 32
# Rows that are taken together at least where W is small and there are many of them.
_LEAST_ROWS = 32
# Columns of W that are taken together: short pieces of rows that lie 2^k apart drive
# each other out of the cache.
_COLUMNS = 64
# Half as many are taken where W has no more rows than the processor has places to
# remember pages of memory.
_FEW_FEATURES = 1536


@functools.cache
def _blas(name: str, dtype: np.dtype[Any]) -> Callable[..., Array]:
    return get_blas_funcs(name, dtype=dtype)


@functools.cache
def _has_small_kernels() -> bool:
    """Say whether BLAS works out small products as they stand."""
    names = {library.get("architecture") for library in blas_libraries()}
    return bool(names) and names <= _HAVE_SMALL_KERNELS


def times(x: Rows, W: Array, out: Array | None = None) -> Array:
    """Return ``x W``."""
    # x: (n, f)  W: (f, c) -> (n, c)
    if not isinstance(x, np.ndarray):
        if out is None:
            return x @ W
        out[...] = x @ W
        return out
    if out is None:
        out = np.empty((len(x), W.shape[1]), np.result_type(x, W))
    prepared_times(x, W, out)()
    return out


def times_transposed(h: Array, W: Array, out: Array | None = None) -> Array:
    """Return ``h W'``."""
    # h: (n, c)  W: (f, c) -> (n, f)
    if out is None:
        out = np.empty((len(h), len(W)), np.result_type(h, W))
    prepared_times_transposed(h, W, out)()
    return out


def prepared_times(x: Array, W: Array, out: Array) -> Callable[[], object]:
    """Return what puts ``x W`` in ``out``, for arrays that stay where they are."""
    (n, f), c = x.shape, W.shape[1]
    width, length = _width(n, f), _length(f, c)
    if 0 < width < c:
        whole = c // width * width
        columns = (
            _column_parts(W[:, :whole], width),
            _column_parts(out[:, :whole], width),
        )
        return _prepared((x, *columns), (x, W[:, whole:], out[:, whole:]))
    if 0 < length < n:
        whole = n // length * length
        rows = _row_parts(x[:whole], length), W, _row_parts(out[:whole], length)
        return _prepared(rows, (x[whole:], W, out[whole:]))
    return _prepared((x, W, out))


def prepared_times_transposed(h: Array, W: Array, out: Array) -> Callable[[], object]:
    """Return what puts ``h W'`` in ``out``, for arrays that stay where they are."""
    height = _height(*h.shape)
    if not 0 < height < len(W):
        return _prepared((h, W.T, out))
    whole = len(W) // height * height
    parts = _column_parts(W[:whole].T, height), _column_parts(out[:, :whole], height)
    return _prepared((h, *parts), (h, W[whole:].T, out[:, whole:]))


def _prepared(*products: tuple[Array, Array, Array]) -> Callable[[], object]:
    """Return what puts the product of the first two of each three in the third."""
    x, A, out = products[0]
    # `dot` takes less time to call, but copies matrices whose rows lie apart, and wants
    # a place in C order.
    if len(products) == 1 and x.flags.forc and A.flags.forc and out.flags.c_contiguous:
        return functools.partial(x.dot, A, out)

    def multiply() -> None:
        for x, A, out in products:
            np.matmul(x, A, out=out)

    return multiply


def _width(n: int, f: int) -> int:
    """Return how many columns of W (f, c) n rows are multiplied with at a time.

    0 if there is nothing to gain from parts, as for a product with a vector.
    """
    if n <= 1 or not _has_small_kernels():
        return 0
    width = SMALL_TERMS // (n * f)
    step = _COLUMNS if width >= _COLUMNS or f > _FEW_FEATURES else _COLUMNS // 2
    return width // step * step


def _length(f: int, c: int) -> int:
    """Return how many rows are multiplied with W (f, c) at a time, or 0."""
    if not _has_small_kernels():
        return 0
    length = SMALL_TERMS // (f * c) // 16 * 16
    return length if length >= _LEAST_ROWS else 0


def copies_weights(n: int, f: int) -> bool:
    """Say whether products of n rows with a large W (f, c) cost a copy of it."""
    return not _width(n, f)


def _height(n: int, c: int) -> int:
    """Return how many rows of W (f, c) n rows are multiplied with at a time, or 0."""
    if n <= 1 or c < _LEAST_TERMS or not _has_small_kernels():
        return 0
    return min(_SMALL_RESULTS // n, SMALL_TERMS // (n * c)) // 8 * 8


def _column_parts(A: Array, width: int) -> Array:
    """Return a view of the columns of A, so many at a time: (number, n, width)."""
    return A.reshape(len(A), -1, width).transpose(1, 0, 2)


def _row_parts(A: Array, length: int) -> Array:
    """Return a view of the rows of A, so many at a time: (number, length, width)."""
    return A.reshape(-1, length, A.shape[1])


class AddProduct:
    """``W = keep W + scale v'G`` in place, for three arrays that stay where they are.

    Each has contiguous rows.  There is no further matrix for the product, and other
    threads run meanwhile.
    """

    def __init__(self, W: Array, v: Array, G: Array) -> None:
        # v: (n, f)  G: (n, c) -> (f, c)
        self._arrays = W, v, G
        self._gemm = _unlocked_gemm(W.dtype)
        number = {"f": ctypes.c_float, "d": ctypes.c_double}[W.dtype.char]
        self._scale: Any = number()
        self._keep: Any = number()
        # Arrays in C order are transposed ones to BLAS: W' = keep W' + scale G'v.
        self._letters = ctypes.c_char(b"N"), ctypes.c_char(b"T")
        self._sizes = [ctypes.c_int(size) for size in (G.shape[1], *v.shape[::-1])]
        self._steps = [
            ctypes.c_int(max(A.strides[0] // A.itemsize, A.shape[1])) for A in (G, v, W)
        ]
        # All is passed by address.
        address = ctypes.addressof
        G_step, v_step, W_step = [address(step) for step in self._steps]
        self._arguments = [
            *[address(letter) for letter in self._letters],
            *[address(size) for size in self._sizes],
            *(address(self._scale), G.ctypes.data, G_step, v.ctypes.data, v_step),
            *(address(self._keep), W.ctypes.data, W_step),
        ]

    def __call__(self, scale: float = 1.0, keep: float = 1.0) -> None:
        """Add the product of what v and G hold now."""
        if self._gemm is None:
            W, v, G = self._arrays
            gemm = _blas("gemm", W.dtype)
            gemm(scale, G.T, v.T, keep, W.T, trans_b=True, overwrite_c=True)
        else:
            self._scale.value, self._keep.value = scale, keep
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
    """Compute ``W += v'G`` in place, for a v that may be sparse, or not after all.

    W and G are in C order.
    """
    # v: (n, f)  G: (n, c) -> (f, c)
    if isinstance(v, np.ndarray) or _csc_matvecs is None:
        W += v.T @ G
        return
    # A CSR matrix is that of its transpose as CSC.
    sizes, arrays = (*v.shape[::-1], G.shape[1]), (v.indptr, v.indices, v.data)
    _csc_matvecs(*sizes, *arrays, G.reshape(-1), W.reshape(-1))


def move_towards(mean: Array, value: Array, step: float) -> None:
    """Compute ``mean += step (value - mean)`` in place."""
    mean *= 1 - step
    _blas("axpy", mean.dtype)(value.reshape(-1), mean.reshape(-1), a=step)


def move_towards_product(mean: Array, w: Array, H: Array, step: float) -> None:
    """Compute ``mean += step (w'H - mean)`` in place, for arrays in C order."""
    # mean: (c,)  w: (n,)  H: (n, c)
    gemv = _blas("gemv", mean.dtype)
    gemv(step, H.T, w, beta=1 - step, y=mean, overwrite_y=True)


def norm(x: Array) -> float:
    """Return the square root of the sum of squares, however large these are."""
    return float(_blas("nrm2", x.dtype)(x.reshape(-1)))


def quiet(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function with no warning of what floating point numbers come to.

    Infinities and zeros from exp(-x) are the right limit, see `sigmoid`; and of finite
    numbers BLAS at times says that one was invalid.  What has become of a model is for
    others to see.
    """

    # Not np.errstate itself as a decorator: before numpy 2 all calls share one state,
    # and one within another leaves the caller's changed.
    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            return function(*args, **kwargs)

    return call


# To a small array it takes half the time to add one without dimensions that it takes
# to add a Python number.
_ONE = {char: np.ones((), char) for char in "fd"}


def sigmoid(x: Array, intercept: Array | None = None) -> Array:
    """Turn x into ``1 / (1 + exp(-(x + intercept)))``, in place.

    Accurate to rounding for every x.  The exponential of a large -x may overflow
    to infinity, which gives the right limit; callers silence that warning once,
    around their loop.
    """
    if intercept is None:
        np.negative(x, out=x)
    else:
        np.subtract(-intercept, x, out=x)
    return sigmoid_of_minus(x)


def sigmoid_of_minus(x: Array) -> Array:
    """Turn x into ``1 / (1 + exp(x))``, in place."""
    one = _ONE[x.dtype.char]
    np.exp(x, out=x)
    np.add(x, one, out=x)
    return np.divide(one, x, out=x)  # in half the time of np.reciprocal


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
