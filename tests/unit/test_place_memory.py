"""Memories of places are kept night by night, and derived again where they are missing."""

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys.errors import NotReadyError
from recsys.releases.charts import place_memory
from recsys.releases.charts.charts import Charts
from recsys.releases.charts.place_memory import with_memory
from recsys.releases.inference.memory import NOTHING, Memory, Sums

NIGHTS = [date(2026, 8, 1) + timedelta(days=day) for day in range(70)]


class Deriving:
    """Draws nothing, and remembers which windows of which nights a memory is made of: their sum of powers of two."""

    def __init__(self, *, other_atlas: Sequence[date] = ()) -> None:
        self.drawn: list[tuple[date, date | None]] = []
        self.derived: list[date] = []
        self._other_atlas = other_atlas

    def draw(self, nights: Sequence[date], *, memory: Memory) -> Charts:
        self.drawn.append((nights[-1], memory.night))
        return Charts(pl.DataFrame(), (), memory=_after(nights[-1], memory))

    def remember(self, nights: Sequence[date], *, memory: Memory) -> Memory:
        if nights[-1] in self._other_atlas:
            raise NotReadyError("another atlas")
        self.derived.append(nights[-1])
        return _after(nights[-1], memory)


def _after(night: date, memory: Memory) -> Memory:
    windows = 1.0 + (memory.sums.counts[0] if memory.night else 0.0)
    sums = Sums(np.array([windows, 0.5]), np.array([4.0, 2.0]), np.array([3.0, 1.0]), np.array([5.0, 7.0]))
    positions = np.array([0, 1], dtype=np.int32)
    return Memory(night, ("p", "q"), ("a", "b"), np.array([0, 1, 2]), positions, sums)


def run(nights: Sequence[date], folder: Path, *, deriving: Deriving | None = None, version: str = "1") -> Memory:
    some = deriving or Deriving()
    found = with_memory(nights, draw=some.draw, remember=some.remember, folder=folder, version=version, window_nights=7)
    return found.memory


def test_a_night_is_drawn_with_the_memory_of_the_night_a_week_before(tmp_path: Path) -> None:
    deriving = Deriving()
    for last in range(1, 23):
        run(NIGHTS[:last], tmp_path, deriving=deriving)
    weeks = [(night, NIGHTS[i - 7] if i >= 7 else None) for i, night in enumerate(NIGHTS[:22])]
    assert deriving.drawn == weeks
    assert deriving.derived == []


def test_no_window_is_counted_twice(tmp_path: Path) -> None:
    """On the 36th night there are five windows of seven nights, and the one before: 36 = 5 x 7 + 1."""
    for last in range(1, 37):
        found = run(NIGHTS[:last], tmp_path)
    assert found.sums.counts[0] == 6


def test_a_lost_memory_is_derived_from_eight_windows_at_most(tmp_path: Path) -> None:
    deriving = Deriving()
    found = run(NIGHTS, tmp_path, deriving=deriving)
    assert deriving.derived == [NIGHTS[-1 - 7 * k] for k in range(8, 0, -1)]
    assert found.sums.counts[0] == 9


def test_what_is_there_is_not_derived_again(tmp_path: Path) -> None:
    run(NIGHTS[:50], tmp_path)
    deriving = Deriving()
    run(NIGHTS[:51], tmp_path, deriving=deriving)
    assert deriving.derived == []
    assert deriving.drawn == [(NIGHTS[50], NIGHTS[42])]  # of a week and a day before


def test_after_a_catch_up_only_what_is_missing_is_derived(tmp_path: Path) -> None:
    for last in range(1, 31):
        run(NIGHTS[:last], tmp_path)
    deriving = Deriving()
    run(NIGHTS[:50], tmp_path, deriving=deriving)
    assert deriving.derived == [NIGHTS[42]]  # upon that of the thirtieth night
    assert deriving.drawn == [(NIGHTS[49], NIGHTS[42])]


@pytest.mark.parametrize("damage", ["another version", "cut off", "other columns"])
def test_files_that_do_not_fit_are_derived_anew(tmp_path: Path, damage: str) -> None:
    for last in range(1, 15):
        run(NIGHTS[:last], tmp_path)
    for file in tmp_path.glob("*.parquet"):
        if damage == "cut off":
            file.write_bytes(file.read_bytes()[:-9])
        elif damage == "other columns":
            pl.read_parquet(file).drop("rest").write_parquet(file, metadata={"version": f"{place_memory._FORMAT} 1"})
    deriving = Deriving()
    run(NIGHTS[:15], tmp_path, deriving=deriving, version="2" if damage == "another version" else "1")
    assert deriving.derived == [NIGHTS[0], NIGHTS[7]]


def test_another_atlas_has_nothing_to_remember(tmp_path: Path) -> None:
    deriving = Deriving(other_atlas=NIGHTS[:40])
    found = run(NIGHTS[:50], tmp_path, deriving=deriving)
    assert deriving.derived == [NIGHTS[42]]
    assert found.sums.counts[0] == 2


def test_nights_without_a_release_leave_a_gap(tmp_path: Path) -> None:
    """The memory is that of the last night at least a week before."""
    deriving = Deriving()
    some = [*NIGHTS[:10], *NIGHTS[30:33]]
    for last in range(1, len(some) + 1):
        run(some[:last], tmp_path, deriving=deriving)
    assert deriving.drawn[-1] == (NIGHTS[32], NIGHTS[9])


def test_the_last_two_weeks_are_kept(tmp_path: Path) -> None:
    for last in range(1, 31):
        run(NIGHTS[:last], tmp_path)
    assert sorted(file.stem for file in tmp_path.glob("*.parquet")) == [str(night) for night in NIGHTS[16:30]]


def test_a_memory_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = run(NIGHTS[:1], tmp_path)
    read: list[Memory] = []

    def draw(nights: Sequence[date], *, memory: Memory) -> Charts:
        read.append(memory)
        return Charts(pl.DataFrame(), (), memory=_after(nights[-1], NOTHING))

    with_memory(NIGHTS[:8], draw=draw, remember=Deriving().remember, folder=tmp_path, version="1", window_nights=7)
    assert (read[0].night, read[0].places, read[0].tracks) == (written.night, written.places, written.tracks)
    for name in ("starts", "positions"):
        assert (getattr(read[0], name) == getattr(written, name)).all()
    for one, other in zip(read[0].sums.columns, written.sums.columns, strict=True):
        assert one == pytest.approx(other)
