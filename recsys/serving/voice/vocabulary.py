"""The vocabulary: the places of a snapshot and the songs and artists of its charts, as they are found by ear."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from babel import Locale

from recsys.artifacts.chart_history import Song
from recsys.geography.names import Name
from recsys.geography.spelling import searchable
from recsys.serving.snapshot.once import once_a_snapshot
from recsys.serving.snapshot.snapshot_reader import Published
from recsys.serving.voice.grammars import PHRASES
from recsys.serving.voice.names import Names, names_of

_CODE = 3  # letters of a country's code, which nobody says, and every short word sounds like
_MOST_SONGS = 50_000  # of more those that were listed last


class Artist(NamedTuple):
    """Somebody who was listed."""

    artist_id: str
    artist: str


@once_a_snapshot
def places_of(published: Published) -> Names[Name]:
    """Return places and towns by their own names, and countries by those in the languages of the page."""
    return _by_ear(_named(published))


@once_a_snapshot
def charted_places_of(published: Published) -> Names[Name]:
    """Return those of them that have charts of their own, which are likelier to be asked for."""
    return _by_ear(name for name in _named(published) if published.places[name.place].served)


@once_a_snapshot
def songs_of(published: Published) -> Names[Song]:
    """Return songs by their titles, and by title and artist in either order, those listed last first.

    Raises
    ------
    NotReadyError
        If the charts of all nights are away, now.
    """
    songs = published.history.latest_songs(limit=_MOST_SONGS)
    return names_of(((searchable(name), song) for song in songs for name in _names(song)), languages=PHRASES)


@once_a_snapshot
def artists_of(published: Published) -> Names[Artist]:
    """Return artists by their names; see :func:`songs_of`."""
    songs = published.history.latest_songs(limit=_MOST_SONGS)
    artists = dict.fromkeys(Artist(song.artist_id, song.artist) for song in songs)
    return names_of(((searchable(each.artist), each) for each in artists), languages=PHRASES)


def _by_ear(names: Iterable[Name]) -> Names[Name]:
    return names_of((name.search, name) for name in names if len(name.search) > _CODE or not name.search.isascii())


def _named(published: Published) -> Iterator[Name]:
    yield from published.own_names()
    for language in PHRASES:
        called = Locale.parse(language).territories
        for place in published.places.values():
            if place.level == "country" and place.id in called:
                yield Name(searchable(called[place.id]), place.id, place.name, place.population, own=True)


def _names(song: Song) -> Iterator[str]:
    yield song.title
    yield f"{song.title} {song.artist}"
    yield f"{song.artist} {song.title}"
