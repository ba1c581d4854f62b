"""How long a client is waited for, and who makes room, with a transport and a clock that the tests move."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from recsys.serving.patience import PatientProtocol, Room
from recsys.serving.requests.metrics import Metrics
from recsys.settings import load_settings

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Loop:
    """Runs what is called later when it is told that the time has come."""

    def __init__(self) -> None:
        self.now = 0.0
        self.later: list[tuple[float, Callable[[], None], SimpleNamespace]] = []

    def call_later(self, seconds: float, call: Callable[[], None]) -> SimpleNamespace:
        timer = SimpleNamespace(cancelled=False)
        timer.cancel = lambda: setattr(timer, "cancelled", True)
        self.later.append((self.now + seconds, call, timer))
        return timer

    def create_task(self, work: Any) -> Mock:
        work.close()
        return Mock()

    def wait(self, seconds: float) -> None:
        self.now += seconds
        due = [each for each in self.later if each[0] <= self.now]
        self.later = [each for each in self.later if each[0] > self.now]
        for _, call, timer in due:
            if not timer.cancelled:
                call()


class Transport:
    """Remembers what was written, and how much of it is unsent is for the test to say."""

    def __init__(self) -> None:
        self.unsent, self.closed, self.aborted = 0, False, False

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def get_extra_info(self, _: str) -> None:
        return None

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True

    def write(self, _: bytes) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class Client:
    """A connection to the endpoint."""

    def __init__(self, room: Room, loop: Loop) -> None:
        config = Config(SimpleNamespace(room=room), log_config=None, lifespan="off", ws="none")  # type: ignore[arg-type]
        self.transport = Transport()
        self.protocol = PatientProtocol(config, ServerState(), {}, _loop=loop)  # type: ignore[arg-type]
        self.protocol.connection_made(self.transport)  # type: ignore[arg-type]

    def send(self, data: bytes) -> None:
        self.protocol.data_received(data)

    def answered(self) -> None:
        self.protocol.cycle.response_complete = True
        self.protocol.on_response_complete()


@pytest.fixture
def loop() -> Loop:
    return Loop()


def room(**serving: object) -> Room:
    chosen = {"head_seconds": 10, "body_seconds": 5, "write_seconds": 60, **serving}
    return Room(load_settings(overrides={"serving": chosen}).serving, Metrics())


@pytest.mark.parametrize("begun", [b"", b"GET /", b"\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n"])
def test_a_head_has_its_time_as_a_whole(loop: Loop, begun: bytes) -> None:
    client = Client(room(), loop)
    for _ in range(3):
        loop.wait(3)
        client.send(begun or b"G")
        begun = b"X" if begun.strip() else begun
    assert not client.transport.aborted
    loop.wait(1)
    assert client.transport.aborted


def test_a_request_under_way_is_ours_to_be_slow_with(loop: Loop) -> None:
    client = Client(room(), loop)
    client.send(REQUEST)
    loop.wait(1_000)
    assert not client.transport.aborted
    client.answered()
    loop.wait(4)
    client.send(b"\r\n")  # which ends uvicorn's own time between two requests
    loop.wait(9)
    assert not client.transport.aborted
    loop.wait(1)
    assert client.transport.aborted


def test_a_body_has_a_time_of_its_own(loop: Loop) -> None:
    client = Client(room(), loop)
    loop.wait(9)
    client.send(b"PUT / HTTP/1.1\r\nContent-Length: 9\r\n\r\n")
    loop.wait(4)
    client.send(b"x")
    assert not client.transport.aborted
    loop.wait(1)
    assert client.transport.aborted


def test_who_reads_slowly_is_served_and_who_does_not_is_not(loop: Loop) -> None:
    client = Client(room(), loop)
    client.send(REQUEST)
    client.transport.unsent = 1_000_000
    client.protocol.pause_writing()
    for left in (900_000, 800_000, 700_000):
        client.transport.unsent = left
        loop.wait(60)
        assert not client.transport.aborted
    loop.wait(60)
    assert client.transport.aborted


def test_a_connection_that_is_closed_is_not_kept_by_who_does_not_read_the_rest(loop: Loop) -> None:
    client = Client(room(), loop)
    client.send(REQUEST)
    client.transport.unsent = 100
    client.answered()
    loop.wait(5)
    assert (client.transport.closed, client.transport.aborted) == (True, False)
    loop.wait(60)
    assert client.transport.aborted


def test_who_has_asked_nothing_makes_room_then_who_is_idle_then_the_newest(loop: Loop) -> None:
    small = room(connections=3)
    idle, under_way, new = (Client(small, loop) for _ in range(3))
    idle.send(REQUEST)
    idle.answered()
    under_way.send(REQUEST)
    everybody = [idle, under_way, new]
    for expected in (new, idle):
        newest = Client(small, loop)
        everybody.append(newest)
        assert [each for each in everybody if each.transport.aborted] == [expected]
        everybody.remove(expected)
        newest.send(REQUEST)
    assert Client(small, loop).transport.aborted
    assert not any(each.transport.aborted for each in everybody)


def test_files_bound_the_room(monkeypatch: pytest.MonkeyPatch) -> None:
    for files, most in ((256, 96), (20, 16), (100_000, 4_096), (-1, 4_096)):
        monkeypatch.setattr("resource.getrlimit", lambda _, files=files: (files, files))
        assert room().most == most
