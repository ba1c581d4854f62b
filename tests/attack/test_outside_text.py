"""Promise 10: no value of a row, no name of an unexpected column and no control character reaches a person or a log.

Whatever is wrong with a table, what is printed of it is searched for what a listener, a play and a position were.
"""

import gzip
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from support.commands import Run
from support.night import AREA_IN_TOML, FIRST, PURPOSES, TRACKS, plays, write_catalogue, write_consents, write_listens

USERS = [f"user-{number}" for number in range(8)]
TIME, USER, TRACK = "2026-10-01T12:34:56Z", "canary-listener", "canary-track"
LATITUDE, LONGITUDE = "38.7171237", "-9.1398765"
VALUES = {
    "listens": (USER, TRACK, TIME, LATITUDE, LONGITUDE),
    "consents": (USER, PURPOSES[0], "given", TIME, LATITUDE),
    "catalogue": (TRACK, LATITUDE, USER, LONGITUDE),
}
NAMES = {
    "listens": ("user_id", "track_id", "played_at", "latitude", "longitude"),
    "consents": ("user_id", "purpose", "state", "at", "notice_version"),
    "catalogue": ("track_id", "title", "artist_id", "artist"),
}
TRACES = ("canary", "12:34:56", "7171237", "1398765", "38.71", "9.139", "\x1b", "\x9b", "\x00", "\u202e")


def lines(*rows: tuple[str, ...], end: str = "\n") -> bytes:
    return (end.join(",".join(row) for row in rows) + end).encode()


def json_line(names: tuple[str, ...], values: tuple[str, ...]) -> bytes:
    return pl.DataFrame([dict(zip(names, values, strict=True))]).write_ndjson().encode()


Spoiled = tuple[str, bytes]


def spoiled_texts(table: str) -> dict[str, Spoiled]:
    """Return files of a table that hold canaries where nobody expects them, by what is wrong with them."""
    names, values = NAMES[table], VALUES[table]
    hostile = ("\x1b[31m" + values[0], "\x9b2J\u202e", *values[2:])
    good = lines(names, *[values] * 3)
    return {
        "no header": ("a.csv", lines(*[values] * 3)),
        "no header, packed": ("a.csv.gz", gzip.compress(lines(*[values] * 3))),
        "lines end with CR": ("a.csv", lines(names, *[values] * 3, end="\r")),
        "a value in a name": ("a.csv", lines((*names[:-1], values[-1]), values)),
        "a value more in the header": ("a.csv", lines((*names, LATITUDE), (*values, "x"))),
        "escape codes in names": ("a.csv", lines(hostile, values)),
        "two names alike": ("a.csv", lines((values[0], *values[:-1]), values)),
        "UTF-16": ("a.csv", good.decode().encode("utf-16")),
        "UTF-16 without a mark": ("a.csv", good.decode().encode("utf-16-le")),
        "other text": ("a.csv", f"the listener {USER} was at {LATITUDE} {LONGITUDE}\nat {TIME}\n".encode()),
        "values as keys": ("a.ndjson", json_line(values[:4], values[:4])),
        "a value as a key of one row": ("a.ndjson", json_line(names, values) + json_line((LATITUDE,), ("x",))),
        "no JSON": ("a.ndjson", good),
        "no Parquet": ("a.parquet", good),
        "no gzip": ("a.csv.gz", good),
        "lines of other lengths": ("a.csv", good + b",".join([LATITUDE.encode()] * 9) + b"\n"),
        "stray quotes": ("a.csv", good + b'"' + lines(values)),
        "every value wrong": ("a.csv", lines(names, *[tuple(reversed(values))] * 3)),
        "the same twice": ("a.csv", good),
        "a name of a file": (f"{USER} {LATITUDE},{LONGITUDE}.xls", good),
        "a name of a table": (f"{USER} {LATITUDE},{LONGITUDE}.csv", lines(*[values] * 3)),
        "a name of a partition": (f"date={LATITUDE}/a.csv", good),
    }


def write_parquet(file: Path, table: str, *, spoiled: str) -> None:
    names, values = NAMES[table], VALUES[table]
    if spoiled == "names":
        pl.DataFrame({value: [1] for value in values}).write_parquet(file)
    elif spoiled == "types":
        pl.DataFrame({name: [[value]] for name, value in zip(names, values, strict=True)}).write_parquet(file)
    else:
        categories = pl.Enum([*values])
        pl.DataFrame({name: pl.Series([values[0]], dtype=categories) for name in names}).write_parquet(file)


@pytest.fixture
def told(hearabouts: Run, tmp_path: Path) -> Callable[[str], str]:
    """What the command line prints when it reads a table from the folder ``spoiled``, and the others as they are."""
    write_listens(tmp_path / "listens", FIRST, plays(FIRST, users=USERS))
    write_catalogue(tmp_path / "catalogue.csv", TRACKS)
    write_consents(tmp_path / "consents.csv", USERS)
    (tmp_path / "settings.toml").write_text(AREA_IN_TOML)

    def told(table: str) -> str:
        paths = {"listens": "listens", "catalogue": "catalogue.csv", "consents": "consents.csv", table: "spoiled"}
        files = [argument for name, path in paths.items() for argument in (f"--{name}", path)]
        done = hearabouts("nightly", "--dry-run", *files, "--settings", "settings.toml")
        imported = hearabouts("consents", "import", "spoiled") if table == "consents" else done
        assert {done.code, imported.code} <= {0, 65}, done.err
        assert (done.code == 0) == (done.summary["status"] == "dry run")
        return done.out + done.err + imported.out + imported.err

    return told


def found(printed: str) -> list[str]:
    return [trace for trace in TRACES if trace in printed]


@pytest.mark.parametrize("table", NAMES)
def test_no_text_from_outside_is_printed(table: str, told: Callable[[str], str], tmp_path: Path) -> None:
    leaks = {}
    for fault, (name, content) in spoiled_texts(table).items():
        file = tmp_path / "spoiled" / name
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
        leaks[fault] = found(told(table))
        file.unlink()
        for folder in (file.parent, tmp_path / "spoiled"):
            if folder.exists():
                folder.rmdir()
    assert {fault: traces for fault, traces in leaks.items() if traces} == {}


@pytest.mark.parametrize("table", NAMES)
def test_nothing_of_a_parquet_file_is_printed(table: str, told: Callable[[str], str], tmp_path: Path) -> None:
    (tmp_path / "spoiled").mkdir()
    for spoiled in ("names", "types", "categories"):
        write_parquet(tmp_path / "spoiled" / "a.parquet", table, spoiled=spoiled)
        printed = told(table)
        assert "failed" in printed
        assert found(printed) == [], spoiled


def test_nothing_of_a_file_behind_a_link_is_printed(told: Callable[[str], str], tmp_path: Path) -> None:
    (tmp_path / "spoiled").mkdir()
    (tmp_path / "secret.txt").write_text(f"{USER}:{LATITUDE}:{LONGITUDE}\n")
    (tmp_path / "spoiled" / "a.csv").symlink_to(tmp_path / "secret.txt")
    for table in NAMES:
        printed = told(table)
        assert "column that is not known" in printed
        assert found(printed) == []


def test_a_path_that_was_typed_is_shown_without_decimals(hearabouts: Run, tmp_path: Path) -> None:
    done = hearabouts("consents", "import", f"{LATITUDE},{LONGITUDE}.csv")
    assert done.code == 65
    assert found(done.out + done.err) == []
