"""How long a slow client is waited for, on a clock that jumps to whatever is waited for next."""

import asyncio
import selectors
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from recsys.serving import server
from recsys.serving.middleware.timeouts import ClientNotReadingError, Timeouts
from recsys.serving.requests.metrics import Metrics
from recsys.settings import ServingSettings, load_settings

PICTURE = "/v1/me/images/profile"
HTTP: dict[str, Any] = {"type": "http", "method": "PUT", "path": "/", "headers": [(b"content-length", b"9")]}


class Jumping(selectors.DefaultSelector):
    """Waits for nothing, and says that the time has passed."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        self.now += timeout or 0
        return super().select(0)


class Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def run(work: Coroutine[Any, Any, Any]) -> float:
    """Run to the end, and return how many seconds it would have taken."""
    loop = Loop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(work)
        return loop.time()


def chosen(**serving: object) -> ServingSettings:
    return load_settings(
        overrides={"serving": {"head_seconds": 10, "body_seconds": 5, "write_seconds": 60, **serving}}
    ).serving


class Client:
    """Sends a body byte by byte, one every so many seconds, and takes as long to read each piece of an answer."""

    def __init__(self, *, body: int = 0, sends: float = 0, reads: float = 0) -> None:
        self.left, self.sends, self.reads = body, sends, reads
        self.got: list[Message] = []

    async def receive(self) -> Message:
        await asyncio.sleep(self.sends)
        self.left -= 1
        return {"type": "http.request", "body": b"x", "more_body": self.left > 0}

    async def send(self, message: Message) -> None:
        await asyncio.sleep(self.reads)
        self.got.append(message)


class App:
    """Reads the whole body, and then answers with these messages."""

    def __init__(self, *answer: bytes, more: bool = False) -> None:
        self.answer, self.more = answer, more
        self.heard: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        message: Message = {"more_body": True}
        while message.get("more_body"):
            message = await receive()
            self.heard.append(message["type"])
        for at, body in enumerate(self.answer, 1):
            await send({"type": "http.response.body", "body": body, "more_body": self.more or at < len(self.answer)})


def dropped(metrics: Metrics) -> set[str]:
    lines = metrics.text(as_of=None, now=None).decode().splitlines()  # type: ignore[arg-type]
    return {line.split('"')[1] for line in lines if line.startswith("hearabouts_conn") and line.endswith("} 1.0")}


def ask(app: App, client: Client, **serving: object) -> tuple[float, set[str]]:
    metrics = Metrics()
    seconds = run(Timeouts(app, settings=chosen(**serving), metrics=metrics)(HTTP, client.receive, client.send))
    return seconds, dropped(metrics)


@pytest.mark.parametrize(("size", "pause"), [(1, 1_000), (2, 4), (900, 0.9)])
def test_a_body_has_its_time_as_a_whole(size: int, pause: float) -> None:
    app = App(b"answer")
    assert ask(app, Client(body=size, sends=pause)) == (5, {"body"})
    assert app.heard[-1] == "http.disconnect"


@pytest.mark.parametrize(("size", "pause"), [(1, 4.9), (9, 0.5)])
def test_a_body_that_comes_in_time_is_read(size: int, pause: float) -> None:
    app, client = App(b"answer"), Client(body=size, sends=pause)
    assert ask(app, client) == (pytest.approx(size * pause), set())
    assert app.heard == ["http.request"] * size
    assert [message["body"] for message in client.got] == [b"answer"]


def test_who_has_sent_the_whole_body_may_wait_for_ever() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["more_body"] is False
        client.sends = 1_000
        await receive()

    metrics, client = Metrics(), Client(body=1)
    assert run(Timeouts(app, settings=chosen(), metrics=metrics)(HTTP, client.receive, client.send)) == 1_000
    assert dropped(metrics) == set()


async def export(scope: Scope, receive: Receive, send: Send) -> None:
    """Takes an hour for its first row."""

    async def rows() -> AsyncIterator[bytes]:
        await asyncio.sleep(3_600)
        yield b"row"

    await StreamingResponse(rows())(scope, receive, send)


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"0")]])
def test_an_answer_that_takes_long_is_whole(headers: list[tuple[bytes, bytes]]) -> None:
    metrics, client = Metrics(), Client(sends=1e6)
    asked = {**HTTP, "headers": headers}
    assert run(Timeouts(export, settings=chosen(), metrics=metrics)(asked, client.receive, client.send)) == 3_600
    assert b"".join(message.get("body", b"") for message in client.got) == b"row"
    assert dropped(metrics) == set()


@pytest.mark.parametrize(("method", "path", "seconds"), [("PUT", PICTURE, 60), ("POST", PICTURE, 5), ("PUT", "/", 5)])
def test_a_picture_has_a_time_of_its_own(method: str, path: str, seconds: int) -> None:
    client, metrics = Client(body=1_000, sends=0.9), Metrics()
    layer = Timeouts(App(b"a"), settings=chosen(), metrics=metrics, picture_seconds=60)
    assert run(layer(HTTP | {"method": method, "path": path}, client.receive, client.send)) == seconds
    assert dropped(metrics) == {"body"}


@pytest.mark.parametrize("announced", [(b"content-length", b"1"), (b"transfer-encoding", b"chunked")])
def test_the_time_of_a_body_begins_when_somebody_reads_it(announced: tuple[bytes, bytes]) -> None:
    app, metrics = App(b"answer"), Metrics()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(1_000)
        await app(scope, receive, send)

    client, asked = Client(body=1, sends=4), {**HTTP, "headers": [announced]}
    assert run(Timeouts(slow, settings=chosen(), metrics=metrics)(asked, client.receive, client.send)) == 1_004
    assert (app.heard, dropped(metrics)) == (["http.request"], set())


@pytest.mark.parametrize("answer", [(b"a" * 200_000,), (b"a" * 150_000, b"b" * 50_000), (b"a" * 65_536, b"")])
def test_a_large_answer_goes_in_pieces_and_arrives_whole(answer: tuple[bytes, ...]) -> None:
    client = Client(reads=59)  # of sixty seconds for each
    seconds, given_up = ask(App(*answer), client)
    assert given_up == set()
    assert seconds == 59 * len(client.got)
    assert b"".join(message["body"] for message in client.got) == b"".join(answer)
    assert [message["more_body"] for message in client.got] == [True] * (len(client.got) - 1) + [False]
    assert max(len(message["body"]) for message in client.got) <= 65_536


def test_who_does_not_read_is_given_up() -> None:
    metrics, client = Metrics(), Client(reads=1_000)
    work = Timeouts(App(b"a" * 200_000), settings=chosen(), metrics=metrics)(HTTP, client.receive, client.send)
    with pytest.raises(ClientNotReadingError):
        run(work)
    assert dropped(metrics) == {"write"}


def test_who_does_not_read_a_stream_is_given_up() -> None:
    metrics, client = Metrics(), Client(reads=1_000)
    work = Timeouts(App(b"a", more=True), settings=chosen(), metrics=metrics)(HTTP, client.receive, client.send)
    with pytest.raises(ClientNotReadingError):
        run(work)
    assert dropped(metrics) == {"write"}


def test_a_small_answer_is_one_message() -> None:
    client = Client()
    assert ask(App(b"a" * 65_536), client) == (0, set())
    assert client.got == [{"type": "http.response.body", "body": b"a" * 65_536, "more_body": False}]


@pytest.mark.parametrize(("files", "most"), [(256, 96), (20, 16), (100_000, 4_096), (-1, 4_096)])
def test_files_bound_the_connections(monkeypatch: pytest.MonkeyPatch, files: int, most: int) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (files, files))
    assert server._connections(chosen()) == most
