"""Coarsening: positions become cells of one resolution; given cells only ever get coarser."""

from datetime import date

import h3
import polars as pl
import pytest
from arriving import LISBON, LISBON_CELL, NIGHT, NOON

from recsys.arrivals.coarsening import coarsen
from recsys.errors import InputError
from recsys.schemas import CoarseListens


def allowed(latitude: float | None = None, longitude: float | None = None, cell: str | None = None) -> pl.LazyFrame:
    row = {
        "listener": "a" * 32,
        "track_id": "t1",
        "played_at": NOON,
        "latitude": latitude,
        "longitude": longitude,
        "cell": cell,
    }
    flags = {"for_charts": True, "for_models": False}
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
    assert found.rows() == [("a" * 32, date(2026, 1, 2), "t1", LISBON_CELL, True, False)]


def test_a_frame_of_other_types_does_not_cross_the_border() -> None:
    with pytest.raises(InputError, match="listener: found Int64, expected String"):
        coarsen(allowed(*LISBON).with_columns(listener=pl.lit(1, pl.Int64)), night=NIGHT, resolution=5)
