"""Names for the types that the core takes and returns."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Array: TypeAlias = NDArray[Any]
DType: TypeAlias = type[np.floating[Any]] | np.dtype[Any]
# Rows of visible units: an array, or compressed sparse rows.  scipy's types tell
# arrays from matrices and from what an index returns, which says nothing here.
Rows: TypeAlias = Any


def is_sparse(rows: Rows) -> bool:
    """Say whether rows are compressed."""
    return bool(sparse.issparse(rows))


def dense(rows: Rows) -> Array:
    """Return rows as an array; meant for a few at a time."""
    return rows.toarray() if is_sparse(rows) else rows
