"""How long the endpoint waits for a client, and for how many at once: who is slow or silent keeps out nobody else."""

import asyncio
import resource
from asyncio import TimerHandle
from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from recsys.serving.requests.metrics import Metrics
from recsys.settings import ServingSettings

if TYPE_CHECKING:
    from recsys.serving.application import Application

_OWN = 160  # files beside connections: snapshots, and the pool of the consent log with three files a connection
_FEWEST = 16


class Room:
    """Has room for so many connections; for one more, the oldest of those that wait for their clients is closed.

    Those that never asked anything go first: a client that keeps its connection for the next request is a good one.

    Parameters
    ----------
    settings : ServingSettings
    metrics : Metrics
    """

    def __init__(self, settings: ServingSettings, metrics: Metrics) -> None:
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        allowed = settings.connections if files == resource.RLIM_INFINITY else files - _OWN
        self.settings, self.metrics = settings, metrics
        self.most = min(settings.connections, max(allowed, _FEWEST))
        self._open: dict[PatientProtocol, None] = {}  # the oldest first

    def enter(self, one: "PatientProtocol") -> None:
        """Take in a new connection; where all others have a request under way, it is the one to be closed."""
        self._open[one] = None
        if len(self._open) > self.most:
            self._leaving(one).drop("room")

    def leave(self, one: "PatientProtocol") -> None:
        """Let go of a connection that is closed, or is about to be."""
        self._open.pop(one, None)

    def _leaving(self, newest: "PatientProtocol") -> "PatientProtocol":
        idle = (each for each in self._open if each.is_new() and each is not newest)
        return next(idle, None) or next(each for each in self._open if each.is_idle() or each is newest)


class PatientProtocol(HttpToolsProtocol):
    """Uvicorn's own, with an end to waiting: for the head of a request, for its body, for the answer to be read.

    Uvicorn times nothing but how long a connection is kept between two requests. The time of a head or a body is that
    of the whole, or a byte now and then would do. An answer takes as long as it takes, if only some of it is read in
    every ``serving.write_seconds``. The application has an attribute ``room``.
    """

    _due: str | None = "head"  # what the client is to send
    _timer: TimerHandle | None = None
    _writing: TimerHandle | None = None
    _unsent = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head."""
        super().connection_made(transport)
        app: Application = self.config.app  # type: ignore[assignment]
        self._room = app.room
        self._wait()
        self._room.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._room.leave(self)
        self._arrived(None)
        if self._writing:
            self._writing.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Wait for the rest of what has begun; any byte after a request begins the next."""
        self._due = self._due or "head"
        super().data_received(data)
        if self._due and not self._timer:
            self._wait()

    def on_headers_complete(self) -> None:
        """Wait for the body."""
        self._arrived("body")
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Wait for nothing: it is ours to answer."""
        self._arrived(None)
        super().on_message_complete()

    def pause_writing(self) -> None:
        """Wait for the client to read."""
        super().pause_writing()
        self._watch()

    def on_response_complete(self) -> None:
        """Wait for the client to read where this was the last answer: closing waits for that, too, and for ever."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._watch()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that was idle, once its answer is read."""
        super().timeout_keep_alive_handler()
        self._watch()

    def is_new(self) -> bool:
        """Tell whether nothing was asked yet."""
        return self.cycle is None

    def is_idle(self) -> bool:
        """Tell whether nothing is under way."""
        return (self.cycle is None or self.cycle.response_complete) and not self.pipeline

    def drop(self, reason: str) -> None:
        """Close the connection at once."""
        self._room.metrics.dropped(reason)
        self._room.leave(self)
        self.transport.abort()

    def _arrived(self, due: str | None) -> None:
        self._due = due
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> None:
        settings = self._room.settings
        seconds = settings.head_seconds if self._due == "head" else settings.body_seconds
        self._timer = self.loop.call_later(seconds, self._late)

    def _late(self) -> None:
        if self.flow.read_paused:  # then it is us who are slow
            self._wait()
        else:
            self.drop(self._due or "")

    def _watch(self) -> None:
        if self._writing:
            self._writing.cancel()
        self._unsent = self.transport.get_write_buffer_size()
        self._writing = self.loop.call_later(self._room.settings.write_seconds, self._look)

    def _look(self) -> None:
        left = self.transport.get_write_buffer_size()
        if left >= self._unsent > 0:
            self.drop("write")
        elif left:
            self._watch()
