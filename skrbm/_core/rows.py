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


def converted(rows: Rows, dtype: DType, threshold: float | Array | None) -> Rows:
    """Return rows as ``dtype``, or 1 above the threshold if there is one, else 0.

    There may be one for each column.  What is missing, NaN, stays so.
    """
    if threshold is None:
        return rows.astype(dtype, copy=False)
    values = rows.data if is_sparse(rows) else rows
    if isinstance(threshold, np.ndarray):
        threshold = threshold[rows.indices] if is_sparse(rows) else threshold
    # A number is compared in the type of the rows, to which it may be infinite.
    with np.errstate(over="ignore"):
        if values.dtype.kind == "f":
            threshold = np.asarray(threshold).astype(values.dtype)
        on = (values > threshold).astype(dtype)
    if values.dtype.kind == "f":
        on[np.isnan(values)] = np.nan
    if not is_sparse(rows):
        return on
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
    threshold: float | Array | None,
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
        result = function(converted(part, dtype, threshold), place)
        if result is not place:
            out[rows] = result

    n_rows = len(out)
    share = worth_sharing(n_rows * n_weights * terms_a_weight, n_weights)
    workers.map(work, pieces(n_rows, n_weights, multiple=ROWS_AT_ONCE), share=share)


class Selected(NamedTuple):
    """Rows of X, all of them or some, and how much each row of X counts."""

    X: Rows
    chosen: Array | None = None  # their positions; None for all
    sample_weight: Array | None = None

    @property
    def positions(self) -> Array:
        """Return which rows of X these are."""
        return np.arange(self.X.shape[0]) if self.chosen is None else self.chosen

    @property
    def weights(self) -> Array | None:
        """Return how much each of them counts, if not all alike."""
        if self.sample_weight is None or self.chosen is None:
            return self.sample_weight
        return self.sample_weight[self.chosen]

    def mean(self, values: Array) -> float:
        """Return the mean of values, one for each of these rows."""
        return float(np.average(values, weights=self.weights))

    def some(self, n_rows: int, rng: np.random.Generator) -> Rows:
        """Return so many of them, or all, drawn in proportion to their weights."""
        p, positions = self.weights, self.positions
        if p is not None:
            p = p / p.sum()
            n_rows = min(n_rows, int(np.count_nonzero(p)))
        n_rows = min(n_rows, len(positions))
        return self.X[rng.choice(positions, n_rows, replace=False, p=p)]


class Moments(NamedTuple):
    """What training has to know of the rows, beside themselves; NaN left out."""

    mean: Array  # (n_features,)
    square: Array  # (n_features,): the mean of v^2
    n_rows: int  # with a weight
    weight: Array  # (n_features,): of the rows in which the column was observed

    def with_more(self, other: Moments) -> Moments:
        """Return the moments of these rows and others."""
        weight = self.weight + other.weight
        share = other.weight / np.where(weight > 0, weight, 1)
        return Moments(
            self.mean + share * (other.mean - self.mean),
            self.square + share * (other.square - self.square),
            self.n_rows + other.n_rows,
            weight,
        )

    def signal(self) -> tuple[float, bool]:
        """Return how strong the data are as a signal, and whether they are grey.

        That is the variance of the visible units, added up, times its share of what
        binary units of the same means have: 1, or less where values between 0 and 1
        make the rows grey.
        """
        square = float(self.mean @ self.mean)
        variance = float(self.square.sum()) - square
        binary = float(self.mean.sum()) - square
        # The share of values outside [0, 1], which have been warned of, has no meaning.
        share = min(variance / binary, 1.0) if binary > 0 else 1.0
        return variance * share, share < 1 - 1e-6


@quiet
def moments(selected: Selected, threshold: float | Array | None) -> Moments:
    """Return the moments of rows.

    Sums are accumulated in double precision.  A column of which nothing was observed
    has a mean of 1/2.
    """
    X, chosen = selected.X, selected.chosen
    n_rows = X.shape[0] if chosen is None else len(chosen)
    total, squares, weight = np.zeros((3, X.shape[1]))
    for piece in cut(n_rows, -(-n_rows // ROWS)):
        part = X[piece if chosen is None else chosen[piece]]
        part = converted(part, np.float32, threshold)
        w = None if selected.weights is None else selected.weights[piece]
        weight += part.shape[0] if w is None else w.sum()
        values = part.data if is_sparse(part) else part
        missing = np.isnan(values)
        if missing.any():
            gaps = part.astype(bool) if is_sparse(part) else missing
            if is_sparse(part):
                gaps.data[...] = missing
                part.data = np.where(missing, 0, values)
            else:
                part = np.where(missing, 0, values)
            weight -= _column_sums(gaps, w)
        total += _column_sums(part, w)
        squares += _column_sums(
            part.multiply(part) if is_sparse(part) else np.square(part), w
        )
    seen = weight > 0
    weight = np.where(seen, weight, 0)
    mean, square = (
        np.divide(x, weight, out=np.full_like(x, 0.5), where=seen)
        for x in (total, squares)
    )
    n_counted = n_rows
    if selected.weights is not None:
        n_counted = int(np.count_nonzero(selected.weights))
    return Moments(mean, square, n_counted, weight)


def _column_sums(rows: Rows, w: Array | None) -> Array:
    """Return the sum of the rows, each times its weight, in double precision."""
    if w is not None:
        return rows.T @ w
    return np.asarray(rows.sum(axis=0, dtype=np.float64)).ravel()


def visits(rows: Array, sample_weight: Array, offset: float) -> Array:
    """Return rows to visit, as many as there are, each in proportion to its weight.

    Their numbers are rounded up or down, which ``offset``, uniform in [0, 1), decides:
    in the mean over offsets they are exact.
    """
    edges = np.append(0.0, np.cumsum(sample_weight[rows]))
    edges *= len(rows) / edges[-1]
    return np.repeat(rows, np.diff(np.floor(edges + offset)).astype(int))
