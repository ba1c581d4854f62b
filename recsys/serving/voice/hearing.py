"""How names are compared by ear: texts as recognisers write them, and one spelling for what sounds alike."""

import re

from rapidfuzz.distance import Indel

from recsys.geography.spelling import searchable
from recsys.serving.voice.numbers import with_digits


def heard(text: str) -> str:
    """Return a text as it is compared: in the spelling of place names, without any sign but letters and digits."""
    return " ".join(without_signs(searchable(text)).split())


def without_signs(text: str) -> str:
    """Return a text, or several in lines, with nothing but letters, digits and spaces."""
    return _SIGNS.sub(" ", text)


def plain(text: str, language: str) -> str:
    """Return a text that was heard, or several in lines, with digits for number words and without "and"."""
    return _AND[language].sub("", with_digits(text, language))


def sounds(text: str) -> str:
    """Return roughly how a text, or several in lines, sounds in languages of Latin letters; spaces do not count.

    No two languages read letters alike, so this is coarse: it brings homophones together (sea and see, night and nite,
    kork and Cork) and what accents, doubled and silent letters leave apart. What is written in other scripts stays.
    """
    for pattern, sound in _SOUNDS:
        text = pattern.sub(sound, text)
    return text


likeness = Indel.normalized_similarity
"""Returns how alike two texts are, 0 to 1: the share of letters in common, in their order."""


_SIGNS = re.compile(r"[^\w\s]|_")
_AND = {
    language: re.compile(rf"\b(?:{words})\b")
    for language, words in {"en": "and", "de": "und", "es": "y|e", "fr": "et", "ja": "と", "pt": "e"}.items()
}
_SOUNDS = [
    (re.compile(pattern, re.MULTILINE), sound)
    for pattern, sound in (
        (r"\bkn", "n"),
        (r"\bwr", "r"),
        (r"(?<=[aeiou])gh", ""),
        (r" ", ""),
        (r"ph", "f"),
        (r"[ts]?ch(?=[aeiouy]|$)|tsch|sch|sh", "s"),
        (r"qu|ck|q", "k"),
        (r"c(?=[eiy])|z", "s"),
        (r"c", "k"),
        (r"x", "ks"),
        (r"h", ""),
        (r"w|v", "v"),
        (r"j|g(?=[eiy])", "g"),
        (r"[eiy]+[aeiouy]*", "e"),
        (r"[ou]+[aeiouy]*", "o"),
        (r"a[aeiouy]*", "a"),
        (r"([a-z])\1+", r"\1"),
        (r"(?<=[a-z]{2})e$", ""),
    )
]
