"""What those ask who run the endpoint: is it alive, has it something fresh to serve, and how is it doing."""

import ipaddress
from datetime import date

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException
from starlette.types import Scope

from recsys.errors import NotReadyError
from recsys.serving.endpoint import endpoint_of
from recsys.serving.examples import METRICS, problems
from recsys.serving.gate import address_of
from recsys.serving.metrics import MEDIA_TYPE
from recsys.serving.published import Published

router = APIRouter()


@router.get("/healthz", summary="Is the program alive?")
async def healthz() -> dict[str, str]:
    """Tell that the program answers."""
    return {"status": "ok"}


@router.get("/readyz", summary="Is there something to serve?", responses=problems(503))
def readyz(request: Request) -> dict[str, str]:
    """Tell which snapshot is served.

    503 if there is none, the newest one does not verify, or the last night behind it is longer ago than
    `serving.snapshot_max_age_days`. What there is goes on being served all the same.
    """
    endpoint = endpoint_of(request)
    published = endpoint.current.check()
    _check_age(published, today=endpoint.clock().date(), most=endpoint.settings.serving.snapshot_max_age_days)
    return {"status": "ready", "snapshot": published.id, "as_of": published.as_of}


@router.get(
    "/metrics",
    summary="What an operator watches",
    response_class=Response,
    responses={200: {"content": {MEDIA_TYPE: {"example": METRICS}}}, **problems(404)},
)
def metrics(request: Request) -> Response:
    """Return counts and times in Prometheus' format; by default to this machine alone (`serving.metrics`)."""
    endpoint = endpoint_of(request)
    who = endpoint.settings.serving.metrics
    if not (who == "everyone" or (who == "loopback" and _is_local(request.scope, endpoint.settings.serving.proxies))):
        raise HTTPException(404)
    published = endpoint.current.settled()
    text = endpoint.metrics.text(as_of=published.as_of if published else None, now=endpoint.clock())
    return Response(text, media_type=MEDIA_TYPE, headers={"Cache-Control": "no-store"})


def _check_age(published: Published, *, today: date, most: int) -> None:
    days = (today - date.fromisoformat(published.as_of)).days
    if most and days > most:
        raise NotReadyError(
            "the snapshot is too old",
            hint=f"Its last night is {published.as_of}, {days} days ago; {most} are allowed "
            "(serving.snapshot_max_age_days): see to the nightly job. The sample world is always old.",
        )


def _is_local(scope: Scope, proxies: tuple[str, ...]) -> bool:
    """Tell whether a request comes from this machine, with no proxy in between that says so."""
    passed_on = any(name in _PROXY or name.startswith(b"x-forwarded") for name, _ in scope["headers"])
    try:
        return (
            not passed_on
            and _names_this_machine(scope)
            and ipaddress.ip_address(address_of(scope, proxies=proxies)).is_loopback
        )
    except ValueError:
        return False


def _names_this_machine(scope: Scope) -> bool:
    host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
    return host.rsplit(":", 1)[0] in {"localhost", "127.0.0.1", "[::1]"} or host == "[::1]"


_PROXY = (b"forwarded", b"via", b"x-real-ip")
