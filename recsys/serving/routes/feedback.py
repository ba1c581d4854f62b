"""Feedback: what the listener played or hid from a list, within the listener's consent at the moment it is written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from recsys.artifacts.interleaving import TEAMS
from recsys.consents.feedback import Told
from recsys.consents.log import Purpose, not_allowed
from recsys.errors import InputError, UnknownSongError
from recsys.serving.lists.list_ids import public_list_of
from recsys.serving.lists.responses import chart_answer
from recsys.serving.openapi.examples import problems
from recsys.serving.openapi.examples_me import FEEDBACK
from recsys.serving.requests.json_body import body_of
from recsys.serving.requests.query import without_parameters
from recsys.serving.snapshot.snapshot_reader import Published
from recsys.serving.state.endpoint import Endpoint, Parts
from recsys.serving.state.listener import Listener, SignedIn

router = APIRouter(dependencies=[Depends(without_parameters)])

Tracks = Annotated[list[str], Field(default_factory=list, description="Their `track_id`.")]


class Feedback(BaseModel):
    """What the listener tells; whatever is left out says nothing."""

    model_config = ConfigDict(extra="forbid", strict=True)

    list_: Annotated[
        str, Field(alias="list", description="`list` of an answer: any list of today, public or one's own.")
    ]
    played: Tracks
    hidden: Tracks
    shown: Tracks


async def _feedback(request: Request, parts: Parts) -> Feedback:
    def is_track(text: str) -> bool:
        return text in parts.current.get().numbers

    return body_of(await request.body(), Feedback, hint=_BODY, is_known=is_track)


_BODY = (
    'Send {"list": "...", "played": [...], "hidden": [...], "shown": [...]} as application/json; all but one may miss.'
)


@router.post(
    "/v1/me/feedback",
    status_code=204,
    response_class=Response,
    summary="Tell what was played or hidden",
    responses={204: {"description": "It is kept."}, **problems(400, 401, 403, 404, 503)},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": Feedback.model_json_schema(), "example": FEEDBACK}},
        }
    },
)
def feedback(who: Listener, told: Annotated[Feedback, Depends(_feedback)], parts: Parts) -> Response:
    """Keep what the listener played from a list, and hide tracks from all of the listener's lists, or show them again.

    It needs the switch `feedback` (403). Hidden tracks are on none of the listener's own lists from the next request
    on, which are as long as before while there are tracks left; public charts stay as they are. What was played is kept
    where two ways to make lists shared a listener's own list; elsewhere nothing is learned from it. A list that is
    somebody else's, of another night, too old or none at all is answered in one way (404), and so is a track that is
    not on it; `shown` may also name what was hidden before. The same request again changes nothing. Turning the switch
    off deletes all of it.
    """
    if not parts.consents.allows(who.listener, Purpose.FEEDBACK, at=who.now):
        raise not_allowed(Purpose.FEEDBACK)  # before anything is said of lists and tracks
    published = parts.current.get()
    listed = _listed(told.list_, who=who, published=published, parts=parts)
    both = set(told.hidden) & set(told.shown)
    if both:
        raise InputError("a track is to be hidden and shown", hint="Name it once.")
    known = listed.teams.keys() | (parts.consents.feedback.hidden(who.listener) if told.shown else set())
    if not (listed.teams.keys() >= {*told.played, *told.hidden} and known >= set(told.shown)):
        raise UnknownSongError("a track is not on this list", hint="Name tracks of the list by their track_id.")
    played = {track: team for track in told.played if (team := listed.teams[track])}  # nobody else's is asked for
    kept, night = parts.settings.feedback, date.fromisoformat(published.as_of)
    parts.consents.tell(
        who.listener,
        Told(night, played, set(told.hidden), set(told.shown), listed.rivals),
        at=who.now,
        most_hidden=kept.most_hidden,
        most_played=kept.most_played,
    )
    return Response(status_code=204)


@dataclass(frozen=True)
class _Listed:
    """The tracks of a list, each with the team that put it there, where two rankers shared it."""

    teams: Mapping[str, str | None] = field(repr=False)
    rivals: str = ""


def _listed(id_: str, *, who: SignedIn, published: Published, parts: Endpoint) -> _Listed:
    public = public_list_of(id_, published=published)
    if public:
        place, chart = public
        answer = chart_answer(published, place_id=place, chart=chart, limit=parts.settings.charts.size)
        return _Listed({item["track_id"]: None for item in answer["items"]})
    own = parts.list_ids.listed(id_, listener=who.listener, snapshot=published.id, now=who.now)
    tracks = [published.tracks[number] for number in own.tracks]
    teams = [TEAMS[team] for team in own.teams] if own.rivals else [None] * len(tracks)
    return _Listed(dict(zip(tracks, teams, strict=True)), own.rivals)
