"""Coarsening: positions become cells of one resolution; given cells only ever get coarser."""

from datetime import date

import h3
import polars as pl
import pytest
from support.arriving import LISBON, LISBON_CELL, NIGHT, NOON

from recsys.arrivals.coarsening import coarsen
from recsys.errors import InputError
from recsys.schemas import CoarseListens


def allowed(
    latitude: float | None = None, longitude: float | None = None, cell: str | None = None, **uses: bool
) -> pl.LazyFrame:
    row = {
        "listener": "a" * 32,
        "track_id": "t1",
        "played_at": NOON,
        "latitude": latitude,
        "longitude": longitude,
        "cell": cell,
    }
    flags = {"for_charts": True, "for_models": False, "for_place": True, "for_partner": False, **uses}
    return pl.LazyFrame(
        [row | flags], schema_overrides={"latitude": pl.Float64, "longitude": pl.Float64, "cell": pl.String}
    )


def cell_of(frame: pl.LazyFrame, resolution: int = 5) -> int | None:
    found: int | None = coarsen(frame, night=NIGHT, resolution=resolution).collect()["cell"].item()
    return found


def test_a_position_becomes_the_cell_that_h3_gives() -> None:
    assert cell_of(allowed(*LISBON)) == LISBON_CELL == h3.str_to_int(h3.latlng_to_cell(*LISBON, 5))
    assert cell_of(allowed(*LISBON), resolution=3) == h3.str_to_int(h3.latlng_to_cell(*LISBON, 3))


@pytest.mark.parametrize("resolution", range(6, 16))
def test_a_finer_cell_becomes_its_ancestor(resolution: int) -> None:
    fine = h3.latlng_to_cell(*LISBON, resolution)
    assert cell_of(allowed(cell=fine)) == h3.str_to_int(h3.cell_to_parent(fine, 5))


def test_an_ancestor_is_that_of_the_index_also_where_another_cell_lies_there() -> None:
    """H3 does not nest geometrically: both cells of a point at the border would tell how near to the border it is."""
    fine = [h3.latlng_to_cell(38 + i / 10, -9 + i / 7, 8) for i in range(200)]
    elsewhere = [cell for cell in fine if h3.latlng_to_cell(*h3.cell_to_latlng(cell), 5) != h3.cell_to_parent(cell, 5)]
    assert len(elsewhere) > 5
    for cell in elsewhere:
        assert cell_of(allowed(cell=cell)) == h3.str_to_int(h3.cell_to_parent(cell, 5))


@pytest.mark.parametrize("resolution", range(6))
def test_a_cell_that_is_coarse_already_stays(resolution: int) -> None:
    coarse = h3.latlng_to_cell(*LISBON, resolution)
    assert cell_of(allowed(cell=coarse)) == h3.str_to_int(coarse)


def test_where_both_came_the_cell_counts() -> None:
    oslo = h3.latlng_to_cell(59.91, 10.75, 4)
    assert cell_of(allowed(*LISBON, cell=oslo)) == h3.str_to_int(oslo)


def test_without_a_position_there_is_no_cell() -> None:
    assert cell_of(allowed()) is None


def test_there_is_no_column_for_a_position_or_an_instant_afterwards() -> None:
    found = coarsen(allowed(*LISBON), night=date(2026, 1, 2), resolution=5).collect()
    assert found.columns == CoarseListens.column_names()
    assert found.rows() == [("a" * 32, date(2026, 1, 2), "t1", LISBON_CELL, None, True, False)]


@pytest.mark.parametrize(
    ("uses", "cell", "partner_cell"),
    [
        ({}, LISBON_CELL, None),
        ({"for_partner": True}, LISBON_CELL, LISBON_CELL),
        ({"for_partner": True, "for_charts": False}, None, LISBON_CELL),  # though local trends may know the place
        ({"for_partner": True, "for_place": False, "for_models": True}, None, LISBON_CELL),
        ({"for_charts": False, "for_models": True}, LISBON_CELL, None),
    ],
)
def test_each_permission_sees_a_cell_of_its_own(
    uses: dict[str, bool], cell: int | None, partner_cell: int | None
) -> None:
    found = coarsen(allowed(*LISBON, **uses), night=NIGHT, resolution=5).collect()
    assert found.select("cell", "partner_cell").row(0) == (cell, partner_cell)


def test_a_frame_of_other_types_does_not_cross_the_border() -> None:
    with pytest.raises(InputError, match="listener: found Int64, expected String"):
        coarsen(allowed(*LISBON).with_columns(listener=pl.lit(1, pl.Int64)), night=NIGHT, resolution=5)
