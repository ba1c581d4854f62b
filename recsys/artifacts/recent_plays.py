"""Recent plays: what each of those played lately who let it count among what their friends play.

It lies with the affinities (:mod:`recsys.artifacts.affinities`), sealed as they are, one row a listener: the country in
which most of it was played, and the tracks, all of which are on some chart. Who is whose friend is not in it: the
endpoint finds that out at each request, so that whatever ends at any moment ends here, too.
"""

import io
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from recsys.artifacts.list_candidates import IntArray

MOST_TRACKS = 200
"""Tracks of one listener: those played most."""

FEWEST_FRIENDS, FEWEST_PLAYED = 5, 3
"""Of fewer friends nothing is told, and of no track that fewer of them played: it would be about one of them."""

NO_TRACK = np.iinfo(np.int32).max  # fills rows of fewer tracks

RECENT = "1"
"""The format of the files."""

_BEFORE = "recent-"  # what the names of the files begin with
_ARRAYS = ("listeners", "countries", "columns")


class Song(NamedTuple):
    """A track, as the catalogue has it."""

    track_id: str
    title: str
    artist: str
    artist_id: str


class Shared(NamedTuple):
    """A track that enough friends played, and which of those who may be named did."""

    song: Song
    named: list[str]


@dataclass(frozen=True, eq=False)
class RecentPlays:
    """What n listeners played lately; immutable.

    Parameters
    ----------
    night : str
        The last of the nights, as an ISO date; empty where there was none.
    songs : tuple of Song
        Behind the columns, in the order of every answer: of nothing that a friend played.
    listeners : numpy.ndarray
        (n,) sorted bytes of the keyed hashes.
    countries : numpy.ndarray
        (n,) ids of countries, as bytes.
    columns : numpy.ndarray
        (n, k) int32 positions in ``songs``, filled up with ``NO_TRACK``.
    """

    night: str
    songs: tuple[Song, ...] = field(repr=False)
    listeners: NDArray[np.bytes_] = field(repr=False)
    countries: NDArray[np.bytes_] = field(repr=False)
    columns: IntArray = field(repr=False)

    def among(self, nameless: Collection[str], named: Collection[str] = (), *, country: str | None) -> Iterator[Shared]:
        """Yield the tracks that enough friends played, in the order of the songs, each with those who may be named.

        How many played a track is told by nothing, their order included: where all of five did, it would be of each.

        The nameless are told of together: it takes five of them, and three who played a track, whatever the named did,
        as what is left when these are taken away would be about one of them else. Of the named it takes three, of five
        friends in all.

        Parameters
        ----------
        nameless, named : collection of str
            Friends, each once; the named share with whoever is told under their own name.
        country : str or None
            In which it was played; None for wherever.
        """
        unknown, known = self._rows_of(nameless, country), self._rows_of(named, country)
        of_unknown = (self._counts(unknown) >= FEWEST_PLAYED) & (len(unknown) >= FEWEST_FRIENDS)
        of_known = (self._counts(known) >= FEWEST_PLAYED) & (len(unknown) + len(known) >= FEWEST_FRIENDS)
        return (self._shared(column, known) for column in np.flatnonzero(of_unknown | of_known).tolist())

    @cached_property
    def lengths(self) -> list[int]:
        """How many bytes of JSON each song is, the longest first."""
        return sorted((len(orjson.dumps(song._asdict())) for song in self.songs), reverse=True)

    def told(self, listener: str) -> tuple[str, list[str]] | None:
        """Return what is held about a listener: the country, and tracks; None where nothing is."""
        found = self._rows_of([listener], None)
        if not len(found):
            return None
        tracks = [self.songs[column].track_id for column in self.columns[found[0]].tolist() if column != NO_TRACK]
        return self.countries[found[0]].decode(), tracks

    def without(self, listeners: Collection[str]) -> "RecentPlays":
        """Return the same without the rows of some listeners."""
        rows = {name: np.delete(getattr(self, name), self._rows_of(listeners, None), axis=0) for name in _ARRAYS}
        return replace(self, **rows)

    def contents(self) -> dict[str, bytes]:
        """Return what is written, by the names of the files."""
        arrays = {f"{_BEFORE}{name}.npy": _saved(getattr(self, name)) for name in _ARRAYS}
        return arrays | {f"{_BEFORE}songs.json": json.dumps(self.songs).encode()}

    def _rows_of(self, listeners: Collection[str], country: str | None) -> NDArray[np.intp]:
        """Return (m,) the rows of those of some listeners who have one, of a country or of any."""
        wanted = np.array([bytes.fromhex(listener) for listener in listeners], dtype=self.listeners.dtype)
        places: NDArray[np.intp] = np.searchsorted(self.listeners, wanted)
        inside = places < len(self.listeners)
        places, wanted = places[inside], wanted[inside]
        found: NDArray[np.intp] = places[self.listeners[places] == wanted]
        return found if country is None else found[self.countries[found] == country.encode()]

    def _counts(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return (songs,) how many of some rows have each song."""
        played = self.columns[rows]
        counts: NDArray[np.intp] = np.bincount(played[played != NO_TRACK], minlength=len(self.songs))
        return counts

    def _shared(self, column: int, named: NDArray[np.intp]) -> Shared:
        played_it = named[(self.columns[named] == column).any(axis=1)]
        return Shared(self.songs[column], [each.ljust(16, b"\0").hex() for each in self.listeners[played_it].tolist()])


def recent_plays_of(
    played: Mapping[str, tuple[str, Collection[str]]], *, songs: Sequence[Song], night: str = ""
) -> RecentPlays:
    """Return the recent plays of some listeners, each a country and tracks, most played first; others have no row.

    Parameters
    ----------
    played : mapping of str to (str, collection of str)
        Ids of a country and of tracks, by listener.
    songs : sequence of Song
        All of these tracks, and perhaps others, in the order in which answers have them.
    night : str
        The last of the nights.
    """
    here = sorted(played)
    number = {song.track_id: column for column, song in enumerate(songs)}
    columns = np.full((len(here), MOST_TRACKS), NO_TRACK, dtype=np.int32)
    for row, listener in enumerate(here):
        own = [number[track] for track in played[listener][1]][:MOST_TRACKS]
        columns[row, : len(own)] = own
    listeners = np.array([bytes.fromhex(listener) for listener in here], dtype="S16")
    countries = np.array([played[listener][0].encode() for listener in here], dtype="S8")
    return RecentPlays(night, tuple(songs), listeners, countries, columns)


NO_PLAYS = recent_plays_of({}, songs=())
"""What there is where nobody lets anything count."""


def read_recent_plays(read: Callable[[str], bytes], *, night: str) -> RecentPlays:
    """Return what was written, from what gives the content of a file."""
    arrays: dict[str, Any] = {name: np.load(io.BytesIO(read(f"{_BEFORE}{name}.npy"))) for name in _ARRAYS}
    songs = tuple(Song(*each) for each in json.loads(read(f"{_BEFORE}songs.json")))
    return RecentPlays(night, songs, **arrays)


def _saved(array: NDArray[Any]) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()
