"""Dependencies of the routes: each names what it needs as an annotated parameter, and FastAPI hands it over.

They are coroutine functions, as FastAPI would run others in a thread of their own.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from recsys.artifacts.privacy_account import Accounted
from recsys.consents.log import ConsentLog
from recsys.serving.requests.metrics import Metrics
from recsys.serving.snapshot.reload import HotReload
from recsys.serving.snapshot.response_cache import ResponseCache
from recsys.serving.snapshot.snapshot_reader import Current, Published
from recsys.serving.state.endpoint import Endpoint
from recsys.serving.state.export import ListenerRecords
from recsys.settings import Settings


def shared_by(request: Request) -> Endpoint:
    """Return what all requests of the application share."""
    found: Endpoint = request.app.state.endpoint
    return found


async def _settings(request: Request) -> Settings:
    return shared_by(request).settings


async def _clock(request: Request) -> Callable[[], datetime]:
    return shared_by(request).clock


async def _current(request: Request) -> Current:
    return shared_by(request).current


async def newest_snapshot(request: Request) -> Published:
    """Return the newest snapshot that verified; a new one is opened in another thread.

    Raises
    ------
    NotReadyError
        If there is none.
    """
    current = shared_by(request).current
    loaded = current.loaded()
    return await run_in_threadpool(current.get) if loaded is None else loaded


async def _consents(request: Request) -> ConsentLog:
    return shared_by(request).consents


async def _listener_key(request: Request) -> bytes:
    return shared_by(request).listener_key


async def _metrics(request: Request) -> Metrics:
    return shared_by(request).metrics


async def _responses(request: Request) -> ResponseCache:
    return shared_by(request).responses


async def _records(request: Request) -> ListenerRecords | None:
    return shared_by(request).records


async def _account(request: Request) -> HotReload[Accounted]:
    return shared_by(request).account


AppSettings = Annotated[Settings, Depends(_settings)]
"""The settings that the endpoint was started with."""

Clock = Annotated[Callable[[], datetime], Depends(_clock)]
"""Returns the present, with a time zone."""

Snapshots = Annotated[Current, Depends(_current)]
"""Follows the pointer to the newest snapshot, of which there may be none."""

Snapshot = Annotated[Published, Depends(newest_snapshot)]
"""The newest snapshot that verified; where there is none, the request is answered with 503."""

Consents = Annotated[ConsentLog, Depends(_consents)]
"""The consent log, read at every request of a listener and never remembered."""

ListenerKey = Annotated[bytes, Depends(_listener_key)]
"""What turns a user id into a listener."""

Counts = Annotated[Metrics, Depends(_metrics)]
"""The metrics of the application."""

Answers = Annotated[ResponseCache, Depends(_responses)]
"""Makes public answers, and keeps those that are asked for again."""

Stored = Annotated[ListenerRecords | None, Depends(_records)]
"""Reads what is stored about a listener, where whoever started the endpoint lets it."""

PrivacySpent = Annotated[HotReload[Accounted], Depends(_account)]
"""What the last night wrote about the privacy that was spent."""
