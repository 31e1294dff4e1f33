"""Threads that share work, each with BLAS on one thread.

How work is cut follows from its shape alone, and so does the order in which BLAS sums
on one thread: the number of threads never shows in a result.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from typing import Any, Self, TypeVar

# threadpoolctl is a requirement of scikit-learn.
from threadpoolctl import ThreadpoolController

from skrbm._core.operations import quiet

T = TypeVar("T")
R = TypeVar("R")

# With fewer weights, calls of numpy are so short that threads mostly wait for each
# other's interpreter lock; of fewer terms of a product, that they start too late.
_FEW_WEIGHTS, _FEW_TERMS = 1 << 14, 1 << 24
# Seconds after which a thread that waits for another looks for Ctrl-C.
_WAIT = 0.05


def worth_sharing(n_terms: int, n_weights: int) -> bool:
    """Say whether threads gain by sharing products of so many terms and weights."""
    return n_weights >= _FEW_WEIGHTS and n_terms >= _FEW_TERMS


def cut(length: int, n_parts: int) -> list[slice]:
    """Cut ``range(length)`` into ``n_parts`` slices whose sizes differ by at most 1."""
    bounds = [part * length // n_parts for part in range(n_parts + 1)]
    return [slice(*pair) for pair in itertools.pairwise(bounds)]


class Workers:
    """A context in which ``n_threads`` threads work through lists of tasks.

    Within it BLAS has one thread, and Ctrl-C waits for the end of a task or of a step
    (`steps`): whatever is written to is never left half done.
    """

    def __init__(self, n_threads: int = 1) -> None:
        self.n_threads = n_threads
        self._interrupt = _Interrupt()
        self._failed = False

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._interrupt)
            stack.enter_context(_single_threaded_blas())
            if self.n_threads > 1:  # starts a thread when there is work for it
                self._pool = stack.enter_context(
                    ThreadPoolExecutor(self.n_threads - 1, "skrbm", _limit_thread)
                )
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def map(
        self, task: Callable[[T], R], items: Sequence[T], *, share: bool = True
    ) -> list[R]:
        """Return ``[task(item) for item in items]``, shared among threads if told.

        The calling thread works its way from the last item to the first, the others
        from the first on: nobody waits for a thread that has not woken up.
        """
        self._interrupt.deliver()
        if self.n_threads == 1 or len(items) < 2 or not share:
            return [task(item) for item in items]
        quiet_task = quiet(task)
        futures = [self._pool.submit(quiet_task, item) for item in items[:-1]]
        try:
            results = [task(items[-1])]
            for future, item in zip(futures[::-1], items[-2::-1], strict=True):
                mine = future.cancel()  # nobody has begun it
                results.append(task(item) if mine else self._result(future))
        except BaseException:
            self._failed = True
            for future in futures:
                future.cancel()
            wait(futures)
            self._failed = False
            raise
        return results[::-1]

    def _result(self, future: Future[R]) -> R:
        """Wait for a result, or for Ctrl-C."""
        while True:
            try:
                return future.result(timeout=_WAIT)
            except TimeoutError:
                if future.done():  # it is the task's own
                    raise
                self._interrupt.deliver()

    def steps(self, items: Iterable[T]) -> Iterator[T]:
        """Yield the items of a long task, as long as it is wanted."""
        for item in items:
            self._interrupt.deliver()
            if self._failed:
                raise CancelledError
            yield item


class _Interrupt:
    """Ctrl-C, put off until `deliver`, in the main thread: no other is interrupted.

    Where no handler in Python would see it, this does nothing.
    """

    def __init__(self) -> None:
        self._handler: Any = None  # the one that there was before
        self._arrived: tuple[Any, ...] = ()

    def __enter__(self) -> None:
        handler = signal.getsignal(signal.SIGINT)
        if callable(handler):
            with contextlib.suppress(ValueError):  # not the main thread
                signal.signal(signal.SIGINT, self._arrive)
                self._handler = handler
                _put_off.append(self)

    def __exit__(self, *_: object) -> None:
        if self._handler is not None:
            _put_off.remove(self)
            signal.signal(signal.SIGINT, self._handler)
            self.deliver()

    def _arrive(self, *arguments: Any) -> None:
        self._arrived = arguments

    def deliver(self) -> None:
        """Call the handler that there was before, if a signal has arrived."""
        if self._arrived and threading.current_thread() is threading.main_thread():
            arrived, self._arrived = self._arrived, ()
            self._handler(*arrived)


@functools.cache
def _libraries() -> list[Any]:
    controllers: list[Any] = ThreadpoolController().lib_controllers
    return [x for x in controllers if x.user_api == "blas" and x.get_num_threads()]


def blas_threads() -> int:
    """Return how many threads BLAS may use now; 1 where it cannot be told.

    Outer limits hold that down: environment variables, the workers of joblib,
    `threadpoolctl.threadpool_limits`.
    """
    return max(1, min((x.get_num_threads() for x in _libraries()), default=1))


def _set_threads(library: Any, n_threads: int) -> None:
    """Let BLAS have so many threads, and see that it does.

    From 3.7 on threadpoolctl listens to one Python thread alone, the first one that set
    a number, where that belongs to the process.
    """
    if library.get_num_threads() == n_threads:
        return
    library.set_num_threads(n_threads)
    if hasattr(library, "clear_controlling_thread"):
        if library.get_num_threads() != n_threads:
            library.clear_controlling_thread(force=True)
            library.set_num_threads(n_threads)
        library.clear_controlling_thread()


def _limit_blas() -> None:
    for library in _libraries():
        _set_threads(library, 1)


def _limit_thread() -> None:
    """Limit BLAS for a thread of a pool, unless it comes when all is over."""
    with _lock:
        if _inside:
            _limit_blas()


# Who holds BLAS to one thread, and what it had before.  The limit belongs to the
# process: the first one in sets it, and the last one out restores it.
_lock = threading.Lock()
_inside: list[object] = []
_before: list[int] = []
# Whose signals are put off.
_put_off: list[_Interrupt] = []


@contextlib.contextmanager
def _single_threaded_blas() -> Iterator[None]:
    libraries = _libraries()
    mine = [library.get_num_threads() for library in libraries]
    with _lock:
        _before[:] = _before or mine
        _inside.append(mine)
        _limit_blas()
    try:
        yield
    finally:
        with _lock:
            _inside[:] = [other for other in _inside if other is not mine]
            for library, own, before in zip(libraries, mine, _before, strict=True):
                # With OpenMP each Python thread has a number of its own.
                if getattr(library, "threading_layer", None) == "openmp":
                    _set_threads(library, own)
                elif not _inside:
                    _set_threads(library, before)
            if not _inside:
                _before.clear()


def _start_afresh() -> None:
    """Forget, in a forked child, the threads that were at work in its parent."""
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()
    _inside.clear()
    while _put_off:
        _put_off[-1].__exit__()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_afresh)
