"""Energy, free energy and conditional probabilities.

    E(v, h)      = -v'Wh - b'v - c'h
    P(h=1 | v)   = sigmoid(c + v'W)          P(v=1 | h) = sigmoid(b + Wh)
    F(v)         = -b'v - sum_j softplus(c_j + (v'W)_j)

Every function takes any number of rows, dense or CSR where it says ``Rows``,
and works in the floating point type of the parameters.
"""

from __future__ import annotations

import numpy as np

from skrbm._core.operations import sigmoid, softplus, times, times_transposed
from skrbm._core.parameters import Parameters
from skrbm._core.types import Array, Rows


def states(n_units: int) -> Array:
    """Return all states of binary units, (2^n_units, n_units)."""
    return np.arange(1 << n_units)[:, None] >> np.arange(n_units) & 1


def hidden_probabilities(
    parameters: Parameters, v: Rows, out: Array | None = None
) -> Array:
    """Return ``P(h=1 | v) = sigmoid(c + v'W)``."""
    return sigmoid(times(v, parameters.W, out), parameters.c)


def visible_probabilities(
    parameters: Parameters, h: Array, out: Array | None = None
) -> Array:
    """Return ``P(v=1 | h) = sigmoid(b + Wh)``."""
    return sigmoid(times_transposed(h, parameters.W, out), parameters.b)


def free_energy(parameters: Parameters, v: Rows) -> Array:
    """Return ``F(v) = -b'v - sum_j softplus(c_j + (v'W)_j)`` in nats.

    Sums are accumulated in double precision.
    """
    W, b, c = parameters
    a = times(v, W) + c
    return -(v @ b.astype(np.float64)) - softplus(a).sum(axis=1, dtype=np.float64)
