"""Names for the types that the core takes and returns."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Array: TypeAlias = NDArray[Any]
DType: TypeAlias = type[np.floating[Any]] | np.dtype[Any]
# Rows of visible units: dense, or compressed sparse rows.
Rows: TypeAlias = Array | sparse.csr_array | sparse.csr_matrix
