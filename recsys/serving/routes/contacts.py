"""Friends by mutual choice: entries are evaluated blindly, what comes out is told, and both sides see that it fits."""

from functools import partial
from math import ceil
from typing import Annotated, Any, NotRequired

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from recsys.consents.blinding import ELEMENT_BYTES, TOKEN_LENGTH
from recsys.consents.contacts import Book, Bounds, Friend, Of
from recsys.consents.log import Purpose, not_allowed
from recsys.consents.pictures import PROFILE
from recsys.errors import InputError, PositionError, TooManyRequestsError
from recsys.geography.positions import mentions_position
from recsys.serving.openapi.examples import problems
from recsys.serving.openapi.examples_me import CONTACTS, TOLD
from recsys.serving.pictures.addresses import Shown
from recsys.serving.requests.credentials import ALLOWANCE, bearer_of
from recsys.serving.requests.json_body import body_of
from recsys.serving.requests.one_size import padded
from recsys.serving.requests.one_time import on_the_beat
from recsys.serving.requests.query import without_parameters
from recsys.serving.requests.rate_limit import Allowance
from recsys.serving.state.endpoint import Endpoint, Parts
from recsys.serving.state.listener import Listener, SignedIn
from recsys.settings import ContactsSettings

router = APIRouter(dependencies=[Depends(without_parameters)])

OCTETS = "application/octet-stream"

Token = Annotated[str, Field(pattern=rf"^[A-Za-z0-9_-]{{{TOKEN_LENGTH}}}$")]
Tokens = Annotated[list[Token], Field(default_factory=list, description="Tokens of entries of the book.")]


class Told(BaseModel):
    """What the listener tells of the book; whatever is left out says nothing."""

    model_config = ConfigDict(extra="forbid", strict=True)

    added: Tokens
    removed: Tokens
    blocked: Tokens
    shared: Tokens
    unshared: Tokens

    @property
    def entries(self) -> int:
        """How many tokens there are."""
        return sum(map(len, (self.added, self.removed, self.blocked, self.shared, self.unshared)))


class Befriended(TypedDict):
    """A friend, by the entry of the listener's book: a list shows no more of anybody who does not choose it.

    ``shared`` says that the listener shares with the friend under the own name, and ``shares`` that the friend does;
    ``picture`` is then the address of the friend's picture, if there is one. What is not so is missing.
    """

    token: str
    shared: NotRequired[bool]
    shares: NotRequired[bool]
    picture: NotRequired[str]


class Key(TypedDict):
    """The key of the moment: what it is called, and what its answers are verified with, in hex."""

    id: str
    public: str


class Left(TypedDict):
    """How many entries are left to be evaluated, and to be told."""

    evaluated: int
    told: int


class Friends(TypedDict):
    """The listener's friends, and what is needed to tell of more entries."""

    friends: list[Befriended]
    key: Key
    left: Left
    at_once: int


@router.get(
    "/v1/me/contacts",
    response_model=Friends,
    summary="My friends",
    responses={200: {"content": {"application/json": {"example": CONTACTS}}}, **problems(401, 403, 503)},
)
async def friends(who: Listener, parts: Parts) -> Response:
    """Return who of the listener's book has the listener in theirs, where both allow it (`contacts`, else 403).

    A friend is named by the token of the entry, which only the listener's own device can tell the name of. Who is not
    among them may not be here, may not allow it, may have blocked the listener, or may not have told: all look alike.
    Sharing under one's own name is a choice of its own, friend by friend: it shows one's picture, and which tracks of
    the friend's `/v1/me/contacts/trending` one has played.
    """
    return await on_the_beat(partial(_friends, who, parts))


@router.post(
    "/v1/me/contacts/blinded",
    response_class=Response,
    summary="Evaluate blinded entries",
    responses={
        200: {
            "description": "A proof of 64 bytes, and behind it as many evaluated elements of 32 bytes each, in order.",
            "content": {OCTETS: {"schema": {"type": "string", "format": "binary"}, "example": "(64 + 32 n bytes)"}},
        },
        **problems(400, 401, 403, 503),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {OCTETS: {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def evaluate(request: Request, *, who: Listener, parts: Parts) -> Response:
    """Evaluate blinded entries of the listener's book under the key of the server, which sees none of them.

    The body is one blinded element after the other, of 32 bytes each (RFC 9497, ristretto255-SHA512, VOPRF mode), at
    most `at_once` of them. The token of an entry is the first 16 bytes of what `Finalize` returns, in base64url without
    padding. It needs the switch `contacts` and a token with verified `identifiers`, and is bounded by a leaky allowance
    (429).
    """
    return await on_the_beat(partial(_evaluated, await request.body(), request, who, parts))


async def _told(request: Request) -> Told:
    return body_of(await request.body(), Told, hint=_BODY)


_BODY = 'Send {"added": [...], "removed": [...], "blocked": [...], "shared": [...], "unshared": [...]}; each may miss.'


@router.post(
    "/v1/me/contacts",
    status_code=204,
    response_class=Response,
    summary="Tell of entries of my book",
    responses={204: {"description": "It is kept."}, **problems(400, 401, 403, 503)},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": Told.model_json_schema(), "example": TOLD}},
        }
    },
)
async def tell(request: Request, *, who: Listener, told: Annotated[Told, Depends(_told)], parts: Parts) -> Response:
    """Keep, forget or block entries of the listener's book by their tokens.

    The listener's own numbers and addresses are those that the signed token of this request says were verified, as its
    claim `identifiers`; without any the answer is 400. What is `added` waits for the other side, some months from when
    it was told last; an entry that is told anew counts against a leaky allowance (429). What is `removed` is forgotten:
    it ends a friendship, or a block, at once. What is `blocked` makes no friend although it is added again. Neither is
    told to anybody. With whom is `shared`, the listener shares under the own name from when both are friends, until it
    is `unshared` or the entry removed; the friend sees that. The answer is the same whoever the entries are.
    """
    return await on_the_beat(partial(_kept, told, request, who, parts))


def _friends(who: SignedIn, parts: Endpoint) -> Response:
    log, of = parts.consents, parts.settings.contacts
    if not log.allows(who.listener, Purpose.CONTACTS, at=who.now):
        raise not_allowed(Purpose.CONTACTS)
    found = log.friends(who.listener, key=parts.blinding.id, at=who.now)
    answer = {
        "friends": [_befriended(each, who, parts) for each in found],
        "key": {"id": parts.blinding.id, "public": parts.blinding.public_key.hex()},
        "left": log.contacts.left(who.listener, bounds=_bounds(of), at=who.now),
        "at_once": of.at_once,
    }
    return _Padded(answer)


def _befriended(friend: Friend, who: SignedIn, parts: Endpoint) -> Befriended:
    found: Befriended = {"token": friend.token}
    if friend.shared:
        found["shared"] = True
    if friend.shares:
        found["shares"] = True
    if friend.shares and friend.picture:
        shown = Shown(friend.listener, PROFILE, friend.picture, who.listener)
        found["picture"], _ = parts.addresses.address_of(shown, now=who.now)
    return found


class _Padded(JSONResponse):
    def render(self, content: Any) -> bytes:
        return padded(super().render(content))


def _evaluated(blinded: bytes, request: Request, who: SignedIn, parts: Endpoint) -> Response:
    log, entries = parts.consents, -(-len(blinded) // ELEMENT_BYTES)
    if not log.allows(who.listener, Purpose.CONTACTS, at=who.now):
        raise not_allowed(Purpose.CONTACTS)  # before anything is said of what was sent
    if mentions_position(blinded.decode("latin-1")):
        raise PositionError("the request carries a position, which is neither needed nor wanted here")
    _identifiers(request, who, parts)
    _check_at_once(entries, parts)
    evaluated = parts.blinding.evaluated(blinded)
    with log.allowing(who.listener, Purpose.CONTACTS, at=who.now) as connection:
        bounds = _bounds(parts.settings.contacts)
        wait = log.contacts.use(connection, who.listener, "evaluated", entries, bounds=bounds, at=who.now)
        _check_left(wait, "evaluated", request, parts)
    return Response(evaluated, media_type=OCTETS)


def _kept(told: Told, request: Request, who: SignedIn, parts: Endpoint) -> Response:
    log, of, key = parts.consents, parts.settings.contacts, parts.blinding.id
    if not log.allows(who.listener, Purpose.CONTACTS, at=who.now):
        raise not_allowed(Purpose.CONTACTS)
    own = {parts.blinding.token(each) for each in _identifiers(request, who, parts)}
    _check_at_once(told.entries, parts)
    if {*told.added, *told.blocked} & {*told.removed} or {*told.shared} & {*told.unshared}:
        raise InputError("an entry is named for both sides of a choice", hint="Name it once.")
    book = Book(own, *map(set, (told.added, told.removed, told.blocked, told.shared, told.unshared)))
    with log.allowing(who.listener, Purpose.CONTACTS, at=who.now) as connection:
        new = log.contacts.keep(connection, who.listener, book, key=key, day=who.now.date(), most=of.most)
        wait = log.contacts.use(connection, who.listener, "told", new, bounds=_bounds(of), at=who.now)
        _check_left(wait, "told", request, parts)
    return Response(status_code=204)


def _identifiers(request: Request, who: SignedIn, parts: Endpoint) -> tuple[str, ...]:
    """Return the listener's verified numbers and addresses: who has none is in nobody's book."""
    found = parts.identity.identifiers(bearer_of(request.scope), now=who.now.timestamp())
    if not found:
        raise InputError(
            "the token names no verified number or address",
            hint="Mint tokens with a claim `identifiers`: numbers as E.164 (+351...), addresses in small letters.",
        )
    return found


def _check_at_once(entries: int, parts: Endpoint) -> None:
    most = parts.settings.contacts.at_once
    if entries > most:
        raise InputError(f"more than {most} entries in one request", hint="Send them in several requests.")


def _check_left(wait: float, of: Of, request: Request, parts: Endpoint) -> None:
    """Refuse what exceeds an allowance; what was written in the same transaction is undone by that."""
    if wait > 0:
        a_day = parts.settings.contacts.a_day
        request.scope["state"][ALLOWANCE] = Allowance(of, a_day, 86_400, -1, ceil(wait))
        raise TooManyRequestsError(
            "more entries than are left to this listener",
            hint=f"Tell of changes alone; {a_day} more are left every day. GET /v1/me/contacts says how many are.",
        )


def _bounds(settings: ContactsSettings) -> Bounds:
    return Bounds(settings.most, settings.a_day)
