"""The signed-in listener, as a dependency: a verified token, turned into the hash under which everything is held."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Request, Security
from fastapi.security import HTTPBearer

from recsys.serving.auth.tokens import refusal
from recsys.serving.requests.credentials import LISTENER, opts_out
from recsys.serving.state.endpoint import parts_of


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


def signed_in(request: Request) -> SignedIn:
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
    return SignedIn(found, parts_of(request).clock(), opts_out(request.scope))


class _Bearer(HTTPBearer):
    """The scheme of the OpenAPI document, which gives a route who is asking, as the layer in front of it found."""

    async def __call__(self, request: Request) -> SignedIn:  # type: ignore[override]  # nobody needs the token itself
        return signed_in(request)


_bearer = _Bearer(
    scheme_name="HTTPBearer", bearerFormat="JWT", description="Signed, with `iss`, `aud`, `sub` and `exp`."
)

Listener = Annotated[SignedIn, Security(_bearer)]
"""Who is asking; without a good token the request is answered with 401."""
