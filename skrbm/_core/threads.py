"""Threads that share a mini-batch, each with single-threaded BLAS."""

from __future__ import annotations

import functools
import itertools
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np

# threadpoolctl is a requirement of scikit-learn.
from threadpoolctl import ThreadpoolController

T = TypeVar("T")
R = TypeVar("R")


@functools.cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


def blas_threads() -> int:
    """Return how many threads BLAS may use now; 1 where it cannot be told."""
    counts = [library["num_threads"] for library in _controller().info()]
    return max(1, min(counts, default=1))


def usable_threads() -> int:
    """Return how many threads are ours to use.

    That is what BLAS may use now, which outer limits hold down (environment
    variables, `threadpoolctl.threadpool_limits`, the workers of joblib).
    """
    return min(blas_threads(), os.cpu_count() or 1)


class _SingleThreadedBlas:
    """Limits BLAS to one thread while anyone is inside; then restores it.

    The limit belongs to the process, so fits that overlap in several Python
    threads must share it: the first one in sets it, the last one out restores.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._limit: Any = None

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._limit = _controller().limit(limits=1)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._limit.restore_original_limits()


_single_threaded_blas = _SingleThreadedBlas()


class Crew:
    """A context in which ``n_threads`` threads work through lists of tasks.

    Which thread does a task never shows in its result: tasks are cut by the
    shape of the data, write to places of their own, and run BLAS on one thread.
    """

    def __init__(self, n_threads: int = 1) -> None:
        self.n_threads = n_threads
        self._pool: ThreadPoolExecutor | None = None
        self._sharing = False

    def __enter__(self) -> Self:
        _single_threaded_blas.__enter__()
        if self.n_threads > 1:
            # The calling thread is one of the crew.
            self._pool = ThreadPoolExecutor(self.n_threads - 1, "skrbm")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
        _single_threaded_blas.__exit__()

    def map(self, task: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Return ``[task(item) for item in items]``, items shared among threads.

        Floating point errors are treated everywhere as in the calling thread.  Tasks
        that call for help themselves get none.
        """
        if self._pool is None or len(items) == 1 or self._sharing:
            return [task(item) for item in items]
        treatment = np.geterr()

        def elsewhere(item: T) -> R:
            with np.errstate(**treatment):
                return task(item)

        mine = -(-len(items) // self.n_threads)
        self._sharing = True
        try:
            others = [self._pool.submit(elsewhere, item) for item in items[mine:]]
            return [task(item) for item in items[:mine]] + [f.result() for f in others]
        finally:
            self._sharing = False


def cut(length: int, n_parts: int) -> list[slice]:
    """Cut ``range(length)`` in ``n_parts`` slices whose sizes differ by at most 1."""
    bounds = [part * length // n_parts for part in range(n_parts + 1)]
    return [slice(*pair) for pair in itertools.pairwise(bounds)]
