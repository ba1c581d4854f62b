"""Words: how a page says texts, numbers, dates and names of places in its language.

The catalogues in ``languages/`` are gettext's: the key of a text is the text in English, so that templates stay
readable, and what has no translation is English. They are read as they are, once, and nothing compiled is kept.
Numbers, dates and names of countries are Unicode's (CLDR, through the package babel). ``words.js`` says the same in the
browser, with the catalogue that :func:`script_of` gives it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import cached_property, lru_cache
from io import BytesIO
from pathlib import Path

from babel import Locale
from babel.dates import format_date
from babel.lists import format_list
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import get_decimal_symbol, get_group_symbol
from babel.support import Translations
from markupsafe import Markup

from recsys.messages import Country, Message, Value, begun

CATALOGUES = Path(__file__).parent / "languages"

LANGUAGES = {
    "en": "English",
    "de": "Deutsch",
    "es": "Español",
    "fr": "Français",
    "ja": "日本語",
    "pt": "Português",
}
"""The languages of the pages, as they call themselves; the first one is that of the texts."""

ENGLISH = next(iter(LANGUAGES))

_CLDR = {"en": "en_GB"}  # the spelling of our texts: 31 October; the others are written alike wherever they are read
_UNBROKEN = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class Words:
    """A language of the pages.

    Parameters
    ----------
    language : str
        Its code.
    translations : Translations
        Its catalogue; of English an empty one.
    """

    language: str
    translations: Translations = field(repr=False)

    def say(self, text: str) -> str:
        """Return a message in this language; another text as it is."""
        if not isinstance(text, Message):
            return self._called(text) if isinstance(text, Country) else text
        if not text.template:
            return self._space.join(map(self.say, text.parts))
        if text.plural:
            template = self.translations.ungettext(text.template, text.plural, text.number)
        else:
            template = self.translations.ugettext(text.template)
        return begun(template.format(**{name: self._said(value) for name, value in text.values.items()}), text.first)

    def number(self, number: int | Decimal) -> str:
        """Return a number with the digits that it has."""
        text = f"{number:,}"
        return text if text.isdigit() else text.translate(self._separators)

    def day(self, day: date | str) -> str:
        """Return a date, which no line breaks within."""
        return _date(day if isinstance(day, date) else date.fromisoformat(day), self.language)

    def time(self, day: date | str) -> Markup:
        """Return a date for a page, which programs can read as well."""
        return Markup('<time datetime="{}">{}</time>').format(day, self.day(day))

    def _said(self, value: Value) -> str:
        if isinstance(value, str):
            return self.say(value)
        if isinstance(value, date):
            return self.day(value)
        return self._either(value) if isinstance(value, tuple) else self.number(value)

    def _either(self, several: Sequence[str]) -> str:
        return format_list([self.say(each) for each in several], style="or", locale=self._locale)

    def _called(self, country: Country) -> str:
        """Return the name of a country; in English it is that of the atlas, as everywhere else."""
        if self.language == ENGLISH:
            return country
        return str(self._locale.territories.get(country.code, country))

    @cached_property
    def _locale(self) -> Locale:
        return _locale(self.language)

    @cached_property
    def _separators(self) -> Mapping[int, str]:
        return {ord(","): get_group_symbol(self._locale), ord("."): get_decimal_symbol(self._locale)}

    @property
    def _space(self) -> str:
        return "" if self.language == "ja" else " "


@lru_cache(len(LANGUAGES))
def words_in(language: str) -> Words:
    """Return a language; its catalogue takes some milliseconds to read, once."""
    if language == ENGLISH:
        return Words(language, Translations())
    compiled = BytesIO()
    write_mo(compiled, catalogue(language))
    compiled.seek(0)
    return Words(language, Translations(compiled))


def catalogue(language: str) -> Catalog:
    """Return the catalogue of a language, as it lies in its file."""
    with (CATALOGUES / f"{language}.po").open("rb") as file:
        return read_po(file, locale=language)


@lru_cache(len(LANGUAGES))
def script_of(language: str) -> bytes:
    """Return what the browser needs of a catalogue as a script: the texts that our scripts use, and its plural."""
    found = catalogue(language)
    texts = {_key(each.id): each.string for each in found if each.id and _is_of_scripts(each.locations)}
    words = json.dumps(texts, ensure_ascii=False, separators=(",", ":"))
    return f"globalThis.words={words};globalThis.plural=n=>+({found.plural_expr});\n".encode()


def _key(id_: str | Sequence[str]) -> str:
    return id_ if isinstance(id_, str) else id_[0]


def _is_of_scripts(locations: Sequence[tuple[str, int | None]]) -> bool:
    return any(path.endswith(".js") for path, _ in locations)


@lru_cache(1024)  # the dates of the nights that there are
def _date(day: date, language: str) -> str:
    return format_date(day, "long", locale=_locale(language)).replace(" ", _UNBROKEN)


@lru_cache(len(LANGUAGES))
def _locale(language: str) -> Locale:
    return Locale.parse(_CLDR.get(language, language))
