"""Which places listen like the signed-in listener."""

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from recsys.serving.lists.twin import Twin, twin_answer
from recsys.serving.openapi.examples import TWIN, problems
from recsys.serving.requests.query import without_parameters
from recsys.serving.routes.trending import choices_of
from recsys.serving.state.endpoint import parts_of
from recsys.serving.state.listener import Listener

router = APIRouter()


@router.get(
    "/v1/me/twin",
    response_model=Twin,
    summary="Which places listen like the signed-in listener",
    responses={200: {"content": {"application/json": {"example": TWIN}}}, **problems(400, 401, 503)},
    dependencies=[Depends(without_parameters)],
)
async def twin(request: Request, *, who: Listener) -> Response:
    """Return the five places whose published charts fit the listener's plays best, and how sure that is.

    Without consent to `personalisation` the plays are ignored, and the largest places come back in the same shape.
    Nothing of it is stored.
    """
    parts = parts_of(request)
    published = await parts.current.get_aside()
    newest = await parts.sources.of(published)
    choices = await choices_of(parts.consents, who.listener, at=parts.clock(), settings=parts.settings.consents)
    body = await run_in_threadpool(twin_answer, newest, listener=who.listener, personal=choices.plays)
    return Response(body, media_type="application/json")
