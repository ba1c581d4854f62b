"""Rows are set aside, files are not: whatever a reader can skip is a bad row with its reason and its line."""

import gzip
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

import h3
import polars as pl
import pytest
from support.arriving import CATALOGUE, KEY, LISBON, LISBON_CELL, NIGHT, NOON, NOW, listen, write_listens

from recsys.arrivals import input_tables, text_files
from recsys.arrivals.catalogue import read_catalogue
from recsys.arrivals.listens import CheckedNight, check_share, nights, read_night, reasons
from recsys.arrivals.permission import read_entries
from recsys.errors import InputError, NotReadyError

HEADER = "user_id,track_id,played_at,latitude,longitude"
GOOD = "ana,t1,2026-03-10T12:00:00Z,38.7223,-9.1393"
JSON = '{"user_id": "ana", "track_id": "t1", "played_at": "2026-03-10T12:00:00Z", "latitude": 38.7, "longitude": -9.1}'


def read(source: Path) -> CheckedNight:
    return read_night(source, NIGHT, catalogue=CATALOGUE, now=NOW)


def written(path: Path, *lines: str, end: str = "\n") -> Path:
    path.write_bytes((end.join(lines) + end).encode())
    return path


@pytest.mark.parametrize(
    "line",
    [
        'ana,t1" mix,2026-03-10T12:00:00Z,38.7223,-9.1393',  # a quote that is not written twice
        '"ana" of l,t1,2026-03-10T12:00:00Z,38.7223,-9.1393',
        '"ana,t1,2026-03-10T12:00:00Z,38.7223,-9.1393',  # one that never ends
        "ana,t,1,2026-03-10T12:00:00Z,38.7223,-9.1393",  # a comma too many
        "ana,t1,2026-03-10T12:00:00Z",  # cut off
        "ana",
        "\x00\x00",
        "x" * (1 << 20),
    ],
    ids=range(8),
)
@pytest.mark.parametrize("name", ["listens.csv", "LISTENS.CSV", "listens.csv.gz"])
def test_a_line_that_is_no_csv_is_one_bad_row(name: str, line: str, tmp_path: Path) -> None:
    source = written(tmp_path / name, HEADER, GOOD, "", line, *[GOOD] * 3)
    if name.endswith(".gz"):
        source.write_bytes(gzip.compress(source.read_bytes()))
    found = read(source).counts()
    assert (found.rows, found.bad) == (5, {"malformed_line": 1})
    assert found.first == {"malformed_line": f"line 4 of {source}"}
    assert read(source).listens.collect().height == 4
    assert nights(source, now=NOW) == {NIGHT: 5}


@pytest.mark.parametrize(
    "line", ['{"user_id": "ana"', JSON.replace("38.7", "NaN"), "null", "[1]", JSON + JSON, JSON.replace("38.7", "[1]")]
)
def test_a_line_that_is_no_json_is_one_bad_row(line: str, tmp_path: Path) -> None:
    source = written(tmp_path / "listens.ndjson", "\ufeff" + JSON, "", line, *[JSON] * 3)
    found = read(source).counts()
    assert found.rows == 5
    assert found.bad in ({"malformed_line": 1}, {"position_not_a_number": 1})
    assert set(found.first.values()) == {f"line 3 of {source}"}


def test_bytes_that_are_no_utf8_make_their_own_row_bad(tmp_path: Path) -> None:
    source = written(tmp_path / "listens.csv", HEADER, *[GOOD] * 3)
    source.write_bytes(source.read_bytes() + GOOD.replace("ana", "aña").encode("latin-1"))
    assert read(source).counts().bad == {"malformed_line": 1}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_quotes_commas_and_line_ends_of_good_csv_are_read(end: str, tmp_path: Path) -> None:
    lines = ["\ufefftrack_id,title,artist_id,artist", 't1,"Say ""Hi"", you",a1,', 't2,"",a1,"A, B"', '"t3",x,"a","b"']
    text_columns = text_files.columns_of(written(tmp_path / "c.csv", *lines, end=end))
    assert text_columns == ["track_id", "title", "artist_id", "artist"]
    rows = text_files.scan(tmp_path / "c.csv", columns=text_columns).collect()
    assert rows["title"].to_list() == ['Say "Hi", you', "", "x"]
    assert rows["artist"].to_list() == ["", "A, B", "b"]
    assert rows["row"].to_list() == [2, 3, 4]


def test_lines_are_counted_over_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "_BLOCK", 100)
    lines = [*[GOOD] * 20, "", "ana,t1", *[GOOD] * 20]
    found = read(written(tmp_path / "listens.csv", HEADER, *lines)).counts()
    assert (found.rows, found.first) == (41, {"malformed_line": f"line 23 of {tmp_path}/listens.csv"})
    source = written(tmp_path / "listens.ndjson", *[JSON] * 20, "", "ana,t1", *[JSON] * 20)
    assert read(source).counts().first == {"malformed_line": f"line 22 of {source}"}


@pytest.mark.parametrize("reason", [*reasons(), "impossible_time", "missing_title"])
def test_every_reason_is_explained(reason: str) -> None:
    assert f"`{reason}`" in (Path(__file__).parents[2] / "docs/input.md").read_text()


def test_an_empty_part_has_no_row(tmp_path: Path) -> None:
    (tmp_path / "part-00000.csv").touch()
    written(tmp_path / "part-00001.csv", HEADER, GOOD)
    (tmp_path / "part-00002.ndjson").write_text("\n")
    assert nights(tmp_path, now=NOW) == {NIGHT: 1}
    assert read(tmp_path).counts().bad == {}


@pytest.mark.parametrize("dtype", [pl.Int64, pl.UInt64, pl.String])
def test_cells_may_be_numbers(dtype: type[pl.DataType], tmp_path: Path) -> None:
    frame = pl.DataFrame({"user_id": "ana", "track_id": "t1", "played_at": NOON, "cell": [LISBON_CELL, 7]})
    for name, write in (("a.parquet", "write_parquet"), ("b.csv", "write_csv")):
        getattr(frame.with_columns(pl.col("cell").cast(dtype)), write)(tmp_path / name)
        found = read(tmp_path / name)
        assert found.counts().bad == {"malformed_cell": 1}
        assert found.listens.collect()["cell"].to_list() == [h3.int_to_str(LISBON_CELL)]


def test_a_cell_in_floats_has_lost_digits_and_is_refused(tmp_path: Path) -> None:
    frame = pl.DataFrame({"user_id": "ana", "track_id": "t1", "played_at": NOON, "cell": [float(LISBON_CELL)]})
    frame.write_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match="of a wrong type: cell"):
        read(tmp_path / "a.parquet")


def test_zero_and_zero_is_no_place(tmp_path: Path) -> None:
    rows = [listen(), listen(latitude=0.0, longitude=0.0), listen(latitude=0.0, longitude=-0.0), listen(latitude=0.0)]
    assert read(write_listens(tmp_path / "a.parquet", rows)).counts().bad == {"null_island": 2}


@pytest.mark.parametrize(
    ("changes", "reason", "hint"),
    [
        ({"user_id": "100.0"}, "user_id_is_a_float", "deliver ids as text"),
        ({"latitude": LISBON[1] - 90, "longitude": LISBON[0]}, "latitude_out_of_range", "swapped"),
        ({"latitude": 0.0, "longitude": 0.0}, "null_island", "instead of 0, 0"),
        ({"track_id": "no-such"}, "unknown_track", "catalogue"),
    ],
)
def test_the_message_says_where_and_guesses_why(
    changes: dict[str, object], reason: str, hint: str, tmp_path: Path
) -> None:
    source = write_listens(tmp_path / "listens.csv", [listen(), listen(**changes)])
    with pytest.raises(InputError, match=f"1 of 2 rows do not fit.*1 {reason}") as raised:
        check_share(read(source).counts(), max_bad_share=0.05)
    assert hint in raised.value.hint
    assert f"The first {reason} is in line 3 of {source}." in raised.value.hint
    assert not any(str(value) in raised.value.message for value in changes.values() if value)


@pytest.mark.parametrize("times", ["1773144000", "1773144000000", "1773144000.5", " 1773144000 "])
def test_seconds_since_1970_are_told_as_such(times: str, tmp_path: Path) -> None:
    source = written(tmp_path / "listens.csv", HEADER, *[GOOD.replace("2026-03-10T12:00:00Z", times)] * 2)
    with pytest.raises(InputError, match="2 time_is_a_number") as raised:
        nights(source, now=NOW)
    assert "seconds since 1970" in raised.value.hint


ODD_TIMES = {
    "0001-01-01T00:00:00+01:00": "unparsable_time",
    "9999-12-31T23:59:59-05:00": "unparsable_time",
    "9999-12-31T23:59:59Z": "future_time",
    "-0001-01-01T00:00:00Z": "unparsable_time",
    "+262142-01-01T00:00:00Z": "unparsable_time",
    "0001-01-01T00:00:00Z": "outside_catalogue_years",
    "1970-01-01T00:00:00Z": "outside_catalogue_years",
    "1970-01-01T01:00:00+01:00": "outside_catalogue_years",
    "2001-01-01T00:00:00Z": "outside_catalogue_years",
    "2009-02-13T23:31:30Z": "far_from_other_nights",
}


@pytest.mark.parametrize(("text", "reason"), ODD_TIMES.items(), ids=range(len(ODD_TIMES)))
@pytest.mark.parametrize("track", ["t1", "no-such"])
@pytest.mark.parametrize("name", ["listens.csv", "listens.ndjson"])
def test_a_stray_time_is_one_bad_row_and_no_night(
    name: str, track: str, text: str, reason: str, tmp_path: Path
) -> None:
    day_before = {"played_at": NOON - timedelta(days=1)}
    rows = [*[listen()] * 120, *[listen(**day_before)] * 5, listen(track_id=track, played_at=text)]
    as_text = [row | {"played_at": str(row["played_at"])} for row in rows]
    source = write_listens(tmp_path / name, as_text)
    assert nights(source, now=NOW) == {NIGHT - timedelta(days=1): 5, NIGHT: 121}
    assert check_share(read(source).counts(), max_bad_share=0.05).bad == {reason: 1}
    assert read(source).listens.collect().height == 120


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_every_instant_that_parquet_can_hold_is_bounded(unit: str, tmp_path: Path) -> None:
    extremes = [-(2**63), -(2**62), -62_135_600_400_000_000, 0, 2**62, 2**63 - 1]
    times = pl.Series(extremes, dtype=pl.Int64).cast(pl.Datetime(unit, "UTC"))  # type: ignore[arg-type]
    noon = pl.Series([NOON] * 200).cast(times.dtype)
    frame = pl.DataFrame({"user_id": "ana", "track_id": "t1", "played_at": pl.concat([noon, times])})
    frame.write_parquet(tmp_path / "listens.parquet")
    assert nights(tmp_path, now=NOW) == {NIGHT: 206}
    counts = read(tmp_path).counts()
    assert (counts.rows, counts.good) == (206, 200)
    assert set(counts.bad) <= {"unparsable_time", "future_time", "outside_catalogue_years", "far_from_other_nights"}


def test_days_far_apart_with_many_rows_are_nights(tmp_path: Path) -> None:
    rows = [listen(played_at=NOON - timedelta(days=400))] * 2 + [listen()] * 100
    assert len(nights(write_listens(tmp_path / "listens.csv", rows), now=NOW)) == 2


def test_rows_without_a_day_wait_for_the_first_night_to_be_over(tmp_path: Path) -> None:
    rows = [listen(played_at=NOW)] * 50 + [listen(played_at="1970-01-01T00:00:00Z")]
    source = write_listens(tmp_path / "listens.csv", [row | {"played_at": str(row["played_at"])} for row in rows])
    assert nights(source, now=NOW) == {NOW.date(): 51}


CONSENTS = "user_id,purpose,state,at,notice_version"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("bo,local_trends,withdrawn,9999-12-31T23:59:59-05:00,1", "unparsable_time"),
        ("bo,local_trends,given,0001-01-01T00:00:00+01:00,1", "unparsable_time"),
        ("bo,local_trends,given,1970-01-01T00:00:00Z,1", "impossible_time"),
        ("bo,local_trends,given,1773144000,1", "time_is_a_number"),
        ("100.0,local_trends,given,2026-03-01T00:00:00Z,1", "user_id_is_a_float"),
        ("bo,local,trends,given,2026-03-01T00:00:00Z,1", "malformed_line"),
    ],
)
def test_an_odd_consent_is_a_bad_row_when_counted_and_when_read(line: str, reason: str, tmp_path: Path) -> None:
    good = [f"user-{i},local_trends,given,2026-03-01T00:00:00Z,1" for i in range(30)]
    source = written(tmp_path / "consents.csv", CONSENTS, *good, line)
    found = read_entries(source, key=KEY, max_bad_share=0.05)
    assert found.bad == {reason: 1}
    assert found.counts.first == {reason: f"line 32 of {source}"}
    assert len(list(found.entries)) == 30


def test_a_far_withdrawal_is_not_yet_in_force(tmp_path: Path) -> None:
    source = written(tmp_path / "consents.csv", CONSENTS, "bo,local_trends,withdrawn,9999-12-31T23:59:59Z,1")
    (entry,) = read_entries(source, key=KEY, max_bad_share=0).entries
    assert entry.at == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def grow(file: Path) -> None:
    file.write_bytes(file.read_bytes() * 2)


def touch(file: Path) -> None:
    os.utime(file, ns=(0, 0))


def remove(file: Path) -> None:
    file.unlink()


@pytest.mark.parametrize("change", [cut, grow, touch, remove])
@pytest.mark.parametrize("name", ["listens.csv", "listens.ndjson", "listens.csv.gz", "listens.parquet"])
def test_a_file_that_changes_while_it_is_read_stops_the_night(
    name: str, change: Callable[[Path], None], tmp_path: Path
) -> None:
    source = write_listens(tmp_path / name, [listen(user_id=f"user-{i}") for i in range(20_000)])
    night = read(source)
    change(source)
    with pytest.raises(NotReadyError, match="changed while it was read") as raised:
        night.counts()
    assert str(source) in raised.value.message
    with pytest.raises(NotReadyError), night.unchanged():
        pass


@pytest.mark.parametrize("name", ["listens.csv", "listens.ndjson"])
def test_a_text_that_is_cut_under_the_reader_is_no_crash(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_listens(tmp_path / name, [listen(user_id=f"user-{i}") for i in range(5000)])
    night, next_block, blocks = read(source), text_files._next, iter(range(100))

    def read_and_cut(file: IO[bytes]) -> bytes:
        if next(blocks) == 1:
            cut(source)
        return next_block(file)

    monkeypatch.setattr(text_files, "_BLOCK", 10_000)
    monkeypatch.setattr(text_files, "_next", read_and_cut)
    with pytest.raises(NotReadyError, match="changed while it was read"):
        night.counts()


def test_consents_that_change_between_check_and_import_are_refused(tmp_path: Path) -> None:
    good = [f"user-{i},local_trends,given,2026-03-01T00:00:00Z,1" for i in range(30)]
    source = written(tmp_path / "consents.csv", CONSENTS, *good)
    found = read_entries(source, key=KEY, max_bad_share=0.05)
    grow(source)
    with pytest.raises(NotReadyError, match="changed while it was read"):
        list(found.entries)


@pytest.mark.parametrize("broken", ["part-00001.csv.gz", "part-00001.parquet"])
def test_of_many_files_the_damaged_one_is_named(broken: str, tmp_path: Path) -> None:
    folder = tmp_path / f"date={NIGHT}"
    rows = [listen(user_id=f"user-{i}", track_id=f"t{i % 9}") for i in range(5000)]
    for name in ("part-00000.csv", broken, "part-00002.parquet"):
        write_listens(folder / name, rows)
    content = bytearray((folder / broken).read_bytes())
    content[300:600] = bytes(300)
    (folder / broken).write_bytes(content)
    with pytest.raises(InputError, match="cannot be read") as raised:
        read(tmp_path).counts()
    assert f"{folder}/{broken}" in raised.value.message


def test_bad_rows_of_a_catalogue_are_set_aside_up_to_the_share(tmp_path: Path) -> None:
    lines = [f"t{i},Song,a1,Band" for i in range(60)]
    bad = ['x1,12" Mix,a1,Band', "x2,,a1,Band", "x3,Song, the,a1,Band"]
    source = written(tmp_path / "catalogue.csv", "track_id,title,artist_id,artist", *lines, *bad)
    found = read_catalogue(source, max_bad_share=0.05)
    assert found.tracks.height == 60
    assert found.counts.bad == {"malformed_line": 2, "missing_title": 1}
    assert found.counts.first == {
        "malformed_line": f"line 62 of {source}",
        "missing_title": f"line 63 of {source}",
    }
    with pytest.raises(InputError, match=r"3 of 63 rows do not fit"):
        read_catalogue(source, max_bad_share=0.01)


def test_one_bad_row_of_a_small_catalogue_is_no_bad_catalogue(tmp_path: Path) -> None:
    source = written(tmp_path / "c.csv", "track_id,title,artist_id,artist", "t1,x,a,b", 't2,"Weird Al" Y,a,b')
    assert read_catalogue(source, max_bad_share=0).tracks["track_id"].to_list() == ["t1"]


def test_a_place_is_told_by_file_and_line() -> None:
    file = input_tables.TableFile(Path("in/part-00001.csv"), Path("in"), 1, 1)
    other = input_tables.TableFile(Path("in/part-00000.parquet"), Path("in"), 1, 1)
    frame = pl.LazyFrame({"row": [5]}, schema={"row": pl.UInt64})
    at = input_tables.located(frame, number=1).collect()["at_row"][0]
    assert input_tables.where(at, files=(other, file)) == "line 5 of in/part-00001.csv"
    assert input_tables.where(7, files=(other, file)) == "row 7 of in/part-00000.parquet"
