"""The chart database of a snapshot: places, cells, the lists of each place, and what the lists hold together.

It is one SQLite file, written once and read by many. Each line of a list is a row of its own, the JSON of an item as it
is answered, so that it is read without the others.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, fields
from functools import cached_property
from itertools import accumulate
from operator import attrgetter
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, Self

import numpy as np
import orjson

from recsys.artifacts.addresses import pages_of
from recsys.artifacts.likeness import NOTHING, Likeness, Listed, likeness_of, listed_of, world_shares
from recsys.artifacts.list_candidates import (
    CHARTS,
    POPULAR,
    RISING,
    IntArray,
    ListCandidates,
    candidates_of,
    packed,
    unpacked,
)
from recsys.artifacts.standings import standings_near, standings_of
from recsys.errors import InputError
from recsys.geography.names import Name
from recsys.geography.places import Place, chain
from recsys.geography.spelling import searchable

DATABASE = "charts.db"
FORMAT = "9"  # of a snapshot: what its manifest and its database hold
FORMATS = (
    "6",
    "7",
    "8",
    FORMAT,
)  # that are read; the first does not tell how long lists are at most, two what they are sure of, three where songs are

_LONGEST_LIST = 1_000  # lines: no list is longer

Items = Sequence[dict[str, Any]]

_Tracks = dict[tuple[str, str], list[int]]
_Sure = dict[str, dict[int, int]]


@dataclass(frozen=True)
class PublishedPlace(Place):
    """A place, as the snapshot's atlas knows it.

    Parameters
    ----------
    search : str
        Name and country, casefolded and without accents.
    served : bool
        Whether the place has lists of its own.
    """

    search: str
    served: bool

    @classmethod
    def of(cls, place: Place, *, served: bool) -> Self:
        """Return a place of the atlas as a snapshot knows it."""
        return cls(**vars(place), search=searchable(f"{place.name} {place.country or ''}"), served=served)


class Price(NamedTuple):
    """How many accounts, all playing one track every night, bring it onto a list within seven nights.

    Parameters
    ----------
    first_20, rank_1 : int
        Fewer than so many bring it into the first 20, or to rank 1, in at most one of a thousand tries.
    """

    first_20: int
    rank_1: int


class Line(NamedTuple):
    """Where a list tells of a track.

    Parameters
    ----------
    place, chart : str
        Whose list it is, and which.
    number : int
        Of the line, in the database.
    """

    place: str
    chart: str
    number: int


@dataclass(frozen=True, eq=False)
class Lists:
    """A place's own popular, rising and local list, and what is on them or on those of the places it lies in.

    Parameters
    ----------
    place : str
    candidates : ListCandidates
        Their tracks are positions in the snapshot's.
    numbers : mapping of str to range
        The numbers of each list's lines, best first.
    standings : numpy.ndarray
        (n,) what is sure of each candidate (:mod:`recsys.artifacts.standings`).
    """

    place: str
    candidates: ListCandidates[int] = field(repr=False)
    numbers: Mapping[str, range]
    standings: IntArray = field(repr=False)

    def line(self, chart: str, *, rank: int) -> Line | None:
        """Return one line of a list, or None where the list is shorter."""
        numbers = self.numbers.get(chart, range(0))
        return Line(self.place, chart, numbers[rank - 1]) if 0 < rank <= len(numbers) else None

    def ranks_of(self, track: int) -> list[int]:
        """Return the ranks of a candidate on the three lists, continued by those of larger places; 0 for none."""
        return self._ranks.get(track, [0] * len(CHARTS))

    @cached_property
    def _ranks(self) -> dict[int, list[int]]:
        return dict(zip(np.asarray(self.candidates.tracks).tolist(), self.candidates.ranks.tolist(), strict=True))


NO_LISTS = Lists("", unpacked(b""), {}, np.zeros(0, dtype=np.int32))
"""The lists of a place that has none."""


class ChartDatabase:
    """A chart database opened for reading, safe to read from many threads; whoever opens it closes it.

    It stays readable when the file is removed meanwhile.

    Parameters
    ----------
    file : Path
        As :func:`write_chart_database` wrote it; it must not change any more.

    Raises
    ------
    sqlite3.Error
        If it is not there.
    InputError
        If it is of another shape.
    """

    def __init__(self, file: Path) -> None:
        uri = f"{file.resolve().as_uri()}?mode=ro&immutable=1"
        self._connection = sqlite3.connect(uri, uri=True, check_same_thread=False)
        self._turn = Lock()
        there = {name for (name,) in self._rows("SELECT name FROM sqlite_master WHERE type = 'table'")}
        self._priced, self._named = "prices" in there, "names" in there  # not before they were
        self._likened = "likeness" in there
        self._sized, self._sure, self._paged = "sizes" in there, "standings" in there, "pages" in there
        missing = sorted(_TABLES - there)
        if missing:
            self.close()
            raise InputError(
                f"{file.name} is of another shape: it has no {', '.join(missing)}",
                hint="Publish again: `hearabouts nightly`.",
            )

    def close(self) -> None:
        """Close it, for all threads."""
        self._connection.close()

    def charts(self) -> list[str]:
        """Return which charts there are."""
        return [chart for (chart,) in self._rows("SELECT DISTINCT chart FROM lists ORDER BY chart")]

    def places(self) -> list[PublishedPlace]:
        """Return all places of the atlas, the largest population first."""
        rows = self._rows(f"SELECT {_PLACE} FROM places ORDER BY population DESC, id")  # noqa: S608
        return [PublishedPlace(*(*row, bool(served))) for *row, served in rows]

    def tracks(self) -> list[str]:
        """Return the ids of all tracks on any list, by the numbers that candidates have."""
        return [track for (track,) in self._rows("SELECT id FROM tracks ORDER BY code")]

    def country_of(self, cell: str) -> str | None:
        """Return the id of the country that a cell belongs to by public geography, or None."""
        return next((str(country) for (country,) in self._rows("SELECT country FROM cells WHERE cell = ?", cell)), None)

    def named(self, search: str) -> list[Name]:
        """Return everything that the index of names calls so."""
        return self._names("name = ?", search)

    def own_names(self) -> list[Name]:
        """Return the own names of towns, and the English ones of countries and of the world."""
        return self._names("own")

    def named_like(self, search: str) -> list[Name]:
        """Return what the index of names calls something that begins so, the most people first; some at most."""
        return self._names("name >= ? AND name < ? ORDER BY people DESC LIMIT 200", search, f"{search}\U0010ffff")

    def lists(self, place: str) -> Lists | None:
        """Return a place's own lists, or None where it has none."""
        rows = self._rows(
            "SELECT candidates, chart, first, behind FROM nearby JOIN lists USING (place) WHERE place = ?", place
        )
        if not rows:
            return None
        numbers = {chart: range(first, behind) for _, chart, first, behind in rows}
        candidates = unpacked(rows[0][0])
        return Lists(place, candidates, numbers, self._standings(place, len(candidates.tracks)))

    def _standings(self, place: str, number: int) -> IntArray:
        query = "SELECT standings FROM standings WHERE place = ?"
        rows = self._rows(query, place) if self._sure else []
        return np.frombuffer(rows[0][0], dtype=np.int8).astype(np.int32) if rows else np.zeros(number, dtype=np.int32)

    def chart(self, place: str, chart: str) -> list[dict[str, Any]] | None:
        """Return all items of a place's own list, best first, or None where it has no such list."""
        found = self._rows("SELECT first, behind FROM lists WHERE place = ? AND chart = ?", place, chart)
        return self.items(range(*found[0])) if found else None

    def price(self, place: str, chart: str) -> Price | None:
        """Return what a place's own list costs, or None where nothing could be listed there."""
        query = "SELECT first_20, rank_1 FROM prices WHERE place = ? AND chart = ?"
        return next((Price(*row) for row in self._rows(query, place, chart)), None) if self._priced else None

    def likeness(self, places: Sequence[str]) -> Likeness:
        """Return what the lists of some places say of tracks, beside the world's; nothing where it is not kept."""
        rows = self._rows("SELECT place, codes, factors FROM likeness") if self._likened else []
        shares = self._rows("SELECT share FROM shares ORDER BY code") if self._likened else []
        said = {place: (np.frombuffer(codes, "<i4"), np.frombuffer(factors, "<f4")) for place, codes, factors in rows}
        there = {place: Listed(said[place][0], NOTHING.listeners, said[place][1]) for place in places if place in said}
        return likeness_of(there, shares=np.array(shares, dtype=np.float64).reshape(-1))

    def most_bytes(self, lines: int) -> int:
        """Return how long so many lines of different tracks are at most together; 0 where nobody has measured."""
        query = "SELECT max(bytes) FROM sizes WHERE lines <= ?"
        return (self._rows(query, lines)[0][0] or 0) if self._sized else 0

    def items(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        """Return the items of some lines, by their numbers: all are read at once, and no others."""
        return self._told("item", numbers, table="lines", key="number")

    def pages(self, codes: Sequence[int]) -> list[dict[str, str]] | None:
        """Return where the pages of some tracks and their artists are, or None where that is not kept."""
        return self._told("pages", codes, table="pages", key="code") if self._paged else None

    def _told(self, column: str, keys: Sequence[int], *, table: str, key: str) -> list[Any]:
        """Return what a column of JSON tells of some keys, in their order."""
        asked = ",".join("?" * len(keys))
        found = dict(self._rows(f"SELECT {key}, {column} FROM {table} WHERE {key} IN ({asked})", *keys))  # noqa: S608
        return [orjson.loads(found[each]) for each in keys]

    def _names(self, condition: str, *values: str) -> list[Name]:
        query = f"SELECT name, place, town, people, own FROM names JOIN towns USING (code) WHERE {condition}"  # noqa: S608
        rows = self._rows(query, *values) if self._named else []
        return [Name(name, place, town, people, bool(own)) for name, place, town, people, own in rows]

    def _rows(self, query: str, *values: object) -> list[Any]:
        """Return all rows of a query. Threads take turns: two that read at once read each other's rows."""
        with self._turn:
            return self._connection.execute(query, values).fetchall()


def write_chart_database(
    file: Path,
    *,
    places: Sequence[PublishedPlace],
    cells: Iterable[tuple[str, str]],
    charts: Iterable[tuple[str, str, Items]],
    prices: Mapping[tuple[str, str], Price],
    names: Iterable[Name] = (),
) -> None:
    """Write the tables; whoever calls this makes them durable, so SQLite need not.

    Parameters
    ----------
    file : Path
        Must not exist.
    places : sequence of PublishedPlace
        All places, with their parents.
    cells : iterable of (str, str)
        A cell, and the id of the country that public geography gives it to.
    charts : iterable of (str, str, sequence)
        A place, a chart and its items, best first. They are taken one by one: all of them may not fit into memory.
    prices : mapping of (str, str) to Price
        By place and chart.
    names : iterable of Name
        What towns and countries are called beside their places' own names.
    """
    parents = {place.id: place.parent for place in places}
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.executescript(_SCHEMA)
        database.execute("BEGIN")
        database.executemany(
            "INSERT INTO places VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", map(attrgetter(*_FIELDS), places)
        )
        database.executemany("INSERT INTO cells VALUES (?, ?)", cells)
        tracks, codes, sizes, sure, said = _write_lists(database, charts)
        database.executemany("INSERT INTO sizes VALUES (?, ?)", enumerate(_longest(sizes), 1))
        _write_likeness(database, said, tracks=len(codes))
        priced = ((place, chart, *price) for (place, chart), price in sorted(prices.items()))
        database.executemany("INSERT INTO prices VALUES (?, ?, ?, ?)", priced)
        _write_names(database, names)
        for place, candidates, standings in _nearby(tracks, sure, parents=parents):
            database.execute("INSERT INTO nearby VALUES (?, ?)", (place, packed(candidates)))
            database.execute("INSERT INTO standings VALUES (?, ?)", (place, standings.astype(np.int8).tobytes()))
        database.execute("COMMIT")


def _write_lists(
    database: sqlite3.Connection, charts: Iterable[tuple[str, str, Items]]
) -> tuple[_Tracks, dict[str, int], dict[int, int], _Sure, dict[str, Listed]]:
    """Write the lists; return their tracks, as numbers, the number and longest line of each, and what lists say."""
    tracks: _Tracks = {}
    sure: _Sure = {}
    said: dict[str, Listed] = {}
    codes: dict[str, int] = {}
    sizes: dict[int, int] = {}
    behind = 0
    for place, chart, items in charts:
        _write_tracks(database, items, codes=codes)
        tracks[place, chart] = [codes[item["track_id"]] for item in items]
        if chart != RISING:
            listed = listed_of(items, codes=tracks[place, chart])
            said[place] = said[place].before(listed) if place in said else listed
        for track, standing in standings_of(chart, items).items():
            known = sure.setdefault(place, {})
            known[codes[track]] = known.get(codes[track], 0) | standing
        lines = [orjson.dumps(item) for item in items]
        database.execute("INSERT INTO lists VALUES (?, ?, ?, ?)", (place, chart, behind, behind + len(items)))
        database.executemany("INSERT INTO lines VALUES (?, ?)", enumerate(lines, behind))
        sizes |= {
            code: max(len(line), sizes.get(code, 0)) for code, line in zip(tracks[place, chart], lines, strict=True)
        }
        behind += len(items)
    return tracks, codes, sizes, sure, said


def _write_tracks(database: sqlite3.Connection, items: Items, *, codes: dict[str, int]) -> None:
    """Give the tracks of a list that are new a number, and write where their pages are: that takes long to work out."""
    new = {item["track_id"]: item for item in items if item["track_id"] not in codes}
    numbered = list(enumerate(new.values(), len(codes)))
    codes |= {item["track_id"]: code for code, item in numbered}
    database.executemany("INSERT INTO tracks VALUES (?, ?)", ((code, item["track_id"]) for code, item in numbered))
    pages = ((code, orjson.dumps(pages_of(item))) for code, item in numbered)
    database.executemany("INSERT INTO pages VALUES (?, ?)", pages)


def _write_likeness(database: sqlite3.Connection, said: Mapping[str, Listed], *, tracks: int) -> None:
    """Write by which factors the shares of places depart from the world's, and those."""
    for place, listed in said.items():
        row = (place, listed.codes.astype("<i4").tobytes(), listed.factors.astype("<f4").tobytes())
        database.execute("INSERT INTO likeness VALUES (?, ?, ?)", row)
    shares = world_shares(said, tracks=tracks)
    database.executemany("INSERT INTO shares VALUES (?, ?)", enumerate(shares.tolist()))


def _longest(sizes: Mapping[int, int]) -> Iterator[int]:
    """Yield how long one, two, three and more lines are at most: no two lines of a list are of one track."""
    return accumulate(sorted(sizes.values(), reverse=True)[:_LONGEST_LIST])


def _write_names(database: sqlite3.Connection, names: Iterable[Name]) -> None:
    """Write the index of names, in its own order, which is the quickest to write."""
    codes: dict[tuple[str, str, int], int] = {}
    rows = sorted((n.search, codes.setdefault((n.place, n.town, n.people), len(codes)), n.own) for n in names)
    database.executemany("INSERT OR REPLACE INTO names VALUES (?, ?, ?)", rows)  # an own name comes after another
    database.executemany("INSERT INTO towns VALUES (?, ?, ?, ?)", ((code, *town) for town, code in codes.items()))


def _nearby(
    tracks: _Tracks, sure: _Sure, *, parents: Mapping[str, str | None]
) -> Iterator[tuple[str, ListCandidates[int], IntArray]]:
    """Yield the candidates of every place that has lists, gathered once for everybody who asks near it."""
    for place in dict.fromkeys(place for place, _ in tracks):
        chained = list(chain(place, parent_of=parents.__getitem__))
        candidates = candidates_of(chained, tracks=lambda at, chart: tracks.get((at, chart)))
        listed = set(tracks.get((place, POPULAR), ()))

        def known(at: str, track: int, listed: set[int] = listed, place: str = place) -> int | None:
            return sure.get(at, {}).get(track, 0 if at != place or track in listed else None)

        yield place, candidates, standings_near(candidates.tracks, chained, known=known)


_FIELDS = [each.name for each in fields(PublishedPlace)]
_PLACE = ", ".join(_FIELDS)
_TABLES = {"places", "cells", "lists", "lines", "tracks", "nearby"}
_SCHEMA = """
PRAGMA page_size = 16384;
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE places (id TEXT PRIMARY KEY, name TEXT, country TEXT, level TEXT, parent TEXT, latitude REAL,
    longitude REAL, population INTEGER, search TEXT, served INTEGER);
CREATE TABLE cells (cell TEXT PRIMARY KEY, country TEXT);
CREATE TABLE lists (place TEXT, chart TEXT, first INTEGER, behind INTEGER, PRIMARY KEY (place, chart)) WITHOUT ROWID;
CREATE TABLE prices (place TEXT, chart TEXT, first_20 INTEGER, rank_1 INTEGER, PRIMARY KEY (place, chart))
    WITHOUT ROWID;
CREATE TABLE sizes (lines INTEGER PRIMARY KEY, bytes INTEGER);
CREATE TABLE lines (number INTEGER PRIMARY KEY, item BLOB);
CREATE TABLE tracks (code INTEGER PRIMARY KEY, id TEXT);
CREATE TABLE pages (code INTEGER PRIMARY KEY, pages BLOB);
CREATE TABLE names (name TEXT, code INTEGER, own INTEGER, PRIMARY KEY (name, code)) WITHOUT ROWID;
CREATE TABLE towns (code INTEGER PRIMARY KEY, place TEXT, town TEXT, people INTEGER);
CREATE TABLE nearby (place TEXT PRIMARY KEY, candidates BLOB);
CREATE TABLE likeness (place TEXT PRIMARY KEY, codes BLOB, factors BLOB);
CREATE TABLE shares (code INTEGER PRIMARY KEY, share REAL);
CREATE TABLE standings (place TEXT PRIMARY KEY, standings BLOB);
"""
