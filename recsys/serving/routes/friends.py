"""What is trending among the friends of the signed-in listener: as far as each of them allows it at this moment."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from recsys.consents.log import Purpose, not_allowed
from recsys.serving.lists.friends import FriendsList, friends_answer
from recsys.serving.lists.trending import ListSources
from recsys.serving.openapi.examples import problems
from recsys.serving.openapi.examples_me import FRIENDS_LIST
from recsys.serving.requests.one_time import on_the_beat
from recsys.serving.routes.charts import Parameters
from recsys.serving.snapshot.place import coarse_cell
from recsys.serving.state.endpoint import Endpoint, Parts
from recsys.serving.state.listener import Listener, SignedIn

router = APIRouter()


class FriendsParameters(Parameters):
    """The query of ``/v1/me/contacts/trending``."""

    cell: Annotated[
        str | None,
        Query(description="An H3 cell of resolution 5 or coarser, for its country; without `local_trends` ignored."),
    ] = None


@router.get(
    "/v1/me/contacts/trending",
    response_model=FriendsList,
    summary="Trending among my friends",
    responses={200: {"content": {"application/json": {"example": FRIENDS_LIST}}}, **problems(400, 401, 403, 503)},
)
async def friends_trending(who: Listener, query: Annotated[FriendsParameters, Query()], parts: Parts) -> Response:
    """Return the tracks that at least three of the listener's friends played lately (`contacts`, else 403).

    A friend counts who lets plays count for others at this moment (`contribute_trends`), and was counted in the country
    of the cell; without consent to `local_trends` the cell is ignored, and friends count wherever they are. It takes
    five who count. With fewer the list is empty and says so, in the same bytes as without any friend. Nobody is named
    but who shares with the listener under their own name; the others are counted by themselves, so that it cannot be
    told by those what any of these played.
    """
    published = await parts.current.get_aside()
    cell = None if query.cell is None else coarse_cell(query.cell)
    sources = await parts.sources.of(published)
    return await on_the_beat(partial(_trending, sources, who, parts, cell))


def _trending(sources: ListSources, who: SignedIn, parts: Endpoint, cell: str | None) -> Response:
    log, now = parts.consents, parts.clock()
    if not log.allows(who.listener, Purpose.CONTACTS, at=now):
        raise not_allowed(Purpose.CONTACTS)
    choices, friends = log.choices(who.listener, at=now), log.friends(who.listener, key=parts.blinding.id, at=now)
    body = friends_answer(sources, friends=friends, hidden=choices.hidden, cell=cell if choices.place else None)
    return Response(body, media_type="application/json")
