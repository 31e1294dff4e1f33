"""Threads that share work: results, the limit of BLAS, and Ctrl-C."""

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings

import joblib
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from skrbm import BinaryCDRBM, _estimator, _hyperparameters
from skrbm._core import threads
from skrbm._core.rows import ROWS, ROWS_AT_ONCE, map_rows, pieces
from skrbm._core.threads import Workers, blas_threads, cut, worth_sharing
from skrbm._hyperparameters import processors, workers_for
from skrbm.metrics import log_partition


def who(_=None):
    return threading.get_ident()


class Meeting:
    """A task that two threads have to be at work on, to get done."""

    def __init__(self):
        self.barrier = threading.Barrier(2, timeout=20)

    def __call__(self, i):
        self.barrier.wait()
        return who(i)


# -- cutting ---------------------------------------------------------------------


@pytest.mark.parametrize(("length", "n_parts"), [(10, 3), (3, 3), (2, 5), (0, 1)])
def test_parts_are_of_one_size_or_differ_by_one(length, n_parts):
    parts = [range(length)[part] for part in cut(length, n_parts)]
    assert [i for part in parts for i in part] == list(range(length))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("n_weights", [1, 64 * 64, 784 * 500])
@pytest.mark.parametrize("n", [0, 1, 31, 32, 33, 255, 256, 1025, 2000, 8193, 10_001])
def test_pieces_are_rows_that_exact_scores_take_at_once(n, n_weights):
    parts = pieces(n, n_weights, multiple=ROWS_AT_ONCE)
    assert [i for part in parts for i in range(n)[part]] == list(range(n))
    sizes = [part.stop - part.start for part in parts]
    assert max(sizes) <= ROWS
    assert all(size % ROWS_AT_ONCE == 0 for size in sizes[:-1])


def test_pieces_are_long_calls_of_so_many_rows_at_least():
    assert len(pieces(100, 784 * 500, 25)) == 4
    assert len(pieces(100, 300 * 300, 25)) == 3
    assert len(pieces(100, 9 * 6, 25)) == 1
    assert len(pieces(4096, 784 * 500)) == 32
    assert len(pieces(4096, 64 * 64)) == 4


def test_small_models_and_short_work_are_not_shared():
    assert worth_sharing(1 << 24, 1 << 14)
    assert not worth_sharing((1 << 24) - 1, 1 << 14)
    assert not worth_sharing(1 << 40, (1 << 14) - 1)


# -- sharing ---------------------------------------------------------------------


@pytest.mark.parametrize("n_threads", [1, 2, 3, 9])
@pytest.mark.parametrize("n_items", [0, 1, 2, 7])
def test_results_come_in_order(n_threads, n_items):
    with Workers(n_threads) as workers:
        squares = workers.map(lambda i: i * i, range(n_items))
    assert squares == [i * i for i in range(n_items)]


@pytest.mark.parametrize("n_threads", [2, 3])
def test_work_is_shared(n_threads):
    with Workers(n_threads) as workers:
        assert len(set(workers.map(Meeting(), range(2)))) == 2
        assert set(workers.map(who, range(9), share=False)) == {who()}


@pytest.mark.parametrize(("n_weights", "n_on"), [(1 << 10, 1), (1 << 18, 2)])
def test_rows_are_shared_where_it_is_worth_it(n_weights, n_on):
    meet, on = Meeting(), set()

    def function(rows, _):
        time.sleep(0.001)  # another thread would come by
        on.add(meet(0) if n_on == 2 else who())
        return rows.sum(axis=1)

    rows = np.arange(3.0 * 1024).reshape(1024, 3)
    out = np.empty(1024)
    with Workers(2) as workers:
        map_rows(function, rows, out, np.float32, None, n_weights, workers)
    assert len(on) == n_on
    np.testing.assert_array_equal(out, rows.sum(axis=1))


def test_nobody_waits_for_a_thread_that_is_not_ready():
    late = threading.Event()
    with Workers(2) as workers:
        workers._pool.submit(late.wait, 20)
        assert workers.map(who, range(3)) == [who()] * 3
        late.set()


def test_work_within_shared_work_gets_done():
    with Workers(2) as workers:
        inner = workers.map(lambda i: workers.map(lambda j: i + j, range(4)), range(4))
    assert inner == [[i + j for j in range(4)] for i in range(4)]


@pytest.mark.parametrize("failing", [0, 999])  # of the other thread, and its own
def test_after_an_error_nothing_is_at_work(failing):
    with Workers(2) as workers:
        for _ in range(2):
            begun, done = [], []

            def fail(i, begun=begun, done=done):
                begun.append(i)
                time.sleep(0.001)
                if i == failing:
                    raise ZeroDivisionError
                done.append(i)

            with pytest.raises(ZeroDivisionError):
                workers.map(fail, range(1000))
            assert sorted(begun) == sorted([*done, failing])
            assert failing == 0 or len(begun) < 999
        assert len(set(workers.map(Meeting(), range(2)))) == 2


def test_a_task_may_time_out_by_itself():
    meeting = Meeting()

    def late(i):
        meeting(i)
        if i == 0:
            raise TimeoutError("late")

    with pytest.raises(TimeoutError, match="late"), Workers(2) as workers:
        workers.map(late, range(2))


def test_a_long_task_is_given_up_after_an_error():
    def task(i):
        if i == 1:
            begun.wait(20)
            raise ZeroDivisionError
        for step in workers.steps(range(10_000)):
            begun.set()
            steps.append(step)
            time.sleep(0.001)

    begun, steps = threading.Event(), []
    with Workers(2) as workers, pytest.raises(ZeroDivisionError):
        workers.map(task, range(2))
    assert 0 < len(steps) < 9999


@pytest.mark.parametrize("n_threads", [1, 2])
def test_floating_point_errors_pass_in_silence_on_any_thread(n_threads):
    X = (np.random.default_rng(0).random((2200, 784)) < 0.2).astype(np.uint8)
    rbm = BinaryCDRBM(100, n_iter=0, weight_scale=0.0, hidden_intercept_init=-1000.0)
    rbm.set_params(n_jobs=n_threads).fit(X)
    with np.errstate(all="raise"):  # exp(1000) overflows to the right limit
        assert not rbm.transform(X).any()


def test_no_thread_is_left_behind():
    before = threading.active_count()
    with Workers(3) as workers:
        workers.map(who, range(9))
        assert threading.active_count() <= before + 2
    assert threading.active_count() == before


# -- the limit of BLAS -----------------------------------------------------------


@pytest.fixture
def two():
    """Let BLAS have two threads, wherever the test runs."""
    with threadpool_limits(2):
        yield
        assert blas_threads() == 2
        assert not threads._inside


@pytest.mark.usefixtures("two")
def test_blas_has_one_thread_within_and_what_it_had_afterwards():
    with Workers(2) as workers:
        assert workers.map(lambda _: blas_threads(), range(2)) == [1, 1]
        with Workers(1):
            assert blas_threads() == 1
        assert blas_threads() == 1


def test_the_limit_holds_whichever_thread_sets_it():
    # A thread that has set a number of threads and lives on, and others after it.
    seen, go_on = [], threading.Event()

    def hold():
        with threadpool_limits(2):
            go_on.wait(20)

    def work():
        with Workers(1):
            seen.append(blas_threads())
        seen.append(blas_threads())

    holder = threading.Thread(target=hold)
    holder.start()
    time.sleep(0.05)
    for _ in range(2):
        worker = threading.Thread(target=work)
        worker.start()
        worker.join()
    go_on.set()
    holder.join()
    assert seen == [1, 2, 1, 2]


@pytest.mark.usefixtures("two")
def test_a_thread_that_starts_when_all_is_over_leaves_blas_alone():
    threads._limit_thread()
    assert blas_threads() == 2


@pytest.mark.usefixtures("two")
def test_threads_in_turn_leave_blas_as_it_was():
    # The first one in is not the last one out.
    entered, left = threading.Event(), threading.Event()

    def outlast():
        with Workers(1):
            entered.set()
            assert left.wait(20)
            assert blas_threads() == 1

    other = threading.Thread(target=outlast)
    with Workers(1):
        other.start()
        assert entered.wait(20)
    left.set()
    other.join()
    assert blas_threads() == 2


class Library:
    """Stands for a BLAS."""

    def __init__(self, n_threads, threading_layer="pthreads"):
        self.n_threads, self.threading_layer = n_threads, threading_layer

    def get_num_threads(self):
        return self.n_threads

    def set_num_threads(self, n_threads):
        self.n_threads = n_threads


@pytest.mark.parametrize("n_jobs", [1, 2, None])
def test_a_blas_that_cannot_be_limited_is_left_alone(n_jobs, monkeypatch, X):
    # As on macOS, whose Accelerate threadpoolctl does not know.
    expected = BinaryCDRBM(2, n_iter=1, random_state=0).fit(X).components_
    monkeypatch.setattr(threads, "_libraries", list)
    assert blas_threads() == 1
    rbm = BinaryCDRBM(2, n_iter=1, random_state=0, n_jobs=n_jobs).fit(X)
    np.testing.assert_array_equal(rbm.components_, expected)


def test_the_tightest_limit_of_any_blas_counts(monkeypatch):
    monkeypatch.setattr(threads, "_libraries", lambda: [Library(4), Library(2)])
    assert blas_threads() == 2


def test_a_limit_of_each_thread_is_restored_in_each(monkeypatch):
    # With OpenMP every Python thread has a number of its own.
    library = Library(3, "openmp")
    monkeypatch.setattr(threads, "_libraries", lambda: [library])
    with Workers(1):
        assert library.n_threads == 1
        library.n_threads = 5  # what another thread sees
        with Workers(1):
            assert library.n_threads == 1
        assert library.n_threads == 5
    assert library.n_threads == 3


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(
    ("n_processors", "limit", "expected"), [(1, 2, 1), (9, 2, 2), (9, 1, 1)]
)
def test_the_default_takes_what_both_blas_and_a_container_allow(
    n_processors, limit, expected, monkeypatch
):
    monkeypatch.setattr(_hyperparameters, "processors", lambda: n_processors)
    with threadpool_limits(limit):
        assert workers_for(None).n_threads == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no such call")
def test_processors_are_counted_anew_where_fewer_may_be_used(monkeypatch):
    allowed = os.sched_getaffinity(0)
    before = processors()
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert processors() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert processors() == before
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    assert processors() == 1


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_blas_has_what_it_had_after_an_error(error, monkeypatch):
    def fail(*_):
        assert blas_threads() == 1
        raise error

    monkeypatch.setattr(_estimator, "train", fail)
    with pytest.raises(error):
        BinaryCDRBM(2).fit(np.eye(4))


@pytest.mark.usefixtures("two")
def test_blas_has_what_it_had_if_no_thread_can_be_started(monkeypatch):
    def start(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(RuntimeError, match="can't start"), Workers(3) as workers:
        workers.map(who, range(3))


# -- the same bits wherever it runs ----------------------------------------------


def wide():
    return (np.random.default_rng(0).random((600, 300)) < 0.3).astype(np.float32)


def components(n_jobs):
    rbm = BinaryCDRBM(
        128, n_iter=2, batch_size=500, learning_rate=0.1, n_jobs=n_jobs, random_state=0
    )
    return rbm.fit(wide()).components_


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of forks beside threads
@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing"])
def test_every_backend_of_joblib_gives_the_same_bits(backend):
    expected = components(1)
    for found in joblib.Parallel(2, backend=backend)(
        joblib.delayed(components)(n_jobs) for n_jobs in (1, 2, None)
    ):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.usefixtures("two")
def test_fits_and_queries_of_many_threads_at_once_give_the_same_bits():
    expected, X = components(1), np.tile(wide(), (5, 1))
    rbm = BinaryCDRBM(128, n_iter=1, random_state=0).fit(wide())
    features, wrong = rbm.transform(X), []

    def work(i):
        for _ in range(3):
            same = np.array_equal(components(1 + i % 3), expected)
            same &= np.array_equal(rbm.transform(X), features)
            wrong.extend([] if same else [i])

    every = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in every:
        thread.start()
    for thread in every:
        thread.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.usefixtures("two")
def test_a_child_that_is_forked_meanwhile_works_and_can_be_interrupted():
    expected = components(1)

    def child():
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert np.array_equal(components(2), expected)

    with Workers(2), threads._lock, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
    process.join(60)
    assert process.exitcode == 0


# -- Ctrl-C ----------------------------------------------------------------------


def press_ctrl_c():
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_ctrl_c_waits_for_the_end_of_a_task(n_threads):
    done = []
    with pytest.raises(KeyboardInterrupt), Workers(n_threads) as workers:
        workers.map(lambda i: (press_ctrl_c(), done.append(i)), [0])
        assert done == [0]
        workers.map(done.append, [1])
    assert done == [0]


def test_ctrl_c_in_the_last_task_comes_when_all_is_done():
    done = []
    with pytest.raises(KeyboardInterrupt):
        with Workers() as workers:
            workers.map(lambda _: press_ctrl_c(), [0])
        done.append("never")
    assert not done


def test_ctrl_c_ends_a_long_task():
    steps = []
    with pytest.raises(KeyboardInterrupt), Workers() as workers:
        for step in workers.steps(range(100)):
            steps.append(step)
            if step == 3:
                press_ctrl_c()
    assert steps == [0, 1, 2, 3]


def test_ctrl_c_comes_while_others_are_at_work():
    main, begun, given_up = threading.main_thread().ident, threading.Event(), []

    def task(i):
        if i == 1:
            assert begun.wait(20)
            timer.start()
            return
        try:
            for _ in workers.steps(range(20_000)):
                begun.set()
                time.sleep(0.001)
        finally:
            given_up.append(i)

    timer = threading.Timer(0.05, signal.pthread_kill, (main, signal.SIGINT))
    with pytest.raises(KeyboardInterrupt), Workers(2) as workers:
        workers.map(task, range(2))
    assert given_up == [0]
    timer.join()


def test_a_handler_of_ones_own_is_called_and_kept():
    calls = []
    before = signal.signal(signal.SIGINT, lambda *arguments: calls.append(arguments))
    try:
        mine = signal.getsignal(signal.SIGINT)
        with Workers() as workers:
            workers.map(lambda _: press_ctrl_c(), [0])
            assert not calls
            workers.map(who, [0])
            assert [number for number, _ in calls] == [signal.SIGINT]
        assert signal.getsignal(signal.SIGINT) is mine
        assert len(calls) == 1
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL])
def test_signals_that_no_python_handles_are_left_alone(handler):
    before = signal.signal(signal.SIGINT, handler)
    try:
        with Workers():
            assert signal.getsignal(signal.SIGINT) == handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_contexts_within_contexts_put_ctrl_c_off_together():
    reached = []
    with pytest.raises(KeyboardInterrupt), Workers() as outer:
        with Workers() as inner:
            inner.map(lambda _: press_ctrl_c(), [0])
        reached.append("outside")
        outer.map(reached.append, ["never"])
    assert reached == ["outside"]


def test_a_thread_that_is_interrupted_as_it_starts_is_not_left_behind(monkeypatch):
    X = (np.random.default_rng(0).random((8000, 600)) < 0.3).astype("f")
    rbm = BinaryCDRBM(64, n_iter=1, random_state=0, n_jobs=8).fit(X[:500])
    before, expected, start = threading.active_count(), rbm.transform(X), Thread.start
    n_blas = blas_threads()
    for strike in range(1, 5):
        left = iter(range(strike - 1))

        def interrupted(thread, left=left):
            start(thread)
            if next(left, None) is None:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", interrupted)
            with pytest.raises(KeyboardInterrupt):
                rbm.transform(X)
        deadline = time.monotonic() + 10
        while threading.active_count() > before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert threading.active_count() == before
        assert blas_threads() == n_blas
        np.testing.assert_array_equal(rbm.transform(X), expected)


Thread = threading.Thread


INTERRUPTS = """
    import random, signal, sys, threading, time, warnings
    import numpy as np
    from skrbm import BinaryCDRBM
    from skrbm._core.threads import blas_threads
    from skrbm.metrics import log_partition

    warnings.simplefilter("ignore")
    n_signals = int(sys.argv[1])
    X = (np.random.default_rng(0).random((600, 300)) < .3).astype("f")
    many = np.tile(X, (20, 1))

    def calls(n_jobs):
        how = dict(batch_size=300, n_iter=3, n_jobs=n_jobs, random_state=0)
        rbm = BinaryCDRBM(128, **how).fit(X)
        again = lambda: BinaryCDRBM(128, **how).fit(X)
        ais = dict(method="ais", betas=20, n_gibbs_steps=5, tolerance=1e9)
        yield lambda: again().components_
        yield lambda: again().partial_fit(X).components_
        yield lambda: rbm.transform(many)
        yield lambda: rbm.score_samples(X)
        yield lambda: log_partition(rbm, random_state=0, n_jobs=n_jobs, **ais)

    random.seed(0)
    signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    n_blas, n_threads = blas_threads(), threading.active_count()
    struck = 0
    every = [call for n_jobs in (2, 8) for call in calls(n_jobs)]
    for i, call in enumerate(every):
        began = time.perf_counter()
        expected = call()
        took = time.perf_counter() - began
        for _ in range(n_signals // len(every)):
            try:
                signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, took))
                call()
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                struck += 1
            assert threading.active_count() == n_threads, (i, threading.enumerate())
            assert blas_threads() == n_blas, i
        np.testing.assert_array_equal(call(), expected)
    print(struck)
"""


def test_interrupts_leave_nothing_behind():
    n_signals = os.environ.get("SKRBM_SIGNALS", "50")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(INTERRUPTS), n_signals],
        capture_output=True,
        text=True,
        timeout=60 + int(n_signals),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > int(n_signals) / 4


def test_chains_and_ais_can_be_interrupted(monkeypatch):
    X = np.eye(6)
    rbm = BinaryCDRBM(3, n_iter=1, random_state=0).fit(X)
    real = threads.Workers.steps

    def steps(workers, items):
        for i, item in enumerate(real(workers, items)):
            if i == 2:
                press_ctrl_c()
            yield item

    monkeypatch.setattr(threads.Workers, "steps", steps)
    for call in (
        lambda: rbm.sample(2, n_gibbs_steps=10**9),
        lambda: log_partition(rbm, method="ais", betas=10**6),
    ):
        with pytest.raises(KeyboardInterrupt):
            call()
