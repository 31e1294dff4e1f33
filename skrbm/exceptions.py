"""Warnings and errors that skrbm gives, so that they can be told from others."""

from __future__ import annotations

import inspect
import os
import warnings
from pathlib import Path

import joblib
import sklearn

__all__ = ["DataRangeWarning", "DivergenceError"]

# Whose lines say nothing to whoever is warned.
_BETWEEN = tuple(
    f"{Path(package).parent}{os.sep}"
    for package in (__file__, sklearn.__file__, joblib.__file__)
)


class DataRangeWarning(UserWarning):
    """The data have values outside [0, 1], which binary units cannot stand for."""


class DivergenceError(ArithmeticError):
    """Training left the finite numbers.

    The estimator keeps the last good epoch, and what it was before where a new model
    had none.
    """


def warn(message: str, category: type[Warning]) -> None:
    """Warn of the line that led here: the last that is not the packages' own."""
    level, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_code.co_filename.startswith(_BETWEEN):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
