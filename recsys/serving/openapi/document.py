"""The OpenAPI document: what the middleware takes and adds, beside what the routes say of themselves."""

from typing import Any

from pydantic import TypeAdapter

from recsys.serving.openapi.examples import problems
from recsys.serving.openapi.examples_me import CONSENTS, INTENT
from recsys.serving.requests.problems import SENT, Problem
from recsys.serving.requests.rate_limit import UNLIMITED
from recsys.settings import Settings

Document = dict[str, Any]


def completed(document: Document, *, settings: Settings) -> Document:
    """Return the document of the routes with headers, ``304``, ``429``, the types of problems and the longest lists.

    Parameters
    ----------
    document : dict
        As FastAPI makes it; it is changed.
    settings : Settings
        Decide how long a list may be.
    """
    schema = TypeAdapter(Problem).json_schema()
    schema["properties"]["type"]["enum"] = [f"/problems/{slug}" for slug in SENT]
    document["components"]["schemas"]["Problem"] = schema
    document["components"]["headers"] = _HEADERS
    # FastAPI leaves out what is null, which the schema asks for.
    for path, method, example in (("/v1/me/consents", "get", CONSENTS), ("/v1/voice/intent", "post", INTENT)):
        document["paths"][path][method]["responses"]["200"]["content"]["application/json"]["example"] = example
    for path, operations in document["paths"].items():
        for operation in operations.values():
            _complete(operation, path)
            _bound(operation, most=settings.serving.max_regions if path == _REGIONS else settings.charts.size)
    return document


def _complete(operation: Document, path: str) -> None:
    parameters, responses = operation.setdefault("parameters", []), operation["responses"]
    if path in _TAGGED:
        parameters.append(_IF_NONE_MATCH)
        responses["304"] = {"description": "What the client has is still so."}
    if _is_personal(path):
        parameters.append(_SEC_GPC)
    operation.setdefault("security", [])  # none is needed, which is said
    if not parameters:
        del operation["parameters"]
    for status, answer in problems(*() if path in UNLIMITED else (429,)).items():
        responses.setdefault(str(status), answer)
    operation["responses"] = dict(sorted(responses.items()))
    for status, answer in responses.items():
        answer["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in _headers(path, status)}


def _bound(operation: Document, *, most: int) -> None:
    """Say how many a list may have at most, which the settings decide."""
    for parameter in operation.get("parameters", ()):
        if parameter["name"] == "limit":
            next(each for each in parameter["schema"]["anyOf"] if each["type"] == "integer")["maximum"] = most


def _headers(path: str, status: str) -> list[str]:
    """Return the names of an answer's headers, beside those of its body."""
    is_good = status in ("200", "202", "204", "304")
    tag = ["ETag"] if is_good and path in _TAGGED else []
    varying = ["Vary"] if path == _PAGE or (is_good and path in _VARYING) else []
    if is_good and path in _SHARED:  # and so without what is about one asker
        return [*tag, "Cache-Control", *varying]
    kept = ["Cache-Control"] if tag or not is_good or path.startswith(_UNKEPT) else []
    limits = [] if path in UNLIMITED else ["RateLimit-Policy", "RateLimit"]
    return [*tag, *kept, *varying, *limits, "X-Request-Id", *_OF_STATUS.get(status, [])]


def _is_personal(path: str) -> bool:
    return path.startswith(("/v1/me/", "/v1/voice/")) and not path.startswith("/v1/me/data/erasures/")


_REGIONS = "/v1/regions"
_SONGS = ("/v1/tracks/{id}", "/v1/artists/{id}", "/v1/search", "/v1/releases")
_VARYING = (
    _REGIONS,
    "/v1/regions/all",
    "/v1/regions/map",
    "/v1/regions/{id}",
    "/v1/regions/{id}/charts/{chart}",
    "/v1/regions/{id}/next-week",
    *_SONGS,
)
_SHARED = (*_VARYING, "/v1/transparency", "/.well-known/gpc.json")
_UNKEPT = ("/v1/me/", "/v1/images/", "/v1/voice/", "/metrics")
_PAGE = "/transparency"
_TAGGED = (*_VARYING, "/v1/transparency", _PAGE)
_OF_STATUS = {"202": ["Location"], "401": ["WWW-Authenticate"], "429": ["Retry-After"], "default": ["Allow"]}


def _header(description: str, *, example: str | int, always: bool = True) -> Document:
    kind = "integer" if isinstance(example, int) else "string"
    return {"description": description, "required": always, "schema": {"type": kind}, "example": example}


_HEADERS = {
    "Allow": _header("With 405: the methods of the address.", example="DELETE, GET, HEAD", always=False),
    "Cache-Control": _header("Who may keep the answer, and for how long.", example="public, max-age=300"),
    "ETag": _header("Names these bytes, for `If-None-Match`.", example='"27d6c4a1-3f2b"'),
    "Location": _header("Where the receipt can be polled.", example="/v1/me/data/erasures/3b1f0c6a9d7e4582"),
    "RateLimit": _header(
        "Requests that are left (`r`), and seconds until the window ends (`t`); without a limit it is missing.",
        example='"listener";r=239;t=60',
        always=False,
    ),
    "RateLimit-Policy": _header(
        "Requests (`q`) in a window of seconds (`w`), of a listener or an address; without a limit it is missing.",
        example='"listener";q=240;w=60',
        always=False,
    ),
    "Retry-After": _header("Seconds to wait.", example=60),
    "Vary": _header("The headers of the request that choose the answer.", example="Accept-Encoding"),
    "WWW-Authenticate": _header("What is asked for.", example="Bearer"),
    "X-Request-Id": _header("The name of the request, as it stands in the log.", example="4bf92f3577b34da6"),
}

_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The `ETag` of an answer that the client has: while it is the same, the answer is 304.",
    "schema": {"type": "string"},
}

_SEC_GPC = {
    "name": "Sec-GPC",
    "in": "header",
    "description": "`1`, Global Privacy Control, withdraws `partner_statistics` where it was allowed.",
    "schema": {"type": "string"},
    "example": "1",
}
