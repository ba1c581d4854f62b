"""Page templates: the frame that all pages share, with one head and one policy."""

import hashlib
import re
from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from recsys.artifacts.public_files import entity_tag
from recsys.consents.log import Purpose
from recsys.errors import RecsysError
from recsys.serving.lists.responses import label
from recsys.serving.pages.chart_rows import count
from recsys.serving.pages.covers import cover_of
from recsys.serving.snapshot.addresses import (
    answer_address,
    artist_address,
    next_week_address,
    past_address,
    place_address,
    song_address,
)
from recsys.serving.snapshot.response_cache import Answer, takes_gzip
from recsys.serving.snapshot.snapshot_reader import Current, Published

PAGES = Path(__file__).parent
BUILT = PAGES / "built"  # by `make page`: the map, its font and land, and the licences of what others wrote

SWITCHES = {
    Purpose.LOCAL_TRENDS.value: "Near me",
    Purpose.CONTRIBUTE_TRENDS.value: "Count my plays in my area’s charts",
    Purpose.PERSONALISATION.value: "Learn from my plays for me",
    Purpose.PARTNER_STATISTICS.value: "Count my plays in partners’ statistics",
    Purpose.FEEDBACK.value: "Hear what I hide and play",
}
"""What the pages call the purposes."""

MISSING = {
    "title": "There is no such page",
    "text": "Nothing is at this address. Find a place, a song or an artist by name at the top of the page.",
}
"""What is told at an address that leads nowhere."""

_HTML = "text/html; charset=utf-8"
_DATE = Markup("<time>{}</time>")
_CHARTS = {"popular": "Popular", "rising": "Rising", "local": "Special"}
_HEADERS = {
    # Nothing comes from elsewhere, nothing goes elsewhere, and nobody frames the page to steer a listener's clicks.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; connect-src 'self'; "
        "img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "permissions-policy": "geolocation=(self), camera=(), microphone=()",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


def shown(template: str, request: Request, *, status: int = HTTPStatus.OK, **values: Any) -> Response:
    """Return a page: a template of this folder in the frame, with what it needs."""
    text = rendered(template, **values)
    if status != HTTPStatus.OK:
        return HTMLResponse(text, status_code=status, headers=_HEADERS)
    answer = answered(text.encode(), media_type=_HTML, route=request.scope["route"].path, vary="Accept-Encoding")
    # A page may repeat what was searched for, but holds nothing of a listener: its length has nothing to tell.
    if takes_gzip(request.scope["headers"]):
        answer.pack()
    return answer


def found_page(request: Request, find: Callable[[Published], dict[str, Any]], *, current: Current) -> Response:
    """Return the page of what is found: its ``template``, and what is in it; or the one that says why there is none."""
    try:
        found = find(current.get())
    except RecsysError as error:
        return refused(request, error, current=current)
    return shown(found.pop("template"), request, **found)


def refused(request: Request, error: RecsysError, *, current: Current) -> Response:
    """Return the page that says why there is none."""
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR and current.loaded():
        said = {"title": "This part is away", "text": "Songs and earlier nights cannot be read now. Please come back."}
    elif error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        said = {"title": "Nothing to show yet", "text": "The first charts are still being made. Please come back."}
    else:
        said = {"title": "There is no such page", "text": f"{error.message[0].upper()}{error.message[1:]}."}
    return shown("problem.html", request, status=error.status, problem=said)


def rendered(template: str, **values: Any) -> str:
    """Return the text of a page, whoever asks for it."""
    built = (BUILT / "map.js").is_file()
    return _templates().get_template(template).render(built=built, chart_names=_CHARTS, **values)


def answered(body: bytes, *, media_type: str, route: str, **more: str) -> Answer:
    """Return an answer under the policy of all pages, which a browser that has it already is not sent again."""
    tag = entity_tag(hashlib.sha256(body).hexdigest(), size=len(body))
    facts = {"content-length": str(len(body)), "content-type": media_type, "etag": tag, **_HEADERS, **more}
    headers = [(name.encode(), value.encode()) for name, value in facts.items()]
    return Answer(body, headers=headers, etag=tag.encode(), route=route, scope=None)


def _dated(text: str) -> Markup:
    """Return a text, escaped, with its dates marked, so that no line breaks within one."""
    parts = re.split(r"(\d{4}-\d{2}-\d{2})", text)
    return Markup("").join(_DATE.format(part) if at % 2 else part for at, part in enumerate(parts))


@lru_cache(maxsize=1)
def _templates() -> Environment:
    loader = FileSystemLoader(PAGES)
    found = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    found.filters["label"] = label
    found.filters["dated"] = _dated
    for address in (place_address, past_address, next_week_address, song_address, artist_address, answer_address):
        found.filters[address.__name__] = address
    found.filters["count"] = count
    found.filters["cover"] = cover_of
    found.filters["called"] = lambda purpose: SWITCHES[purpose]
    return found
