"""The log of the endpoint: of every request five facts, none of which says who asked or about which place."""

import json
import logging
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recsys.errors import RecsysError
from recsys.serving.problems import problem_of

_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})

Log = structlog.typing.FilteringBoundLogger


def json_log(stream: TextIO) -> Log:
    """Return a logger that writes one JSON object a line."""
    log: Log = structlog.wrap_logger(
        structlog.PrintLogger(stream),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
    return log


class JsonFormatter(logging.Formatter):
    """Writes the records of the server and its libraries as JSON; of an exception only its kind: it may quote data."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one JSON object."""
        kind = record.exc_info[0] if record.exc_info else None
        line = {"event": record.getMessage().strip(), "level": record.levelname.lower(), "logger": record.name}
        if kind:
            line["exception"] = kind.__name__
        return json.dumps(line | {"timestamp": datetime.fromtimestamp(record.created, UTC).isoformat()})


class AccessLog:
    """The outermost ASGI layer: writes the access line and answers what nobody else has caught.

    The line holds method, route template, status, scope of the list and milliseconds. An address, a query or a user
    agent would make it a log of who was where.

    Parameters
    ----------
    app : ASGI application
    log : structlog logger
    """

    def __init__(self, app: ASGIApp, *, log: Log) -> None:
        self._app = app
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and log it once it is answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, answer = time.perf_counter(), _Answer(scope, send)
        try:
            await self._app(scope, receive, answer.send)
        except Exception as error:
            self._log.error("failure", exception=type(error).__name__, at=_frames(error))
            if answer.status is None:
                await problem_of(RecsysError(""))(scope, receive, answer.send)
        finally:
            self._log.info("request", **_facts(scope, answer.status), ms=_milliseconds(started))


class _Answer:
    """Passes an answer on, remembers its status, and keeps every answer to a listener out of caches."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._personal = scope["path"].startswith("/v1/me")
        self._send = send
        self.status: int | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self._personal:
                MutableHeaders(scope=message)["Cache-Control"] = "private, no-store"
        await self._send(message)


def _facts(scope: Scope, status: int | None) -> dict[str, str | int | None]:
    return {
        "method": scope["method"] if scope["method"] in _METHODS else "other",
        "route": getattr(scope.get("route"), "path", None),
        "status": status,
        "scope": scope.get("state", {}).get("scope"),
    }


def _frames(error: Exception) -> list[str]:
    """Return where an exception came from, without its message and without values."""
    return [f"{Path(frame.filename).name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-4:]]


def _milliseconds(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 1)
