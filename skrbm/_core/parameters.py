"""Weights and intercepts of a model as one value."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from skrbm._core.types import Array, DType


class Parameters(NamedTuple):
    """The parameters of ``E(v, h) = -v'Wh - b'v - c'h``.

    ``W`` is (n_features, n_components) in C order, ``b`` (n_features,) the
    visible and ``c`` (n_components,) the hidden intercepts.
    """

    W: Array
    b: Array
    c: Array

    @property
    def arrays(self) -> tuple[Array, ...]:
        """All that training changes."""
        return tuple(self)

    def copy(self) -> Parameters:
        """Return the same values in arrays of their own."""
        return Parameters(*(np.array(part, order="C") for part in self))

    def astype(self, dtype: DType) -> Parameters:
        """Return the values in C order as ``dtype``; no copy where none is needed."""
        return Parameters(*(np.ascontiguousarray(part, dtype) for part in self))

    def is_finite(self) -> bool:
        """Say whether every parameter is a finite number."""
        return all(bool(np.isfinite(part).all()) for part in self)


def zeros_like(parameters: Parameters) -> Parameters:
    """Return parameters of the same shapes, all zero."""
    return Parameters(*(np.zeros_like(part) for part in parameters))


def initial_parameters(
    visible_mean: Array,
    n_rows: int,
    n_components: int,
    rng: np.random.Generator,
    *,
    weight_scale: float,
    visible_intercept: float | str,
    hidden_intercept: float,
    dtype: DType = np.float32,
) -> Parameters:
    """Draw the parameters that training starts from (Hinton 2010, section 8).

    Weights are normal with standard deviation ``weight_scale``.  With
    ``visible_intercept="logit"`` a unit that is on in a share m of the
    ``n_rows`` rows starts at log(m / (1 - m)), with one row on and one row off
    added so that a constant column stays finite.
    """
    n_features = len(visible_mean)
    W = rng.standard_normal((n_features, n_components)) * weight_scale
    if visible_intercept == "logit":
        m = (n_rows * visible_mean + 1) / (n_rows + 2)
        b = np.log(m) - np.log1p(-m)
    else:
        b = np.full(n_features, visible_intercept)
    c = np.full(n_components, hidden_intercept)
    return Parameters(W, b, c).astype(dtype)
