"""Data rights, export and erasure: everything held about me, and the end of it; the same for someone never seen."""

import json
from base64 import b64encode
from collections.abc import Iterable, Iterator
from datetime import date
from itertools import chain, islice
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from fastapi.responses import JSONResponse, StreamingResponse
from typing_extensions import TypedDict

from recsys.artifacts.interleaving import CHALLENGER
from recsys.consents.log import Entry, Purpose, State
from recsys.errors import NotReadyError, UnknownReceiptError
from recsys.serving.openapi.examples import problems
from recsys.serving.openapi.examples_me import ERASURE, ERASURE_DONE, EXPORT
from recsys.serving.requests.one_size import padded_lines
from recsys.serving.requests.query import without_parameters
from recsys.serving.state.endpoint import Endpoint, Parts
from recsys.serving.state.export import Record
from recsys.serving.state.listener import Listener, SignedIn

NDJSON = "application/x-ndjson"

_PIECE = 1_000  # lines that are sent together

router = APIRouter(dependencies=[Depends(without_parameters)])


class Erasure(TypedDict):
    """The state of an erasure, ``pending`` or ``done``, and for how many days its mark keeps it done."""

    receipt: str
    state: str
    mark_kept_days: int


@router.get(
    "/v1/me/data",
    summary="Everything held about me",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "One JSON object a line; the last line says how many came before it.",
            "content": {NDJSON: {"schema": {"type": "string"}, "example": EXPORT}},
        },
        **problems(401, 503),
    },
)
def data(who: Listener, parts: Parts) -> StreamingResponse:
    """Stream everything held about the listener: decisions, and what is stored by night with its place and track.

    A `taste` is a track of which the last night said how close it is to what the listener plays, the closest first. An
    `evaluation` is how well each of the models that are compared would have ranked for the listener what was played on
    the last nights up to its own (NDCG at 10, from 0 to 1), after so many listens in `history`.
    A `recent` is a track that the listener played lately in a country, which counts in what friends are told, of no
    fewer than three together, where both of its purposes allow it.
    `hidden` and `played` are what the listener told of lists, by the night of the list; what was played is kept where
    two ways to make lists shared one, and `put_there_by` is the one whose track it was.
    `picture` is one that the listener chose, as it is kept.
    `identifier` and `contact` are tokens of the listener's own numbers and addresses and of the entries of the book,
    and `allowance` is what was used of the two that bound them; that stays until it is back, whatever the switch is.
    `used_for` names what a row may be used for at this moment. A stream without its last line is not whole.
    """
    lines = _lines(who, parts)
    first = next(lines)
    headers = {"Content-Disposition": 'attachment; filename="my-data.ndjson"'}
    return StreamingResponse(_pieces(chain([first], lines)), media_type=NDJSON, headers=headers)


@router.delete(
    "/v1/me/data",
    status_code=202,
    response_model=Erasure,
    summary="Forget me",
    responses={202: {"content": {"application/json": {"example": ERASURE}}}, **problems(401, 503)},
)
def erase(who: Listener, parts: Parts) -> JSONResponse:
    """Forget the listener: at once in every answer, and with the next night on every disk.

    The receipt is drawn at random, and tells nothing about who holds it. Beside it one mark stays, a keyed hash with
    this moment, for `mark_kept_days`: what is older about whoever it is, in a consents file or a backup, is not taken
    in again.
    """
    receipt = parts.consents.erasures.ask(who.listener, at=who.now)
    answer = _erasure(receipt, parts, done=False)
    return JSONResponse(answer, status_code=202, headers={"Location": f"/v1/me/data/erasures/{receipt}"})


@router.get(
    "/v1/me/data/erasures/{receipt}",
    response_model=Erasure,
    summary="Is it done?",
    responses={200: {"content": {"application/json": {"example": ERASURE_DONE}}}, **problems(400, 404, 503)},
)
def erasure(
    receipt: Annotated[str, Path(description="From `DELETE /v1/me/data`.", max_length=64)], parts: Parts
) -> JSONResponse:
    """Return the state of an erasure. No token is needed: the account may be gone, and the receipt names nobody."""
    done = parts.consents.erasures.is_done(receipt)
    if done is None:
        raise UnknownReceiptError("there is no such receipt", hint="Use the receipt as it was given out.")
    return JSONResponse(_erasure(receipt, parts, done=done))


def _erasure(receipt: str, parts: Endpoint, *, done: bool) -> Erasure:
    kept = parts.settings.erasures.kept_days
    return {"receipt": receipt, "state": "done" if done else "pending", "mark_kept_days": kept}


def _lines(who: SignedIn, parts: Endpoint) -> Iterator[dict[str, Any]]:
    log = parts.consents
    if parts.records is None:
        raise NotReadyError(
            "this endpoint has no access to the private store", hint="Start it with `hearabouts serve`."
        )
    standings = log.standings(who.listener, at=who.now)
    allowed = {purpose for purpose, standing in standings.items() if standing.state == State.GIVEN}
    erased = log.erasures.concerns(who.listener)
    stored = parts.records(who.listener)  # read also where it is erased: the time tells nothing
    # Now, as a failure can be answered only before the first line.
    entries, first = log.entries(who.listener), list(islice(stored, 1))
    told, chosen, contacts = log.told(who.listener), log.chosen(who.listener), log.told_of_contacts(who.listener)
    lines = 1
    yield {"kind": "export", "schema": "hearabouts-export-1", "as_of": who.now.isoformat()}
    for entry in entries:
        lines += 1
        yield _consent(entry)
    for kind, night, track, team in told:
        lines += 1
        yield _told(kind, night, track, team, allowed)
    for kind, picture in chosen:
        lines += 1
        yield _chosen(kind, picture, allowed)
    for contact in contacts:
        lines += 1
        yield {"kind": contact["kind"], "used_for": _used_for(Purpose.CONTACTS, allowed), **contact}
    for record in chain(first, stored):
        if not erased:
            lines += 1
            yield _stored(record, allowed)
    yield {"kind": "end", "lines": lines}


def _consent(entry: Entry) -> dict[str, Any]:
    return {
        "kind": "consent",
        "purpose": entry.purpose.value,
        "state": entry.state.value,
        "at": entry.at.isoformat(),
        "notice_version": entry.notice_version,
        "channel": entry.channel.value,
    }


def _told(kind: str, night: date, track: str, team: str | None, allowed: set[Purpose]) -> dict[str, Any]:
    used_for = _used_for(Purpose.FEEDBACK, allowed)
    line = {"kind": kind, "night": night.isoformat(), "used_for": used_for, "track_id": track}
    return line | {"put_there_by": team} if team else line


def _chosen(kind: str, picture: bytes, allowed: set[Purpose]) -> dict[str, Any]:
    content = b64encode(picture).decode()
    return {"kind": "picture", "used_for": _used_for(Purpose.IMAGES, allowed), "image": kind, "jpeg_base64": content}


def _used_for(purpose: Purpose, allowed: set[Purpose]) -> list[str]:
    return [purpose.value] if purpose in allowed else []


def _stored(record: Record, allowed: set[Purpose]) -> dict[str, Any]:
    used_for = [purpose.value for purpose in record.stored_for if purpose in allowed]
    if record.kind == "recent" and len(used_for) < len(record.stored_for):
        used_for = []  # either alone is not enough
    line: dict[str, Any] = {"kind": record.kind, "night": record.night.isoformat(), "used_for": used_for}
    if record.kind == "contribution":
        line |= {"region": record.place, "track_id": record.track_id, "plays": record.plays}
    if record.kind == "recent":
        line |= {"region": record.place, "track_id": record.track_id}
    if record.kind == "taste":
        meaning = "You played this track." if record.played else "We think that this track is close to what you play."
        line |= {"track_id": record.track_id, "closeness": record.closeness, "meaning": meaning}
        line |= {"by": CHALLENGER} if record.challenger else {}
    if record.earned is not None:
        line |= {f"earned_of_{nights}_nights": round(earned, 4) for nights, earned in record.earned.items()}
    if record.kind == "evaluation":
        line |= {"region": record.place, "history": record.history, "ndcg_at_10": record.ndcg}
    return line


def _pieces(lines: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Put lines together: each piece of an answer is a turn of a thread, which takes longer than its lines."""
    texts = padded_lines(map(_json, lines))
    while piece := "".join(islice(texts, _PIECE)):
        yield piece


def _json(line: dict[str, Any]) -> str:
    return json.dumps(line, ensure_ascii=False) + "\n"
