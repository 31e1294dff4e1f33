"""Threads that share work: who does what, and what comes back."""

import threading
import time

import numpy as np
import pytest

from skrbm import BinaryCDRBM, _fitting
from skrbm._core.blocks import ROWS, ROWS_AT_ONCE, blocks
from skrbm._core.threads import Crew, cut


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


@pytest.mark.parametrize("n_threads", [2, 3])
def test_work_is_shared(n_threads):
    with Crew(n_threads) as crew:
        assert len(set(crew.map(Meeting(), range(2)))) == 2


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
    threads = []

    def task():
        threads.append(who(0))

    with Crew(n_threads) as crew:
        crew.once(task)
        assert len(set(threads)) == len(threads) == n_threads
        crew.once(task)
        assert len(threads) == n_threads
    with Crew(n_threads + 1) as crew:
        crew.once(task)
        assert len(threads) == 2 * n_threads + 1


@pytest.mark.parametrize("call", ["fit", "transform", "score_samples"])
def test_every_thread_touches_the_memory_of_blas(call, monkeypatch):
    X = np.eye(4)
    rbm = BinaryCDRBM(2, n_jobs=3, random_state=0).fit(X)
    threads = []
    monkeypatch.setattr(_fitting, "touch_buffers", lambda: threads.append(who(0)))
    getattr(rbm, call)(X)
    assert len(set(threads)) == 3


def test_threads_end_with_the_crew():
    before = threading.active_count()
    with Crew(3) as crew:
        crew.map(who, range(3))
        assert threading.active_count() == before + 2
    assert threading.active_count() == before


@pytest.mark.parametrize(("length", "n_parts"), [(10, 3), (3, 3), (2, 5), (0, 1)])
def test_parts_are_of_one_size_or_differ_by_one(length, n_parts):
    parts = [range(length)[part] for part in cut(length, n_parts)]
    assert [i for part in parts for i in part] == list(range(length))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
