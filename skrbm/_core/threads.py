"""Threads that share work, each with single-threaded BLAS."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, Generic, Self, TypeVar

import numpy as np

# threadpoolctl is a requirement of scikit-learn.
from threadpoolctl import ThreadpoolController

T = TypeVar("T")
R = TypeVar("R")


@functools.cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


def blas_libraries() -> list[dict[str, Any]]:
    """Return what is known of each BLAS in this process, and its state."""
    return _controller().info()


def blas_threads() -> int:
    """Return how many threads BLAS may use now; 1 where it cannot be told.

    Outer limits hold that down: environment variables, the workers of joblib,
    `threadpoolctl.threadpool_limits`.
    """
    counts = [library["num_threads"] for library in blas_libraries()]
    return max(1, min(counts, default=1))


class _SingleThreadedBlas:
    """Limits BLAS to one thread while any crew is at work; then restores it.

    The limit belongs to the process, so crews in several Python threads must share
    it: the first one in sets it, the last one out restores.  Ctrl-C may strike between
    any two steps of that, and the next crew then finishes what was begun: what to
    restore is known before there is a limit, and a crew that is lost is not at work.
    """

    def __init__(self) -> None:
        self._before: list[int | None] | None = None
        self.renew()

    def renew(self) -> None:
        """Forget who is inside."""
        self._lock = threading.Lock()
        self.crews: weakref.WeakSet[Crew] = weakref.WeakSet()

    def enter(self, crew: Crew) -> None:
        """Let a crew in."""
        libraries = _controller().lib_controllers
        with self._lock:
            if not self.crews:
                if self._before is None:
                    self._before = [x.get_num_threads() for x in libraries]
                for library in libraries:
                    library.set_num_threads(1)
            self.crews.add(crew)

    def leave(self, crew: Crew) -> None:
        """Let a crew out, if it is inside."""
        with self._lock:
            self.crews.discard(crew)
            if self._before is not None and not self.crews:
                pairs = zip(_controller().lib_controllers, self._before, strict=True)
                for library, n_threads in pairs:
                    library.set_num_threads(n_threads)
                self._before = None


_single_threaded_blas = _SingleThreadedBlas()
if hasattr(os, "register_at_fork"):
    # The child has none of the threads that are inside, or that hold the lock.
    os.register_at_fork(after_in_child=_single_threaded_blas.renew)
# On how many threads at once a task of `Crew.once` has been run.
_run_once: dict[Callable[[], None], int] = {}


class _Job(Generic[T, R]):
    """Items that several threads take one after another until none is left."""

    def __init__(self, task: Callable[[T], R], items: Sequence[T]) -> None:
        self._task, self._n_items = task, len(items)
        self._left = deque(enumerate(items))
        self._results: list[Any] = [None] * len(items)
        self._done: SimpleQueue[BaseException | None] = SimpleQueue()
        self._treatment = np.geterr()

    def help(self) -> None:
        """Work as the thread would that called for help."""
        with np.errstate(**self._treatment):
            self.work()

    def work(self) -> None:
        """Take items until none is left."""
        while True:
            try:
                i, item = self._left.popleft()
            except IndexError:
                return
            error = None
            try:
                self._results[i] = self._task(item)
            except BaseException as raised:  # noqa: BLE001, for the caller to raise
                error = raised
                self.drop()
            self._done.put(error)

    def drop(self) -> None:
        """Leave undone what nobody has begun."""
        with contextlib.suppress(IndexError):
            while True:
                self._left.pop()
                self._done.put(None)

    def results(self) -> list[R]:
        """Wait until all is done, and return the results or raise an error."""
        errors = [self._done.get() for _ in range(self._n_items)]
        for error in filter(None, errors):
            raise error
        return self._results


class Crew:
    """A context in which ``n_threads`` threads work through lists of tasks.

    Which thread does a task never shows in its result: tasks are cut by the
    shape of the data, write to places of their own, and run BLAS on one thread.
    Before all others each thread runs the task ``first``, once in a process.
    """

    def __init__(
        self, n_threads: int = 1, *, first: Callable[[], None] | None = None
    ) -> None:
        self.n_threads, self._first = n_threads, first
        self._helpers: list[threading.Thread] = []
        self._jobs: SimpleQueue[_Job[Any, Any] | None] = SimpleQueue()
        self._sharing = False

    def __enter__(self) -> Self:
        try:
            _single_threaded_blas.enter(self)
            if self._first is not None:
                self.once(self._first)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        """Send the helpers away, and let BLAS have its threads."""
        try:
            for _ in self._helpers:
                self._jobs.put(None)
            while self._helpers:
                self._helpers.pop().join()
        finally:
            _single_threaded_blas.leave(self)

    def _hire(self, n_helpers: int) -> None:
        """Have so many threads beside the calling one, at least."""
        while len(self._helpers) < n_helpers:
            helper = threading.Thread(target=self._help, name="skrbm", daemon=True)
            helper.start()
            self._helpers.append(helper)

    def _help(self) -> None:
        """Help with one job after another."""
        while (job := self._jobs.get()) is not None:
            job.help()

    def map(
        self, task: Callable[[T], R], items: Sequence[T], *, share: bool = True
    ) -> list[R]:
        """Return ``[task(item) for item in items]``, items shared among threads.

        Each takes the next when it is ready, so that nobody waits for a thread that has
        not woken up.  Floating point errors are treated everywhere as in the calling
        thread.  Tasks that call for help themselves get none, nor do those that are not
        to be shared.
        """
        if len(items) == 1:  # for small models the time of a loop counts
            return [task(items[0])]
        n_helpers = min(self.n_threads, len(items)) - 1
        if n_helpers < 1 or self._sharing or not share:
            return [task(item) for item in items]
        job = _Job(task, items)
        self._sharing = True
        try:
            self._hire(n_helpers)
            for _ in range(n_helpers):
                self._jobs.put(job)
            job.work()
            return job.results()
        except BaseException:
            job.drop()  # Ctrl-C may strike between two items
            raise
        finally:
            self._sharing = False

    def once(self, task: Callable[[], None]) -> None:
        """Run a task on all threads at once, if this process has not done so before."""
        if _run_once.get(task, 0) >= self.n_threads:
            return
        all_there = threading.Barrier(self.n_threads, timeout=1.0)

        def meet(_: int) -> None:
            with contextlib.suppress(threading.BrokenBarrierError):  # who is late?
                all_there.wait()
            task()

        self.map(meet, range(self.n_threads))
        _run_once[task] = self.n_threads


def cut(length: int, n_parts: int) -> list[slice]:
    """Cut ``range(length)`` into ``n_parts`` slices whose sizes differ by at most 1."""
    bounds = [part * length // n_parts for part in range(n_parts + 1)]
    return [slice(*pair) for pair in itertools.pairwise(bounds)]
