"""What the requests of one application share."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from recsys.artifacts.privacy_account import Accounted
from recsys.consents.log import Choices, ConsentLog
from recsys.errors import InputError
from recsys.serving.auth.tokens import Identity
from recsys.serving.lists.trending import Nearby
from recsys.serving.requests.metrics import Metrics
from recsys.serving.snapshot.reload import HotReload
from recsys.serving.snapshot.response_cache import Prepared
from recsys.serving.snapshot.snapshot_reader import Current, Published
from recsys.serving.state.export import ListenerRecords
from recsys.settings import Settings


@dataclass(frozen=True)
class Endpoint:
    """What the requests of one application share.

    Parameters
    ----------
    settings : Settings
    clock : callable
        Returns the present, with a time zone.
    current : Current
        The snapshot to read.
    near : Nearby
        What the listeners' own lists are made of.
    consents : ConsentLog
        Read at every request of a listener, never remembered.
    identity : Identity
        Turns tokens into listeners.
    listener_key : bytes
        What turns a user id into a listener.
    metrics : Metrics
    prepared : Prepared
        Public answers, as bytes.
    held : ListenerRecords or None
        Reads what is stored about a listener.
    account : HotReload of Accounted
        What the last night wrote about the privacy that was spent.
    """

    settings: Settings
    clock: Callable[[], datetime]
    current: Current
    near: Nearby
    consents: ConsentLog
    identity: Identity
    listener_key: bytes
    metrics: Metrics
    prepared: Prepared
    held: ListenerRecords | None
    account: HotReload[Accounted]

    async def choices(self, listener: str, *, at: datetime) -> Choices:
        """Return what a listener lets choose the list at this instant.

        A file on this machine is read in less time than another thread takes to wake; a database elsewhere is waited
        for where nobody else has to.
        """
        if self.settings.consents.url.get_secret_value():
            return await run_in_threadpool(self.consents.choices, listener, at=at)
        return self.consents.choices(listener, at=at)

    async def published(self) -> Published:
        """Return the newest snapshot that verified; a new one is opened in another thread.

        Raises
        ------
        NotReadyError
            If there is none.
        """
        settled = self.current.settled()
        return await run_in_threadpool(self.current.get) if settled is None else settled

    def items(self, limit: int | None) -> int:
        """Return how many items a list gets."""
        return _within(limit, usual=self.settings.serving.list_size, most=self.settings.charts.size)

    def places(self, limit: int | None) -> int:
        """Return how many places an answer gets."""
        serving = self.settings.serving
        return _within(limit, usual=serving.list_size, most=serving.max_regions)


def endpoint_of(request: Request) -> Endpoint:
    """Return what the requests of the application share."""
    endpoint: Endpoint = request.app.state.endpoint
    return endpoint


def _within(limit: int | None, *, usual: int, most: int) -> int:
    if limit is not None and limit > most:
        raise InputError(f"limit is larger than {most}", hint=f"Ask for 1 to {most}.")
    return min(usual, most) if limit is None else limit
