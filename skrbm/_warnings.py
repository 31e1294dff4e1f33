"""Warnings that point at the line of whoever is to read them."""

from __future__ import annotations

import inspect
import os
import warnings
from pathlib import Path

import joblib
import sklearn

# Whose lines say nothing to the reader.
_BETWEEN = tuple(
    f"{Path(package).parent}{os.sep}"
    for package in (__file__, sklearn.__file__, joblib.__file__)
)


def warn(message: str, category: type[Warning]) -> None:
    """Warn of the line that led here: the last that is not the packages' own."""
    level, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_code.co_filename.startswith(_BETWEEN):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
