"""What a fit or a query runs with: threads, and the root of its random numbers."""

from __future__ import annotations

import functools
import os
from numbers import Integral

import numpy as np
from joblib import cpu_count, effective_n_jobs
from sklearn.utils import check_random_state

from skrbm._core.operations import touch_buffers
from skrbm._core.threads import Crew, blas_threads


def processors() -> int:
    """Return how many processors this process may use, as in a container."""
    affinity = getattr(os, "sched_getaffinity", lambda _: ())(0)
    return _processors(frozenset(affinity), os.environ.get("LOKY_MAX_CPU_COUNT"))


@functools.cache
def _processors(*_: object) -> int:
    # joblib reads files to find out, which takes longer than a small query.
    return cpu_count()


def open_crew(n_jobs: int | None) -> Crew:
    """Return a context with the threads that ``n_jobs`` stands for."""
    if n_jobs is None:
        n_threads = min(blas_threads(), processors())
    else:
        n_threads = effective_n_jobs(n_jobs)
    return Crew(n_threads, first=touch_buffers)


def draw_root(random_state: int | np.random.RandomState | None) -> int:
    """Return 128 random bits, the root of all random numbers of a fit or a query."""
    if isinstance(random_state, Integral):
        return _root_of(int(random_state))
    return _draw_root(check_random_state(random_state))


@functools.lru_cache
def _root_of(seed: int) -> int:
    # Seeding takes as long as five mini-batches of a small model.
    return _draw_root(np.random.RandomState(seed))


def _draw_root(random_state: np.random.RandomState) -> int:
    words = random_state.randint(2**32, size=4, dtype=np.uint64)
    return int.from_bytes(words.astype("<u4").tobytes(), "little")
