"""The signed-in listener: a verified token, turned into the keyed hash under which everything is held."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from recsys.serving.auth.tokens import refusal
from recsys.serving.middleware.authentication import LISTENER, opts_out
from recsys.serving.state.endpoint import endpoint_of

_bearer = HTTPBearer(auto_error=False, bearerFormat="JWT", description="Signed, with `iss`, `aud`, `sub` and `exp`.")
Token = Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]


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


def signed_in(request: Request, token: HTTPAuthorizationCredentials | None) -> SignedIn:
    """Return who is asking, as the gate in front of the application found.

    Raises
    ------
    IdentityError
        If there is no token or anything is wrong with it.
    PositionError
        If the token carries a position.
    """
    found = request.scope["state"].get(LISTENER)
    if token is None or found is None:
        raise refusal()
    if not isinstance(found, str):
        raise found
    return SignedIn(found, endpoint_of(request).clock(), opts_out(request.scope))
