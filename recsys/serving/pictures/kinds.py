"""Kinds of pictures: one of the listener, and a cover for each of the lists that every listener has."""

from collections.abc import Sequence

from recsys.consents.pictures import PROFILE
from recsys.settings import ImagesSettings

LISTS: Sequence[str] = ("trending", "twin")
"""The lists of a listener, called as in their addresses: names of ours, so that no text of anybody's has to be kept."""

KINDS: Sequence[str] = (PROFILE, *(f"covers/{name}" for name in LISTS))


def side_of(kind: str, settings: ImagesSettings) -> int:
    """Return how many pixels a side of a picture has."""
    return settings.profile_side if kind == PROFILE else settings.cover_side


def bytes_of(kind: str, settings: ImagesSettings) -> int:
    """Return how long every picture of a kind is, with zeros behind it: two bits a pixel, good for most as they are."""
    return side_of(kind, settings) ** 2 // 4
