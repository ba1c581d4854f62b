"""Dependencies of the routes: each names what it needs as an annotated parameter, and FastAPI hands it over.

They are coroutine functions, as FastAPI would run others in a thread of their own.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Request

from recsys.artifacts.privacy_account import Accounted
from recsys.consents.log import ConsentLog
from recsys.serving.lists.trending import NewestSources
from recsys.serving.requests.metrics import Metrics
from recsys.serving.snapshot.reload import HotReload
from recsys.serving.snapshot.response_cache import ResponseCache
from recsys.serving.snapshot.snapshot_reader import Current, Published
from recsys.serving.state.export import ListenerRecords
from recsys.settings import Settings


def _part(name: str) -> Callable[[Request], Awaitable[Any]]:
    """Return what hands over one part of the :class:`~recsys.serving.state.endpoint.Endpoint`."""

    async def found(request: Request) -> Any:
        return getattr(request.app.state.endpoint, name)

    return found


AppSettings = Annotated[Settings, Depends(_part("settings"))]
Clock = Annotated[Callable[[], datetime], Depends(_part("clock"))]
Snapshots = Annotated[Current, Depends(_part("current"))]
Sources = Annotated[NewestSources, Depends(_part("sources"))]
Consents = Annotated[ConsentLog, Depends(_part("consents"))]
ListenerKey = Annotated[bytes, Depends(_part("listener_key"))]
Counts = Annotated[Metrics, Depends(_part("metrics"))]
Answers = Annotated[ResponseCache, Depends(_part("responses"))]
Stored = Annotated[ListenerRecords | None, Depends(_part("records"))]
PrivacySpent = Annotated[HotReload[Accounted], Depends(_part("account"))]


async def _newest_snapshot(current: Snapshots) -> Published:
    return await current.get_aside()


Snapshot = Annotated[Published, Depends(_newest_snapshot)]
"""The newest snapshot that verified, opened in another thread if it is new; without any the answer is 503."""
