"""Which language a page is in: the one that a link names, else the one that was chosen, else the browser's first."""

from collections.abc import Iterable
from functools import lru_cache

from babel.core import negotiate_locale
from fastapi import Request
from werkzeug.http import parse_accept_header

from recsys.serving.pages.words import ENGLISH, LANGUAGES

CHOSEN = "language"  # the parameter of a link, and the cookie that the switch sets, by its script alone

VARY = "Accept-Encoding, Accept-Language, Cookie"
"""What decides, beside the address, how a page is answered."""


def language_of(request: Request) -> str:
    """Return the language of the page that a request asks for; where it knows none of ours, English."""
    named, chosen = request.query_params.get(CHOSEN), request.cookies.get(CHOSEN)
    accepted = request.headers.get("accept-language", "")
    return _ours(each for each in (named, chosen) if each) or _accepted(accepted) or ENGLISH


@lru_cache(256)
def _accepted(header: str) -> str | None:
    """Return what ``Accept-Language`` (RFC 9110, 12.5.4) likes best of ours."""
    wanted = parse_accept_header(header)  # the best first
    return _ours(tag for tag, weight in wanted if weight > 0)


def _ours(wanted: Iterable[str]) -> str | None:
    """Return the first of some languages that is ours; pt-BR and pt-PT are pt."""
    return negotiate_locale([tag.lower() for tag in wanted], LANGUAGES, sep="-")
