"""Which place a cell means, and which larger places it lies in."""

import re
from collections.abc import Iterator

import h3

from recsys.artifacts.chart_database import PublishedPlace
from recsys.errors import InputError, PositionError, UnknownPlaceError
from recsys.geography import places
from recsys.geography.places import Place, place_of_cell
from recsys.geography.positions import FINEST
from recsys.messages import template
from recsys.serving.snapshot.snapshot_reader import Published

_HINT = f"Send an H3 cell of resolution {FINEST} or coarser, as 15 hexadecimal digits, or no cell at all."


def coarse_cell(text: str) -> str:
    """Return a cell as H3 writes it, after checking that it is one and not too fine.

    Raises
    ------
    PositionError
        If the cell is finer than resolution 5.
    InputError
        If it is no H3 cell.
    """
    cell = text.lower()
    if not re.fullmatch(r"[0-9a-f]{15}", cell) or not h3.is_valid_cell(cell):
        raise InputError("the cell is not an H3 cell", hint=_HINT)
    if h3.get_resolution(cell) > FINEST:
        raise PositionError(f"the cell is finer than resolution {FINEST}", hint=_HINT)
    return cell


def place_of(cell: str, *, published: Published) -> PublishedPlace:
    """Return the place that a cell means, by the rule of the nightly job."""
    return published.places[
        place_of_cell(cell, is_region=published.places.__contains__, country_of=published.country_of)
    ]


def place_named(place_id: str, *, published: Published) -> PublishedPlace:
    """Return the place with an id, in whatever case it is written.

    Raises
    ------
    UnknownPlaceError
        If the atlas has no such place; the message does not repeat what was asked.
    """
    known = (published.places.get(each) for each in (place_id, place_id.upper(), place_id.lower()))
    place = next(filter(None, known), None)
    if place is None:
        raise UnknownPlaceError(
            template("there is no place with this id"), hint="Search the places with /v1/regions?q=NAME."
        )
    return place


def chain(place: Place, *, published: Published) -> Iterator[PublishedPlace]:
    """Yield a place, then the larger places it lies in, up to the world."""
    ids = places.chain(place.id, parent_of=lambda here: published.places[here].parent)
    return map(published.places.__getitem__, ids)
