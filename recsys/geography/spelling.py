"""How names are compared: one spelling for the atlas, the snapshot's search column and the endpoint's queries."""

import unicodedata


def searchable(name: str) -> str:
    """Return a name without case and accents, as people type it."""
    decomposed = unicodedata.normalize("NFKD", name.casefold())
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter)).strip()
