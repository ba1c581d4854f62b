"""Problem details (RFC 9457): every refusal and failure as problem+json, with nothing of the request in it."""

from http import HTTPStatus

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.routing import Match
from typing_extensions import TypedDict

from recsys.errors import IdentityError, InputError, RecsysError
from recsys.messages import template

MEDIA_TYPE = "application/problem+json"

_TITLES = {
    "bad-input": template("The request does not fit"),
    "usage": "Arguments do not go together",
    "position": template("Positions are refused"),
    "unknown-place": "Unknown place",
    "unknown-chart": "Unknown chart",
    "unknown-night": "Unknown night",
    "unknown-song": "Unknown song or artist",
    "unknown-purpose": "Unknown purpose",
    "unknown-receipt": "Unknown receipt",
    "unknown-list": "Unknown list",
    "unknown-picture": "Unknown picture",
    "no-picture": "No such picture is taken",
    "large-picture": "Too large a picture",
    "unknown-run": "Unknown run",
    "not-better": "Not better than the champion",
    "incomplete-night": "A night that does not look whole",
    "identity": "Who is asking?",
    "not-ready": template("Not ready yet"),
    "too-many-requests": template("Too many requests"),
    "consent": "Not allowed by the listener",
    "stale-notice": "The notice has changed",
    "opted-out": "The browser says no",
    "privacy-budget": "No privacy budget",
    "settings": "Wrong settings",
    "internal": template("Something went wrong here"),
}


_ELSEWHERE = {  # by the command line
    *("usage", "unknown-run", "not-better", "incomplete-night", "privacy-budget", "settings")
}
SENT = (*(slug for slug in _TITLES if slug not in _ELSEWHERE), "not-found", "method-not-allowed")


class Problem(TypedDict):
    """A problem detail of RFC 9457; ``hint`` says what to do about it."""

    type: str
    title: str
    status: int
    detail: str
    hint: str


Log = structlog.typing.FilteringBoundLogger


def problem_of(error: RecsysError, *, log: Log | None = None) -> JSONResponse:
    """Return the answer to an error; what the server says about itself (status 500 and more) goes to the log alone."""
    if log and error.status >= 500:
        log.error("problem", problem=error.problem, reason=error.message)
    detail = error.message if error.status < 500 else template("The cause is in the server's log.")
    headers = {"WWW-Authenticate": "Bearer"} if isinstance(error, IdentityError) else {}
    return _answer(error.problem, _TITLES[error.problem], error.status, detail, hint=error.hint, headers=headers)


def answer_problems(app: FastAPI, *, log: Log) -> None:
    """Let an application answer every error with a problem."""

    async def on_error(_: Request, error: Exception) -> JSONResponse:
        if not isinstance(error, RecsysError):
            raise error
        return problem_of(error, log=log)

    app.add_exception_handler(RecsysError, on_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(ClientDisconnect, _on_broken_off)
    app.add_exception_handler(Exception, _on_failure)  # which is raised on, for the log


async def _on_failure(_: Request, __: Exception) -> JSONResponse:
    """Answer what nobody foresaw, without a word about it."""
    return problem_of(RecsysError(""))


async def _on_broken_off(_: Request, __: Exception) -> JSONResponse:
    """Answer nobody any more: it is for the log, in which it is no failure of ours."""
    return problem_of(InputError("the body did not arrive", hint="Send the whole body."))


async def _on_invalid(_: Request, error: Exception) -> JSONResponse:
    """Name the parameters at fault where they are ours, never what was sent."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    unknown = any(each["type"] == "extra_forbidden" for each in found)
    wrong = sorted({str(each["loc"][-1]) for each in found if each["type"] != "extra_forbidden"})
    details = [f"{name} does not fit" for name in wrong] + [
        "there is a parameter that this request does not have"
    ] * unknown
    return problem_of(InputError("; ".join(details), hint="The parameters of every request are in /openapi.json."))


async def _on_http(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    status = HTTPStatus(error.status_code)
    headers = dict(error.headers or {})
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = _allowed(request)
    slug = status.phrase.lower().replace(" ", "-")
    hint = "All requests are in /openapi.json."
    return _answer(slug, status.phrase, status, status.description, hint=hint, headers=headers)


def _allowed(request: Request) -> str:
    """Return the methods of an address: of all routes that match its path, and not of the first alone."""
    found = {method for method in _METHODS if _matches(request, method)}
    return ", ".join(sorted(found | ({"HEAD"} if "GET" in found else set())))


def _matches(request: Request, method: str) -> bool:
    asked = {**request.scope, "method": method}
    return any(route.matches(asked)[0] == Match.FULL for route in request.app.routes)


_METHODS = ("GET", "PUT", "POST", "PATCH", "DELETE")


def _answer(slug: str, title: str, status: int, detail: str, *, hint: str, headers: dict[str, str]) -> JSONResponse:
    problem: Problem = {
        "type": f"/problems/{slug}",
        "title": title,
        "status": int(status),
        "detail": detail,
        "hint": hint,
    }
    headers = {"Cache-Control": "no-store", **headers}
    return JSONResponse(problem, status_code=int(status), headers=headers, media_type=MEDIA_TYPE)
