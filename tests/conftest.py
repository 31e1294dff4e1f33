"""Small data that many tests use."""

import signal

import numpy as np
import pytest


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c():
    """Hear Ctrl-C also where a shell has started the tests in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def X():
    """Sixty rows of eight dependent binary units."""
    rng = np.random.default_rng(0)
    cause = rng.random((60, 2)) < 0.5
    flips = rng.random((60, 8)) < 0.15
    return (np.repeat(cause, 4, axis=1) ^ flips).astype(np.float64)
