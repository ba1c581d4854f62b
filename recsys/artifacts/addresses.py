"""Addresses of pages: readable, and each with an id at its end, so that a new name breaks no link.

Every address of a page ends in a slash: as files, pages are folders with an ``index.html``, which any server finds.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from recsys.artifacts.chart_history import mark_of
from recsys.geography.places import WORLD, Place
from recsys.geography.positions import holds_position
from recsys.geography.spelling import searchable

_LONGEST = 60  # letters of a name


def place_address(place: Place, chart: str = "popular") -> str:
    """Return where a place's chart is."""
    name = WORLD if place.id == WORLD else _named(place.name, place.id)
    return f"/places/{name}/" if chart == "popular" else f"/places/{name}/{chart}/"


def past_address(place: Place) -> str:
    """Return where a place's earlier nights are."""
    return f"{place_address(place)}history/"


def next_week_address(place: Place) -> str:
    """Return where the forecast of a place is."""
    return f"{place_address(place)}next-week/"


def song_address(track_id: str, title: str) -> str:
    """Return where a track's page is."""
    return f"/songs/{_named(title, mark_of(track_id))}/"


def artist_address(artist_id: str, artist: str) -> str:
    """Return where an artist's page is."""
    return f"/artists/{_named(artist, mark_of(artist_id))}/"


def pages_of(item: Mapping[str, Any]) -> dict[str, str]:
    """Return where the pages of an item's track and, where it is known, of its artist are."""
    pages = {"page": song_address(item["track_id"], item["title"])}
    return pages | {"artist_page": artist_address(item["artist_id"], item["artist"])} if "artist_id" in item else pages


def answer_address(kind: str, id_: str) -> str:
    """Return where what a page tells is as JSON: an id may be any text, and then its letters stand for it."""
    return f"/v1/{kind}/{id_ if _PLAIN.fullmatch(id_) else mark_of(id_)}.json"


def longest_addresses() -> dict[str, str]:
    """Return addresses of a song and of an artist that are as long as any."""
    letters = "m" * _LONGEST
    return {"page": song_address("", letters), "artist_page": artist_address("", letters)}


def id_in(name: str) -> str:
    """Return the id at the end of a name in an address."""
    return name.rpartition("-")[2]


def song_in(name: str) -> str:
    """Return the letters for a song or an artist at the end of a name in an address, or the name, which may be an id.

    Ids may have hyphens: what stands behind the last one is no id.
    """
    return id_in(name) if _MARK.fullmatch(id_in(name)) else name


@lru_cache(maxsize=10_000)  # the pages of a night name each song and artist many times
def _named(name: str, id_: str) -> str:
    words = "-".join(_WORD.findall(searchable(name)))[:_LONGEST].strip("-")
    is_fine = not _NUMBERS.search(words) or not holds_position(f"/{words}/")
    return f"{words}-{id_}" if words and is_fine else id_


_WORD = re.compile("[a-z0-9]+")
_NUMBERS = re.compile(
    r"\d\D+\d|[0-9a-f]{15}"
)  # of words a position takes two numbers or a cell: most need no closer look
_MARK = re.compile("[a-p]{16}")
_PLAIN = re.compile("[0-9A-Za-z_-]{1,100}")
