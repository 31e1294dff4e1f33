"""Warnings and errors that skrbm gives, so that they can be told from others."""

from __future__ import annotations


class DataRangeWarning(UserWarning):
    """The data have values outside [0, 1], which binary units cannot stand for."""


class DivergenceError(ArithmeticError):
    """Training left the finite numbers.

    The estimator keeps the last good epoch of the call, or stays as it was if there is
    none.
    """
