"""Work on the rows of X block by block, so that X is never converted as a whole."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from skrbm._core.operations import quiet
from skrbm._core.threads import Crew, cut
from skrbm._core.types import Array, DType, Rows, is_sparse

ROWS = 1024  # in a block, at most
ROWS_AT_ONCE = 32  # that exact scores take; all blocks but the last are multiples
# Terms of a product from which on calls of numpy are long.  Each gives the interpreter
# lock back and takes it again, so that of shorter ones two threads get done no more
# than one, and half as much of very short ones.
LONG_CALL = 1 << 22
# Terms of a product, some ten milliseconds, below which other threads come too late.
_WORTH_THREADS = 1 << 28


def blocks(n_rows: int, least: int = 128) -> list[slice]:
    """Cut rows into blocks of at most `ROWS`, into up to eight of ``least`` or more."""
    n_blocks = max(-(-n_rows // ROWS), min(8, n_rows // least), 1)
    return [
        slice(ROWS_AT_ONCE * part.start, min(ROWS_AT_ONCE * part.stop, n_rows))
        for part in cut(-(-n_rows // ROWS_AT_ONCE), n_blocks)
    ]


def rows_a_call(n_weights: int, least: int) -> int:
    """Return how many rows to multiply with so many weights to make a long call.

    No fewer than ``least``, and no more than `ROWS`, for the memory they take.
    """
    return max(least, min(LONG_CALL // n_weights, ROWS))


def is_long_call(n_rows: int, n_weights: int) -> bool:
    """Say whether threads lose nothing by products of so many rows."""
    return 2 * n_rows * n_weights >= LONG_CALL


def converted(rows: Rows, dtype: DType, binarize: float | None) -> Rows:
    """Return rows as ``dtype``, or 1 above the threshold if there is one, else 0."""
    if binarize is None:
        return rows.astype(dtype, copy=False)
    binarize = float(binarize)
    values = rows.data if is_sparse(rows) else rows
    # A Python number is compared in the type of the rows, to which it may be infinite.
    with np.errstate(over="ignore"):
        on = values > binarize
    if not is_sparse(rows):
        return on.astype(dtype)
    rows = rows.astype(dtype)
    rows.data[...] = on
    return rows


def rows_at(X: Rows, index: Array) -> Rows:
    """Return the rows of X with these indices, as they are."""
    # Much faster for a few rows, but of an array that is not contiguous or not aligned
    # `take` copies all first.
    if isinstance(X, np.ndarray) and X.flags.c_contiguous and X.flags.aligned:
        return X.take(index, axis=0)
    return X[index]


def map_rows(
    function: Callable[[Rows, Array | None], Array],
    X: Rows,
    out: Array,
    dtype: DType,
    binarize: float | None,
    crew: Crew,
    cost: float,
    index: Array | None = None,
) -> None:
    """Write ``function(rows, ...)`` for each block of rows of X into ``out``.

    With ``index`` it is given those rows alone.  It is also given the place to write
    to where that has its type, else None.
    ``cost`` is that of a row, as so many terms of a product, or 0 where threads would
    be in each other's way.
    """

    @quiet
    def work(rows: slice) -> None:
        place = out[rows] if out.dtype == dtype else None
        part = X[rows if index is None else index[rows]]
        result = function(converted(part, dtype, binarize), place)
        if result is not place:
            out[rows] = result

    n_rows = len(out)
    crew.map(work, blocks(n_rows), share=n_rows * cost >= _WORTH_THREADS)


def moments(
    X: Rows, binarize: float | None, rows: Array | None = None
) -> tuple[Array, float]:
    """Return the mean of the rows named and the mean of their squared norms.

    Sums are accumulated in double precision, from one block to the next for squares.
    """
    n_rows = X.shape[0] if rows is None else len(rows)
    total, squares = np.zeros(X.shape[1]), 0.0
    for block in cut(n_rows, -(-n_rows // ROWS)):  # no more than it takes: no threads
        part = converted(
            X[block if rows is None else rows[block]], np.float32, binarize
        )
        total += np.asarray(part.sum(axis=0, dtype=np.float64)).ravel()
        values = (part.data if is_sparse(part) else part).ravel()
        # Absurdly large values, which have been warned of, come to infinity.
        with np.errstate(over="ignore"):
            squares += float(values @ values)
    return total / n_rows, squares / n_rows
