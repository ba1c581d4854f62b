"""What the requests of one application share: kept in its state, and handed to routes as a whole."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request

from recsys.artifacts.privacy_account import Accounted
from recsys.consents.blinding import Blinding
from recsys.consents.log import ConsentLog
from recsys.serving.auth.tokens import Identity
from recsys.serving.lists.list_ids import ListIds
from recsys.serving.lists.trending import NewestSources
from recsys.serving.pictures.addresses import PictureAddresses
from recsys.serving.pictures.making import Maker
from recsys.serving.requests.metrics import Metrics
from recsys.serving.snapshot.reload import HotReload
from recsys.serving.snapshot.response_cache import ResponseCache
from recsys.serving.snapshot.snapshot_reader import Current
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
    sources : NewestSources
        What the listeners' own lists are made of.
    list_ids : ListIds
        What these lists are called.
    consents : ConsentLog
        Read at every request of a listener, never remembered.
    pictures : Maker
        What makes chosen pictures anew.
    addresses : PictureAddresses
        Where they are shown.
    blinding : Blinding
        Makes tokens of numbers and addresses.
    identity : Identity
        Turns tokens into listeners.
    listener_key : bytes
        What turns a user id into a listener.
    metrics : Metrics
    responses : ResponseCache
        Public answers, as bytes.
    records : ListenerRecords or None
        Reads what is stored about a listener.
    account : HotReload of Accounted
        What the last night wrote about the privacy that was spent.
    """

    settings: Settings
    clock: Callable[[], datetime]
    current: Current
    sources: NewestSources
    list_ids: ListIds
    consents: ConsentLog
    pictures: Maker
    addresses: PictureAddresses
    blinding: Blinding
    identity: Identity
    listener_key: bytes
    metrics: Metrics
    responses: ResponseCache
    records: ListenerRecords | None
    account: HotReload[Accounted]


def parts_of(request: Request) -> Endpoint:
    """Return all parts at once: FastAPI takes a while for each dependency, at every request."""
    found: Endpoint = request.app.state.endpoint
    return found


async def _parts(request: Request) -> Endpoint:
    return parts_of(request)  # in the loop, where a function that is no coroutine would be run in a thread


Parts = Annotated[Endpoint, Depends(_parts)]
"""What a route takes what it needs from."""
