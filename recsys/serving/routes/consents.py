"""The listener's switches: how they stand, turning one in one request, and a receipt of every decision.

What a new version of the notice means: consent is given under the version that the listener was shown. It is in force
under that one alone, and under later ones of which the operator says that they ask for the same
(``consents.earlier_notices``; the version that comes with the defaults says so of all before it). Under any other
version the switch is off, for this endpoint and for the night alike, and ``asks_again`` says why; what was played
meanwhile stays out of everything. A withdrawal holds under every notice, and nobody who declined is asked again.
"""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, WithJsonSchema
from typing_extensions import TypedDict

from recsys.consents.log import Channel, Entry, Purpose, Standing, State
from recsys.errors import (
    OptedOutError,
    StaleNoticeError,
    TooManyRequestsError,
    UnknownPurposeError,
)
from recsys.serving.openapi.examples import problems
from recsys.serving.openapi.examples_me import CONSENT, CONSENTS, GPC, RECEIPT
from recsys.serving.requests.credentials import ALLOWANCE
from recsys.serving.requests.json_body import body_of
from recsys.serving.requests.one_size import padded
from recsys.serving.requests.query import without_parameters
from recsys.serving.requests.rate_limit import Allowance
from recsys.serving.routes.receipts import Receipt, receipt_of
from recsys.serving.state.endpoint import Endpoint, Parts
from recsys.serving.state.listener import Listener, SignedIn
from recsys.settings import ConsentsSettings

router = APIRouter(dependencies=[Depends(without_parameters)])

_DAY = timedelta(days=1)


class PaddedJSON(JSONResponse):
    """A JSON answer about a listener, whose length tells nothing of what it says."""

    def render(self, content: Any) -> bytes:
        """Return the body."""
        return padded(super().render(content))


class Consent(TypedDict):
    """One switch: ``state`` is ``given`` only where it counts; the rest is of the last decision, or null."""

    purpose: str
    text: str
    state: str
    since: str | None
    notice_version: str | None
    channel: str | None
    asks_again: bool


class Consents(TypedDict):
    """All switches, and the version of the notice that is shown today."""

    notice_version: str
    consents: list[Consent]


class Decision(BaseModel):
    """What the listener decides; ``notice_version`` is needed to give, and must be today's."""

    model_config = ConfigDict(extra="forbid", strict=True)

    state: Annotated[State, WithJsonSchema({"type": "string", "enum": [state.value for state in State]})]
    notice_version: str | None = None


async def _decision(request: Request) -> Decision:
    return body_of(await request.body(), Decision, hint=_BODY)


_BODY = 'Send {"state": "given", "notice_version": "..."} or {"state": "withdrawn"} as application/json.'


@router.get(
    "/v1/me/consents",
    response_model=Consents,
    summary="How my switches stand",
    responses={200: {"content": {"application/json": {"example": CONSENTS}}}, **problems(401, 503)},
)
def consents(who: Listener, parts: Parts) -> JSONResponse:
    """Return every purpose with its state at this moment; what was never decided is not allowed.

    `asks_again` is true where the last decision was to give, under a notice that is not in force any more: it does not
    count until it is given again.
    """
    return PaddedJSON(_consents(who, parts))


@router.put(
    "/v1/me/consents/{purpose}",
    response_model=Consent,
    summary="Give or withdraw",
    responses={200: {"content": {"application/json": {"example": CONSENT}}}, **problems(400, 401, 404, 409, 503)},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": Decision.model_json_schema(),
                    "examples": {
                        "give": {"value": {"state": "given", "notice_version": "2026-09"}},
                        "withdraw": {"value": {"state": "withdrawn", "notice_version": "2026-09"}},
                    },
                }
            },
        }
    },
)
def decide(
    request: Request,
    *,
    purpose: Annotated[str, Path(description="A switch.", json_schema_extra={"enum": list(Purpose)})],
    who: Listener,
    decision: Annotated[Decision, Depends(_decision)],
    parts: Parts,
) -> JSONResponse:
    """Turn one switch; it counts from the next request, and from the next night in everything derived.

    Giving needs the version of the notice that is shown today, as `GET /v1/me/consents` names it; withdrawing always
    works. The same request again changes nothing. With `Sec-GPC: 1`, `partner_statistics` cannot be given: the next
    request would withdraw it, and of two contradicting answers in one request the no is believed. A listener who gives
    again and again is asked to wait (429); a withdrawal is never refused.
    """
    entry = _entry(request, who, _known(purpose), decision, parts.settings.consents)
    if entry.state == State.GIVEN:
        _check_often(request, entry, parts)
    if parts.consents.decide(entry):
        parts.metrics.decided(entry.purpose, entry.state)
    standing = _consents(who, parts)["consents"]
    (consent,) = (each for each in standing if each["purpose"] == purpose)
    return PaddedJSON(consent)


@router.get(
    "/v1/me/consents/receipts",
    response_model=Receipt,
    summary="A receipt of all my decisions",
    responses={200: {"content": {"application/json": {"example": RECEIPT}}}, **problems(401, 503)},
)
def receipts(who: Listener, parts: Parts) -> JSONResponse:
    """Return a record of every purpose that was ever decided, with its events, to keep.

    Events are all decisions; of who decided very often about a purpose the first, the latest (200 at least), and all of
    the weeks about which a night may still ask. The fields are named after ISO/IEC TS 27560:2023. Who never decided
    gets a receipt without records.
    """
    entries = parts.consents.entries(who.listener)
    receipt = receipt_of(entries, key=parts.listener_key, settings=parts.settings, now=who.now)
    return PaddedJSON(receipt, headers={"Content-Disposition": 'attachment; filename="consent-receipt.json"'})


@router.get(
    "/.well-known/gpc.json",
    summary="Is Global Privacy Control honoured?",
    responses={200: {"content": {"application/json": {"example": GPC}}}},
)
def gpc() -> JSONResponse:
    """Say that `Sec-GPC: 1` is honoured, as a withdrawal of `partner_statistics`."""
    return JSONResponse(GPC, headers={"Cache-Control": "public, max-age=86400"})


def _consents(who: SignedIn, parts: Endpoint) -> Consents:
    standings = parts.consents.standings(who.listener, at=who.now)
    return {
        "notice_version": parts.settings.consents.notice_version,
        "consents": [_consent(purpose, standing) for purpose, standing in standings.items()],
    }


def _consent(purpose: Purpose, standing: Standing) -> Consent:
    last = standing.last
    return {
        "purpose": purpose.value,
        "text": purpose.explained,
        "state": standing.state.value,
        "since": last.at.isoformat() if last else None,
        "notice_version": last.notice_version if last else None,
        "channel": last.channel.value if last else None,
        "asks_again": standing.asks_again,
    }


def _check_often(request: Request, entry: Entry, parts: Endpoint) -> None:
    """Refuse to give once more on a day of too many decisions; what is given already may be said again."""
    most, log = parts.settings.consents.given_a_day, parts.consents
    if most == 0 or log.allows(entry.listener, entry.purpose, at=entry.at):
        return
    given = log.given_here(entry.listener, since=entry.at - _DAY)
    if len(given) < most:
        return
    wait = given[most - 1] + _DAY - entry.at
    day = int(_DAY.total_seconds())
    request.scope["state"][ALLOWANCE] = Allowance("decisions", most, day, -1, int(wait.total_seconds()) + 1)
    raise TooManyRequestsError(
        f"more than {most} consents in a day",
        hint="Wait as many seconds as the header Retry-After says; withdrawing is always possible.",
    )


def _known(purpose: str) -> Purpose:
    try:
        return Purpose(purpose)
    except ValueError:
        raise UnknownPurposeError("there is no such purpose", hint=f"Purposes are: {', '.join(Purpose)}.") from None


def _entry(request: Request, who: SignedIn, purpose: Purpose, decision: Decision, settings: ConsentsSettings) -> Entry:
    """Return what a decision adds to the log, in our words alone: whatever a client calls its notice is not kept."""
    if decision.state == State.GIVEN and decision.notice_version != settings.notice_version:
        raise StaleNoticeError(
            f"the notice that was shown is not the one of today, {settings.notice_version}",
            hint="Show the listener today's notice and ask again; withdrawing needs no version.",
        )
    if decision.state == State.GIVEN and who.opted_out and purpose == Purpose.PARTNER_STATISTICS:
        raise OptedOutError(
            "the request carries Sec-GPC: 1, which withdraws partner_statistics",
            hint="Allow it from a browser, or for a site, without Global Privacy Control.",
        )
    own_page = request.headers.get("sec-fetch-site") == "same-origin"  # which no other page can make a browser say
    channel = Channel.PAGE if own_page else Channel.API
    return Entry(who.listener, purpose, decision.state, who.now, settings.notice_version, channel)
