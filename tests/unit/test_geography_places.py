"""The tree of places: what lies in what, and which place a cell means, by lookups that are known here."""

import h3
import pytest

from recsys.geography.places import WORLD, chain, place_of_cell

FINE = h3.latlng_to_cell(38.72, -9.14, 5)
REGION, COARSE = h3.cell_to_parent(FINE, 4), h3.cell_to_parent(FINE, 3)


def test_a_place_lies_in_its_parents_up_to_the_world() -> None:
    parents = {"a": "A", "A": WORLD, WORLD: None}
    assert list(chain("a", parent_of=parents.__getitem__)) == ["a", "A", WORLD]
    assert list(chain(WORLD, parent_of=parents.__getitem__)) == [WORLD]


@pytest.mark.parametrize(
    ("regions", "countries", "place"),
    [
        ({REGION}, {REGION: "AA"}, REGION),
        ({REGION, COARSE}, {}, REGION),  # the finest of them
        (set(), {REGION: "AA", COARSE: "BB"}, "AA"),  # the finest that is known
        ({h3.cell_to_center_child(FINE, 6)}, {}, WORLD),  # what is finer than the cell is not it
    ],
)
def test_a_cell_lies_in_its_finest_region_or_its_country_or_the_world(
    regions: set[str], countries: dict[str, str], place: str
) -> None:
    assert place_of_cell(FINE, is_region=regions.__contains__, country_of=countries.get) == place
