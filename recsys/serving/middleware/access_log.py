"""The access log: of every request six facts, none of which says who asked or about which place."""

import asyncio
import json
import logging
import time
import traceback
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TextIO

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recsys.errors import RecsysError
from recsys.serving.middleware.timeouts import ClientNotReadingError
from recsys.serving.requests.credentials import ALLOWANCE, LISTENER
from recsys.serving.requests.headers import first
from recsys.serving.requests.metrics import Metrics
from recsys.serving.requests.problems import problem_of
from recsys.serving.requests.request_id import HEADER, request_id
from recsys.serving.snapshot.response_cache import ROUTE, SCOPE
from recsys.serving.state.endpoint import Endpoint

_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})

_ENDS = (asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit)  # of the program or of a request

NOSNIFF = (b"x-content-type-options", b"nosniff")

Log = structlog.typing.FilteringBoundLogger


def json_log(stream: TextIO) -> Log:
    """Return a logger that writes one JSON object a line, each in one call: other threads write to the stream too."""
    log: Log = structlog.wrap_logger(
        structlog.WriteLogger(stream),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
    return log


class JsonFormatter(logging.Formatter):
    """Writes the records of the server and its libraries as JSON; of an exception only its kind: it may quote data.

    Of a message no more than its first line: the server's own goes on with the exception and where it arose.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return one JSON object."""
        kind = record.exc_info[0] if record.exc_info else None
        line = {"event": _event(record), "level": record.levelname.lower(), "logger": record.name}
        if kind:
            line["exception"] = kind.__name__
        return json.dumps(line | {"timestamp": _timestamp(datetime.fromtimestamp(record.created, UTC))})


class AccessLog:
    """The outermost ASGI layer: names the request, counts it, writes its line, answers what nobody else has caught.

    The line holds the request's name, method, route template, status, scope of the list and milliseconds. An address,
    a query or a user agent would make it a log of who was where.

    Parameters
    ----------
    app : ASGI application
    endpoint : Endpoint
    journal : Journal
        Where the lines go.
    log : structlog logger
        Where failures go.
    """

    def __init__(self, app: ASGIApp, *, endpoint: Endpoint, journal: "Journal", log: Log) -> None:
        self._app, self._endpoint, self._journal, self._log = app, endpoint, journal, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and log it once it is answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, answer = time.perf_counter(), _Answer(scope, send, self._endpoint)
        try:
            await self._app(scope, receive, answer.send)
        except ClientNotReadingError:
            pass
        except _ENDS:
            raise
        except BaseException as error:  # a panic in a library of Rust is no Exception, and its message may quote data
            if answer.status is None:
                await problem_of(RecsysError(""))(scope, receive, answer.send)
            self._log.error("failure", exception=type(error).__name__, at=_frames(error), request_id=answer.id)
        finally:
            state, seconds = scope["state"], time.perf_counter() - started
            route = state.get(ROUTE) or getattr(scope.get("route"), "path", None)
            self._journal.note(answer.id, scope["method"], route, answer.status, state.get(SCOPE), seconds=seconds)


class Journal:
    """Counts every request and writes its line, together with those of the same turn of the event loop.

    Parameters
    ----------
    metrics : Metrics
    stream : file of text
    """

    def __init__(self, metrics: Metrics, stream: TextIO) -> None:
        self._metrics, self._stream = metrics, stream
        self._waiting: list[str] = []

    def note(
        self, name: str, method: str, route: str | None, status: int | None, scope: str | None, *, seconds: float
    ) -> None:
        """Take the facts of one request, all of them our own words or numbers but for its checked name."""
        method = method if method in _METHODS else "other"
        self._metrics.answered(method, route, status, seconds=seconds)
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._write)
        self._waiting.append(
            f'{{"request_id": "{name}", {_facts(method, route, status, scope)}, "ms": {seconds * 1000:.1f}, '
        )

    def _write(self) -> None:
        end = f'"event": "request", "level": "info", "timestamp": "{_timestamp(datetime.now(UTC))}"}}\n'
        text, self._waiting = end.join([*self._waiting, ""]), []
        self._stream.write(text)
        self._stream.flush()


@lru_cache(1024)
def _facts(method: str, route: str | None, status: int | None, scope: str | None) -> str:
    """Return what a line says of many requests alike, as the inside of a JSON object."""
    return json.dumps({"method": method, "route": route, "status": status, "scope": scope})[1:-1]


class _Answer:
    """Passes an answer on with the headers that every one has, and remembers its status."""

    def __init__(self, scope: Scope, send: Send, endpoint: Endpoint) -> None:
        self._state = scope.setdefault("state", {})
        self._personal = scope["path"].startswith(("/v1/me", "/v1/images", "/v1/voice"))
        self._send, self._endpoint = send, endpoint
        self._name = request_id(scope["headers"])
        # Who sends a token may have named the request after its listener, which shows only once the token is verified.
        self.id = request_id(()) if first(scope["headers"], b"authorization") is not None else self._name
        self.status: int | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._add_headers(message)
        await self._send(message)

    def _add_headers(self, message: Message) -> None:
        headers: list[tuple[bytes, bytes]] = message["headers"]
        listener = self._state.get(LISTENER)
        if isinstance(listener, str):
            self.id = self._unlike(listener)
        if self._personal:  # and in no cache
            headers = [each for each in headers if each[0] != b"cache-control"]
            headers.append((b"cache-control", b"private, no-store"))
        message["headers"] = [*headers, *(() if _is_shared(headers) else self._own()), NOSNIFF]

    def _own(self) -> list[tuple[bytes, bytes]]:
        """Return the headers that are about this request and who asks, and about no other."""
        allowance = self._state.get(ALLOWANCE)
        limits = allowance.headers() if allowance else []
        wait = [(b"retry-after", b"%d" % allowance.reset)] if allowance and self.status == 429 else []
        return [*limits, *wait, (HEADER, self.id.encode())]

    def _unlike(self, listener: str) -> str:
        """Return the name that the request came with, or another one where it is the listener's own."""
        return self.id if self._endpoint.identity.names(self._name, listener=listener) else self._name


def _is_shared(headers: list[tuple[bytes, bytes]]) -> bool:
    """Tell whether a cache may send these headers to others, who would take them for their own."""
    return (first(headers, b"cache-control") or b"").startswith(b"public")


def _event(record: logging.LogRecord) -> str:
    """Return what happened: the first line of a message, or the kind of an exception that stands in it."""
    quoted = (each for each in (record.msg, *(record.args or ())) if isinstance(each, BaseException))
    error = next(quoted, None)
    return type(error).__name__ if error else next(iter(record.getMessage().strip().splitlines()), "")


def _timestamp(moment: datetime) -> str:
    """Return a moment as all lines of the log write it, which is as structlog does."""
    return moment.isoformat().replace("+00:00", "Z")


def _frames(error: BaseException) -> list[str]:
    """Return where an exception came from, without its message and without values."""
    return [f"{Path(frame.filename).name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-4:]]
