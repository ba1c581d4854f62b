"""Pictures, only the chosen ones: a profile picture and covers of one's lists, each sent alone, and made anew here."""

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool
from typing_extensions import TypedDict

from recsys.consents.log import Purpose, not_allowed
from recsys.consents.pictures import PROFILE
from recsys.errors import TooManyRequestsError, UnknownListError, UnknownPictureError
from recsys.serving.openapi.examples import problems
from recsys.serving.openapi.examples_me import IMAGE, IMAGES
from recsys.serving.pictures.addresses import Shown
from recsys.serving.pictures.kinds import KINDS, LISTS, bytes_of
from recsys.serving.requests.credentials import ALLOWANCE
from recsys.serving.requests.one_size import padded
from recsys.serving.requests.problems import MEDIA_TYPE, problem_of
from recsys.serving.requests.query import without_parameters
from recsys.serving.requests.rate_limit import Allowance
from recsys.serving.routes.consents import PaddedJSON
from recsys.serving.state.endpoint import Endpoint, Parts
from recsys.serving.state.listener import Listener, SignedIn

router = APIRouter(dependencies=[Depends(without_parameters)])

_Answers = dict[int | str, dict[str, Any]]

_JPEG = "image/jpeg"
_BUSY = 5  # seconds after which it is worth while to send a picture again
_SENT = ("image/jpeg", "image/png", "image/webp", "image/avif")  # what a client may call it: the bytes decide


class Image(TypedDict):
    """One of the listener's pictures, and where it is to be seen until when; null where there is none."""

    image: str
    address: str | None
    until: str | None


class Images(TypedDict):
    """All that there can be."""

    images: list[Image]


async def _sent(request: Request, who: Listener, parts: Parts) -> AsyncIterator[bytes]:
    """Read a picture, of whose length the layers in front know that it is no more than may be, if it may be kept."""
    if not await run_in_threadpool(parts.consents.allows, who.listener, Purpose.IMAGES, at=who.now):
        raise not_allowed(Purpose.IMAGES)
    try:
        with parts.pictures.taking(who.listener):
            sent = await request.body()
            async with parts.pictures.turn():
                yield sent
    except TooManyRequestsError:
        request.scope["state"][ALLOWANCE] = Allowance("pictures", 1, _BUSY, -1, _BUSY)
        raise


def _cover(
    list_: Annotated[
        str, Path(alias="list", description="A list of the listener's.", json_schema_extra={"enum": LISTS})
    ],
) -> str:
    if list_ not in LISTS:
        raise UnknownListError("there is no such list", hint=f"Lists are: {', '.join(LISTS)}.")
    return f"covers/{list_}"


Sent = Annotated[bytes, Depends(_sent)]
Cover = Annotated[str, Depends(_cover)]

_BYTES: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}, "example": "the bytes of a picture"}
_BODY = {"requestBody": {"required": True, "content": dict.fromkeys(_SENT, _BYTES)}}
_SHOWN: _Answers = {200: {"description": "The picture, with zeros behind it.", "content": {_JPEG: _BYTES}}}
_KEPT: _Answers = {200: {"content": {"application/json": {"example": IMAGE}}}}
_GONE: _Answers = {204: {"description": "There is none any more."}}


@router.get(
    "/v1/me/images",
    response_model=Images,
    summary="Which pictures I have chosen",
    responses={200: {"content": {"application/json": {"example": IMAGES}}}, **problems(401, 503)},
)
def images(who: Listener, parts: Parts) -> JSONResponse:
    """Return where each of the listener's pictures is to be seen, or null where there is none.

    Whoever has the address of a picture sees it, for an hour (`images.address_minutes`): the listener passes that of a
    cover on with the list, or does not. The page passes on none of a profile picture. A picture that was removed or
    replaced, or whose switch is off, is at none of its addresses from that moment on. Friends with whom the listener
    shares it have addresses of their own (`GET /v1/me/contacts`).
    """
    editions = parts.consents.pictures.editions(who.listener)
    allowed = parts.consents.allows(who.listener, Purpose.IMAGES, at=who.now)
    return PaddedJSON({"images": [_image(kind, editions.get(kind) if allowed else None, who, parts) for kind in KINDS]})


@router.put(
    "/v1/me/images/profile",
    response_model=Image,
    summary="Choose my picture",
    responses={**_KEPT, **problems(400, 401, 403, 413, 415, 503)},
    openapi_extra=_BODY,
)
def put_profile(who: Listener, sent: Sent, parts: Parts) -> JSONResponse:
    """Keep one picture, which takes the place of the one before; it needs the switch `images` (403).

    The body is the picture itself: JPEG, PNG, WebP or AVIF, which its bytes decide, and nothing else behind it. It is
    drawn anew as a square JPEG in sRGB: no metadata, place, time or name of the file is kept. What moves, is cut off or
    damaged is refused (400), and so is any other file (415), and what is too large (413); nothing is kept then. One
    picture of a listener is taken in at a time (429).
    """
    return _keep(PROFILE, sent, who, parts)


@router.get(
    "/v1/me/images/profile",
    response_class=Response,
    summary="My picture",
    responses={**_SHOWN, **problems(401, 404, 503)},
)
def profile(who: Listener, parts: Parts) -> Response:
    """Return the listener's own picture, as it is kept."""
    return _picture(PROFILE, parts.consents.picture(who.listener, PROFILE, at=who.now), parts)


@router.delete(
    "/v1/me/images/profile",
    status_code=204,
    response_class=Response,
    summary="Remove my picture",
    responses={**_GONE, **problems(401, 503)},
)
def delete_profile(who: Listener, parts: Parts) -> Response:
    """Remove the listener's picture, if there is one; the switch stays as it is."""
    return _remove(PROFILE, who, parts)


@router.put(
    "/v1/me/images/covers/{list}",
    response_model=Image,
    summary="Choose a cover",
    responses={**_KEPT, **problems(400, 401, 403, 404, 413, 415, 503)},
    openapi_extra=_BODY,
)
def put_cover(kind: Cover, who: Listener, sent: Sent, parts: Parts) -> JSONResponse:
    """Keep one picture as the cover of one of the listener's lists, as `PUT /v1/me/images/profile` does."""
    return _keep(kind, sent, who, parts)


@router.get(
    "/v1/me/images/covers/{list}",
    response_class=Response,
    summary="A cover of mine",
    responses={**_SHOWN, **problems(401, 404, 503)},
)
def cover(kind: Cover, who: Listener, parts: Parts) -> Response:
    """Return the cover of one of the listener's lists, as it is kept."""
    return _picture(kind, parts.consents.picture(who.listener, kind, at=who.now), parts)


@router.delete(
    "/v1/me/images/covers/{list}",
    status_code=204,
    response_class=Response,
    summary="Remove a cover",
    responses={**_GONE, **problems(401, 404, 503)},
)
def delete_cover(kind: Cover, who: Listener, parts: Parts) -> Response:
    """Remove the cover of one of the listener's lists, if there is one; the switch stays as it is."""
    return _remove(kind, who, parts)


@router.get(
    "/v1/images/{name}",
    response_class=Response,
    summary="A picture at its address",
    responses={**_SHOWN, **problems(400, 404, 503)},
)
def shown(
    name: Annotated[str, Path(description="From `address` of an image.", max_length=256)], parts: Parts
) -> Response:
    """Return the picture of an address that is still good; no token is needed, as an address is a secret itself.

    A picture that was withdrawn or replaced is answered as one that never was (404), and so is that of a friend who
    does not share it with the listener any more whom the address was given to, or is none any more.
    """
    now = parts.clock()
    asked = parts.addresses.shown(name, now=now) or _NOBODYS
    # Of nobody, too: the time tells nothing.
    found = parts.consents.picture(asked.owner, asked.kind, at=now, edition=asked.edition)
    shares = parts.consents.shares(asked.owner, with_=asked.viewer, key=parts.blinding.id, at=now)
    visible = asked.kind != PROFILE or asked.viewer == asked.owner or shares
    return _picture(asked.kind, found if visible else None, parts)


_NOBODYS = Shown("", PROFILE, "", "")


def _keep(kind: str, sent: bytes, who: SignedIn, parts: Endpoint) -> JSONResponse:
    made = parts.pictures.made(sent, kind=kind)
    return PaddedJSON(_image(kind, parts.consents.show(who.listener, kind, made, at=who.now), who, parts))


def _remove(kind: str, who: SignedIn, parts: Endpoint) -> Response:
    parts.consents.pictures.remove(who.listener, kind)
    return Response(status_code=204)


def _image(kind: str, edition: str | None, who: SignedIn, parts: Endpoint) -> Image:
    if edition is None:
        return {"image": kind, "address": None, "until": None}
    address, until = parts.addresses.address_of(Shown(who.listener, kind, edition, who.listener), now=who.now)
    return {"image": kind, "address": address, "until": until.isoformat()}


def _picture(kind: str, content: bytes | None, parts: Endpoint) -> Response:
    """Return a picture, or in as many bytes that there is none."""
    length, headers = bytes_of(kind, parts.settings.images), {"Cache-Control": "private, no-store"}
    if content is not None:
        return Response(content.ljust(length, b"\0"), media_type=_JPEG, headers=headers)
    problem = problem_of(
        UnknownPictureError("there is no such picture, or not any more", hint="Ask /v1/me/images where it is.")
    )
    more = len(MEDIA_TYPE) + len(HTTPStatus(problem.status_code).phrase) - len(_JPEG) - len(HTTPStatus.OK.phrase)
    less = length - more
    less += len(str(length)) - len(str(less))  # digits of the header that says how long it is
    body = padded(bytes(problem.body), to=less)
    return Response(body, status_code=problem.status_code, media_type=MEDIA_TYPE, headers=headers)
