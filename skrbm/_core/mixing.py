"""Whether chains go where the rows are, and between the groups that these are in."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from skrbm._core.tempering import Run
from skrbm._core.types import Array

# The means of chains that stay where they are vary as much as rows do, a spread of 1.
STUCK = 0.8
# By how many standard deviations of the rows, and standard errors, the mean of chains
# may miss that of the rows: further off they have lost a group of rows.
LARGE_SHIFT, SURE = 1 / 3, 5.0
# Directions in which rows are told apart, at most.
_DIRECTIONS = 10


class Mixing(NamedTuple):
    """How chains compare with rows along the directions in which rows vary most.

    Both are in standard deviations of the rows in that direction.
    """

    shift: float  # the largest difference of the means
    shift_error: float  # its standard error
    stuck: float  # the largest spread of the means of single chains


def is_stuck(run: Run) -> bool:
    """Say whether chains hardly moved between groups of the rows that they came to."""
    return mixing(run.mean, run.v[:500]).stuck > STUCK


def mixing(means: Array, rows: Array) -> Mixing:
    """Compare the means (n_chains, n_features) of chains along their way with rows.

    Chains that move between all groups of rows have means that are alike, and alike
    that of the rows.  Chains that stay in one of several groups differ among each
    other; chains that go elsewhere than the rows differ from them.
    """
    centre = rows.mean(axis=0)
    _, scale, directions = np.linalg.svd(rows - centre, full_matrices=False)
    sd = scale / np.sqrt(len(rows))
    keep = (sd > 1e-3 * max(sd[0], 1e-12)) & (np.arange(len(sd)) < _DIRECTIONS)
    if not keep.any():
        return Mixing(0.0, 0.0, 0.0)
    x = (means - centre) @ (directions[keep].T / sd[keep])
    spread = x.std(axis=0, ddof=1) if len(x) > 1 else np.zeros(x.shape[1])
    shift = np.abs(x.mean(axis=0))
    error = np.sqrt(spread**2 / len(x) + 1 / len(rows))
    k = int(np.argmax(shift))
    return Mixing(float(shift[k]), float(error[k]), float(spread.max()))
