"""Whatever arrives: no consent, no trace; no position out of range ever becomes a cell; cells only get coarser."""

import math
import tempfile
from datetime import timedelta
from pathlib import Path

import h3
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.arriving import KEY, LISBON, NIGHT, NOON, NOW, arrived, listen, write_listens

from recsys.arrivals.coarsening import coarsen
from recsys.consents.log import ConsentLog, Entry, Purpose, State
from recsys.workspace import listener_of

ENTRIES = st.lists(
    st.tuples(st.sampled_from(list(Purpose)), st.sampled_from(list(State)), st.integers(-20, 20)), max_size=8
)
ANYWHERE = st.none() | st.floats(allow_nan=True, allow_infinity=True) | st.floats(-200, 200)


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a consent log in which plays may count."""
    folder = tmp_path_factory.mktemp("counting")
    who = listener_of("ana", key=KEY)
    ConsentLog(folder / "consents.db").append([Entry(who, Purpose.CONTRIBUTE_TRENDS, State.GIVEN, NOON, "1")])
    return folder


def state_at(entries: list[tuple[Purpose, State, int]], purpose: Purpose, hours: int, *, now: int) -> bool:
    """The rule of the consent log, written once more in plain words: the latest entry counts, and a withdrawal wins.

    One that a clock which runs ahead has dated later than now counts from now on.
    """
    told = [(at, state is State.WITHDRAWN) for which, state, at in entries if which is purpose]
    known = [(min(at, now), no) for at, no in told if at <= now or no]
    before = [one for one in known if one[0] <= hours]
    return bool(before) and not max(before)[1]


@settings(max_examples=40)
@given(entries=ENTRIES)
def test_without_consent_then_and_now_nothing_is_left(entries: list[tuple[Purpose, State, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = ConsentLog(Path(folder) / "consents.db")
        who = listener_of("ana", key=KEY)
        log.append(Entry(who, purpose, state, NOON + timedelta(hours=at), "1") for purpose, state, at in entries)
        found = arrived(write_listens(Path(folder) / "listens.parquet", [listen()]), log)
    hours_to_now = int((NOW - NOON) / timedelta(hours=1))
    local, charts, models, partner = (
        state_at(entries, purpose, 0, now=hours_to_now) and state_at(entries, purpose, hours_to_now, now=hours_to_now)
        for purpose in (
            Purpose.LOCAL_TRENDS,
            Purpose.CONTRIBUTE_TRENDS,
            Purpose.PERSONALISATION,
            Purpose.PARTNER_STATISTICS,
        )
    )
    assert found.select("for_charts", "for_models").rows() == [(charts, models)] * (charts or models or partner)
    assert found["cell"].is_not_null().any() == ((local and models) or charts)
    assert found["partner_cell"].is_not_null().any() == partner


@settings(max_examples=80)
@given(latitude=ANYWHERE, longitude=ANYWHERE)
def test_a_position_out_of_range_never_becomes_a_cell(
    counting: Path, latitude: float | None, longitude: float | None
) -> None:
    rows = [listen(), listen(track_id="t2", latitude=latitude, longitude=longitude)]
    source = write_listens(counting / "listens.parquet", rows)
    found = arrived(source, ConsentLog(counting / "consents.db")).filter(track_id="t2")
    absent = latitude is None and longitude is None
    numbers = latitude is not None and longitude is not None and math.isfinite(latitude) and math.isfinite(longitude)
    inside = numbers and abs(latitude or 0) <= 90 and abs(longitude or 0) <= 180 and (latitude, longitude) != (0, 0)
    assert found.height == (1 if absent or inside else 0)
    assert found["cell"].is_not_null().sum() == (1 if inside else 0)


@settings(max_examples=60)
@given(
    latitude=st.floats(-90, 90), longitude=st.floats(-180, 180), given=st.integers(0, 15), resolution=st.integers(0, 5)
)
def test_no_cell_is_ever_finer_than_asked_and_coarser_ones_come_by_parent(
    latitude: float, longitude: float, given: int, resolution: int
) -> None:
    cell = h3.latlng_to_cell(latitude, longitude, given)
    row = {"listener": "a", "track_id": "t", "played_at": NOON, "for_charts": True, "for_models": True}
    row |= {"for_place": True, "for_partner": False}
    frame = pl.LazyFrame(
        [
            {**row, "latitude": latitude, "longitude": longitude, "cell": None},
            {**row, "latitude": None, "longitude": None, "cell": cell},
        ]
    )
    position, coarsened = map(h3.int_to_str, coarsen(frame, night=NIGHT, resolution=resolution).collect()["cell"])
    assert h3.get_resolution(position) == resolution
    assert h3.get_resolution(coarsened) == min(given, resolution)
    assert coarsened == h3.cell_to_parent(cell, min(given, resolution))


def test_the_positions_of_these_tests_are_within_range() -> None:
    assert h3.is_valid_cell(h3.latlng_to_cell(*LISBON, 5))
