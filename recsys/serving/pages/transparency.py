"""The page of what is collected: ``/v1/transparency``, to read."""

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, Response

from recsys.serving.openapi.examples import problems
from recsys.serving.pages.templates import shown
from recsys.serving.requests.query import without_parameters
from recsys.serving.routes.transparency import ToldHere
from recsys.serving.state.dependencies import Snapshots

router = APIRouter(dependencies=[Depends(without_parameters)])


@router.get("/transparency", summary="The same as a page", response_class=HTMLResponse, responses=problems(400))
def transparency_page(request: Request, found: ToldHere, current: Snapshots) -> Response:
    """Return what `/v1/transparency` says as plain HTML, which needs no script and nothing from elsewhere."""
    return shown("transparency.html", request, current=current, found=found)
