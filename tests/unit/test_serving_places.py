"""Which place a cell means, and what is found by name."""

from types import SimpleNamespace

import h3
import pytest
from support.edge import ALENTEJO, LISBON, OCEAN, PORTO, SUVA, publish

from recsys.errors import InputError, PositionError, UnknownPlaceError
from recsys.geography.atlas import Atlas
from recsys.serving.lists.responses import regions_answer, regions_geojson
from recsys.serving.snapshot.place import chain, coarse_cell, place_named, place_of
from recsys.serving.snapshot.snapshot_reader import Published, open_published
from recsys.workspace import Workspace


@pytest.fixture
def published(workspace: Workspace) -> Published:
    publish(workspace, size=2)
    return open_published(workspace)


def names(published: Published, query: str, limit: int = 10) -> list[str]:
    return [region["name"] for region in regions_answer(published, query=query, limit=limit)["regions"]]


@pytest.mark.parametrize(
    ("cell", "place"),
    [
        (LISBON, LISBON),  # a region itself
        (h3.cell_to_center_child(PORTO, 5), PORTO),  # a region is its parent
        (PORTO, PORTO),
        (ALENTEJO, "PT"),  # no region; its country by public geography
        (h3.cell_to_parent(ALENTEJO, 4), "PT"),
        (h3.cell_to_parent(ALENTEJO, 3), "world"),  # coarser than what the country is known for
        (h3.cell_to_parent(LISBON, 0), "world"),
        (OCEAN, "world"),
    ],
)
def test_a_cell_means_its_finest_region_or_its_country_or_the_world(
    published: Published, cell: str, place: str
) -> None:
    assert place_of(cell, published=published).id == place


def test_the_larger_places_come_after_the_smaller(published: Published) -> None:
    assert [p.id for p in chain(published.places[SUVA], published=published)] == [SUVA, "FJ", "world"]


def test_a_cell_may_be_written_in_capitals() -> None:
    assert coarse_cell(LISBON.upper()) == LISBON


@pytest.mark.parametrize("resolution", range(6, 16))
def test_a_finer_cell_is_a_position(resolution: int) -> None:
    with pytest.raises(PositionError, match="finer than resolution 5") as refusal:
        coarse_cell(h3.cell_to_center_child(LISBON, resolution))
    assert LISBON[:6] not in str(refusal.value)


@pytest.mark.parametrize("text", ["", "x", LISBON[:-1], LISBON + "0", "0x" + LISBON, "8" * 15, f" {LISBON}", "٣" * 15])
def test_what_is_no_cell_is_refused_unrepeated(text: str) -> None:
    with pytest.raises(InputError, match=r"^the cell is not an H3 cell$"):
        coarse_cell(text)


def test_an_unknown_place_is_not_repeated(published: Published) -> None:
    with pytest.raises(UnknownPlaceError, match=r"^there is no place with this id$"):
        place_named("atlantis", published=published)


@pytest.mark.parametrize(
    "query", ["porto", "PORTO", "Pôrto", "po\N{COMBINING CIRCUMFLEX ACCENT}rto", "  porto ", "portugal porto"]
)
def test_names_are_found_whatever_their_accents_and_case(published: Published, query: str) -> None:
    assert names(published, query) == ["Pôrto"]


def test_what_begins_with_the_query_comes_first_then_what_has_charts_then_the_most_people(published: Published) -> None:
    assert names(published, "port") == ["Portugal", "Pôrto", "Lisboa"]
    assert names(published, "") == ["World", "Portugal", "Lisboa", "Fiji", "Pôrto", "Suva"]
    assert names(published, "", limit=2) == ["World", "Portugal"]
    assert names(published, "%") == []


def test_the_map_gets_closed_hexagons_of_regions_alone(published: Published) -> None:
    found = regions_geojson(published, query="", limit=10)
    assert {feature["id"] for feature in found["features"]} == {LISBON, PORTO, SUVA}
    (ring,) = found["features"][0]["geometry"]["coordinates"]
    assert len(ring) == 7
    assert ring[0] == ring[-1]
    latitude, longitude = h3.cell_to_latlng(found["features"][0]["id"])
    assert min(x for x, _ in ring) < longitude < max(x for x, _ in ring)
    assert min(y for _, y in ring) < latitude < max(y for _, y in ring)


def test_a_hexagon_across_180_degrees_stays_whole(published: Published) -> None:
    across = h3.latlng_to_cell(-16.8, 179.99, 4)
    place = published.places[SUVA]
    changed = Published(
        id="x",
        as_of="x",
        nights=1,
        charts=(),
        places={across: type(place)(**{**vars(place), "id": across})},
        tracks=(),
        _database=published._database,
    )
    (feature,) = regions_geojson(changed, query="", limit=1)["features"]
    longitudes = [longitude for longitude, _ in feature["geometry"]["coordinates"][0]]
    assert 179 < min(longitudes) < 180 < max(longitudes) < 181


def test_the_rule_is_the_atlas_own(world_atlas: Atlas) -> None:
    """The nightly job reads a cell alike, else a listener would count in one place and be shown another."""
    published = SimpleNamespace(places=world_atlas.places, country_of=world_atlas.country_cells.get)
    degrees = [(latitude, longitude) for latitude in range(-80, 81, 9) for longitude in range(-180, 180, 7)]
    cells = {h3.latlng_to_cell(*point, resolution) for point in degrees for resolution in (3, 4, 5)}
    cells |= {h3.cell_to_center_child(id, 5) for id, place in world_atlas.places.items() if place.level == "region"}
    for cell in cells:
        expected = world_atlas.place_of(world_atlas.part_of_cell(cell))
        assert place_of(cell, published=published).id == expected  # type: ignore[arg-type]
