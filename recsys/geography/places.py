"""The tree of public places: the world, its countries, their regions, and which of them an H3 cell lies in."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import h3

Level = Literal["region", "country", "world"]

WORLD = "world"


@dataclass(frozen=True)
class Place:
    """A node of the tree world -> country -> region.

    Parameters
    ----------
    id : str
        An H3 cell for a region, an ISO 3166-1 alpha-2 code for a country, ``world`` for the world.
    name : str
        A region is named after its largest city.
    country : str or None
        Name of the country; None for the world.
    level : {"region", "country", "world"}
    parent : str or None
        The id of the next larger place; None for the world.
    latitude, longitude : float
        Degrees: the centre of a region's cell, a country's largest city, 0 and 0 for the world.
    population : int
        People in its cities, by GeoNames.
    """

    id: str
    name: str
    country: str | None
    level: Level
    parent: str | None
    latitude: float
    longitude: float
    population: int


def chain(place: str, *, parent_of: Callable[[str], str | None]) -> Iterator[str]:
    """Yield the id of a place, then those of the larger places it lies in, up to the world."""
    here: str | None = place
    while here is not None:
        yield here
        here = parent_of(here)


def place_of_cell(cell: str, *, is_region: Callable[[str], bool], country_of: Callable[[str], str | None]) -> str:
    """Return the id of the place in which an H3 cell (hex string) lies.

    The finest of the cell's ancestors-or-self that is a region; else the country that public geography gives to the
    finest of them that it gives to any; else the world.

    Parameters
    ----------
    cell : str
    is_region : callable
        Whether a cell is a region.
    country_of : callable
        The id of the country that public geography gives a cell to, or None.
    """
    ancestors = [h3.cell_to_parent(cell, resolution) for resolution in range(h3.get_resolution(cell), -1, -1)]
    region = next(filter(is_region, ancestors), None)
    return region or next(filter(None, map(country_of, ancestors)), WORLD)
