"""The file of a snapshot: places, cells, the lists of each place as they are served, and what they hold together."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from recsys.artifacts.list_candidates import candidates_of, packed
from recsys.geography.places import chain

PlaceRow = tuple[str, str, str | None, str, str | None, float, float, int, str, int]
"""Id, name, country, level, parent, latitude, longitude, population, text to search, and whether it has lists."""

Items = Sequence[Mapping[str, Any]]

_Tracks = dict[tuple[str, str], list[int]]


def write_charts_file(
    file: Path,
    *,
    places: Sequence[PlaceRow],
    cells: Iterable[tuple[str, str]],
    charts: Iterable[tuple[str, str, Items]],
) -> None:
    """Write the tables; whoever calls this makes them durable, so SQLite need not.

    Parameters
    ----------
    file : Path
        Must not exist.
    places : sequence of PlaceRow
        All places, with their parents.
    cells : iterable of (str, str)
        A cell, and the id of the country that public geography gives it to.
    charts : iterable of (str, str, sequence)
        A place, a chart and its items, best first. They are taken one by one: all of them may not fit into memory.
    """
    parents = {place: parent for place, _, _, _, parent, *_ in places}
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.executescript(_SCHEMA)
        database.execute("BEGIN")
        database.executemany("INSERT INTO places VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", places)
        database.executemany("INSERT INTO cells VALUES (?, ?)", cells)
        tracks, codes = _write_charts(database, charts)
        database.executemany("INSERT INTO tracks VALUES (?, ?)", ((code, track) for track, code in codes.items()))
        database.executemany("INSERT INTO nearby VALUES (?, ?)", _nearby(tracks, parents=parents))
        database.execute("COMMIT")


def _write_charts(
    database: sqlite3.Connection, charts: Iterable[tuple[str, str, Items]]
) -> tuple[_Tracks, dict[str, int]]:
    """Write the charts; return the tracks of each, as numbers, and the number of every track."""
    tracks: _Tracks = {}
    codes: dict[str, int] = {}
    for place, chart, items in charts:
        tracks[place, chart] = [codes.setdefault(item["track_id"], len(codes)) for item in items]
        database.execute("INSERT INTO charts VALUES (?, ?, ?, ?)", (place, chart, *_encoded(items)))
    return tracks, codes


def _encoded(items: Items) -> tuple[bytes, bytes]:
    """Return a JSON array of the items, and n times three little-endian int32: where they are cut.

    The cuts of an item are where its facts begin, where they end, and where it ends, so that it can be put on another
    list, at another rank and for another reason, without being read.
    """
    text, cuts = bytearray(b"["), []
    for item in items:
        facts = _json({key: value for key, value in item.items() if key not in {"rank", "reason"}})[1:-1]
        text += b'{"rank":%d,' % item["rank"]
        begins = len(text)
        text += facts + b',"reason":' + _json(item["reason"]) + b"}"
        cuts.append((begins, begins + len(facts), len(text)))
        text += b","
    return bytes(text[: max(1, len(text) - 1)]) + b"]", np.array(cuts, dtype="<i4").tobytes()


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _nearby(tracks: _Tracks, *, parents: Mapping[str, str | None]) -> Iterator[tuple[str, bytes]]:
    """Yield the candidates of every place that has lists, gathered once for everybody who asks near it."""
    for place in dict.fromkeys(place for place, _ in tracks):
        here = list(chain(place, parent_of=parents.__getitem__))
        found = candidates_of(here, tracks=lambda at, chart: tracks.get((at, chart)))
        yield place, packed(found)


_SCHEMA = """
PRAGMA page_size = 16384;
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE places (id TEXT PRIMARY KEY, name TEXT, country TEXT, level TEXT, parent TEXT, latitude REAL,
    longitude REAL, population INTEGER, search TEXT, served INTEGER);
CREATE TABLE cells (cell TEXT PRIMARY KEY, country TEXT);
CREATE TABLE charts (place TEXT, chart TEXT, items BLOB, cuts BLOB, PRIMARY KEY (place, chart));
CREATE TABLE tracks (code INTEGER PRIMARY KEY, id TEXT);
CREATE TABLE nearby (place TEXT PRIMARY KEY, candidates BLOB);
"""
