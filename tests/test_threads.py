"""Threads that share work: who does what, and what comes back."""

import threading

import pytest

from skrbm._core.blocks import ROWS, ROWS_AT_ONCE, blocks
from skrbm._core.threads import Crew, cut


def who(_):
    return threading.current_thread().name


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


def test_work_is_shared():
    with Crew(2) as crew:
        assert len(set(crew.map(who, range(4)))) == 2


def test_work_within_shared_work_stays_where_it_is():
    with Crew(2) as crew:
        names = crew.map(lambda _: [who(_), *crew.map(who, range(4))], range(4))
    assert len({name for part in names for name in part}) == 2
    assert all(len(set(part)) == 1 for part in names)


def test_after_an_error_work_is_shared_again():
    def fail(_):
        raise ZeroDivisionError

    with Crew(2) as crew:
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                crew.map(fail, range(4))
        assert len(set(crew.map(who, range(4)))) == 2


@pytest.mark.parametrize(("length", "n_parts"), [(10, 3), (3, 3), (2, 5), (0, 1)])
def test_parts_are_of_one_size_or_differ_by_one(length, n_parts):
    parts = [range(length)[part] for part in cut(length, n_parts)]
    assert [i for part in parts for i in part] == list(range(length))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
