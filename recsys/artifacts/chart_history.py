"""The chart history: every night's published charts, for ever, in one SQLite file that grows by a night at a time.

A night is appended in one transaction and never changed again, so that a crash leaves it whole or absent, and a run
that is repeated finds it as it was published. Beside names there are five tables: the nights, the lists as they were
told, the same the other way round (where a track was listed), where each track stands in each list so far, and what was
forecast. A list is found by place, chart and night, a track by track and night, and either is read without the rest.
"""

import hashlib
import re
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from recsys.artifacts.list_candidates import CHARTS, POPULAR
from recsys.errors import InputError
from recsys.geography.places import WORLD
from recsys.geography.spelling import searchable
from recsys.versions import check_version

Item = dict[str, Any]


class Standing(NamedTuple):
    """How a track has done in a list so far, up to one of its nights.

    Parameters
    ----------
    first_night, first_rank
        When and where it entered first.
    peak_rank, peak_night
        Its best rank, and the first night of it.
    nights : int
        On how many nights it was listed.
    in_row : int
        How many of these are the last ones, one after the other, of those that have charts.
    previous_rank : int or None
        Its rank of the night before.
    """

    first_night: date
    first_rank: int
    peak_rank: int
    peak_night: date
    nights: int
    in_row: int
    previous_rank: int | None


class Night(NamedTuple):
    """A night that has charts.

    Parameters
    ----------
    night : date
    drawn : date
        On which day its charts were drawn: a later one where the night's own run did not draw any.
    window : int
        How many nights are behind them.
    version : str
        What they were derived by: settings and atlas.
    """

    night: date
    drawn: date
    window: int
    version: str


class Song(NamedTuple):
    """A track that was listed, under the names it had last; ``mark`` stands for its id in an address."""

    track_id: str
    title: str
    artist_id: str
    artist: str
    mark: str
    artist_mark: str


class Spread(NamedTuple):
    """How far a track had come on a night.

    Parameters
    ----------
    night : date
    places : int
        In how many places it was on the popular chart.
    rank : int
        Its best rank on a popular chart, 0 for none.
    world : (int, float, float, float) or None
        Rank, estimate and its 95 % interval on that of the world.
    """

    night: date
    places: int
    rank: int
    world: tuple[int, float, float, float] | None


class Sighting(NamedTuple):
    """Where a track was listed on a night: numbers as they were told then."""

    place: str
    chart: str
    rank: int
    previous_rank: int | None
    nights_on_chart: int
    peak_rank: int
    listeners: tuple[float, float, float]
    lift: tuple[float, float, float]


class Step(NamedTuple):
    """A night of a track in one list: its rank, and the estimate with its 95 % interval."""

    night: date
    rank: int
    listeners: tuple[float, float, float]


class Chance(NamedTuple):
    """How probably a track was to move up after a night, 0 to 1, by :mod:`recsys.models.forecast`."""

    track_id: str
    chance: float


def append(
    file: Path, night: Night, lists: Iterable[tuple[str, str, Sequence[Item]]], *, kept: int, artists: Mapping[str, str]
) -> bool:
    """Append a night's charts; a night that is there already stays as it is.

    Parameters
    ----------
    file : Path
        Is made where there is none.
    night : Night
        Later than all that are there.
    lists : iterable of (str, str, sequence)
        A place, a chart and its items as they are published, best first.
    kept : int
        Lines of a list that can be read again; where a track stands is known of all.
    artists : mapping of str to str
        The artist's id of each track.

    Returns
    -------
    bool
        Whether it was appended.

    Raises
    ------
    InputError
        If the file is no chart history, or one of a later release.
    """
    with _opened(file) as database:
        database.execute("BEGIN IMMEDIATE")
        if database.execute("SELECT 1 FROM nights WHERE night = ?", (night.night.toordinal(),)).fetchone():
            database.execute("ROLLBACK")
            return False
        _Appending(database, night, kept=kept, artists=artists).write(lists)
        database.execute("COMMIT")
    return True


def standings(
    file: Path, night: date, *, places: Iterable[str]
) -> Iterator[tuple[str, dict[tuple[str, str], Standing]]]:
    """Yield, place by place, how tracks have done by chart and track, were they listed on a night as well.

    Of a night that is there it is what was told then; else what follows for a track that was listed before. The rank on
    the night itself is not known here: see :func:`followed`.
    """
    with _opened(file) as database:
        last = _last_before(database, night)
        for place in places:
            rows = database.execute(_STANDINGS, (place,))
            yield place, {(CHARTS[chart], track): _standing(row, night=night, last=last) for chart, track, *row in rows}


def followed(before: Standing | None, *, night: date, rank: int) -> Standing:
    """Return how a track has done once it is at a rank on a night, from :func:`standings` of that night."""
    if before is None:
        return Standing(night, rank, rank, night, 1, 1, None)
    return before if rank >= before.peak_rank else before._replace(peak_rank=rank, peak_night=night)


def nights_of(file: Path) -> list[Night]:
    """Return the nights that have charts, in order; none where there is no file."""
    if not file.exists():
        return []
    with _opened(file) as database:
        return _nights(database)


def listed(file: Path, night: date) -> list[tuple[str, str, str]]:
    """Return place, chart and track of every line of a night's lists, best first."""
    with _opened(file) as database:
        found = database.execute(_TRACKS_OF_NIGHT, (night.toordinal(),)).fetchall()
        names = dict(database.execute("SELECT code, id FROM tracks").fetchall())
    return [(place, CHARTS[chart], names[code]) for place, chart, codes in found for code in _codes(codes).tolist()]


def told(file: Path, night: date) -> Iterator[tuple[str, str, list[Item]]]:
    """Yield place, chart and items of a night's lists, as far as they are kept."""
    with _opened(file) as database:
        for place, chart, packed in database.execute(_TOLD_OF_NIGHT, (night.toordinal(),)):
            yield place, CHARTS[chart], _unpacked(packed)


class RankedLists:
    """The popular lists of all nights, as the codes of their tracks: for what reads very many of them.

    Parameters
    ----------
    database : sqlite3.Connection

    Attributes
    ----------
    nights : list of int
        That have charts, as ordinals, in order.
    places : list of str
        That ever had a list.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self.nights = [night.night.toordinal() for night in _nights(database)]
        self._places = dict(database.execute("SELECT id, code FROM places ORDER BY code").fetchall())
        self.places = list(self._places)

    def read(self, place: str, first: int, last: int) -> dict[int, NDArray[np.uint32]]:
        """Return the lists of a place from one night to another, each best first; those that there are."""
        asked = (self._places.get(place), CHARTS.index(POPULAR), first, last)
        return {night: _codes(tracks) for night, tracks in self._database.execute(_CODES, asked)}

    def forecast_nights(self) -> set[int]:
        """Return the nights of which something was forecast, as ordinals."""
        return {night for (night,) in self._database.execute("SELECT DISTINCT night FROM forecasts")}

    def keep(self, night: int, chances: Mapping[str, tuple[NDArray[np.uint32], NDArray[np.float64]]]) -> None:
        """Keep what was forecast on a night, in one transaction: by place, codes of tracks and the chance of each."""
        rows = [
            (night, self._places[place], tracks.astype("<u4").tobytes(), chance.astype("<f4").tobytes())
            for place, (tracks, chance) in chances.items()
        ]
        self._database.execute("BEGIN IMMEDIATE")
        self._database.executemany("INSERT OR IGNORE INTO forecasts VALUES (?, ?, ?, ?)", rows)
        self._database.execute("COMMIT")


@contextmanager
def ranked_lists(file: Path) -> Iterator[RankedLists]:
    """Open a chart history for what reads very many lists.

    Raises
    ------
    InputError
        If the file is no chart history, or one of a later release.
    """
    with _opened(file) as database:
        yield RankedLists(database)


@dataclass(frozen=True, eq=False)
class ChartHistory:
    """A chart history opened for reading up to a night, safe to read from many threads.

    Open it with :func:`open_history`. What is appended later is none of its business: an answer of a snapshot says
    nothing of a night after it.

    Parameters
    ----------
    nights : mapping of date to Night
        In order.
    """

    nights: Mapping[date, Night]
    _tracks: int = 0  # how many were listed by then: a track has its code from the night on which it was listed first
    _connection: sqlite3.Connection | None = None
    _version: int = 0
    _turn: Lock = field(default_factory=Lock)

    def close(self) -> None:
        """Close it, for all threads."""
        if self._connection:
            self._connection.close()

    @property
    def last(self) -> date:
        """The last night."""
        return max(self.nights)

    def items(self, place: str, chart: str, *, night: date) -> list[Item] | None:
        """Return the items of a list as they were published, or None where there was no such list."""
        found = self._rows(_ONE_LIST, place, CHARTS.index(chart), night.toordinal())
        return _unpacked(found[0][0]) if found else None

    def ranks(self, place: str, chart: str, *, nights: Sequence[date]) -> dict[date, list[str]]:
        """Return the tracks of a list on some nights, best first."""
        asked = ",".join("?" * len(nights))
        wanted = [night.toordinal() for night in nights]
        rows = self._rows(_SOME_LISTS.format(asked), place, CHARTS.index(chart), *wanted)
        codes = {night: _codes(tracks) for night, tracks in rows}
        names = self._names({code for some in codes.values() for code in some.tolist()})
        return {date.fromordinal(night): [names[code] for code in some.tolist()] for night, some in codes.items()}

    def course(self, place: str, chart: str, track: str) -> list[Step]:
        """Return every night of a track in one list, in order; numbers as they were published."""
        code = self._code(track)
        rows = self._rows(_LISTS_OF_PLACE, place, CHARTS.index(chart), *self._between(list(self.nights)))
        steps = ((night, np.flatnonzero(_codes(tracks) == code), _numbers(numbers)) for night, tracks, numbers in rows)
        return [
            Step(date.fromordinal(night), int(at[0]) + 1, _three(numbers[at[0]]))
            for night, at, numbers in steps
            if len(at) and at[0] < len(numbers)
        ]

    def forecasts(self, place: str, *, nights: Sequence[date]) -> dict[date, list[Chance]]:
        """Return what was forecast for a place on some nights, the most probable first; where there was a forecast."""
        if self._version < _FORECAST_SINCE:
            return {}
        asked = ",".join("?" * len(nights))
        rows = self._rows(_FORECASTS.format(asked), place, *(night.toordinal() for night in nights))
        found = {night: (_codes(tracks), np.frombuffer(chances, dtype="<f4")) for night, tracks, chances in rows}
        names = self._names({code for codes, _ in found.values() for code in codes.tolist()})
        return {
            date.fromordinal(night): [
                Chance(names[code], _rounded(chance))
                for code, chance in zip(codes.tolist(), chances.tolist(), strict=True)
            ]
            for night, (codes, chances) in found.items()
        }

    def spread(self, track: str) -> list[Spread]:
        """Return how far a track had come on each of its nights, in order."""
        return self.spreads([track]).get(track, [])

    def spreads(self, tracks: Iterable[str]) -> dict[str, list[Spread]]:
        """Return the same of some tracks that were listed, by their ids."""
        found: dict[str, list[Spread]] = {}
        for track, night, places, rank, world, *three in self._rows(
            _SPREADS, _listing(tracks), *self._between(list(self.nights))
        ):
            spread = Spread(date.fromordinal(night), places, rank, (world, *three) if world else None)
            found.setdefault(track, []).append(spread)
        return found

    def sightings(self, track: str, *, night: date) -> list[Sighting]:
        """Return where a track was listed on a night, by place and chart."""
        return self.all_sightings([track], night=night).get(track, [])

    def all_sightings(self, tracks: Iterable[str], *, night: date) -> dict[str, list[Sighting]]:
        """Return the same of some tracks, as far as they were listed then, by their ids."""
        rows = self._rows(_SIGHTINGS, _listing(tracks), night.toordinal())
        return {track: self._sighted(packed) for track, packed in rows}

    def _sighted(self, packed: bytes) -> list[Sighting]:
        lines = np.frombuffer(zlib.decompress(packed), dtype=_SIGHTING)
        return [
            Sighting(
                self._places[place],
                CHARTS[chart],
                rank,
                previous or None,
                nights,
                peak,
                _three(listeners),
                _three(lift),
            )
            for place, chart, rank, previous, nights, peak, listeners, lift in lines.tolist()
        ]

    def song(self, track_or_mark: str) -> Song | None:
        """Return a track by its id, or by its mark."""
        return next(iter(self._songs("id = ?2 OR mark = ?2", track_or_mark)), None)

    def songs(self, tracks: Iterable[str]) -> dict[str, Song]:
        """Return some tracks by their ids."""
        wanted = list(tracks)
        return {song.track_id: song for song in self._songs(f"id IN ({','.join('?' * len(wanted))})", *wanted)}

    def by_artist(self, artist_or_mark: str) -> list[Song]:
        """Return the tracks of an artist, by the artist's id or its mark, by title."""
        found = self._songs("artist_id = ?2 OR artist_mark = ?2", artist_or_mark)
        return sorted(found, key=lambda song: (song.title, song.track_id))

    def latest_songs(self, *, limit: int) -> list[Song]:
        """Return the tracks that were ever listed, of more than the limit those that were in sight last."""
        until = max(self.nights, default=date.min).toordinal()
        return self._songs("1", until, limit, order=f"ORDER BY {_SEEN} DESC, code LIMIT ?")

    def named(self, text: str, *, limit: int) -> list[Song]:
        """Return the tracks that have all words of a text in title or artist, those that begin with it first."""
        words = _words(text)
        if not words:
            return []
        begins = " AND ".join([_BEGINS] * len(words))
        order = "ORDER BY (search NOT LIKE ?), title, id LIMIT ?"
        patterns = [*(f"% {word}%" for word in words), f"{' '.join(words)}%"]
        return self._songs(begins, *patterns, limit, order=order)

    def _songs(self, condition: str, *values: object, order: str = "") -> list[Song]:
        """Return the tracks, of those listed by the last night, that fulfil a condition; its values count from two."""
        return [Song(*row) for row in self._rows(f"{_SONG} AND ({condition}) {order}", self._tracks, *values)]

    def artists_named(self, text: str, *, limit: int) -> list[tuple[str, str]]:
        """Return id and name of the artists that have all words of a text in their name, as tracks are found."""
        words = _words(text)
        if not words:
            return []
        begins = " AND ".join([_BEGINS] * len(words))  # in the artist's name, or in that of a song beside it
        query = f"SELECT DISTINCT artist_id, artist FROM tracks WHERE +code < ? AND {begins}"  # noqa: S608
        rows = self._rows(query, self._tracks, *(f"% {word}%" for word in words))
        names = {id_: (f" {searchable(name)}", name) for id_, name in rows}
        found = [id_ for id_, (plain, _) in names.items() if all(f" {word}" in plain for word in words)]
        first = f" {' '.join(words)}"
        found.sort(key=lambda id_: (not names[id_][0].startswith(first), names[id_][1], id_))
        return [(id_, names[id_][1]) for id_ in found[:limit]]

    @cached_property
    def _places(self) -> Mapping[int, str]:
        return dict(self._rows("SELECT code, id FROM places"))

    def _code(self, track: str) -> int:
        return next((int(code) for (code,) in self._rows("SELECT code FROM tracks WHERE id = ?", track)), -1)

    def _names(self, codes: Iterable[int]) -> dict[int, str]:
        wanted = ",".join(map(str, codes))
        return dict(self._rows(f"SELECT code, id FROM tracks WHERE code IN ({wanted})"))  # noqa: S608

    def _between(self, nights: Sequence[date]) -> tuple[int, int]:
        return (min(nights).toordinal(), max(nights).toordinal()) if nights else (1, 0)

    def _rows(self, query: str, *values: object) -> list[Any]:
        """Return all rows of a query. Threads take turns, as with the charts."""
        if self._connection is None:
            return []
        with self._turn:
            return self._connection.execute(query, values).fetchall()


NO_HISTORY = ChartHistory({})
"""Of a workspace without one."""


def open_history(file: Path, *, until: date) -> ChartHistory:
    """Open a chart history for reading, up to a night; without a file there are no nights.

    Raises
    ------
    sqlite3.Error
        If it cannot be read.
    InputError
        If it is of a later release.
    """
    if not file.exists():
        return NO_HISTORY
    uri = f"{file.resolve().as_uri()}?mode=rw"  # what a crash left half-written is rolled back; no query writes
    connection = sqlite3.connect(uri, uri=True, check_same_thread=False, timeout=_PATIENCE)
    try:
        connection.execute("PRAGMA query_only = ON")
        version = _version(connection, file)
        nights = {night.night: night for night in _nights(connection) if night.night <= until}
        [(tracks,)] = connection.execute(_LISTED_BY, (until.toordinal(),))
    except BaseException:
        connection.close()
        raise
    return ChartHistory(nights, tracks, connection, version)


def mark_of(id_: str) -> str:
    """Return sixteen letters that stand for an id in an address: an id may be any text, and a number may be a place."""
    digest = hashlib.blake2b(id_.encode(), digest_size=8).hexdigest()
    return digest.translate(_LETTERS)


class _Appending:
    """The night that is being appended."""

    def __init__(self, database: sqlite3.Connection, night: Night, *, kept: int, artists: Mapping[str, str]) -> None:
        self._database, self._night, self._kept, self._artists = database, night, kept, artists
        self._at = night.night.toordinal()
        self._codes = dict(database.execute("SELECT id, code FROM tracks").fetchall())
        self._places = dict(database.execute("SELECT id, code FROM places").fetchall())
        self._titles: dict[str, Item] = {}
        self._seen: dict[int, list[tuple[Any, ...]]] = {}

    def write(self, lists: Iterable[tuple[str, str, Sequence[Item]]]) -> None:
        """Write the lists one by one, then what they say together."""
        last = _last_before(self._database, self._night.night)
        for place, chart, items in lists:
            self._write_list(self._place(place), CHARTS.index(chart), items, last=last)
        self._database.executemany("INSERT OR REPLACE INTO tracks VALUES (?, ?, ?, ?, ?, ?, ?, ?)", self._names())
        self._database.executemany("INSERT INTO sightings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", self._sightings())
        night = self._night
        facts = (self._at, night.drawn.isoformat(), night.window, night.version)
        self._database.execute("INSERT INTO nights VALUES (?, ?, ?, ?)", facts)

    def _write_list(self, place: int, chart: int, items: Sequence[Item], *, last: int) -> None:
        codes = [self._track(item) for item in items]
        lines = [_line(place, chart, item) for item in items[: self._kept]]
        for code, line in zip(codes, lines, strict=False):
            self._seen.setdefault(code, []).append(line)
        numbers = np.array([line[_LISTENERS] for line in lines], dtype="<f4").reshape(-1, 3)
        blobs = (np.array(codes, "<u4").tobytes(), numbers.tobytes(), _packed(items[: self._kept]))
        self._database.execute("INSERT INTO lists VALUES (?, ?, ?, ?, ?, ?)", (place, chart, self._at, *blobs))
        ranked = (
            {"track": code, "place": place, "chart": chart, "rank": rank, "night": self._at, "last": last}
            for rank, code in enumerate(codes, 1)
        )
        self._database.executemany(_FOLLOW, ranked)

    def _sightings(self) -> Iterator[tuple[Any, ...]]:
        """Yield, by track, how far it has come, and where it is listed."""
        world, popular = self._places.get(WORLD), CHARTS.index(POPULAR)
        for track, lines in sorted(self._seen.items()):
            hits = [line for line in lines if line[1] == popular]
            everywhere = next(((line[2], *line[_LISTENERS]) for line in hits if line[0] == world), (0, 0.0, 0.0, 0.0))
            best = min((line[2] for line in hits), default=0)
            packed = zlib.compress(np.array(lines, dtype=_SIGHTING).tobytes())
            yield (track, self._at, len(hits), best, *everywhere, packed)

    def _names(self) -> Iterator[tuple[Any, ...]]:
        for id_, item in self._titles.items():
            artist_id = self._artists.get(id_, item["artist"])
            search = searchable(f"{item['title']} {item['artist']}")
            marks = (mark_of(id_), mark_of(artist_id))
            yield self._codes[id_], id_, item["title"], artist_id, item["artist"], *marks, search

    def _track(self, item: Item) -> int:
        self._titles[item["track_id"]] = item
        return int(self._codes.setdefault(item["track_id"], len(self._codes)))

    def _place(self, id_: str) -> int:
        if id_ not in self._places:
            self._places[id_] = len(self._places)
            self._database.execute("INSERT INTO places VALUES (?, ?)", (self._places[id_], id_))
        return int(self._places[id_])


def _opened(file: Path) -> closing[sqlite3.Connection]:
    """Open a history for writing, made where there is none."""
    database = sqlite3.connect(file, isolation_level=None, timeout=_PATIENCE)
    try:
        version = _version(database, file)
        database.executescript(_SCHEMA)
        if version != _VERSION:
            database.execute(f"PRAGMA user_version = {_VERSION}")
    except InputError:
        database.close()
        raise
    except sqlite3.DatabaseError as error:
        database.close()
        raise InputError(
            f"{file} cannot be used as the chart history ({type(error).__name__})",
            hint="Restore the file from a backup. If it is lost for good, remove it: the charts of the last nights, "
            "`history.catch_up_nights` at most, are drawn again, and say when.",
        ) from None
    return closing(database)


def _version(database: sqlite3.Connection, file: Path) -> int:
    """Return the version, 0 of a new file; refuse a history that may say more than this release understands."""
    [(version,)] = database.execute("PRAGMA user_version")
    check_version(f"the chart history {file}", version, known=range(_VERSION + 1))
    return int(version)


def _nights(database: sqlite3.Connection) -> list[Night]:
    rows = database.execute("SELECT night, drawn, nights, version FROM nights ORDER BY night").fetchall()
    return [Night(date.fromordinal(night), date.fromisoformat(drawn), *rest) for night, drawn, *rest in rows]


def _last_before(database: sqlite3.Connection, night: date) -> int:
    """Return the last night with charts before one, as an ordinal; 0 for none."""
    found = database.execute("SELECT max(night) FROM nights WHERE night < ?", (night.toordinal(),)).fetchone()
    return int(found[0] or 0)


def _standing(row: Sequence[Any], *, night: date, last: int) -> Standing:
    """Read a row as of a night: as it was told then, or going on from the night before."""
    first, first_rank, peak, peak_night, nights, in_row, seen, rank, previous = row
    before = Standing(date.fromordinal(first), first_rank, peak, date.fromordinal(peak_night), nights, in_row, previous)
    if seen == night.toordinal():
        return before
    went_on = seen == last
    return before._replace(
        nights=nights + 1, in_row=in_row + 1 if went_on else 1, previous_rank=rank if went_on else None
    )


def _line(place: int, chart: int, item: Item) -> tuple[Any, ...]:
    previous, peak = item["previous_rank"], item["history"]["peak_rank"]
    ranks = (item["rank"], 0 if previous == "new" else previous, min(item["nights_on_chart"], _MOST), peak)
    listeners, interval = item["listeners"], item["lift_interval"]
    numbers = (listeners["estimate"], listeners["low"], listeners["high"])
    return place, chart, *ranks, numbers, (item["lift"], interval["low"], interval["high"])


def _packed(items: Sequence[Item]) -> bytes:
    return zlib.compress(orjson.dumps(list(items)), 9)


def _unpacked(packed: bytes) -> list[Item]:
    found: list[Item] = orjson.loads(zlib.decompress(packed))
    return found


def _codes(packed: bytes) -> NDArray[np.uint32]:
    return np.frombuffer(packed, dtype="<u4")


def _numbers(packed: bytes) -> NDArray[np.float32]:
    return np.frombuffer(packed, dtype="<f4").reshape(-1, 3)


def _three(values: Iterable[Any]) -> tuple[float, float, float]:
    one, two, three = map(_rounded, values)
    return one, two, three


def _rounded(value: float) -> float:
    """Return a number as it was published: of at most seven digits, which is what single precision holds."""
    return float(f"{value:.7g}")


def _listing(tracks: Iterable[str]) -> str:
    """Return ids as one value of a query: there may be more of them than it can have values."""
    return orjson.dumps(list(tracks)).decode()


def _words(text: str) -> list[str]:
    return [word for word in map(_plain, searchable(text).split()) if word]


def _plain(word: str) -> str:
    return re.sub("[%_]", "", word)


_LISTENERS = 6  # where a line has them
_PATIENCE = 10  # seconds to wait while a night is being appended
_LETTERS = str.maketrans("0123456789abcdef", "abcdefghijklmnop")
_MOST = (1 << 16) - 1  # nights in a row that a sighting can tell
_RANKS = [(name, "<u2") for name in ("rank", "previous", "nights", "peak")]
_SIGHTING = np.dtype([("place", "<u4"), ("chart", "u1"), *_RANKS, ("listeners", "<f4", 3), ("lift", "<f4", 3)])
_VERSION = _FORECAST_SINCE = 2
# EXTRA: a journal that is deleted stays so, else a power loss would bring it back, and it would take the night back.
_SCHEMA = """
PRAGMA page_size = 16384;
PRAGMA cache_spill = OFF;
PRAGMA synchronous = EXTRA;
CREATE TABLE IF NOT EXISTS nights (night INTEGER PRIMARY KEY, drawn TEXT, nights INTEGER, version TEXT);
CREATE TABLE IF NOT EXISTS places (code INTEGER PRIMARY KEY, id TEXT UNIQUE);
CREATE TABLE IF NOT EXISTS tracks (code INTEGER PRIMARY KEY, id TEXT UNIQUE, title TEXT, artist_id TEXT, artist TEXT,
    mark TEXT, artist_mark TEXT, search TEXT);
CREATE INDEX IF NOT EXISTS tracks_by_mark ON tracks (mark);
CREATE INDEX IF NOT EXISTS tracks_by_artist ON tracks (artist_id);
CREATE INDEX IF NOT EXISTS tracks_by_artist_mark ON tracks (artist_mark);
CREATE TABLE IF NOT EXISTS lists (place INTEGER, chart INTEGER, night INTEGER, tracks BLOB, numbers BLOB, told BLOB,
    PRIMARY KEY (place, chart, night)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sightings (track INTEGER, night INTEGER, places INTEGER, best INTEGER, world_rank INTEGER,
    estimate REAL, low REAL, high REAL, lines BLOB, PRIMARY KEY (track, night)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS forecasts (night INTEGER, place INTEGER, tracks BLOB, chances BLOB,
    PRIMARY KEY (night, place)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS standings (place INTEGER, chart INTEGER, track INTEGER, first INTEGER, first_rank INTEGER,
    peak INTEGER, peak_night INTEGER, nights INTEGER, in_row INTEGER, last INTEGER, rank INTEGER, previous INTEGER,
    PRIMARY KEY (place, chart, track)) WITHOUT ROWID;
"""
_FOLLOW = """
INSERT INTO standings VALUES (:place, :chart, :track, :night, :rank, :rank, :night, 1, 1, :night, :rank, NULL)
ON CONFLICT DO UPDATE SET nights = nights + 1, in_row = iif(last = :last, in_row + 1, 1),
    previous = iif(last = :last, rank, NULL), peak_night = iif(:rank < peak, :night, peak_night),
    peak = min(peak, :rank), last = :night, rank = :rank
"""
_FACTS = "first, first_rank, peak, peak_night, nights, in_row, last, rank, previous"
_STANDINGS = f"""SELECT chart, tracks.id, {_FACTS} FROM standings JOIN tracks ON track = tracks.code
    WHERE place = (SELECT code FROM places WHERE id = ?)"""  # noqa: S608
_OF_NIGHT = """FROM places CROSS JOIN lists ON lists.place = places.code AND chart IN (0, 1, 2) AND night = ?
    ORDER BY places.code, chart"""  # in this order all three are looked up
_TRACKS_OF_NIGHT = f"SELECT places.id, chart, tracks {_OF_NIGHT}"
_TOLD_OF_NIGHT = f"SELECT places.id, chart, told {_OF_NIGHT}"
_PLACE = "(SELECT code FROM places WHERE id = ?)"
_ONE_LIST = f"SELECT told FROM lists WHERE place = {_PLACE} AND chart = ? AND night = ?"  # noqa: S608
_LISTS_OF_PLACE = f"""SELECT night, tracks, numbers FROM lists WHERE place = {_PLACE} AND chart = ?
    AND night BETWEEN ? AND ? ORDER BY night"""  # noqa: S608
_SOME_LISTS = f"SELECT night, tracks FROM lists WHERE place = {_PLACE} AND chart = ? AND night IN ({{}})"  # noqa: S608
_CODES = "SELECT night, tracks FROM lists WHERE place = ? AND chart = ? AND night BETWEEN ? AND ?"
_FORECASTS = f"SELECT night, tracks, chances FROM forecasts WHERE place = {_PLACE} AND night IN ({{}})"  # noqa: S608
_THESE = "FROM tracks JOIN sightings ON track = code WHERE id IN (SELECT value FROM json_each(?))"
_SPREADS = f"""SELECT id, night, places, best, world_rank, estimate, low, high {_THESE}
    AND night BETWEEN ? AND ? ORDER BY track, night"""
_SIGHTINGS = f"SELECT id, lines {_THESE} AND night = ?"
_BEGINS = "(' ' || search) LIKE ?"  # a word of the text that is searched
_SONG = "SELECT id, title, artist_id, artist, mark, artist_mark FROM tracks WHERE +code < ?1"  # found by the rest
_SEEN = "(SELECT max(night) FROM sightings WHERE track = code AND night <= ?)"  # null, the least, for none
_LISTED_BY = """SELECT 1 + coalesce(iif(EXISTS (SELECT 1 FROM nights WHERE night > ?1),
    (SELECT max(track) FROM standings WHERE first <= ?1), (SELECT max(code) FROM tracks)), -1)"""
