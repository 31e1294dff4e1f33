"""The rules for hyper-parameters and for rows of data."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.validation import check_random_state, validate_data

from skrbm.exceptions import DataRangeWarning

Rule = Callable[[str, Any], None]


def _fail(name: str, allowed: str, value: Any, *, of_type: bool = False) -> None:
    error = TypeError if of_type else ValueError
    raise error(f"{name} must be {allowed}, got {value!r} ({type(value).__name__}).")


def integer(low: int) -> Rule:
    """Allow whole numbers of at least ``low``."""
    allowed = f"an integer of at least {low}"

    def check(name: str, value: Any) -> None:
        if not isinstance(value, Integral) or isinstance(value, bool):
            _fail(name, allowed, value, of_type=True)
        if value < low:
            _fail(name, allowed, value)

    check.allowed = allowed
    return check


def n_threads(name: str, value: Any) -> None:
    """Allow what joblib takes as a number of jobs."""
    integer(-(2**31))(name, value)
    if value == 0:
        _fail(name, n_threads.allowed, value)


n_threads.allowed = "an integer other than 0"


def real(interval: str) -> Rule:
    """Allow finite numbers in an interval written like ``[0, 1)`` or ``(0, inf)``."""
    low, high = (float(end) for end in interval[1:-1].split(","))
    allowed = f"a finite number in {interval}"

    def check(name: str, value: Any) -> None:
        if not isinstance(value, Real) or isinstance(value, bool):
            _fail(name, allowed, value, of_type=True)
        above = value >= low if interval[0] == "[" else value > low
        below = value <= high if interval[-1] == "]" else value < high
        if not (above and below and np.isfinite(value)):
            _fail(name, allowed, value)

    check.allowed = allowed
    return check


def boolean(name: str, value: Any) -> None:
    """Allow True and False."""
    if not isinstance(value, bool | np.bool_):
        _fail(name, boolean.allowed, value, of_type=True)


boolean.allowed = "True or False"


def one_of(*values: Any, otherwise: Rule | None = None) -> Rule:
    """Allow the values named, and what ``otherwise`` allows."""
    allowed = " or ".join([*(repr(value) for value in values)])
    if otherwise is not None:
        allowed += f" or {otherwise.allowed}"

    def check(name: str, value: Any) -> None:
        if any(value is v or (isinstance(v, str) and value == v) for v in values):
            return
        if otherwise is None or isinstance(value, str) or value is None:
            strings = any(isinstance(v, str) for v in values)
            _fail(name, allowed, value, of_type=not (strings and isinstance(value, str)))
        try:
            otherwise(name, value)
        except (TypeError, ValueError) as error:
            _fail(name, allowed, value, of_type=isinstance(error, TypeError))

    check.allowed = allowed
    return check


def either(first: Rule, second: Rule) -> Rule:
    """Allow what one of two rules allows."""
    allowed = f"{first.allowed} or {second.allowed}"

    def check(name: str, value: Any) -> None:
        errors = []
        for rule in (first, second):
            try:
                return rule(name, value)
            except (TypeError, ValueError) as error:
                errors.append(error)
        wrong_type = all(isinstance(error, TypeError) for error in errors)
        return _fail(name, allowed, value, of_type=wrong_type)

    check.allowed = allowed
    return check


def seed(name: str, value: Any) -> None:
    """Allow what scikit-learn takes as a random state."""
    try:
        check_random_state(value)
    except ValueError:
        _fail(name, "None, an integer of at least 0 or a numpy RandomState", value)


def check_rows(
    estimator: Any, X: Any, *, reset: bool, binarize: float | None = None
) -> Any:
    """Return X as a numeric array or CSR, in whatever type it comes.

    Nothing is converted to floating point here, and X is never written to.
    """
    X = validate_data(
        estimator, X, reset=reset, accept_sparse="csr", dtype="numeric"
    )
    if sparse.issparse(X) and not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    if binarize is None:
        _warn_outside_unit_interval(X)
    elif sparse.issparse(X) and binarize < 0:
        raise ValueError(
            f"binarize={binarize!r} would turn the zeros of a sparse matrix into ones. "
            "Use a threshold of at least 0, or a dense array."
        )
    return X


def _warn_outside_unit_interval(X: Any) -> None:
    if X.dtype == bool or 0 in X.shape:
        return
    low, high = X.min(), X.max()
    if low < 0 or high > 1:
        warnings.warn(
            f"X has values from {low:g} to {high:g}, but the visible units of a binary "
            "RBM stand for values in [0, 1]. Scale X, for example with "
            "MinMaxScaler(clip=True), or set binarize to a threshold.",
            DataRangeWarning,
            stacklevel=5,
        )
