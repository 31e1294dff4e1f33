"""The rules for hyper-parameters and for rows of data."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn import get_config
from sklearn.utils.validation import check_array, check_random_state, validate_data

from skrbm._core.types import is_sparse
from skrbm._warnings import warn
from skrbm.exceptions import DataRangeWarning

# By how much values may lie outside [0, 1], as scaled ones do, and pass for 0 or 1.
ROUNDING = 1e-6


class Rule(NamedTuple):
    """What a parameter may be: in words, by type and by value.

    ``first | second`` allows what either allows.
    """

    allowed: str
    has_type: Callable[[Any], bool]
    has_value: Callable[[Any], bool]

    def __call__(self, name: str, value: Any) -> None:
        """Raise TypeError or ValueError if the value is not allowed."""
        if self.accepts(value):
            return
        error = ValueError if self.has_type(value) else TypeError
        kind = type(value).__name__
        raise error(f"{name} must be {self.allowed}, got {_shown(value)} ({kind}).")

    def accepts(self, value: Any) -> bool:
        """Say whether the value is allowed."""
        return self.has_type(value) and self.has_value(value)

    def __or__(self, other: Rule) -> Rule:
        """Return the rule that allows what either allows."""
        return Rule(
            f"{self.allowed} or {other.allowed}",
            lambda value: self.has_type(value) or other.has_type(value),
            lambda value: self.accepts(value) or other.accepts(value),
        )


def _shown(value: Any) -> str:
    """Return a value as Python writes it, or the size of a number that it does not."""
    try:
        return repr(value)
    except ValueError:
        return f"a number of {value.bit_length()} bits"


def _is_number(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def integer(low: int, high: float = math.inf) -> Rule:
    """Allow whole numbers of at least ``low`` and at most ``high``."""
    return Rule(
        f"an integer of at least {low}"
        if high == math.inf
        else f"an integer from {low} to {high}",
        lambda value: _is_number(value, Integral),
        lambda value: low <= value <= high,
    )


def real(interval: str) -> Rule:
    """Allow finite numbers in an interval written like ``[0, 1)`` or ``(0, inf)``.

    An infinite end is an open one.  Numbers of any type count as the floating point
    numbers that they are used as.
    """
    low, high = (float(end) for end in interval[1:-1].split(","))

    def inside(value: Any) -> bool:
        try:
            number = float(value)
        except OverflowError:
            return False
        above = number >= low if interval[0] == "[" else number > low
        below = number <= high if interval[-1] == "]" else number < high
        return above and below

    return Rule(
        f"a finite number in {interval}",
        lambda value: _is_number(value, Real),
        inside,
    )


def one_of(*names: str) -> Rule:
    """Allow the strings named."""
    return Rule(
        " or ".join(repr(name) for name in names),
        lambda value: isinstance(value, str),
        lambda value: value in names,
    )


def _is_seed(value: Any) -> bool:
    if _is_number(value, Integral):
        return bool(0 <= value < 1 << 32)  # without a generator, which takes a while
    try:
        check_random_state(value)
    except ValueError:
        return False
    return True


none = Rule("None", lambda value: value is None, lambda _: True)

boolean = Rule(
    "True or False", lambda value: isinstance(value, bool | np.bool_), lambda _: True
)

n_threads = Rule(
    "an integer other than 0",
    lambda value: _is_number(value, Integral),
    lambda value: value != 0,
)

seed = Rule(
    "None, an integer from 0 to 2**32 - 1 or a numpy RandomState",
    lambda _: True,
    _is_seed,
)


def _are_thresholds(value: Any) -> bool:
    try:
        finite = np.isfinite(np.asarray(value, np.float64)).all()
    except (OverflowError, TypeError, ValueError):  # of rows of unequal lengths too
        return False
    return (
        bool(finite) and np.ndim(value) == 1 and np.asarray(value).dtype.kind in "buif"
    )


thresholds = Rule(
    "one finite number for each column",
    lambda value: isinstance(value, np.ndarray | list | tuple),
    _are_thresholds,
)


def check_rows(
    estimator: Any,
    X: Any,
    *,
    reset: bool,
    gaps: bool = False,
    ranged: bool = True,
    finite: bool = True,
) -> Any:
    """Return X as a numeric array or CSR, in whatever type it comes.

    ``gaps`` allows NaN, ``ranged`` asks for a warning of values that binary units
    cannot stand for, and ``finite`` for an error where a value is not finite.
    Nothing is converted to floating point here, and X is never written to.
    """
    _refuse_columns_of_times(X)
    if is_sparse(X):
        _check_indices(X)
    if np.ma.isMaskedArray(X):
        X = _unmasked(X, gaps=gaps)
    allowed = "allow-nan" if gaps else True
    X = validate_data(
        estimator,
        X,
        reset=reset,
        accept_sparse="csr",
        dtype=None,
        ensure_all_finite=allowed if finite else False,
    )
    refuse_times(X)
    if finite and X.dtype.kind == "f":
        _check_finite(X.data if is_sparse(X) else X, gaps=gaps)
    if X.dtype.kind not in "buif":
        # Some data frames come as objects, whose values nobody has looked at yet.
        _refuse_text(X, getattr(estimator, "feature_names_in_", None))
        try:
            X = check_array(
                X, dtype=np.float64, ensure_all_finite=allowed, input_name="X"
            )
        except OverflowError as error:
            raise ValueError(
                "X has values too large for float64. Scale them to [0, 1]."
            ) from error
    if is_sparse(X) and not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    if ranged:
        warn_outside_unit_interval(X, getattr(estimator, "feature_names_in_", None))
    return X


def _check_finite(values: Any, *, gaps: bool) -> None:
    """Raise ValueError for what scikit-learn 1.6 does not look at."""
    seen = values.dtype.isnative and values.dtype.itemsize <= 8
    if seen or get_config()["assume_finite"]:
        return
    if np.isinf(values).any() or (not gaps and np.isnan(values).any()):
        raise ValueError("Input X contains NaN or infinity.")


def check_threshold(threshold: Any, X: Any) -> None:
    """Raise ValueError if a threshold, or one for each column, does not suit X."""
    if threshold is None:
        return
    if np.ndim(threshold) == 1 and len(threshold) != X.shape[1]:
        raise ValueError(
            f"binarize has {len(threshold)} thresholds, but X has {X.shape[1]} columns."
        )
    if is_sparse(X) and np.min(threshold) < 0:
        raise ValueError(
            f"A threshold of {np.min(threshold):g} would turn the zeros of a sparse "
            "matrix into ones. Set binarize to at least 0, or give a dense array."
        )


def are_binary(X: Any) -> bool:
    """Say whether all values are 0, 1 or missing."""
    values = X.data if is_sparse(X) else X
    return bool(((values == 0) | (values == 1) | np.isnan(values)).all())


def check_weights(sample_weight: Any, n_rows: int) -> Any:
    """Return one weight for each row, or None."""
    if sample_weight is None:
        return None
    weights = check_array(
        sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight"
    )
    if weights.shape != (n_rows,):
        raise ValueError(
            f"sample_weight has the shape {weights.shape}, but X has {n_rows} rows. "
            "Give one weight for each row."
        )
    if weights.min() < 0 or not weights.any():
        raise ValueError(
            "sample_weight must have no negative and not only zero weights, got some "
            f"from {weights.min():g} to {weights.max():g}."
        )
    if not 1e-100 < weights.max() < 1e100:
        raise ValueError(
            f"sample_weight has weights of up to {weights.max():g}, of which no mean "
            "can be taken. Scale them, for instance to a mean of 1."
        )
    return weights


def _refuse_columns_of_times(X: Any) -> None:
    """Raise TypeError if a frame has a column of times, which may become integers."""
    dtypes = getattr(X, "dtypes", None)
    if dtypes is None or not hasattr(X, "columns"):
        return
    for name, dtype in zip(X.columns, dtypes, strict=False):
        if str(dtype).lower().startswith(("date", "time", "duration", "period")):
            raise TypeError(
                f"Column {name!r} of X holds {dtype}, which are times and not numbers. "
                "Leave it out, or turn it into values in [0, 1]."
            )


def _unmasked(X: Any, *, gaps: bool) -> Any:
    """Return a masked array as an array, with NaN where it is masked."""
    if not np.ma.is_masked(X):
        return np.ma.getdata(X)
    if not gaps:
        n_masked = int(np.ma.getmaskarray(X).sum())
        raise ValueError(
            f"X has {n_masked} masked values, which are missing. Fill them in, or set "
            'handle_missing="sample".'
        )
    return X.astype(np.result_type(X.dtype, np.float32)).filled(np.nan)


def _refuse_text(X: Any, names: Any) -> None:
    """Raise TypeError if an array holds text, also text that reads as numbers."""
    for j, column in enumerate(X.T):
        text = [x for x in column if isinstance(x, str | bytes)]
        if text:
            raise TypeError(
                f"X holds text (strings): {text[0]!r} in the column "
                f"{names[j] if names is not None else j!r}. Turn it into numbers: "
                "X.astype(float) where it reads as numbers, OneHotEncoder where it is "
                "categories."
            )


def _check_indices(X: Any) -> None:
    """Raise ValueError if a sparse matrix names places that it does not have."""
    try:
        if X.format == "coo":
            sparse.coo_array((X.data, (X.row, X.col)), X.shape)
        elif X.format in {"csr", "csc", "bsr"}:
            copy.copy(X).check_format(full_check=True)  # of a copy: it sets attributes
    except (ValueError, IndexError) as error:
        raise ValueError(
            f"X is a malformed sparse matrix: {error}. Build it anew from its values "
            "and their rows and columns, for instance by scipy.sparse.coo_array."
        ) from error


def refuse_times(X: Any) -> None:
    """Raise TypeError if X holds points in time or their differences."""
    if X.dtype.kind in "Mm":
        raise TypeError(
            f"X holds {X.dtype}, which are times and not numbers. Leave these columns "
            "out, or turn them into values in [0, 1]."
        )


def warn_outside_unit_interval(X: Any, names: Any) -> None:
    """Warn of values that are no probabilities of being on."""
    if X.dtype == bool:
        return
    low, high = float(X.min()), float(X.max())
    if math.isnan(low):  # of gaps
        values = np.append(X.data, 0) if is_sparse(X) else X
        low, high = np.fmin.reduce(values, axis=None), np.fmax.reduce(values, axis=None)
    # What is infinite is an error, which the caller or a query finds out.
    outside = low < -ROUNDING or high > 1 + ROUNDING
    if outside and math.isfinite(low) and math.isfinite(high):
        warn(
            f"X has values from {low:g} to {high:g}, but the visible units of a binary "
            f"RBM stand for values in [0, 1]. {_remedy(X, low, high, names)}",
            DataRangeWarning,
        )


def _remedy(X: Any, low: float, high: float, names: Any) -> str:
    """Return what suits rows out of range best: sparse ones, pictures or a table."""
    if is_sparse(X):
        keep = "Set binarize=0 to keep which values are above 0"
        scale = ", or scale each column by MaxAbsScaler, which leaves zeros as they are"
        return f"{keep}{scale if low == 0 else ''}."
    largest = np.fmax.reduce(X, axis=0)
    if low == 0 and np.mean(largest[largest > 0] > high / 2) > 0.5:
        # Most columns have the same scale, as the pixels of pictures do.
        whole = 255 if X.dtype == np.uint8 else high
        return f"Divide X by {whole:g}, or set binarize to a threshold."
    least = np.fmin.reduce(X, axis=0)
    worst = int(np.argmax(np.maximum(largest - 1.0, -least.astype(float))))
    return (
        f"The column {names[worst] if names is not None else worst!r} is furthest off. "
        'Scale each column by MinMaxScaler(clip=True), or set binarize to "mean" or to '
        "thresholds."
    )
