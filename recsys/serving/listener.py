"""The signed-in listener: a verified token, turned into the keyed hash under which everything is held."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from recsys.consent import Channel, Entry, Purpose, State
from recsys.serving.identity import verify
from recsys.workspace import listener_of

if TYPE_CHECKING:
    from recsys.serving.api import Endpoint

_bearer = HTTPBearer(auto_error=False, bearerFormat="JWT", description="Signed, with `iss`, `aud`, `sub` and `exp`.")
Token = Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]


@dataclass(frozen=True)
class SignedIn:
    """Who is asking, and when.

    Parameters
    ----------
    listener : str
        The keyed hash of the user id; the id itself goes no further than here.
    now : datetime
        The instant of the request: everything in its answer is as of then.
    opted_out : bool
        Whether the request carries ``Sec-GPC: 1``.
    """

    listener: str
    now: datetime
    opted_out: bool


def signed_in(request: Request, token: HTTPAuthorizationCredentials | None) -> SignedIn:
    """Return who is asking, and honour the browser's Global Privacy Control on the way.

    ``Sec-GPC: 1`` withdraws ``partner_statistics``, by the channel ``gpc``, unless it is withdrawn already: the signal
    comes with every request and is recorded once.

    Raises
    ------
    IdentityError
        If there is no token or anything is wrong with it.
    """
    endpoint, now = endpoint_of(request), endpoint_of(request).clock()
    credentials = token.credentials if token else None
    user_id = verify(credentials, key=endpoint.token_key, settings=endpoint.settings, now=now)
    who = SignedIn(listener_of(user_id, key=endpoint.listener_key), now, request.headers.get("sec-gpc") == "1")
    if who.opted_out:
        notice = endpoint.settings.consents.notice_version
        no = Entry(who.listener, Purpose.PARTNER_STATISTICS, State.WITHDRAWN, now, notice, Channel.GPC)
        endpoint.consents.decide(no)
    return who


def endpoint_of(request: Request) -> "Endpoint":
    """Return what the requests of the application share."""
    endpoint: Endpoint = request.app.state.endpoint
    return endpoint
