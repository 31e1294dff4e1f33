"""Small data that many tests use."""

import numpy as np
import pytest


@pytest.fixture
def X():
    """Sixty rows of eight dependent binary units."""
    rng = np.random.default_rng(0)
    cause = rng.random((60, 2)) < 0.5
    flips = rng.random((60, 8)) < 0.15
    return (np.repeat(cause, 4, axis=1) ^ flips).astype(np.float64)
