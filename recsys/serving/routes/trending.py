"""The list of the signed-in listener: what is trending near, within that listener's consent at this moment."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from recsys.consents.log import Choices, ConsentLog
from recsys.serving.lists.responses import Chart
from recsys.serving.lists.trending import Asked, trending_answer
from recsys.serving.openapi.examples import TRENDING, problems
from recsys.serving.requests.query import size_of_list
from recsys.serving.routes.charts import Limit, Parameters
from recsys.serving.snapshot.place import coarse_cell
from recsys.serving.snapshot.response_cache import SCOPE
from recsys.serving.state.direct_route import DirectRoute
from recsys.serving.state.endpoint import parts_of
from recsys.serving.state.listener import Listener
from recsys.settings import ConsentsSettings

router = APIRouter(route_class=DirectRoute)  # where its time counts


class TrendingParameters(Parameters):
    """The query of ``/v1/me/trending``."""

    cell: Annotated[
        str | None, Query(description="An H3 cell of resolution 5 or coarser; without consent it is ignored.")
    ] = None
    limit: Limit = None


@router.get(
    "/v1/me/trending",
    response_model=Chart,
    summary="Trending near the signed-in listener",
    responses={200: {"content": {"application/json": {"example": TRENDING}}}, **problems(400, 401, 503)},
)
async def trending(
    request: Request,
    *,
    who: Listener,
    query: Annotated[TrendingParameters, Query()],
) -> Response:
    """Return the listener's list, within the listener's consent at this moment.

    Without consent to `local_trends` the cell is ignored, and the list of the world comes back in the same shape.
    Without consent to `personalisation` the listener's plays are ignored, and the list comes in the order for all.
    With consent to `feedback` what the listener has hidden is left out.
    """
    parts = parts_of(request)
    settings = parts.settings
    published = await parts.current.get_aside()
    limit = size_of_list(query.limit, settings=settings, most=settings.charts.size)
    cell = None if query.cell is None else coarse_cell(query.cell)
    newest = await parts.sources.of(published)
    # Last, and as of now: a withdrawal counts that came while files were opened.
    choices = await choices_of(parts.consents, who.listener, at=parts.clock(), settings=settings.consents)
    asked = Asked(who.listener, choices, who.now, parts.list_ids)
    answer = trending_answer(newest, asked, cell=cell if choices.place else None, limit=limit)
    request.scope["state"][SCOPE] = answer.scope
    return Response(answer.body, media_type="application/json")


async def choices_of(log: ConsentLog, listener: str, *, at: datetime, settings: ConsentsSettings) -> Choices:
    """Return what a listener lets choose the list at this instant.

    A file on this machine is read in less time than another thread takes to wake; a database elsewhere is waited for
    where nobody else has to.
    """
    if settings.url.get_secret_value():
        return await run_in_threadpool(log.choices, listener, at=at)
    return log.choices(listener, at=at)
