"""Page templates: the frame that all pages share, with one head and one policy."""

import hashlib
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.ext import Extension

from recsys.artifacts.addresses import (
    answer_address,
    artist_address,
    next_week_address,
    past_address,
    place_address,
    song_address,
)
from recsys.artifacts.privacy_account import remembered
from recsys.artifacts.public_files import entity_tag
from recsys.consents.log import Purpose
from recsys.errors import RecsysError
from recsys.messages import Country, Message, begun, said
from recsys.serving.lists.responses import country_of, label, short
from recsys.serving.pages.chart_rows import count
from recsys.serving.pages.covers import cover_of
from recsys.serving.pages.negotiation import CHOSEN, VARY, language_of
from recsys.serving.pages.words import ENGLISH, LANGUAGES, words_in
from recsys.serving.snapshot.response_cache import Answer, takes_gzip
from recsys.serving.snapshot.snapshot_reader import Current, Published

PAGES = Path(__file__).parent
BUILT = PAGES / "built"  # by `make page`: the map, its font and land, and the licences of what others wrote

SWITCHES = {
    Purpose.LOCAL_TRENDS.value: said("Near me"),
    Purpose.CONTRIBUTE_TRENDS.value: said("Count my plays in my area’s charts"),
    Purpose.PERSONALISATION.value: said("Learn from my plays for me"),
    Purpose.PARTNER_STATISTICS.value: said("Count my plays in partners’ statistics"),
    Purpose.FEEDBACK.value: said("Hear what I hide and play"),
    Purpose.IMAGES.value: said("Keep pictures that I choose"),
    Purpose.VOICE.value: said("Voice control"),
    Purpose.CONTACTS.value: said("Find friends in my address book"),
}
"""What the pages call the purposes."""

MISSING = {
    "title": said("There is no such page"),
    "text": said("Nothing is at this address. Find a place, a song or an artist by name at the top of the page."),
}
"""What is told at an address that leads nowhere."""

_HTML = "text/html; charset=utf-8"
_CHARTS = {"popular": said("Popular"), "rising": said("Rising"), "local": said("Special")}
_KEPT = ("q", "night", "week")  # of what is asked for, by a link to the same page in another language
_HEADERS = {
    # Nothing comes from elsewhere, nothing goes elsewhere, and nobody frames the page to steer a listener's clicks.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; connect-src 'self'; "
        "img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "permissions-policy": "geolocation=(self), camera=(), microphone=(self)",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


def shown(template: str, request: Request, *, status: int = HTTPStatus.OK, **values: Any) -> Response:
    """Return a page: a template of this folder in the frame, with what it needs."""
    language, is_found = language_of(request), status == HTTPStatus.OK
    asked = [each for each in request.query_params.multi_items() if is_found and each[0] in _KEPT]
    text = rendered(template, language=language, asked=asked, **values)
    facts = {"content-language": language, "vary": VARY}
    if not is_found:
        return HTMLResponse(text, status_code=status, headers={**_HEADERS, **facts})
    answer = answered(text.encode(), media_type=_HTML, route=request.scope["route"].path, **facts)
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
        told = {
            "title": said("This part is away"),
            "text": said("Songs and earlier nights cannot be read now. Please come back."),
        }
    elif error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        told = {
            "title": said("Nothing to show yet"),
            "text": said("The first charts are still being made. Please come back."),
        }
    else:
        told = {"title": MISSING["title"], "text": sentence_of(error.message)}
    return shown("problem.html", request, status=error.status, problem=told)


def sentence_of(detail: str) -> Message:
    """Return the detail of a problem as a sentence; the catalogues have those that are written as templates."""
    told = detail if isinstance(detail, Message) else said(detail.replace("{", "{{").replace("}", "}}"))
    return told.begun("upper") if detail.endswith(".") else said("{detail}.", detail=told.begun("upper"))


def rendered(template: str, *, language: str = ENGLISH, asked: Sequence[tuple[str, str]] = (), **values: Any) -> str:
    """Return the text of a page, whoever asks for it.

    Parameters
    ----------
    template : str
        Its file.
    language : str
    asked : sequence of (str, str)
        What the address asks for, which the same page in another language is asked for as well.
    **values
        What the template needs.
    """
    built = (BUILT / "map.js").is_file()
    found = _templates(language).get_template(template)
    addresses = {code: f"?{urlencode([*asked, (CHOSEN, code)])}" for code in LANGUAGES}
    return found.render(built=built, chart_names=_CHARTS, addresses=addresses, **values)


def answered(body: bytes, *, media_type: str, route: str, **more: str) -> Answer:
    """Return an answer under the policy of all pages, which a browser that has it already is not sent again."""
    tag = entity_tag(hashlib.sha256(body).hexdigest(), size=len(body))
    facts = {"content-length": str(len(body)), "content-type": media_type, "etag": tag, **_HEADERS, **more}
    headers = [(name.encode(), value.encode()) for name, value in facts.items()]
    return Answer(body, headers=headers, etag=tag.encode(), route=route, scope=None)


class Translated(Extension):
    """Says what never varies once, where a template is compiled, and not for each line that it prints."""

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:  # noqa: ARG002
        """Return the text of a template with its plain texts in its language."""
        return _PLAIN.sub(self._translated, source)

    def _translated(self, found: re.Match[str]) -> str:
        text: str = words_in(self.environment.globals["language"]).translations.ugettext(found[1].replace("%", "%%"))
        return text.replace("%%", "%")


_PLAIN = re.compile(r"\{% trans %\}([^{}]*)\{% endtrans %\}")
_SAID = (Message, Country)


@lru_cache(len(LANGUAGES))
def _templates(language: str) -> Environment:
    """Return the templates in a language; what is a message is said in it wherever a template prints one."""
    words = words_in(language)
    found = Environment(
        loader=FileSystemLoader(PAGES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n", Translated],
        finalize=lambda value: words.say(value) if type(value) in _SAID else value,
    )
    found.install_gettext_translations(words.translations, newstyle=True)  # type: ignore[attr-defined]
    found.globals.update(language=language, languages=LANGUAGES)
    found.filters["label"] = label
    found.filters["short"] = short
    found.filters["country"] = country_of
    found.filters["remembered"] = remembered
    found.filters["said"] = words.say
    found.filters["capital"] = lambda text: begun(words.say(text), "upper")
    found.filters["day"] = words.day
    found.filters["time"] = words.time
    for address in (place_address, past_address, next_week_address, song_address, artist_address, answer_address):
        found.filters[address.__name__] = address
    found.filters["number"] = words.number
    found.filters["times"] = lambda number, digits=1: words.number(Decimal(f"{number:.{digits}f}"))
    found.filters["count"] = lambda number: words.number(count(number))
    found.filters["cover"] = cover_of
    found.filters["called"] = lambda purpose: SWITCHES[purpose]
    return found
