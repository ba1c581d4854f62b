"""Messages: texts in English that remember what they were made of, so that a page can say them in another language.

Where an English text is all that is needed, as in an answer of the endpoint, a message is one. The pages say it anew
from its template, which is the key of the catalogues in ``recsys/serving/pages/languages``. There a name stands alone,
as no two languages bend it alike: "Lisbon: ...", not "in Lisbon".
"""

import re
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from typing import Literal, Self

Value = str | int | Decimal | date | tuple[str, ...]
First = Literal["upper", "lower", ""]


class Message(str):
    """A text in English, made of a template by :func:`said` and :func:`counted`, or of other texts.

    Attributes
    ----------
    template, plural : str
        With its values' names in braces; ``plural`` is empty where nothing is counted, and both where the text is made
        of ``parts``.
    number : int
        What is counted, by the name ``n`` in the templates.
    values : mapping of str to Value
        By name: text, numbers, dates, and tuples, one text of which holds.
    first : {"upper", "lower", ""}
        How the first letter is written; as it is where empty.
    parts : sequence of str
        Sentences.
    """

    template: str
    plural: str
    number: int
    values: dict[str, Value]
    first: First
    parts: Sequence[str]

    @classmethod
    def of(
        cls, template: str, plural: str = "", *, number: int = 1, values: dict[str, Value], first: First = ""
    ) -> Self:
        """Return a message of a template and its values."""
        chosen = template if number == 1 or not plural else plural
        made = cls(begun(chosen.format(**{name: _in_english(value) for name, value in values.items()}), first))
        made.template, made.plural, made.number, made.values, made.first = template, plural, number, values, first
        made.parts = ()
        return made

    def begun(self, first: First) -> Self:
        """Return the same with another first letter, as it stands at the beginning or within a sentence."""
        made = type(self)(begun(self, first))
        made.__dict__ |= self.__dict__ | {"first": first}
        return made


def said(template: str, /, **values: Value) -> Message:
    """Return a message, as ``said("Popular in {place}.", place="Lisbon")``."""
    return Message.of(template, values=values)


def counted(one: str, many: str, n: int, /, **values: Value) -> Message:
    """Return a message whose words depend on a number, which both templates may name as ``{n}``."""
    return Message.of(one, many, number=n, values={"n": n, **values})


def sentences(*parts: str) -> Message:
    """Return a message of several, one after the other; of those that are not empty."""
    some = [part for part in parts if part]
    made = Message(" ".join(some))
    made.template, made.plural, made.number, made.values, made.first, made.parts = "", "", 1, {}, "", some
    return made


def template(text: str) -> str:
    """Return a template for later; it is a call of this by which those who fill the catalogues find it."""
    return text


def forms(one: str, many: str) -> tuple[str, str]:
    """Return the two templates of what is counted, for later."""
    return one, many


class Country(str):
    """The name of a country in English, which remembers its code (ISO 3166-1), by which other languages know it."""

    code: str

    @classmethod
    def of(cls, name: str, code: str) -> Self:
        """Return the name of a country."""
        made = cls(name)
        made.code = code
        return made


def begun(text: str, first: First) -> str:
    """Return a text whose first letter is large or small."""
    if not first:
        return text
    return (text[:1].upper() if first == "upper" else text[:1].lower()) + text[1:]


def recognised(text: str, templates: Iterable[str]) -> str:
    """Return a text that lost its memory, as in a file, as the message that it was, of one of some templates.

    A text that is of none of them comes back as it is.
    """
    for each in templates:
        parts = re.split(r"\{(\w+)\}", each)
        pattern = "".join(f"(?P<{part}>.+?)" if at % 2 else re.escape(part) for at, part in enumerate(parts))
        found = re.fullmatch(pattern, text)
        if found:
            return Message.of(each, values={name: _as_number(value) for name, value in found.groupdict().items()})
    return text


def _as_number(text: str) -> Value:
    return Decimal(text) if re.fullmatch(r"\d+(\.\d+)?", text) else text


def _in_english(value: Value) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, date):
        return value.isoformat()
    return " or ".join(value) if isinstance(value, tuple) else f"{value:,}"
