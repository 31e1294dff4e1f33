"""Work on the rows of X piece by piece, so that X is never converted as a whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from skrbm._core.operations import quiet
from skrbm._core.threads import Workers, cut, worth_sharing
from skrbm._core.types import Array, DType, Rows, is_sparse

ROWS = 1024  # in a piece, at most
ROWS_AT_ONCE = 32  # that exact scores take
# Terms of a product that make a call of numpy long.
_LONG_CALL = 1 << 22


def pieces(
    n_rows: int, n_weights: int, least: int = 128, multiple: int = 1
) -> list[slice]:
    """Cut rows into pieces of ``least`` or more, long calls with so many weights.

    None has more rows than `ROWS`, for the memory they take, and all but the last one
    have a multiple of so many.
    """
    at_once = max(least, min(_LONG_CALL // n_weights, ROWS))
    n_pieces = max(1, -(-n_rows // at_once))
    return [
        slice(multiple * part.start, min(multiple * part.stop, n_rows))
        for part in cut(-(-n_rows // multiple), n_pieces)
    ]


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
    n_weights: int,
    workers: Workers,
    *,
    terms_a_weight: int = 1,
    index: Array | None = None,
) -> None:
    """Write ``function(rows, ...)`` for each piece of the rows of X into ``out``.

    With ``index`` it is given those rows alone.  It is also given the place to write
    to where that has its type, else None.  A row takes as long as so many terms of a
    product for each weight.
    """

    @quiet
    def work(rows: slice) -> None:
        place = out[rows] if out.dtype == dtype else None
        part = X[rows if index is None else index[rows]]
        result = function(converted(part, dtype, binarize), place)
        if result is not place:
            out[rows] = result

    n_rows = len(out)
    share = worth_sharing(n_rows * n_weights * terms_a_weight, n_weights)
    workers.map(work, pieces(n_rows, n_weights, multiple=ROWS_AT_ONCE), share=share)


class Moments(NamedTuple):
    """What training has to know of the rows, beside themselves."""

    mean: Array  # (n_features,)
    square: float  # the mean of |v|^2
    n_rows: int

    def with_more(self, other: Moments) -> Moments:
        """Return the moments of these rows and others."""
        n_rows = self.n_rows + other.n_rows
        share = other.n_rows / n_rows
        mean = self.mean + share * (other.mean - self.mean)
        return Moments(mean, self.square + share * (other.square - self.square), n_rows)

    def signal(self) -> tuple[float, bool]:
        """Return how strong the data are as a signal, and whether they are grey.

        That is the variance of the visible units, added up, times its share of what
        binary units of the same means have: 1, or less where values between 0 and 1
        make the rows grey.
        """
        square = float(self.mean @ self.mean)
        variance, binary = self.square - square, float(self.mean.sum()) - square
        # The share of values outside [0, 1], which have been warned of, has no meaning.
        share = min(variance / binary, 1.0) if binary > 0 else 1.0
        return variance * share, share < 1 - 1e-6


@quiet
def moments(X: Rows, binarize: float | None, rows: Array | None = None) -> Moments:
    """Return the moments of the rows of X, or of those named.

    Sums are accumulated in double precision, from one piece to the next for squares.
    """
    n_rows = X.shape[0] if rows is None else len(rows)
    total, squares = np.zeros(X.shape[1]), 0.0
    for piece in cut(n_rows, -(-n_rows // ROWS)):
        part = converted(
            X[piece if rows is None else rows[piece]], np.float32, binarize
        )
        total += np.asarray(part.sum(axis=0, dtype=np.float64)).ravel()
        values = (part.data if is_sparse(part) else part).ravel()
        squares += float(values @ values)
    return Moments(total / n_rows, squares / n_rows, n_rows)
