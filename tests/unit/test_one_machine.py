"""Tasks side by side on one machine: their order, their errors, and no thread that outlives them."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import polars as pl
import pytest

from pipelines.night.engines.one_machine import OneMachine


@pytest.fixture(autouse=True)
def three_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pl, "thread_pool_size", lambda: 3)


def waiting_for_the_next(number: int, began: list[threading.Event]) -> Callable[[], int]:
    """Return a task that ends only after the next two have begun."""

    def task() -> int:
        began[number].set()
        for later in began[number + 1 : number + 3]:
            assert later.wait(10)
        return number

    return task


def test_three_are_worked_on_at_a_time_and_come_in_their_order() -> None:
    began = [threading.Event() for _ in range(7)]
    tasks = [waiting_for_the_next(number, began) for number in range(7)]
    assert list(OneMachine()._side_by_side(tasks)) == list(range(7))


def test_no_more_are_taken_than_are_worked_on() -> None:
    taken = []

    def tasks() -> Iterator[Callable[[], int]]:
        for number in range(9):
            taken.append(number)
            yield lambda number=number: number  # type: ignore[misc]

    with closing(OneMachine()._side_by_side(tasks())) as done:
        assert next(done) == 0
        assert len(taken) == 3


def test_an_error_comes_in_its_place_and_leaves_no_thread() -> None:
    before = threading.active_count()

    def broken() -> int:
        raise ValueError("of the second")

    done = OneMachine()._side_by_side([lambda: 1, broken, lambda: 3, lambda: 4])
    assert next(done) == 1
    with pytest.raises(ValueError, match="of the second"):
        next(done)
    assert threading.active_count() == before


def test_who_stops_early_waits_for_what_is_being_worked_on() -> None:
    before, ended = threading.active_count(), []
    slow = threading.Event()

    def task() -> int:
        slow.wait(0.2)
        ended.append(1)
        return 1

    with closing(OneMachine()._side_by_side([lambda: 0, task, task, task])) as done:
        assert next(done) == 0
    assert len(ended) == 2
    assert threading.active_count() == before


def test_frames_are_mapped_as_one_by_one() -> None:
    frames = [pl.DataFrame({"number": [number]}) for number in range(10)]
    doubled = OneMachine().map(lambda frame: frame * 2, frames)
    assert [frame["number"].item() for frame in doubled] == list(range(0, 20, 2))
