"""The atlas: counted against the design's figures, and walked by hand for Portugal."""

import json
import pickle

import h3
import polars as pl
import pytest

from recsys.errors import InputError, SettingsError, UnknownPlaceError
from recsys.geography import atlas as atlas_
from recsys.geography.atlas import Atlas, load_atlas
from recsys.geography.spelling import searchable
from recsys.settings import load_settings

LISBON, SINTRA_CITY, ATLANTIC, ALENTEJO = (38.72, -9.14), (38.80, -9.38), (0.0, -30.0), (38.0, -8.0)


def narrowed(**keys: object) -> Atlas:
    return load_atlas(load_settings(overrides={"atlas": keys}).atlas)


def located(atlas: Atlas, *positions: tuple[float, float]) -> list[str | None]:
    cells = [h3.str_to_int(h3.latlng_to_cell(*position, 5)) for position in positions]
    frame = pl.LazyFrame({"cell": [*cells, None]}, schema={"cell": pl.UInt64})
    return atlas.locate(frame).collect()["part"].to_list()


def test_an_atlas_in_use_is_copied_to_another_process(world_atlas: Atlas) -> None:
    before = located(world_atlas, LISBON, ATLANTIC)
    for atlas in (world_atlas, world_atlas.without_cities):
        copied = pickle.loads(pickle.dumps(atlas))
        assert (copied.parts, located(copied, LISBON, ATLANTIC)) == (world_atlas.parts, before)


def test_as_many_regions_as_the_design_measured(world_atlas: Atlas) -> None:
    assert sum(place.level == "region" for place in world_atlas.places.values()) == 11_593


def test_regions_hold_enough_people_and_are_no_finer_than_allowed(world_atlas: Atlas) -> None:
    regions = [place for place in world_atlas.places.values() if place.level == "region"]
    assert min(region.population for region in regions) >= 100_000
    assert {h3.get_resolution(region.id) for region in regions} == {3, 4, 5}


def test_a_region_is_named_after_its_largest_city(world_atlas: Atlas) -> None:
    lisbon = world_atlas.find("Lisbon")
    assert (lisbon.name, lisbon.country, lisbon.parent, lisbon.level) == ("Lisbon", "Portugal", "PT", "region")
    assert lisbon.id == h3.latlng_to_cell(*LISBON, 5)


def test_the_tree_leads_from_a_region_to_the_world(world_atlas: Atlas) -> None:
    lisbon = world_atlas.find("Lisbon").id
    assert world_atlas.chain(lisbon) == (lisbon, "PT", "world")


def test_parts_are_disjoint_and_sum_to_their_places(world_atlas: Atlas) -> None:
    assert len(set(world_atlas.parts)) == len(world_atlas.parts)
    assert set(world_atlas.members["world"]) == set(world_atlas.parts)
    countries = [id_ for id_, place in world_atlas.places.items() if place.level == "country"]
    covered = [part for country in countries for part in world_atlas.members[country]]
    assert sorted([*covered, "world-rest"]) == list(world_atlas.parts)


def test_a_cell_belongs_to_its_finest_region_else_to_its_country_else_to_the_world(world_atlas: Atlas) -> None:
    lisbon, sintra, atlantic, alentejo, absent = located(world_atlas, LISBON, SINTRA_CITY, ATLANTIC, ALENTEJO)
    assert lisbon == world_atlas.find("Lisbon").id
    assert sintra == world_atlas.find("Sintra").id != lisbon
    assert atlantic == "world-rest"
    assert world_atlas.chain(world_atlas.place_of(str(alentejo)))[-2:] == ("PT", "world")
    assert absent is None


def test_where_charts_end_at_countries_a_city_counts_for_its_country() -> None:
    assert located(narrowed(finest="country"), LISBON)[0] == "PT-rest"


def test_outside_the_service_area_nothing_is_located() -> None:
    spain = narrowed(service_area=["ES"])
    assert located(spain, LISBON)[0] is None
    assert spain.served(spain.find("Lisbon").id).id == "world"


def test_a_service_area_of_one_region_makes_its_country_the_sum_of_it() -> None:
    lisbon = narrowed().find("Lisbon").id
    assert narrowed(service_area=[lisbon]).members == {lisbon: (lisbon,), "PT": (lisbon,), "world": (lisbon,)}


def test_an_unknown_country_in_the_service_area_is_refused() -> None:
    with pytest.raises(SettingsError, match="XX"):
        narrowed(service_area=["PT", "XX"])


@pytest.mark.parametrize("text", ["Lisboa", "lisbon", "LISSABON", "85393363fffffff", "Lisbon, Portugal", "lisboa, pt"])
def test_places_are_found_as_people_type_them(world_atlas: Atlas, text: str) -> None:
    assert world_atlas.find(text).name == "Lisbon"


@pytest.mark.parametrize(
    ("text", "found"),
    [("pt", "PT"), ("Portugal", "PT"), ("world", "world"), ("World", "world"), ("UK", "GB"), ("usa", "US")],
)
def test_countries_and_the_world_are_found(world_atlas: Atlas, text: str, found: str) -> None:
    assert world_atlas.find(text).id == found


def test_an_unknown_place_suggests_near_matches(world_atlas: Atlas) -> None:
    with pytest.raises(UnknownPlaceError) as error:
        world_atlas.find("Lisbonn")
    assert "Lisbon" in error.value.hint


def test_the_version_changes_with_the_service_area_and_stays_otherwise(world_atlas: Atlas) -> None:
    assert narrowed(service_area=["PT"]).version != world_atlas.version
    load_atlas.cache_clear()
    assert narrowed().version == world_atlas.version


def test_names_are_compared_without_case_and_accents() -> None:
    assert searchable(" São Paulo") == searchable("sao paulo ") == "sao paulo"


def test_cities_are_read_however_they_are_laid_out() -> None:
    """Two cities as GeoNames has them, with what is not read, close together and far apart."""
    city = {
        "name": 'A "b", {c}',
        "countrycode": "PT",
        "latitude": 38.5,
        "longitude": -9,
        "population": 7,
        "timezone": "x",
    }
    cities = {"12": {**city, "alternatenames": ["d", "\u0441"]}, "3": {**city, "name": "e", "alternatenames": []}}
    for text in (json.dumps(cities), json.dumps(cities, indent=1) + "\n", json.dumps(cities, separators=(",", ":"))):
        found = atlas_._read(text.encode())
        assert found["name"].to_list() == ['A "b", {c}', "e"]
        assert found["alternatenames"].to_list() == [["d", "\u0441"], []]
        assert found.columns == [*(key for key in city if key != "timezone"), "alternatenames"]


def test_cities_without_what_is_read_of_them_are_refused() -> None:
    with pytest.raises(InputError, match="lack what this release reads"):
        atlas_._read(b'{"1": {"name": "a", "countrycode": "PT"}}')
