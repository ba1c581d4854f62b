"""Health, readiness and metrics: is it alive, has it something fresh to serve, and how is it doing."""

import asyncio
import ipaddress
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from functools import partial

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.types import Scope

from recsys.consents.log import ConsentLog
from recsys.errors import NotReadyError
from recsys.serving.openapi.examples import METRICS, READY, problems
from recsys.serving.requests.credentials import address_of
from recsys.serving.requests.metrics import MEDIA_TYPE
from recsys.serving.snapshot.snapshot_reader import Published
from recsys.serving.state.endpoint import Parts

router = APIRouter()


@router.get(
    "/healthz",
    summary="Is the program alive?",
    responses={200: {"content": {"application/json": {"example": {"status": "ok"}}}}},
)
async def healthz() -> dict[str, str]:
    """Tell that the program answers."""
    return {"status": "ok"}


@router.get(
    "/readyz",
    summary="Is there something to serve?",
    responses={200: {"content": {"application/json": {"example": READY}}}, **problems(503)},
)
async def readyz(parts: Parts) -> dict[str, str | bool]:
    """Tell which snapshot is served.

    503 if there is none to serve, or the consent log does not answer; the hint says which. `old` is true, and `why`
    says why, where the last night behind the charts is longer ago than `serving.snapshot_max_age_days`, or the newest
    snapshot does not verify: what there is goes on being served, and whoever sees to the nightly job is to be told.
    """
    (published, refusal), now = await run_in_threadpool(parts.current.state), parts.clock()
    if published is None:
        raise refusal or NotReadyError("no snapshot has been published yet", hint="Run `hearabouts nightly` first.")
    await _check_consents(parts.consents, now=now)
    why = _why_old(published, refusal, today=now.date(), most=parts.settings.serving.snapshot_max_age_days)
    return {"status": "ready", "snapshot": published.id, "as_of": published.as_of, "old": bool(why), "why": why}


@router.get(
    "/metrics",
    summary="What an operator watches",
    response_class=Response,
    responses={200: {"content": {MEDIA_TYPE: {"example": METRICS}}}, **problems(404)},
)
def metrics(request: Request, parts: Parts) -> Response:
    """Return counts and times in Prometheus' format; by default to this machine alone (`serving.metrics`)."""
    serving = parts.settings.serving
    who = serving.metrics
    if not (who == "everyone" or (who == "loopback" and _is_local(request.scope, serving.proxies))):
        raise HTTPException(404)
    now, most = parts.clock(), serving.snapshot_max_age_days
    found, refusal = parts.current.state(again=False)
    old = found is None or bool(_why_old(found, refusal, today=now.date(), most=most))
    text = parts.metrics.text(as_of=found.as_of if found else None, now=now, old=old)
    return Response(text, media_type=MEDIA_TYPE, headers={"Cache-Control": "no-store"})


def _why_old(published: Published, refusal: NotReadyError | None, *, today: date, most: int) -> str:
    """Return why what is served is not what should be; empty where it is."""
    if refusal is not None:
        return "The newest snapshot is not whole: `hearabouts doctor` says what is wrong with it."
    days = (today - date.fromisoformat(published.as_of)).days
    if not most or days <= most:
        return ""
    return (
        f"The last night is {published.as_of}, {days} days ago; {most} are allowed (serving.snapshot_max_age_days): "
        "see to the nightly job. The sample world is always old."
    )


async def _check_consents(log: ConsentLog, *, now: datetime) -> None:
    """Ask the consent log what nobody allows, which is one row as any listener's answer is."""
    ask = partial(log.choices, "", at=now)
    try:
        await asyncio.wait_for(asyncio.get_running_loop().run_in_executor(_asking, ask), _PATIENCE)
    except (NotReadyError, TimeoutError) as error:
        raise NotReadyError(
            f"the consent log does not answer ({str(error) or 'too slow'})",
            hint="The consent log cannot be read: see to its database. Charts are served, listeners are not.",
        ) from None


_PATIENCE = 2  # seconds: who asks has a time limit, too
_asking = ThreadPoolExecutor(1, "readyz")  # a database that hangs keeps one thread, however often it is asked


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
