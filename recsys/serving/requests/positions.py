"""What reads like a position: names of parameters, and texts with degrees or too fine a cell in them.

A lone whole number cannot be told from any other number; everything else that reads like degrees counts as such, even
where it was meant otherwise.
"""

import re
import unicodedata
from collections.abc import Iterable
from urllib.parse import unquote

import h3

FINEST = 5  # the finest H3 resolution that a request may name (section 3.4); on average 253 km²


def names_position(name: str) -> bool:
    """Tell whether a parameter, header or claim is called after a position, as ``user_lat`` or ``Geo-Position`` are."""
    plain = unicodedata.normalize("NFKC", unquote(name))
    words = {word.casefold() for pattern in (_WORD, _CAMEL_WORD) for word in pattern.findall(plain)}
    return bool(words & _POSITION_WORDS) or _WITHIN_A_WORD.search(plain.casefold()) is not None


def holds_position(text: str) -> bool:
    """Tell whether a path or a parameter, whose form is ours to define, reads like degrees or too fine a cell."""
    if text.isascii() and not _DIGIT.search(text):
        return False
    return any(_POSITION.search(form) or any(map(_fine, _CELL.findall(form))) for form in _forms(text))


def mentions_position(text: str) -> bool:
    """Tell whether a header's value holds a position; headers are full of innocent numbers, so that it takes more."""
    return any(_PAIR.search(form) or _says_position(form) for form in _forms(text))


def _says_position(form: str) -> bool:
    """Tell whether a text gives something the name of a position; most have no sign to do it with."""
    return (":" in form or "=" in form) and (_NAMED.search(form) is not None or "geo:" in form.casefold())


def _forms(text: str) -> Iterable[str]:
    """Yield a text as it came and as it reads in plain digits, then the same after each further percent-decoding."""
    for _ in range(4):
        yield text
        if not text.isascii():
            yield unicodedata.normalize("NFKC", text)
        decoded = unquote(text)
        if decoded == text:
            return
        text = decoded


def _fine(cell: str) -> bool:
    return bool(h3.is_valid_cell(cell.lower())) and h3.get_resolution(cell.lower()) > FINEST


_WORD = re.compile(r"[^\W\d_]+")
_CAMEL_WORD = re.compile(r"[A-Z]?[^\W\d_A-Z]+|[A-Z]+")
# fmt: off
_POSITION_WORDS = frozenset((
    "coord", "coordinate", "coordinates", "coords", "geo", "geocode", "geohash", "geom", "geometry", "gps",
    "lat", "latlong", "lng", "lnglat", "loc", "location", "lon", "long", "lonlat", "pos", "position", "whereabouts",
))
# fmt: on
_WITHIN_A_WORD = re.compile(r"latitude|longitude|geolocation|geoposition|geopoint|latlon|latlng")

_NUMBERS = re.compile(r"\d[\W_]+\d")  # 38.7  38,7  38.7,-9.1  38 -9  38°43'  and the same in other scripts' digits
_DEGREES = re.compile(r"\d\s*[°˚]|\dº\s*\d|\d\s?[ns]\W*\d{1,3}\s?[ew]\b", re.IGNORECASE)
_NAMED = re.compile(r"\b(?:lat|latitude|lon|lng|long|longitude)\b[\"']?\s*[=:]\s*[\"']?[-+]?\d", re.IGNORECASE)
_POSITION = re.compile("|".join(f"(?:{each.pattern})" for each in (_NUMBERS, _DEGREES, _NAMED)), re.IGNORECASE)
_DIGIT = re.compile(r"[\d%]")  # and what may be read as one: without any there is neither a number nor a cell
_PAIR = re.compile(r"(?<![\d.])\d{1,3}\.\d{2,}(?:\s*[,;]\s*|\s+)[-+]?\d{1,3}\.\d{2,}(?![\d.])")
_CELL = re.compile(r"(?<![0-9a-f])[0-9a-f]{15,16}(?![0-9a-f])", re.IGNORECASE)
