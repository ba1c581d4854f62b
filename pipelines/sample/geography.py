"""Where the listeners of a sample world live: scenes around real cities, and positions scattered as real ones are."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import polars_h3

from recsys.geography.atlas import Atlas

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# Cities in which the app was launched, the one with most listeners first.
CITIES = (
    *(("PT", "Lisbon"), ("DE", "Berlin"), ("BR", "São Paulo"), ("JP", "Tokyo"), ("ES", "Madrid"), ("NG", "Lagos")),
    *(("IE", "Dublin"), ("PT", "Porto"), ("UY", "Montevideo"), ("SN", "Dakar"), ("DE", "Hamburg"), ("ES", "Barcelona")),
    *(
        ("BR", "Rio de Janeiro"),
        ("JP", "Osaka"),
        ("JM", "Kingston"),
        ("NG", "Abuja"),
        ("DE", "Munich"),
        ("PT", "Braga"),
    ),
    *(("ES", "Valencia"), ("JP", "Sapporo"), ("BR", "Recife"), ("IE", "Cork"), ("PT", "Coimbra"), ("NG", "Ibadan")),
    *(("DE", "Leipzig"), ("JP", "Fukuoka"), ("BR", "Salvador"), ("PT", "Funchal"), ("IE", "Galway"), ("ES", "Sevilla")),
    *(("SN", "Thiès"), ("PT", "Évora"), ("BR", "Manaus"), ("JM", "Montego Bay"), ("SN", "Saint-Louis"), ("PT", "Faro")),
    *(("IE", "Limerick"), ("PT", "Guarda")),
)
COUNTRIES = tuple(sorted({country for country, _ in CITIES}))
# Countries where the app is launched everywhere. In the others it is launched in the cities above alone: a release
# covers every region of a country in the service area, and the noise of a country's sum grows with their number.
WHOLE = ("IE", "JM", "PT", "SN", "UY")
LAUNCH_KM = 20.0  # a launch in a city is one in the regions whose centres lie as near
METRO_KM = 15.0  # listeners of a city live around the GeoNames places as near to its centre

LARGEST, SECOND, DECAY = (
    2_800.0,
    650.0,
    0.75,
)  # listeners a night: the largest scene, the next, and the others' power law
COUNTRYSIDE = 0.05  # of a country's listeners, those who live around its towns and villages
TOWN = 40_000  # people: larger places are no countryside

# Fitted by maximum likelihood to 742,187 geotagged listens on a 0.1 degree grid, in discs of 60 km around the 150
# largest cities with listens that lie 120 km or more apart (each disc weighs the same): a place of p people draws
# listeners in proportion to p^1.2, with density (1 + (r/s)^2)^-1.87 at r km, where s = 3.43 km (p/100,000)^0.18. Half
# of the listeners of a city of 100,000 are within 3.8 km, one in fifty is beyond 32 km.
ATTRACTION = 1.2
SCALE_KM, SCALE_GROWTH = 3.43, 0.18
TAIL = 1.87 - 1  # the power of the survival function
REACH_KM = 60.0
SMALLEST = 2_000  # people: smaller places were not in the fit

KM_PER_DEGREE = 111.2


@dataclass(frozen=True)
class Scene:
    """People who share a taste: a city with its surroundings, or a country's countryside.

    Parameters
    ----------
    name : str
        The city's; ``Portugal`` for a countryside.
    country : str
        ISO 3166-1 alpha-2.
    listeners : float
        A night, on average.
    latitude, longitude : float
        Degrees: the centre of the city; of the country's largest city for a countryside.
    towns : polars.DataFrame
        The GeoNames places around which its listeners live: latitude, longitude, population.
    is_city : bool
    """

    name: str
    country: str
    listeners: float
    latitude: float
    longitude: float
    towns: pl.DataFrame
    is_city: bool


def scenes(atlas: Atlas, *, size: float) -> tuple[Scene, ...]:
    """Return the cities, the largest first, then the countrysides; ``size`` scales their listeners."""
    cities = tuple(_city(atlas, country, name, size * _listeners(rank)) for rank, (country, name) in enumerate(CITIES))
    return (*cities, *(_countryside(atlas, country, cities) for country in COUNTRIES))


def service_area(atlas: Atlas) -> tuple[str, ...]:
    """Return what the sample's releases cover: whole countries, and regions near cities of the other countries.

    It follows from the list of cities and public geography alone, never from where listeners are.
    """
    centres = [_find(atlas, country, name) for country, name in CITIES if country not in WHOLE]
    regions = [place for place in atlas.places.values() if place.level == "region"]
    latitudes, longitudes = np.array([(place.latitude, place.longitude) for place in regions]).T
    near = np.any([distance_km(*centre, latitudes, longitudes) <= LAUNCH_KM for centre in centres], axis=0)
    return (*WHOLE, *sorted(place.id for place, is_near in zip(regions, near, strict=True) if is_near))


def scatter(scene: Scene, count: int, *, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Draw positions of a scene's listeners.

    Returns
    -------
    latitudes, longitudes : ndarray, shape (count,)
        Degrees with 4 decimals (11 m).
    """
    people = scene.towns["population"].to_numpy().astype(float)
    attraction = np.cumsum(people**ATTRACTION)
    town = np.searchsorted(attraction / attraction[-1], rng.random(count), side="right").clip(0, len(people) - 1)
    scale = SCALE_KM * (people[town] / 1e5) ** SCALE_GROWTH
    within_reach = 1 - (1 + (REACH_KM / scale) ** 2) ** -TAIL
    radius = scale * np.sqrt((1 - rng.random(count) * within_reach) ** (-1 / TAIL) - 1)
    bearing = rng.random(count) * 2 * np.pi
    north, east = radius * np.cos(bearing) / KM_PER_DEGREE, radius * np.sin(bearing) / KM_PER_DEGREE
    latitude = scene.towns["latitude"].to_numpy()[town]
    longitude = scene.towns["longitude"].to_numpy()[town] + east / np.cos(np.radians(latitude))
    return np.round(latitude + north, 4), np.round(longitude, 4)


def locate(atlas: Atlas, latitudes: Floats, longitudes: Floats) -> pl.Series:
    """Return the part of the atlas in which each position lies, whether served or not."""
    cells = cells_of(latitudes, longitudes, resolution=atlas.settings.finest_resolution)
    parts = {cell: atlas.part_of_cell(cell) for cell in cells.unique()}
    return cells.replace_strict(parts, return_dtype=pl.String)


def cells_of(latitudes: Floats, longitudes: Floats, *, resolution: int) -> pl.Series:
    """Return the H3 cells (hex strings) of positions."""
    frame = pl.DataFrame({"latitude": latitudes, "longitude": longitudes})
    cell = polars_h3.latlng_to_cell("latitude", "longitude", resolution, return_dtype=pl.String)
    return frame.select(cell.alias("cell")).to_series()


def distance_km(latitude: float, longitude: float, to_latitude: Floats | float, to_longitude: Floats | float) -> Floats:
    """Return the great-circle distances from a point to others, or to one, in km (the haversine formula)."""
    here, there, turn = (np.radians(x) for x in (latitude, to_latitude, to_longitude - longitude))
    half = np.sin((there - here) / 2) ** 2 + np.cos(here) * np.cos(there) * np.sin(turn / 2) ** 2
    return np.asarray(2 * 6371 * np.arcsin(np.sqrt(half)))


def _listeners(rank: int) -> float:
    return LARGEST if rank == 0 else SECOND * rank**-DECAY


def _city(atlas: Atlas, country: str, name: str, listeners: float) -> Scene:
    latitude, longitude = _find(atlas, country, name)
    towns = _towns(atlas, country)
    away = distance_km(latitude, longitude, towns["latitude"].to_numpy(), towns["longitude"].to_numpy())
    return Scene(name, country, listeners, latitude, longitude, towns.filter(away <= METRO_KM), is_city=True)


def _countryside(atlas: Atlas, country: str, cities: tuple[Scene, ...]) -> Scene:
    listeners = sum(_in_country(cities, country)) * COUNTRYSIDE / (1 - COUNTRYSIDE)
    towns = _towns(atlas, country).filter(pl.col("population") <= TOWN)
    place = atlas.places[country]
    return Scene(place.name, country, listeners, place.latitude, place.longitude, towns, is_city=False)


def _in_country(cities: tuple[Scene, ...], country: str) -> Iterator[float]:
    return (city.listeners for city in cities if city.country == country)


def _towns(atlas: Atlas, country: str) -> pl.DataFrame:
    large_enough = (pl.col("country") == country) & (pl.col("population") >= SMALLEST)
    return atlas.cities.filter(large_enough).select("latitude", "longitude", "population")


def _find(atlas: Atlas, country: str, name: str) -> tuple[float, float]:
    found = atlas.cities.filter((pl.col("country") == country) & (pl.col("name") == name)).row(0, named=True)
    return found["latitude"], found["longitude"]
