"""Answers on a beat: whatever there was to do, an answer leaves at the next beat from its question."""

import asyncio
from dataclasses import dataclass, field

import pytest

from recsys.serving.requests import one_time
from recsys.serving.requests.one_time import on_the_beat


@dataclass
class Clock:
    """A clock that goes forward by what is done and slept."""

    now: float = 1_000.0
    slept: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.mark.parametrize(("taken", "left_after"), [(0.001, 0.1), (0.099, 0.1), (0.1001, 0.2), (0.73, 0.8)])
def test_an_answer_leaves_at_the_next_beat(monkeypatch: pytest.MonkeyPatch, taken: float, left_after: float) -> None:
    clock = Clock()
    monkeypatch.setattr(one_time.time, "monotonic", clock.monotonic)

    def answer() -> str:
        clock.now += taken
        return "answer"

    async def in_turn(work: object) -> str:
        return answer()

    monkeypatch.setattr(one_time, "run_in_threadpool", in_turn)
    loop = asyncio.new_event_loop()  # made before the clock stands still for it, too
    monkeypatch.setattr(one_time.asyncio, "sleep", clock.sleep)
    try:
        assert loop.run_until_complete(on_the_beat(answer)) == "answer"
    finally:
        loop.close()
    assert clock.now - 1_000 == pytest.approx(left_after)
    assert len(clock.slept) == 1
