"""How names are compared: one spelling for the atlas, the snapshot's index of names and what people ask for."""

import unicodedata
from itertools import filterfalse


def searchable(name: str) -> str:
    """Return a name without case, accents and punctuation, as people type it."""
    folded = name.casefold()
    if not folded.isascii():
        decomposed = unicodedata.normalize("NFKD", folded)
        folded = "".join(filterfalse(unicodedata.combining, decomposed))
    return " ".join(folded.translate(_LETTERS).split())


_LETTERS = str.maketrans(
    # What has no decomposition, though people type it without its stroke or as two letters.
    {"ł": "l", "ø": "o", "đ": "d", "ı": "i", "ħ": "h", "ŧ": "t", "ð": "d", "ŋ": "n", "ə": "e"}
    | {"æ": "ae", "œ": "oe", "þ": "th"}
    # d'Ivoire is divoire, St. Gallen is st gallen, Port-au-Prince is port au prince.
    | dict.fromkeys("'’‘ʻʼʹ`´.\u200b\u200c\u200d", "")
    | dict.fromkeys("-‐‑‒–—―,;()/·・", " ")
)
