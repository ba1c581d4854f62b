"""The list of the signed-in listener: what is trending near, within that listener's consent at this moment."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from recsys.serving.lists.responses import Chart
from recsys.serving.lists.trending import trending_answer
from recsys.serving.openapi.examples import TRENDING, problems
from recsys.serving.routes.charts import Limit, Parameters
from recsys.serving.snapshot.place import coarse_cell
from recsys.serving.snapshot.response_cache import SCOPE
from recsys.serving.state.endpoint import items_within
from recsys.serving.state.listener import Own

router = APIRouter()


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
async def trending(request: Request, query: Annotated[TrendingParameters, Query()], own: Own) -> Response:
    """Return the listener's list, within the listener's consent at this moment.

    Without consent to `local_trends` the cell is ignored, and the list of the world comes back in the same shape.
    Without consent to `personalisation` the listener's plays are ignored, and the list comes in the order for all.
    """
    limit = items_within(query.limit, settings=own.settings)
    cell = None if query.cell is None else coarse_cell(query.cell)
    answer = trending_answer(
        own.published,
        near=own.near,
        listener=own.listener,
        personal=own.choices.plays,
        cell=cell if own.choices.place else None,
        limit=limit,
    )
    request.scope["state"][SCOPE] = answer.scope
    return Response(answer.body, media_type="application/json")
