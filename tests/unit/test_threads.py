"""Threads that share work: the same answers in the same order, and an error of one is an error of all."""

import threading

import pytest

from recsys.threads import in_threads


def test_results_come_in_the_order_of_the_arguments() -> None:
    assert in_threads(lambda number: number**2, range(100)) == [number**2 for number in range(100)]
    assert in_threads(str, []) == []


def test_as_many_work_at_a_time_as_are_asked_for() -> None:
    together = threading.Barrier(3, timeout=10)
    assert sorted(in_threads(lambda _: together.wait(), range(3), threads=3)) == [0, 1, 2]


def test_what_fails_is_told() -> None:
    with pytest.raises(ZeroDivisionError):
        in_threads(lambda number: 1 / number, [1, 0])
