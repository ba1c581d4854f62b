"""What reads like a position: names of parameters, and texts with degrees or too fine a cell in them.

A lone whole number cannot be told from any other number, nor two with a dash between them from a date or a part of an
opaque word. Every other value that could be degrees counts as such, even where it was meant otherwise.
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
    return any(_reads_like_degrees(form) or any(map(_fine, _CELL.findall(form))) for form in _forms(text))


def mentions_position(text: str) -> bool:
    """Tell whether a header's value holds a position; headers are full of innocent numbers, so that it takes more."""
    return any(_PAIR.search(form) or _says_position(form) for form in _forms(text))


def _reads_like_degrees(form: str) -> bool:
    """Tell whether a text, apart from dates in it, has a number that may be degrees, or two that may be a place."""
    text = _DATE.sub(" ", form)
    if _WRITTEN.search(text):
        return True
    numbers = (found for pattern in _DECIMALS for found in pattern.findall(text))
    return any(map(_is_degree, numbers)) or any(_is_degree(a) and _is_degree(b) for a, b in _PAIRS.findall(text))


def _is_degree(whole: str) -> bool:
    """Tell whether the whole part of a number is one of degrees, or of as many digits as their millionths have."""
    return int(whole) <= _MOST if len(whole) <= _DIGITS else len(whole) >= 2 * _DIGITS


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

_MOST, _DIGITS = 180, 3  # of degrees
_DATE = re.compile(
    r"(?<![^\W_])\d{4}-[01]\d(?:-[0-3]\d(?:[T _][0-2]\d:[0-5]\d(?::[0-6]\d(?:\.\d+)?)?Z?)?)?(?![^\W_]|[.,]\d)",
    re.IGNORECASE,
)
# The whole parts of decimals, in any script's digits. Opaque words and versions are full of shorter ones: 1.2.3, v1.2.
_DECIMALS = tuple(
    re.compile(pattern)
    for pattern in (
        r"^[\W_]*(\d+)[.,٫]\d+[\W_]*$",  # 38.7  -9.1  alone
        r"(?<![\w.])[-+−](\d+)[.,٫]\d",  # (-9.1
        r"(?<![^\W_]|\.)(\d+)[.,٫]\d{2,}+(?!\.\d)",  # at 38.71
        r"(?<=[^\W\d_])(\d+)[.,٫]\d{3,}+(?!\.\d)",  # lat38.716
    )
)
_NUMBER = r"(\d+)(?:[.,٫]\d+)?"
_PAIRS = re.compile(  # 38;9  38 -9  38/-9  38.7/9.1, but 2026/11 and 38-9 are none
    rf"(?<![^\W_]|\.){_NUMBER}(?:[\s,;|]+[-+−]?|[\s,;|/_]+[-−]){_NUMBER}(?![^\W_])"
)
_DEGREES = re.compile(r"\d\s*[°˚]|\dº\s*\d|(?<![^\W_])\d{1,3}\s?[ns]\W*\d{1,3}\s?[ew]\b", re.IGNORECASE)
_COMPASS = re.compile(  # N38 43 W9 8
    r"(?<![^\W_])[ns]\s?\d{1,2}(?![^\W_])[\W\d]{1,12}?(?<![^\W_])[ew]\s?\d{1,3}(?![^\W_])", re.IGNORECASE
)
_SLASHED = re.compile(r"(?<!\d)\d{1,9}\.\d+(?:[^\w.]|_)+\d{1,9}\.\d|\d{2,6}[-+]\d{3,7}/$")  # 38.7/9.1 and ISO 6709
_NAMED = re.compile(r"\b(?:lat|latitude|lon|lng|long|longitude)\b[\"']?\s*[=:]\s*[\"']?[-+]?\d", re.IGNORECASE)
_WRITTEN = re.compile("|".join(f"(?:{each.pattern})" for each in (_DEGREES, _COMPASS, _SLASHED, _NAMED)), re.IGNORECASE)
_DIGIT = re.compile(r"[\d%]")  # and what may be read as one: without any there is neither a number nor a cell
_PAIR = re.compile(r"(?<![\d.])\d{1,3}\.\d{2,}(?:\s*[,;]\s*|\s+)[-+]?\d{1,3}\.\d{2,}(?![\d.])")
_CELL = re.compile(r"(?<![0-9a-f])[0-9a-f]{15,16}(?![0-9a-f])", re.IGNORECASE)
