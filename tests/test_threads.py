"""Threads that share work: who does what, and what comes back."""

import itertools
import os
import signal
import sys
import threading
import time
import warnings

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from skrbm import BinaryCDRBM, _estimator, _fitting, _resources
from skrbm._core import threads
from skrbm._core.blocks import (
    ROWS,
    ROWS_AT_ONCE,
    blocks,
    is_long_call,
    map_rows,
    rows_a_call,
)
from skrbm._core.threads import Crew, blas_threads, cut


def who(_):
    return threading.get_ident()


class Meeting:
    """A task that two threads have to be at work on, to get done."""

    def __init__(self):
        self.barrier = threading.Barrier(2, timeout=20)

    def __call__(self, i):
        self.barrier.wait()
        return who(i)


@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("n_items", [0, 1, 2, 7])
def test_results_come_in_order(n_threads, n_items):
    with Crew(n_threads) as crew:
        assert crew.map(lambda i: i * i, range(n_items)) == [
            i * i for i in range(n_items)
        ]


@pytest.mark.parametrize("n", [0, 1, 31, 32, 33, 255, 256, 1025, 2000, 8193, 10_001])
def test_blocks_are_rows_that_exact_scores_take_at_once(n):
    parts = blocks(n)
    assert [i for part in parts for i in range(n)[part]] == list(range(n))
    sizes = [part.stop - part.start for part in parts]
    assert max(sizes) <= ROWS
    assert all(size % ROWS_AT_ONCE == 0 for size in sizes[:-1])
    assert len(parts) == max(1, min(8, n // 128), -(-n // ROWS))


def test_blocks_have_so_many_rows_at_least():
    for n, least, n_blocks in [(2000, 512, 3), (900, 512, 1), (9000, 5000, 9)]:
        assert len(blocks(n, least)) == n_blocks


@pytest.mark.parametrize("n_threads", [2, 3])
def test_work_is_shared(n_threads):
    with Crew(n_threads) as crew:
        assert len(set(crew.map(Meeting(), range(2)))) == 2


# Two threads have to be at work on rows that cost much; of others one does all.
@pytest.mark.parametrize(("cost", "n_threads"), [(0, 1), (1 << 17, 1), (1 << 18, 2)])
def test_threads_share_rows_that_are_worth_it(cost, n_threads):
    meet, on = Meeting(), []

    def function(rows, _):
        time.sleep(0.01)  # another thread would come by
        on.append(meet(0) if n_threads == 2 else who(0))
        return rows.sum(axis=1)

    rows = np.arange(3.0 * 1024).reshape(1024, 3)
    out = np.empty(1024)
    with Crew(2) as crew:
        map_rows(function, rows, out, np.float32, None, crew, cost)
    assert len(on) == 8
    assert len(set(on)) == n_threads
    np.testing.assert_array_equal(out, rows.sum(axis=1))


@pytest.fixture
def shared(monkeypatch):
    """Return whether threads were to share each list of tasks."""
    every = []

    def do_all(_, task, items, *, share=True):
        every.append(share)
        return [task(item) for item in items]

    monkeypatch.setattr(Crew, "map", do_all)
    monkeypatch.setattr(Crew, "once", lambda *_: None)
    return every


def fitted(n_features, n_components):
    X = np.eye(n_features, dtype=np.float32)[:2]
    return BinaryCDRBM(n_components, n_iter=0).fit(X)


@pytest.mark.parametrize(
    ("n_rows", "shape", "expected"),
    [
        (4096, (64, 64), {"transform": False, "score_samples": False}),
        (80_000, (64, 64), {"transform": True, "score_samples": False}),
        (200, (300, 300), {"transform": False, "score_samples": True}),
        (4000, (300, 300), {"transform": True, "score_samples": True}),
    ],
)
def test_queries_are_shared_where_calls_of_numpy_are_long(
    n_rows, shape, expected, shared
):
    rbm, rows = fitted(*shape), np.zeros((n_rows, shape[0]), np.float32)
    for query, share in expected.items():
        shared.clear()
        getattr(rbm, query)(rows)
        assert shared == [share], query


@pytest.mark.parametrize(
    ("n_samples", "shape", "n_blocks", "share"),
    [
        (2000, (10, 6), 2, False),  # short calls, whatever is done
        (2000, (64, 64), 2, True),
        (1000, (64, 64), 1, True),
        (1000, (300, 300), 7, True),
    ],
)
def test_samples_are_drawn_in_long_calls(n_samples, shape, n_blocks, share, shared):
    rbm, sizes = fitted(*shape), []

    def chain(_, v, *__):
        sizes.append(len(v))
        return v

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_estimator, "gibbs_chain", chain)
        rbm.sample(n_samples)
    assert len(sizes) == n_blocks
    assert shared == [share]


def test_a_long_call_has_no_more_rows_than_memory_is_for():
    assert rows_a_call(784 * 500, 25) == 25
    assert rows_a_call(300 * 300, 25) == 46
    assert rows_a_call(1000, 25) == 1024
    assert not is_long_call(1024, 1000)
    assert is_long_call(1024, 64 * 64)


def test_nobody_waits_for_a_thread_that_is_not_ready():
    class Endless:
        ended = threading.Event()

        def help(self):
            assert self.ended.wait(20)

    with Crew(2) as crew:
        crew._jobs.put(Endless())
        assert crew.map(who, range(3)) == [who(0)] * 3
        Endless.ended.set()


def test_work_within_shared_work_stays_where_it_is():
    meeting = Meeting()
    with Crew(2) as crew:
        names = crew.map(lambda i: [meeting(i), *crew.map(who, range(4))], range(2))
    assert len({name for part in names for name in part}) == 2
    assert all(len(set(part)) == 1 for part in names)


@pytest.mark.parametrize("failing", [0, 1])
def test_after_an_error_work_is_shared_again(failing):
    with Crew(2) as crew:
        for _ in range(2):
            meeting, done = Meeting(), []

            def fail(i, meeting=meeting, done=done):
                if i < 2:
                    meeting(i)
                if i == failing:
                    raise ZeroDivisionError
                time.sleep(0.001)
                done.append(i)

            with pytest.raises(ZeroDivisionError):
                crew.map(fail, range(1000))
            assert 1 - failing in done  # nothing is left half done
            assert len(done) < 999  # nor begun
        assert len(set(crew.map(Meeting(), range(2)))) == 2


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_what_is_run_once_is_run_on_every_thread_at_the_same_time(n_threads):
    on = []

    def task():
        on.append(who(0))

    with Crew(n_threads) as crew:
        crew.once(task)
        assert len(set(on)) == len(on) == n_threads
        crew.once(task)
        assert len(on) == n_threads
    with Crew(n_threads + 1) as crew:
        crew.once(task)
        assert len(on) == 2 * n_threads + 1


@pytest.mark.parametrize("call", ["fit", "transform", "score_samples"])
def test_every_thread_touches_the_memory_of_blas(call, monkeypatch):
    X = np.eye(4)
    rbm = BinaryCDRBM(2, n_jobs=3, random_state=0).fit(X)
    on = []
    monkeypatch.setattr(_resources, "touch_buffers", lambda: on.append(who(0)))
    getattr(rbm, call)(X)
    assert len(set(on)) == 3


def test_as_many_threads_as_there_is_work_for_are_there_till_the_end():
    before = threading.active_count()
    with Crew(3) as crew:
        for n_items, n_threads in ((1, 1), (2, 2), (9, 3), (2, 3)):
            crew.map(who, range(n_items))
            assert threading.active_count() == before + n_threads - 1
    assert threading.active_count() == before


# -- the limit of BLAS -----------------------------------------------------------


@pytest.fixture
def two():
    """Let BLAS have two threads, wherever the test runs."""
    with threadpool_limits(2):
        yield
        assert blas_threads() == 2
        assert not threads._single_threaded_blas.crews


@pytest.mark.usefixtures("two")
def test_blas_has_one_thread_within_and_what_it_had_afterwards():
    with Crew(2) as crew:
        assert crew.map(lambda _: blas_threads(), range(2)) == [1, 1]
        with Crew(1):
            assert blas_threads() == 1
        assert blas_threads() == 1


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(
    ("processors", "limit", "expected"), [(1, 2, 1), (9, 2, 2), (9, 1, 1)]
)
def test_the_default_takes_what_both_blas_and_a_container_allow(
    processors, limit, expected, monkeypatch
):
    monkeypatch.setattr(_resources, "cpu_count", lambda: processors)
    counted_anew = _resources._processors.__wrapped__
    monkeypatch.setattr(_resources, "_processors", counted_anew)
    with threadpool_limits(limit), _resources.open_crew(None) as crew:
        assert crew.n_threads == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no such call")
def test_processors_are_counted_anew_where_fewer_may_be_used(monkeypatch):
    allowed = os.sched_getaffinity(0)
    before = _resources.processors()
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert _resources.processors() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert _resources.processors() == before
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    assert _resources.processors() == 1


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_blas_has_what_it_had_after_an_error(error, monkeypatch):
    def fail(*_):
        assert blas_threads() == 1
        raise error

    monkeypatch.setattr(_fitting, "run", fail)
    with pytest.raises(error):
        BinaryCDRBM(2).fit(np.eye(4))


@pytest.mark.usefixtures("two")
def test_blas_has_what_it_had_if_no_thread_can_be_started(monkeypatch):
    def start(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(RuntimeError, match="can't start"), Crew(3) as crew:
        crew.map(who, range(3))


@pytest.mark.usefixtures("two")
def test_blas_has_what_it_had_if_what_comes_first_fails():
    with pytest.raises(ZeroDivisionError), Crew(2, first=lambda: 1 / 0):
        pass


@pytest.mark.usefixtures("two")
def test_blas_has_what_it_had_if_the_end_is_interrupted(monkeypatch):
    def join(_):
        raise KeyboardInterrupt

    crew = Crew(2).__enter__()
    crew.map(who, range(2))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "join", join)
        with pytest.raises(KeyboardInterrupt):
            crew.__exit__(None, None, None)


@pytest.mark.usefixtures("two")
def test_blas_has_what_it_had_after_ctrl_c_at_any_time():
    def interrupt_after(n_calls):
        left = iter(range(n_calls))

        def profile(frame, event, _):  # Python looks for signals after calls
            if event not in {"return", "c_return"}:
                return
            callers = frame, frame.f_back
            if all(x.f_code.co_filename != threads.__file__ for x in callers):
                return
            if next(left, None) is None:
                raise KeyboardInterrupt

        return profile

    for n_calls in itertools.count():
        sys.setprofile(interrupt_after(n_calls))
        try:
            with Crew(1):
                pass
        except KeyboardInterrupt:
            pass
        else:
            break
        finally:
            sys.setprofile(None)
        # Whatever was left undone, the next crew makes up for.
        with Crew(1):
            assert blas_threads() == 1
        assert blas_threads() == 2
    assert n_calls > 10


def test_what_nobody_has_begun_is_dropped_if_the_caller_is_interrupted(monkeypatch):
    work, caller, begun, done = threads._Job.work, who(0), threading.Event(), []

    def interrupted(job):
        if who(0) == caller:
            assert begun.wait(20)
            raise KeyboardInterrupt
        work(job)

    def task(i):
        begun.set()
        time.sleep(0.001)
        done.append(i)

    monkeypatch.setattr(threads._Job, "work", interrupted)
    with pytest.raises(KeyboardInterrupt), Crew(2) as crew:
        crew.map(task, range(10_000))
    assert 0 < len(done) < 9999


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.usefixtures("two")
def test_a_child_that_is_forked_meanwhile_is_not_held_up():
    rbm = BinaryCDRBM(2, n_iter=1, random_state=0).fit(np.eye(4))
    with Crew(2), threads._single_threaded_blas._lock, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
        child = os.fork()
        if child == 0:
            signal.alarm(20)  # ends a child that waits for the lock
            try:
                rbm.transform(np.eye(4))
                assert not threads._single_threaded_blas.crews
                os._exit(0)
            finally:
                os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize(("length", "n_parts"), [(10, 3), (3, 3), (2, 5), (0, 1)])
def test_parts_are_of_one_size_or_differ_by_one(length, n_parts):
    parts = [range(length)[part] for part in cut(length, n_parts)]
    assert [i for part in parts for i in part] == list(range(length))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_the_tightest_limit_of_any_blas_counts(monkeypatch):
    libraries = [{"num_threads": 4}, {"num_threads": 2}]
    monkeypatch.setattr(threads, "blas_libraries", lambda: libraries)
    assert threads.blas_threads() == 2
