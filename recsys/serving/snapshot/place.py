"""Which place a cell means, and which larger places it lies in."""

import re
from collections.abc import Iterator

import h3

from recsys.errors import InputError, PositionError, UnknownPlaceError
from recsys.serving.requests.positions import FINEST
from recsys.serving.snapshot.snapshot_reader import WORLD, Place, Published

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


def place_of(cell: str, *, published: Published) -> Place:
    """Return the place that a cell means, by the same rule as the nightly job.

    It is the first region among the cell and its ancestors, from fine to coarse; else the country that public
    geography gives to the cell or its nearest ancestor; else the world.
    """
    ancestors = [h3.cell_to_parent(cell, resolution) for resolution in range(h3.get_resolution(cell), -1, -1)]
    regions = (published.places.get(ancestor) for ancestor in ancestors)
    countries = (published.places.get(published.country_of(ancestor) or "") for ancestor in ancestors)
    found = next(filter(None, regions), None) or next(filter(None, countries), None)
    return found or published.places[WORLD]


def place_named(place_id: str, *, published: Published) -> Place:
    """Return the place with an id.

    Raises
    ------
    UnknownPlaceError
        If the atlas has no such place; the message does not repeat what was asked.
    """
    place = published.places.get(place_id)
    if place is None:
        raise UnknownPlaceError("there is no place with this id", hint="Search the places with /v1/regions?q=NAME.")
    return place


def chain(place: Place, *, published: Published) -> Iterator[Place]:
    """Yield a place, then the larger places it lies in, up to the world."""
    yield place
    while place.parent is not None:
        place = published.places[place.parent]
        yield place
