"""Listens: formats, nights, bad rows by reason, and input that cannot be read."""

from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from support.arriving import CATALOGUE, LISBON, NIGHT, NOON, NOW, listen, write_listens

from recsys.arrivals.input_tables import Counts
from recsys.arrivals.listens import CheckedNight, check_share, nights, read_night
from recsys.errors import InputError
from recsys.schemas import Listens

FORMATS = ("listens.parquet", "listens.csv", "listens.csv.gz", "listens.ndjson")
DAY = timedelta(days=1)


def read(source: Path, night: date = NIGHT) -> CheckedNight:
    return read_night(source, night, catalogue=CATALOGUE, now=NOW)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_reads_to_the_same_rows(name: str, tmp_path: Path) -> None:
    rows = [listen(ms_played=180_000), listen(user_id="bo", latitude=None, longitude=None, ms_played=None)]
    found = read(write_listens(tmp_path / name, rows)).listens.collect().sort("user_id")
    assert found.rows() == [("ana", "t1", NOON, *LISBON, None, 180_000), ("bo", "t1", NOON, None, None, None, None)]
    assert Listens.is_valid(found)


@pytest.mark.parametrize("name", FORMATS)
def test_a_cell_may_take_the_place_of_a_position(name: str, tmp_path: Path) -> None:
    rows = [{"user_id": "ana", "track_id": "t1", "played_at": NOON, "cell": cell} for cell in ("8939336296fffff", None)]
    found = read(write_listens(tmp_path / name, rows))
    assert found.counts().bad == {}
    assert set(found.listens.collect()["cell"]) == {"8939336296fffff", None}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        ("missing_user", {"user_id": None}),
        ("missing_track", {"track_id": None}),
        ("unparsable_time", {"played_at": None}),
        ("future_time", {"played_at": NOW + timedelta(seconds=1)}),
        ("wrong_day", {"played_at": NOON - DAY}),
        ("unknown_track", {"track_id": "nobody-knows-it"}),
        ("position_not_a_number", {"latitude": None}),
        ("position_not_a_number", {"longitude": float("nan")}),
        ("position_not_a_number", {"latitude": float("inf")}),
        ("latitude_out_of_range", {"latitude": 90.001}),
        ("latitude_out_of_range", {"latitude": -91.0}),
        ("longitude_out_of_range", {"longitude": 180.5}),
        ("malformed_cell", {"cell": "8539xyz"}),
        ("malformed_cell", {"cell": "15393363fffffff"}),
        ("negative_ms_played", {"ms_played": -1}),
    ],
)
def test_a_bad_row_is_set_aside_with_its_reason(
    name: str, reason: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    if "ndjson" in name and changes.get("longitude") != changes.get("longitude"):
        pytest.skip("JSON has no NaN")
    good = listen(cell=None, ms_played=1)
    source = tmp_path / f"date={NIGHT}"
    write_listens(source / name, [good, good | changes, good])
    night = read(tmp_path)
    assert night.counts() == Counts(f"listens of {NIGHT} in {tmp_path}", 3, {reason: 1})
    assert night.listens.collect().height == 2


@pytest.mark.parametrize(
    ("reason", "column", "text"),
    [
        ("position_not_a_number", "latitude", "north"),
        ("unparsable_ms_played", "ms_played", "long"),
        ("unparsable_time", "played_at", "yesterday"),
        ("unparsable_time", "played_at", "2026-03-10"),
    ],
)
@pytest.mark.parametrize("name", ["listens.csv", "listens.ndjson"])
def test_text_that_cannot_be_parsed_makes_a_row_bad(
    name: str, reason: str, column: str, text: str, tmp_path: Path
) -> None:
    good = listen(ms_played=1) | {"played_at": "2026-03-10T12:00:00Z"}
    as_text = [{key: str(value) for key, value in row.items()} for row in (good, good | {column: text})]
    assert read(write_listens(tmp_path / f"date={NIGHT}" / name, as_text).parents[1]).counts().bad == {reason: 1}


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-03-10T12:00:00Z", NOON),
        ("2026-03-10 12:00:00", NOON),
        ("2026-03-10T12:00", NOON),
        ("2026-03-10T14:00:00+02:00", NOON),
        ("2026-03-10T06:30:00.000-0530", NOON),
        ("2026-03-10T13:00:00.25+01", NOON + timedelta(milliseconds=250)),
        ("2026-03-11T01:00:00+13:00", NOON),  # its day is the UTC day
    ],
)
@pytest.mark.parametrize("name", ["listens.csv", "listens.ndjson"])
def test_times_are_read_with_and_without_an_offset(name: str, text: str, utc: datetime, tmp_path: Path) -> None:
    found = read(write_listens(tmp_path / name, [listen(played_at=text)])).listens.collect()
    assert found["played_at"].to_list() == [utc]


@pytest.mark.parametrize("dtype", [pl.Datetime("ns", "UTC"), pl.Datetime("ms", "Europe/Lisbon"), pl.Datetime("us")])
def test_every_type_of_instant_in_parquet_is_read(dtype: pl.Datetime, tmp_path: Path) -> None:
    instants = pl.Series([NOON, NOON - DAY, None], dtype=pl.Datetime("us", "UTC")).cast(pl.Datetime("us"))
    zoned = instants if dtype.time_zone is None else instants.dt.replace_time_zone("UTC")
    frame = pl.DataFrame({"user_id": "ana", "track_id": "t1", "played_at": zoned.cast(dtype)})
    frame.write_parquet(tmp_path / "listens.parquet")
    assert nights(tmp_path, now=NOW) == {NIGHT - DAY: 1, NIGHT: 2}
    assert read(tmp_path).counts().bad == {"unparsable_time": 1}
    assert read(tmp_path).listens.collect()["played_at"].to_list() == [NOON]


def test_in_flat_input_every_row_is_counted_exactly_once(tmp_path: Path) -> None:
    times = [NOON, NOON - DAY, NOON - DAY, None, NOW + DAY, NOW]  # NOW's own day is not over
    write_listens(tmp_path / "a.csv", [listen(played_at=at) for at in times[:3]])
    write_listens(tmp_path / "b.parquet", [listen(played_at=at) for at in times[3:]])
    assert nights(tmp_path, now=NOW) == {NIGHT - DAY: 2, NIGHT: 3, NIGHT + DAY: 1}
    counts = {night: read(tmp_path, night).counts() for night in nights(tmp_path, now=NOW)}
    assert {night: (found.rows, found.good) for night, found in counts.items()} == {
        NIGHT - DAY: (2, 2),
        NIGHT: (3, 1),
        NIGHT + DAY: (1, 1),
    }
    assert counts[NIGHT].bad == {"unparsable_time": 1, "future_time": 1}


def test_input_without_any_day_is_refused_and_blamed_on_no_night(tmp_path: Path) -> None:
    source = write_listens(tmp_path / "listens.csv", [listen(played_at="?"), listen(played_at="??")])
    with pytest.raises(InputError, match="no row with the time of a night") as raised:
        nights(source, now=NOW)
    assert "2 unparsable_time" in raised.value.message
    assert "line 2 of" in raised.value.hint


def test_partitions_are_nights_by_name_and_empty_ones_have_no_row(tmp_path: Path) -> None:
    write_listens(tmp_path / "date=2026-03-10" / "a.parquet", [listen(), listen()])
    write_listens(tmp_path / "date=2026-03-10" / "b.csv", [listen()])
    (tmp_path / "date=2026-03-11").mkdir()
    write_listens(tmp_path / "date=2026-03-09" / "a.ndjson", [listen()]).write_text("")
    (tmp_path / "date=2026-03-10" / "_SUCCESS").touch()
    assert nights(tmp_path, now=NOW) == {NIGHT - DAY: 0, NIGHT: 3, NIGHT + DAY: 0}
    for night, rows in nights(tmp_path, now=NOW).items():
        assert read(tmp_path, night).counts().rows == rows
    with pytest.raises(InputError, match="no good row among 0"):
        check_share(read(tmp_path, NIGHT + DAY).counts(), max_bad_share=0.05)


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    source = write_listens(tmp_path / "listens.csv", [listen()])
    assert nights(source, now=NOW) == {NIGHT: 1}
    write_listens(source, [listen(), listen(played_at=NOON - DAY)])
    assert nights(source, now=NOW) == {NIGHT - DAY: 1, NIGHT: 1}


def test_names_with_glob_signs_are_names(tmp_path: Path) -> None:
    for name in FORMATS:
        assert nights(write_listens(tmp_path / "[a]*" / name, [listen()]), now=NOW) == {NIGHT: 1}


def truncated(tmp_path: Path) -> Path:
    source = write_listens(tmp_path / "listens.parquet", [listen()] * 1000)
    source.write_bytes(source.read_bytes()[:-100])
    return source


def cut_gzip(tmp_path: Path) -> Path:
    source = write_listens(tmp_path / "listens.csv.gz", [listen(user_id=f"user-{i}") for i in range(1000)])
    source.write_bytes(source.read_bytes()[:-20])
    return source


def not_gzip(tmp_path: Path) -> Path:
    source = tmp_path / "listens.csv.gz"
    source.write_bytes(b"\x1f\x8bbroken")
    return source


@pytest.mark.parametrize("broken", [truncated, cut_gzip, not_gzip])
def test_a_damaged_file_is_bad_input_that_names_the_file_alone(broken: Callable[[Path], Path], tmp_path: Path) -> None:
    source = broken(tmp_path)
    with pytest.raises(InputError, match=r"cannot be read") as raised:
        nights(source, now=NOW)
    assert str(source) in raised.value.message
    assert raised.value.exit_code == 65
    assert raised.value.hint
    assert str(LISBON[0]) not in raised.value.message + raised.value.hint


def test_damage_behind_an_intact_footer_is_found_when_counting(tmp_path: Path) -> None:
    source = tmp_path / f"date={NIGHT}" / "listens.parquet"
    write_listens(source, [listen(user_id=f"user-{i}") for i in range(5000)])
    content = bytearray(source.read_bytes())
    content[100:400] = bytes(300)
    source.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path).counts()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "nowhere", "there is no"),
        (lambda folder: folder, "holds no file"),
        (lambda folder: write_listens(folder / "x.csv", [listen(phone="555-0199")]), "1 column that is not known"),
        (
            lambda folder: write_listens(folder / "x.ndjson", [listen()] * 2000 + [listen(phone="555-0199")]),
            "1 column that is not known",
        ),
        (lambda folder: write_listens(folder / "x.csv", [{"user_id": "ana", "track_id": "t1"}]), "missing: played_at"),
        (lambda folder: write_listens(folder / "x.parquet", [listen(played_at=17)]), "wrong type: played_at"),
        (
            lambda folder: write_listens(
                folder / "x.parquet", [{k: v for k, v in listen().items() if k != "latitude"}]
            ),
            "one of latitude",
        ),
        (lambda folder: write_listens(folder / "x.csv", [listen()]).rename(folder / "x.xls"), "not a table"),
        (lambda folder: write_listens(folder / "date=March" / "x.csv", [listen()]).parents[1], "names no day"),
        (
            lambda folder: (
                write_listens(folder / "date=2026-03-10" / "x.csv", [listen()]).parents[1].joinpath("y.csv").touch()
                or folder
            ),
            "mixes",
        ),
        (
            lambda folder: (
                write_listens(folder / "x.csv", [listen()]).write_text("user_id,track_id,played_at\n") and folder
            ),
            "no row",
        ),
    ],
)
def test_input_that_is_no_listens_table_is_named(make: Callable[[Path], Path], message: str, tmp_path: Path) -> None:
    source = make(tmp_path)
    with pytest.raises(InputError, match=message) as raised:
        [read(source, night).counts() for night in nights(source, now=NOW)]
    assert "555" not in raised.value.message


@pytest.mark.parametrize(("bad", "passes"), [(5, True), (6, False), (100, False)])
def test_more_than_the_allowed_share_of_bad_rows_stops_the_night(bad: int, passes: bool) -> None:
    counts = Counts("listens", 100, {"missing_user": bad - 1, "unknown_track": 1})
    if passes:
        assert check_share(counts, max_bad_share=0.05) is counts
    else:
        with pytest.raises(InputError, match=rf"{bad} of 100 rows .*\({bad - 1} missing_user, 1 unknown_track\)"):
            check_share(counts, max_bad_share=0.05)


def test_only_the_partition_that_is_read_is_opened(tmp_path: Path) -> None:
    write_listens(tmp_path / "date=2026-03-10" / "a.parquet", [listen()])
    write_listens(tmp_path / "date=2026-03-09" / "a.parquet", [listen()]).write_bytes(b"damaged")
    assert read(tmp_path).counts().good == 1


def test_now_in_another_zone_is_the_same_instant(tmp_path: Path) -> None:
    source = write_listens(tmp_path / "listens.parquet", [listen(played_at=NOW)])
    elsewhere = NOW.astimezone(timezone(timedelta(hours=-11)))
    assert nights(source, now=elsewhere) == {NOW.date(): 1}


def test_rows_without_a_day_are_a_share_of_the_whole_flat_input(tmp_path: Path) -> None:
    # 10 nights of 20 rows, and 8 rows without a day: 8 of 208 in all, but 8 of 28 of the last night
    rows = [listen(played_at=NOON - back * DAY) for back in range(10) for _ in range(20)]
    source = write_listens(tmp_path / "listens.csv", [*rows, *[listen(played_at=None)] * 8])
    counts = read(source).counts()
    assert (counts.rows, counts.bad) == (28, {"unparsable_time": 8})
    assert counts.bad_share == pytest.approx(8 / 208)
    assert check_share(counts, max_bad_share=0.05) is counts
    with pytest.raises(InputError):
        check_share(counts, max_bad_share=0.03)
