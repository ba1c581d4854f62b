"""The signed-in listener, as a dependency: a verified token, turned into the hash under which everything is held."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer
from starlette.concurrency import run_in_threadpool

from recsys.consents.log import Choices, ConsentLog
from recsys.serving.auth.tokens import refusal
from recsys.serving.lists.trending import Nearby
from recsys.serving.requests.credentials import LISTENER, opts_out
from recsys.serving.snapshot.snapshot_reader import Published
from recsys.serving.state.dependencies import newest_snapshot, shared_by
from recsys.settings import ConsentsSettings, Settings


@dataclass(frozen=True)
class SignedIn:
    """Who is asking, and when.

    Parameters
    ----------
    listener : str
        The keyed hash of the user id; the id itself goes no further than the check of the token.
    now : datetime
        The instant of the request: everything in its answer is as of then.
    opted_out : bool
        Whether the request carries ``Sec-GPC: 1``.
    """

    listener: str
    now: datetime
    opted_out: bool


class _Bearer(HTTPBearer):
    """The scheme of the OpenAPI document, which gives a route who is asking, as the layer in front of it found."""

    async def __call__(self, request: Request) -> SignedIn:  # type: ignore[override]  # nobody needs the token itself
        """Return who is asking.

        Raises
        ------
        IdentityError
            If there is no token or anything is wrong with it.
        PositionError
            If the token carries a position.
        """
        found = request.scope["state"].get(LISTENER)
        if not isinstance(found, str):
            raise found or refusal()
        return SignedIn(found, shared_by(request).clock(), opts_out(request.scope))


_bearer = _Bearer(
    scheme_name="HTTPBearer", bearerFormat="JWT", description="Signed, with `iss`, `aud`, `sub` and `exp`."
)

Listener = Annotated[SignedIn, Security(_bearer)]
"""Who is asking; without a good token the request is answered with 401."""


@dataclass(frozen=True)
class OwnList:
    """What a listener's own list is made of at this instant.

    Parameters
    ----------
    listener : str
        The keyed hash.
    choices : Choices
        What the listener lets choose the list, read from the consent log for this request.
    published : Published
        The newest snapshot.
    near : Nearby
        What is made of it for places and listeners.
    settings : Settings
    """

    listener: str
    choices: Choices
    published: Published
    near: Nearby
    settings: Settings


async def _own_list(who: Listener, request: Request) -> OwnList:
    shared = shared_by(request)
    choices = await _choices(shared.consents, who, settings=shared.settings.consents)
    published = await newest_snapshot(request)
    return OwnList(who.listener, choices, published=published, near=shared.near, settings=shared.settings)


async def _choices(log: ConsentLog, who: SignedIn, *, settings: ConsentsSettings) -> Choices:
    """Return what a listener lets choose the list at this instant.

    A file on this machine is read in less time than another thread takes to wake; a database elsewhere is waited for
    where nobody else has to.
    """
    if settings.url.get_secret_value():
        return await run_in_threadpool(log.choices, who.listener, at=who.now)
    return log.choices(who.listener, at=who.now)


Own = Annotated[OwnList, Depends(_own_list)]
"""What the list of who is asking is made of: one dependency, as FastAPI takes its time for each."""
